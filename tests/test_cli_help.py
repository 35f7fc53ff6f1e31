"""--help as a stranger reads it: two screens, in themes, with examples; and all about an option beside it."""

from __future__ import annotations

import re

import click
import pytest
from click.testing import CliRunner

from imgconv.cli import cli
from imgconv.cli.help import FEW, SENTENCES, SHORT, THEMES, Help


def all_commands(command=cli, words=()):
    yield words, command
    for name in command.list_commands(None) if isinstance(command, click.Group) else ():
        yield from all_commands(command.get_command(None, name), (*words, name))


@pytest.mark.parametrize(("words", "command"), [*all_commands()], ids=str)
def test_help_fits_two_screens_in_themes_and_with_examples(words, command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = CliRunner().invoke(cli, [*words, "--help"]).output
    assert len(said.splitlines()) <= 100
    assert "\x1b" not in said
    assert re.search(rf"(?m)(^  |: ){' '.join(('imgconv', *words))}\b.*", said.partition("\n")[2]), "no example"
    headings = [line[:-1] for line in said.splitlines() if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    options = [option for option in command.params if isinstance(option, click.Option)]
    assert headings[: 1 if len(options) < FEW else None] == (
        ["Options"]
        if len(options) < FEW
        else [heading for heading in (*THEMES, "Other options") if heading in headings]
    )
    listed = said[said.index(f"\n{headings[0]}:") :]
    for option in options:
        assert len(re.findall(rf"(?m)^  (?:-\w, )?{max(option.opts, key=len)}(?![\w-])", listed)) == 1
        whole = CliRunner().invoke(cli, [*words, "--help", option.opts[-1]]).output
        assert " ".join(option.help.split()) in " ".join(whole.split())
        first, *_ = SENTENCES.split(option.help.partition("  [")[0])
        assert len(first) <= SHORT or len(options) < FEW, "its first sentence is what stands in the list"
        assert len(whole) < len(said) or not isinstance(command, Help)


def test_help_is_coloured_where_that_is_wanted():
    said = CliRunner().invoke(cli, ["--color", "always", "apply", "--help"], color=True).output
    assert click.style("Kernel:", bold=True) in said
    assert click.style("--linear", fg="cyan") in said
