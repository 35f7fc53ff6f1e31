"""imgconv sheet: every kernel on one's own picture."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, FAILED, print_json, print_line, warn
from imgconv.cli.options import (
    FILE,
    FileCommand,
    check_free,
    filter_options,
    kernel_option,
    max_pixels_option,
    threads_option,
)
from imgconv.cli.progress import count, duration
from imgconv.errors import UsageError
from imgconv.formats.table import ARRAY_ENDINGS, endings, name_for

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits

PAGES = (".html", ".htm")


@click.command(cls=FileCommand)
@click.argument("picture", metavar="PICTURE", type=FILE)
@kernel_option(required=False)
@click.option("-o", "--output", metavar="FILE", type=FILE,
              help="A picture, or a page (.html).  [default: {stem}.sheet.png]")  # fmt: skip
@click.option("--size", type=click.IntRange(16, 2000), default=240, show_default=True, metavar="N",
              help="The longer side of each picture, in pixels.")  # fmt: skip
@click.option("--columns", type=click.IntRange(1, 100), metavar="N",
              help="Pictures beside each other.  [default: as many as make it a bit wider than high]")  # fmt: skip
@click.option("--crop", is_flag=True, help="The middle as it is, instead of all made smaller.")
@filter_options
@threads_option
@max_pixels_option
@click.option("--overwrite", is_flag=True, help="Replace a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def sheet(
    picture: str, kernels: tuple[str, ...], output: str | None, size: int, columns: int | None, crop: bool,
    overwrite: bool, as_json: bool, limits: Limits, **options: Any,
) -> int:  # fmt: skip
    """Make a contact sheet: what every kernel of the catalogue makes of PICTURE, or each -k.

    PICTURE is made small first, upright and in 8 bits, and then filtered, so that kernels of few pixels can be seen;
    --crop shows how they act on its own pixels. In a formula a range stands for several kernels: sigma=1..8, or
    sigma=0.5..4/8 for 8 steps.

    \b
    imgconv sheet photo.jpg
    imgconv sheet photo.jpg -k gaussian:sigma=1..8/8 -o blurs.png
    imgconv sheet photo.jpg -k sharpen:amount=0.5..3/6 --crop -o sharper.html
    """
    target = Path(output) if output else Path(f"{os.path.splitext(picture)[0]}.sheet.png")
    form = "" if target.suffix.lower() in PAGES else name_for(target.suffix)
    if form is None or target.suffix.lower() in ARRAY_ENDINGS:
        raise UsageError(f"{target}: a sheet is a picture or .html; it takes {endings()}, .html")
    check_free(target, overwrite=overwrite)
    from imgconv.formats.place import write
    from imgconv.formats.preview import contact_sheet, reduced
    from imgconv.formats.read import read
    from imgconv.formats.write import encode
    from imgconv.recipe.options import Options
    from imgconv.sheet import cells, page, spread

    started = time.perf_counter()
    specs, chosen = spread(kernels), Options(**options)
    small = reduced(read(Path(picture), auto_orient=True, limits=limits), size, crop=crop)
    made = [*cells(small, specs, chosen)]
    shown, failed = [cell for cell in made if not cell.error], [cell for cell in made if cell.error]
    if form:
        rows, width = small.array.shape[:2]
        fitting = columns or max(1, round((len(shown) * 1.4 * (rows + 40) / (width + 12)) ** 0.5))
        drawn = contact_sheet([(cell.label, cell.array, cell.mode) for cell in shown], min(fitting, len(shown)))
        about, data = drawn.size, encode(drawn, form)[0]
    else:
        data = page(f"{Path(picture).name}: {count(len(shown) - 1, 'kernel')}", shown, size)
        about = f"{len(data) / 1e6:.2g} MB"
    write(target, data, overwrite=overwrite)
    for cell in failed:
        warn(f"{cell.label} is left out: {cell.error}", "sheet")
    if as_json:
        left_out = [{"kernel": cell.label, "error": cell.error} for cell in failed]
        labels = [cell.label for cell in shown[1:]]
        print_json({"input": picture, "output": str(target), "kernels": labels, "left_out": left_out})
    else:
        took = duration(time.perf_counter() - started)
        print_line(f"{picture} → {target}   {count(len(shown) - 1, 'kernel')}   {about}   {took}")
    return FAILED if failed else DONE
