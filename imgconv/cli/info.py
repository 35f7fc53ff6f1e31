"""imgconv info: what files hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imgconv.cli import DONE, FAILED, console, one_line, print_json, warn
from imgconv.cli.options import FILE, FileCommand, one_of
from imgconv.errors import PictureError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgconv.info import Info

COLUMNS = ("file", "format", "size", "mode", "depth", "frames", "profile", "metadata", "memory")
SHOWN_DURATIONS = 4  # where they differ


@click.command(cls=FileCommand)
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=FILE)
@click.option("--format", "form", metavar="EXT", shell_complete=one_of("png", "jpg", "tif", "webp", "gif", "avif"),
              help="Say also what would be lost in a file of this format, such as jpg.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file.")
def info(files: tuple[str, ...], form: str | None, as_json: bool) -> int:
    """Show what files hold: format, size, mode, depth, frames, profile, metadata, and the memory that filtering takes.

    Only headers are read. A table on a terminal, lines with tabs in a pipe. Exit status 1 when a file is broken, as far
    as its headers show.

    \b
    imgconv info *.jpg
    imgconv info scan.tif --format jpg
    """
    from imgconv.formats.table import endings, is_written, name_for
    from imgconv.info import describe

    target = None
    if form is not None:
        target = name_for(f".{form.lower().removeprefix('.')}")
        if not is_written(target):
            raise UsageError(f"--format {form}: is not one of {endings()}")
    tabled = not as_json and (sys.stdout.isatty() or click.get_current_context().find_root().color)
    found: list[Info] = []
    failed = False
    for name in files:
        try:
            facts = describe(Path(name), target)
        except PictureError as problem:
            failed = True
            warn(str(problem))
            if as_json:
                print_json({"file": name, "error": str(problem)})
            continue
        if as_json:
            print_json(facts._asdict())
        elif tabled:
            found.append(facts)
        else:
            click.echo("\t".join(map(one_line, [*cells(facts), *facts.lost])))
    if found:
        print_table(found)
    return FAILED if failed else DONE


def cells(facts: Info) -> list[str]:
    """What a line says of a file, by the columns of `COLUMNS`."""
    frames = str(facts.frames) + (f" of {durations(facts.durations)}" if facts.durations else "")
    frames += f" and {facts.others} more" if facts.others else ""
    size, metadata, memory = "{}×{}".format(*facts.size), ",".join(facts.metadata), f"{facts.memory / 1e6:,.0f} MB"
    return [facts.file, facts.format, size, facts.mode, facts.depth, frames, facts.profile or "", metadata, memory]


def durations(each: Iterable[float]) -> str:
    """Milliseconds of frames, in short: 40 ms; 20, 30, 20, 40 … ms, 3.2 s."""
    all_of_them = [f"{duration:g}" for duration in each]
    if len(set(all_of_them)) == 1:
        return f"{all_of_them[0]} ms"
    shown = ", ".join(all_of_them[:SHOWN_DURATIONS])
    return f"{shown}{' …' if len(all_of_them) > SHOWN_DURATIONS else ''} ms, {sum(map(float, all_of_them)) / 1000:g} s"


def print_table(found: list[Info]) -> None:
    """A table, with what would be lost beside each file."""
    from rich.table import Column, Table
    from rich.text import Text

    headings = [*COLUMNS, *(["lost"] if any(facts.lost for facts in found) else [])]
    table = Table(*(Column(name, overflow="fold") for name in headings), box=None, pad_edge=False, header_style="bold")
    for facts in found:
        name, *about = cells(facts)
        lost = [Text("\n".join(facts.lost), "yellow")] if "lost" in headings else []
        table.add_row(Text(name, "cyan"), *map(Text, about), *lost)
    console().print(table)
