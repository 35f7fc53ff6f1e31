"""imgconv explain: one pixel of a result as a worked sum."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imgconv.cli import DONE, console, print_json, print_line
from imgconv.cli.kernels import PLANES_SHOWN
from imgconv.cli.options import (
    FILE,
    FileCommand,
    make_recipe,
    max_pixels_option,
    place_options,
    sides_options,
    threads_option,
)
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, Group, RenderableType

    from imgconv.explain.result import Channel, PixelSum, Term
    from imgconv.formats.limits import Limits

GAP = 3  # columns between what stands side by side
ARROWS = {
    "": "as written", "rotated by 180°": "↻ rotated by 180°", "flipped top to bottom": "⇅ flipped top to bottom",
    "flipped left to right": "⇄ flipped left to right",
}  # fmt: skip


@click.command(cls=FileCommand)
@click.argument("pixel", metavar="PICTURE@ROW,COLUMN", type=FILE)
@place_options
@sides_options
@threads_option
@max_pixels_option
@click.option("--json", "as_json", is_flag=True, help="A JSON object.")
def explain(
    pixel: str, kernels: tuple[str, ...], like: tuple[str, ...], mode: tuple[str, ...], as_json: bool, limits: Limits,
    **options: Any,
) -> int:  # fmt: skip
    """Show how one pixel of a result (or of an array) comes about: the worked sum that apply takes there.

    ROW,COLUMN are counted from 0, in the result. Shown are the values under the kernel, in brackets those that the
    border made up; the weights as they lie there; the products and their sums in the order of adding; and what becomes
    of the sum. Of a chain it is the last kernel, over what the others make.

    --like or --mode given twice sets two conventions side by side, and says where they part.

    \b
    imgconv explain photo.png@120,80 -k edge_enhance
    imgconv explain a.txt@0,0 -k '1 2; 3 4' --mode convolve --padding full
    imgconv explain a.npy@0,0 -k kernel.txt --like scipy --mode convolve --like keras --mode correlate
    """
    found = re.fullmatch(r"(.+)@(\d+),(\d+)", pixel, re.DOTALL)
    if not found:
        raise UsageError(f"{pixel!r} is not PICTURE@ROW,COLUMN, such as photo.png@120,80 (counted from 0)")
    name, row, column = found[1], int(found[2]), int(found[3])
    if max(len(like), len(mode)) > 2:
        raise UsageError("two sides can be compared; --like and --mode are given once, or twice each")
    from imgconv.explain import explain
    from imgconv.explain.result import first_parting
    from imgconv.formats.read import named, read

    count = max(len(like), len(mode))
    sides = [*zip((like or (None,)) * count, mode * count, strict=False)][:count]  # what is given once is for both
    recipes = [make_recipe(kernels, limits=limits, like=tool, mode=how, **options) for tool, how in sides]
    picture = read(Path(name), limits=limits)
    with named(name):
        sums = [explain(picture.array, picture.mode, one, row, column) for one in recipes]
    parting = first_parting(*sums) if len(sums) > 1 else None
    if as_json:
        print_json({
            "input": name, "row": row, "column": column, "sums": [one.as_dict() for one in sums],
            "parting": parting and parting._asdict(),
        })  # fmt: skip
        return DONE
    screen = console()
    if not screen.is_terminal:
        screen.width = 10_000  # a pipe is as wide as what goes into it
    with screen.capture() as printed:
        screen.print(f"{pixel}   {recipes[0].name}", style="bold", markup=False, highlight=False)
        shown = [_shown(screen, one, screen.width // len(sums) - GAP) for one in sums]
        screen.print(_beside(screen.width * screen.is_terminal, screen, *shown) if parting else shown[0])
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
    if parting:
        where = f"{parting.step}{' of ' + parting.channel if parting.channel else ''}"
        print_line(f"they part at {where}: {_side(sums[0])} {parting.first}; {_side(sums[1])} {parting.second}")
    elif len(sums) > 1:
        print_line("they do not part: every step is the same")
    return DONE


def _side(one: PixelSum) -> str:
    return " ".join(filter(None, [one.like, one.mode if one.mode == "convolve" or not one.like else ""]))


def _beside(width: int, screen: Console, *items: RenderableType) -> RenderableType:
    """The items side by side where they are not wider than that, else below each other."""
    from rich.console import Group
    from rich.measure import Measurement
    from rich.table import Table

    if sum(Measurement.get(screen, screen.options, item).maximum + GAP for item in items) > width + GAP:
        return Group(*items)
    grid = Table.grid(padding=(0, GAP, 0, 0))
    grid.add_row(*items)
    return grid


def _shown(screen: Console, one: PixelSum, width: int) -> Group:
    """All that is shown of a pixel."""
    from rich.console import Group
    from rich.text import Text

    kind = "convolution" if one.mode == "convolve" else "correlation"
    lines: list[RenderableType] = [
        Text(f"{kind}{f' like {one.like}' if one.like else ''}, border {one.border}, padding {one.padding}"),
        Text(f"the anchor lies on row {one.home[0]}, column {one.home[1]} of the picture"),
        Text(f"method {one.method}: {one.exactness}"),
    ]
    if one.before:
        lines.append(Text(f"the picture is what {', '.join(one.before)} made"))
    for channel in one.channels[:PLANES_SHOWN]:
        for term in channel.terms[:PLANES_SHOWN]:
            lines += [Text(), *_term(screen, term, one, width)]
        if len(channel.terms) > PLANES_SHOWN:
            lines += [Text(), Text(f"{len(channel.terms) - PLANES_SHOWN} more blocks are not shown; --json has all")]
        lines += [Text(), _steps(channel, one)]
    if len(one.channels) > PLANES_SHOWN:
        lines += [Text(), Text(f"{len(one.channels) - PLANES_SHOWN} more channels are not shown; --json has all")]
    return Group(*lines)


def _term(screen: Console, term: Term, one: PixelSum, width: int) -> list[RenderableType]:
    """The window, the weights and the products of a channel."""
    from rich.table import Table
    from rich.text import Text

    from imgconv.kernels.shown import shown_lines

    rows, columns = shown_lines(len(term.rows)), shown_lines(len(term.columns))
    digits = 7 if term.sum_type == "float32" else 9

    def table(title: str, heads: list[str], cells: Callable[[int, int], str | Text]) -> tuple[Table, list[Any]]:
        made = Table(title=title, title_justify="left", title_style="cyan", box=None, pad_edge=False,
                     header_style="dim", min_width=len(title))  # fmt: skip
        for head in heads:
            made.add_column(head, justify="right", no_wrap=True)
        return made, [["…" if None in (y, x) else cells(y, x) for x in columns] for y in rows]  # type: ignore[arg-type]

    def number(value: float) -> str:
        return f"{value:.{digits}g}"

    def sample(y: int, x: int) -> Text:
        unknown = term.share is not None and math.isnan(term.window[y, x])
        text = "none" if unknown else number(term.window[y, x])
        return Text(f"[{text}]", style="yellow") if term.made[y, x] else Text(text)

    places = ["…" if x is None else str(term.columns[x]) for x in columns]
    window, lines = table("window", ["", *places], sample)
    for y, cells in zip(rows, lines, strict=True):
        window.add_row(Text("…" if y is None else str(term.rows[y]), style="dim"), *cells)
    scaled = f" ÷ {term.scale:g}" if term.scale != 1 else ""
    weights, lines = table(
        f"weights, {ARROWS[one.flip]}", ["" for _ in columns], lambda y, x: f"{term.weights[y, x]:g}"
    )
    for cells in lines:
        weights.add_row(*cells)
    by_row = any(line.sum is not None for line in term.sums)
    heads = ["" for _ in columns] + ["of the row"] * by_row + ["total ↑" if by_row else "total ↓"]
    products, lines = table(f"products{scaled}", heads, lambda y, x: number(term.products[y, x]))
    sums = {line.row: line for line in term.sums}
    for y, cells in zip(rows, lines, strict=True):
        line = sums.get(-1 if y is None else y)
        own = [number(line.sum) if line and line.sum is not None else ""] * by_row
        products.add_row(*cells, *own, Text(number(line.total) if line else "", style="bold"))
    half = f", the offset {term.offset:g} and ½ for rounding" if term.start != term.offset else ""
    under = f" under {term.kernel}" if "+" in one.kernel else ""
    order = "bottom row first" if by_row else "top row first, tap by tap"
    yielded: list[RenderableType] = [
        Text(f"{term.channel or 'samples'}{under}: sums in {term.sum_type} from {term.start:g}{half}; {order}"),
        _beside(width, screen, window, weights, products),
    ]
    if term.share is not None:
        yielded.append(Text(f"the weights on known pixels sum to {term.share:g}; rescaled: {number(term.total)}"))
    return yielded


def _steps(channel: Channel, one: PixelSum) -> RenderableType:
    """What becomes of the sum, down to the result."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for step in channel.steps:
        table.add_row(step.name, f"{step.value:.9g}", Text(step.says, style="dim"))
    agree = channel.worked == channel.result or math.isnan(channel.result)
    says = "" if agree else f"the {one.method} method's: {one.exactness}"
    table.add_row(Text(f"{channel.name} result".strip(), "bold"), Text(f"{channel.result:.9g}", "bold green"), says)
    return table
