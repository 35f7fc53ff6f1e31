"""Pictures in the terminal: by kitty's or sixel's graphics where `textual-image` finds them, else as half blocks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.cli import console, warn

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from imgconv.batch.report import Outcome
    from imgconv.formats.limits import Limits
    from imgconv.formats.picture import Picture

WIDEST = 60  # columns of a picture
THUMBNAIL = 24
FINER = 8  # pixels in a column, where the terminal has graphics
GAP = 2  # columns between pictures
MAP_COLUMNS = 16  # of a small kernel's heat map
MOST, LEAST = np.array([11, 107, 125]), np.array([196, 84, 0])  # colours of the largest weight and of its negative
NONE = np.array([238, 238, 238])  # of a weight of 0


def screen_for_pictures() -> Console | None:
    """The console where it is a terminal with colours and blocks; None in a pipe."""
    screen = console()
    return screen if screen.is_terminal and screen.color_system and screen.encoding.startswith("utf") else None


def show(screen: Console, pictures: Sequence[Picture], labels: Sequence[str]) -> None:
    """Pictures side by side, each below its label."""
    from imgconv.formats.preview import beside, reduced

    graphics = _graphics()
    columns = max(1, min(WIDEST, (screen.width - GAP * (len(pictures) - 1)) // len(pictures)))
    finer = FINER if graphics else 1
    small = [reduced(picture, columns * finer) for picture in pictures]
    joined = beside(small, GAP * finer)
    widths = [picture.array.shape[1] // finer for picture in small]
    heads = (label[:width].ljust(width) for label, width in zip(labels, widths, strict=True))
    with screen.capture() as drawn:  # printed as text is: a bar lets that through above itself
        screen.print((" " * GAP).join(heads), style="bold", markup=False, highlight=False, no_wrap=True)
        screen.print(graphics(joined, width=joined.width // finer) if graphics else half_blocks(np.asarray(joined)))
    print(drawn.get(), end="", flush=True)


def show_outcome(screen: Console, outcome: Outcome, limits: Limits, *, auto_orient: bool) -> None:
    """What a job read and what it wrote, as far as both can be read again."""
    from imgconv.errors import ImgconvError
    from imgconv.formats.read import read

    job, shown = outcome.job, {}
    for label, place, upright in (("before", job.source, auto_orient), ("after", job.target, False)):
        if not isinstance(place, Path) or (label == "before" and place == job.target):
            continue
        try:
            shown[label] = read(place, auto_orient=upright, limits=limits)
        except ImgconvError as problem:
            warn(f"preview: {problem}")
    if shown:
        show(screen, [*shown.values()], [*shown])


def show_cells(screen: Console, name: str, specs: Sequence[str], limits: Limits) -> None:
    """What kernels make of a picture, which is made small first: side by side, as many as there is room for."""
    from imgconv.formats.picture import Picture
    from imgconv.formats.preview import reduced
    from imgconv.formats.read import read
    from imgconv.recipe.options import Options
    from imgconv.sheet import cells

    columns = min(WIDEST, (screen.width - GAP) // 2) if len(specs) == 1 else THUMBNAIL
    side = max(1, columns) * (FINER if _graphics() else 1)
    small = reduced(read(Path(name), auto_orient=True, limits=limits), side)
    found = [cell for cell in cells(small, specs, Options()) if not cell.error]
    count = max(1, (screen.width + GAP) // (max(1, columns) + GAP))
    for start in range(0, len(found), count):
        some = found[start : start + count]
        show(screen, [Picture(cell.array, cell.mode, "PNG") for cell in some], [cell.label for cell in some])


def half_blocks(pixels: Array) -> Text:
    """8-bit RGB, two rows of pixels in a line of text."""
    from rich.style import Style
    from rich.text import Text

    text = Text(no_wrap=True, overflow="crop")
    for row in range(0, len(pixels), 2):
        for column in range(pixels.shape[1]):
            upper, lower = (
                f"#{bytes(line[column].tolist()).hex()}" for line in (pixels[row], pixels[row : row + 2][-1])
            )
            text.append("▀", Style(color=upper, bgcolor=lower if row + 1 < len(pixels) else None))
        text.append("\n" if row + 2 < len(pixels) else "")
    return text


def heat_map(weights: Array) -> RenderableType:
    """A matrix of weights by colours, from orange for the least over nothing to blue for the most."""
    largest = float(np.abs(weights).max()) or 1.0
    size = -(-max(weights.shape) // (2 * WIDEST))  # weights in a pixel
    share = weights[::size, ::size] / largest
    share = np.repeat(np.repeat(share, grown := max(1, MAP_COLUMNS // max(share.shape)), axis=0), grown, axis=1)
    share = share[:, :, None]
    colours = NONE + np.where(share > 0, share * (MOST - NONE), -share * (LEAST - NONE))
    return half_blocks(np.rint(colours).astype(np.uint8))


def _graphics() -> Any:
    """What draws a Pillow image by the terminal's own graphics; None where half blocks are to do."""
    if not (sys.__stdin__ and sys.__stdout__ and sys.__stdin__.isatty() and sys.__stdout__.isatty()):
        return None  # the terminal is asked what it can do, and answers on standard input
    if sys.stdout is not sys.__stdout__ or not os.get_terminal_size(sys.__stdout__.fileno()).columns:
        return None  # a bar takes lines only; and the library divides by the columns
    try:
        from textual_image.renderable import HalfcellImage, Image
    except ImportError:
        return None
    return None if Image is HalfcellImage else Image
