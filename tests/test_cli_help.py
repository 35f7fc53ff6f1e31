"""--help as a stranger reads it: two screens, in themes, with examples; and all about an option beside it."""

from __future__ import annotations

import re

import click
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from makers import encode_png

from imgconv.cli import cli
from imgconv.cli.help import FEW, SENTENCES, SHORT, THEMES, Help, _in_full


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


PARAMS = [
    click.Option(["-k", "--kernel"], multiple=True), click.Option(["-o", "--output"]), click.Option(["-j"]),
    click.Option(["-q", "--quiet"], is_flag=True), click.Option(["-v", "--verbose"], count=True),
    click.Option(["--pair"], nargs=2), click.Option(["-p", "--two"], nargs=2), click.Option(["--go/--stop"]),
    click.Argument(["inputs"], nargs=-1),
]  # fmt: skip
WORDS = [
    "-k", "--kernel", "-o", "-q", "-qv", "-v", "-kblur", "-k=blur", "--kernel=blur", "--pair", "-p", "--stop", "-j",
    "-j2", "--", "-", "a.png", "-1", "--none", "-x", "--quiet=1", "=", "",
]  # fmt: skip


@given(st.lists(st.sampled_from(WORDS), max_size=8))
def test_short_options_mean_what_click_takes_them_for(args):
    def parsed(args):
        command = click.Command("c", params=PARAMS)
        try:
            return command.make_parser(click.Context(command)).parse_args(list(args))[:2]
        except click.UsageError as problem:
            return type(problem), problem.format_message()

    assert parsed(_in_full(PARAMS, args)) == parsed(args)


def test_no_option_is_looked_for_in_vain(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoded = encode_png(np.zeros((3, 4), np.uint8))
    (tmp_path / "a.png").write_bytes(encoded)
    monkeypatch.setattr(click.NoSuchOption, "__init__", lambda *_, **__: pytest.fail("was looked for"))
    words = ["apply", "a.png", "-k", "blur", "-o", "b.png", "-q", "--overwrite"]
    assert CliRunner().invoke(cli, words, standalone_mode=False).return_value == 0
