"""imgconv fit: the kernel that best explains a picture made from another."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, FAILED, print_line
from imgconv.cli.options import FILE, FileCommand, check_free, max_pixels_option, to_steps
from imgconv.cli.report import check_report, report_option, write_pair

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits


@click.command(cls=FileCommand)
@click.argument("before", metavar="BEFORE", type=click.Path(path_type=Path))
@click.argument("after", metavar="AFTER", type=click.Path(path_type=Path))
@click.option("--size", type=to_steps, metavar="N|R,C",
              help="Rows and columns of the kernel.  [default: the smallest of 3, 5, 7 that will do]")  # fmt: skip
@click.option("-o", "--output", metavar="PATH", type=FILE, help="A .toml file.  [default: standard output]")
@report_option
@max_pixels_option
@click.option("--overwrite", is_flag=True, help="Replace a file or page that exists.")
def fit(
    before: Path, after: Path, size: Any, output: str | None, report: str | None, overwrite: bool, limits: Limits
) -> int:
    """Find the kernel (and offset) that best explains AFTER as a filtered BEFORE, by least squares.

    Prints it as a kernel file. A kernel of the catalogue, or small whole numbers over a scale, are taken where they
    explain AFTER within rounding. How well it fits is said on standard error.

    Exit status 0 when the kernel explains AFTER within rounding, 1 when the best one does not.

    \b
    imgconv fit before.png after.png
    imgconv fit before.png after.png --size 5 -o theirs.toml
    imgconv apply before.png -k theirs.toml -o again.png
    """
    from imgconv.errors import UsageError
    from imgconv.fit import fit as find
    from imgconv.formats.place import write
    from imgconv.formats.read import read
    from imgconv.kernels.text import toml_text

    target = None if output in (None, "-") else Path(str(output))
    if target is not None and target.suffix.lower() != ".toml":
        raise UsageError(f"{target}: a kernel file is written as .toml")
    if target is not None:
        check_free(target, overwrite=overwrite)
    check_report(report, overwrite=overwrite)
    first, second = read(before, limits=limits), read(after, limits=limits)
    result = find(first.array, second.array, size)
    text = toml_text(result.kernel)
    if target is None:
        click.echo(text, nl=False)
        sys.stdout.flush()
    else:
        write(target, text.encode(), overwrite=overwrite)
    lines = result.lines()
    if not result.explains and second.format in ("JPEG", "WEBP"):
        lines.append(f"{second.format} changes the samples that it keeps; a PNG would tell more")
    if report is not None:
        from imgconv.recipe.options import Options
        from imgconv.recipe.recipe import Recipe

        same = first.array.shape == second.array.shape
        recipe = Recipe((result.kernel,), Options(padding=None if same else "valid", alpha="straight"))
        write_pair(report, (str(before), str(after)), first, second, recipe, lines, overwrite=overwrite)
    for line in lines:
        print_line(line, err=True)
    return DONE if result.explains else FAILED
