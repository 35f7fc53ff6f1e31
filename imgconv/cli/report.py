"""--report: a page of its own that shows what was done."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv import __version__
from imgconv.cli.options import FILE, check_free
from imgconv.cli.progress import count
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from imgconv.arrayfile import Array
    from imgconv.batch.report import Outcome
    from imgconv.formats.picture import Picture
    from imgconv.kernels.value import Kernel
    from imgconv.recipe.recipe import Recipe

LONGEST_COMMAND = 400  # letters
MOST_PICTURES = 500  # on a page, about 40 kB each

report_option = click.option(
    "--report", type=FILE, metavar="FILE.html",
    help="Write a page: before, after, pixels, their sums. For a browser; with histograms, and the kernel.",
)  # fmt: skip

overwrite_page_option = click.option("--overwrite", is_flag=True, help="Replace a page that exists.")


def check_report(path: str | None, *, overwrite: bool) -> None:
    """Raises UsageError or WriteError where a page could not be written in the end."""
    if path is None:
        return
    from imgconv.formats.place import check_place, lacks_folder

    if Path(path).suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--report {path}: is a page, so its name ends in .html")
    if lacks_folder(Path(path)):
        raise UsageError(f"--report {path}: there is no folder {os.path.dirname(path)}")
    check_free(path, overwrite=overwrite)
    check_place(Path(path))


def write_report(
    path: str, title: str, kernels: Sequence[Kernel], sections: Sequence[dict[str, Any]], *, overwrite: bool
) -> None:
    """Writes the page; each section has its title and facts."""
    import shlex

    from imgconv.batch.remote import hidden
    from imgconv.formats.place import write
    from imgconv.page import page

    command = shlex.join(["imgconv", *map(hidden, sys.argv[1:])])
    if len(command) > LONGEST_COMMAND:
        command = f"{command[:LONGEST_COMMAND]} …"
    write(Path(path), page(title, f"imgconv {__version__}: {command}", kernels, sections), overwrite=overwrite)


def write_report_of(path: str, recipe: Recipe, sections: Sequence[dict[str, Any]], *, overwrite: bool) -> None:
    """Writes the page about what a recipe has made of pictures, each of which has a section."""
    title = sections[0]["title"] if len(sections) == 1 else f"{recipe.name}: {count(len(sections), 'picture')}"
    write_report(path, title, recipe.all_kernels, sections, overwrite=overwrite)


def write_pair(
    path: str, names: tuple[str, str], before: Picture, after: Picture | None, recipe: Recipe | None,
    lines: Sequence[str], beside: Sequence[tuple[str, Picture, Array]] = (), *, overwrite: bool,
) -> None:  # fmt: skip
    """Writes a page about two pictures, or one and what the recipe makes of it; `lines` are what is said of them.

    Other pairs stand `beside`, each with a title.
    """
    from imgconv.page.section import section

    title = " → ".join(names)
    pair = section(before, after.array if after else None, after.mode if after else "", recipe)
    kernels = recipe.all_kernels if recipe else ()
    facts = [["said" if not n else "", line] for n, line in enumerate(lines)]
    others = [section(one, two, one.mode, None, small=True) | {"title": name, "facts": []} for name, one, two in beside]
    sections = [pair | {"title": title, "facts": facts}, *others]
    write_report(path, title, kernels, sections, overwrite=overwrite)


def section_of(outcome: Outcome, recipe_name: str, details: Sequence[str], number: int) -> dict[str, Any]:
    """What a page says of a job, whose number that is, besides what it shows."""
    title = f"{outcome.job.input} → {outcome.job.output}"
    if outcome.status == "done" and number >= MOST_PICTURES:
        return {"title": title, "error": f"not shown: a page has {MOST_PICTURES} pictures at most"}
    if outcome.section is None or outcome.status != "done":
        return {"title": title, "error": outcome.error or f"{outcome.status}: {outcome.how}"}
    shape = outcome.shape or ()
    size = "×".join(map(str, (shape[1], shape[0], *shape[2:])[: 2 if outcome.mode else 3]))
    facts = [
        ["picture", f"{size} {outcome.mode or outcome.dtype}" + (", 16 bits" if outcome.dtype == "uint16" else "")],
        ["kernel", recipe_name],
        ["computed", f"{outcome.how}, {count(outcome.threads, 'thread')}"],
        *(["why", line] for line in details),
        *(["note", note] for note in outcome.notes),
        ["shown", "what filtering gives, before its depth, colours or encoding are changed"],
    ]
    times = {"read": outcome.read_s, "compile": outcome.compile_s, "filter": outcome.filter_s or 0.0,
             "write": outcome.write_s}  # fmt: skip
    return outcome.section | {"title": title, "facts": facts, "times": [[k, s] for k, s in times.items() if s]}
