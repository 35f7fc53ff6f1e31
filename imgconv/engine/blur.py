"""Pillow's BoxBlur, GaussianBlur and UnsharpMask by the byte: passes of a box, rounded after each, in threads.

Pillow takes an extended box, whose rim counts in part, along every row, as often as there are passes; then along every
column. Outside is the nearest pixel. A Gaussian is three passes of the box that has a third of its variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.stage import Span
from imgconv.memory import empty
from imgconv.native.kept import Function, loop
from imgconv.threads import available_cores, in_threads

if TYPE_CHECKING:
    from imgconv.engine.correlation import Correlation

MODULE = "imgconv.engine.blur_loop"
ROWS = Function(MODULE, "rows", (), "ppp" + 7 * "i")
COLUMNS = Function(MODULE, "columns", (), "ppp" + 9 * "i")
SHARPEN = Function(MODULE, "sharpen", (), "ppiii")
ACROSS = 64  # rows or columns that a loop takes at once, as it has it
WORTH_A_THREAD = 2**18  # samples times passes; fewer take less time than waking one
SHARPENED_AT_ONCE = 2**18  # samples
FLOAT = np.float32  # Pillow's weights are computed in


Box = tuple[int, int, int]  # its radius; what each pixel counts and what one on the rim does, over 2 to the 24th


class Boxes(NamedTuple):
    """A blur in whole numbers.

    Attributes
    ----------
    across, down : Box or None
        Along rows and along columns; None leaves an axis as it is.
    times : int
        Passes along each axis.
    percent : int or None
        Of what the blur takes away, that is added to the picture; None for a mere blur.
    threshold : int
        Where it takes away no more than this the picture stays.
    """

    across: Box | None
    down: Box | None
    times: int
    percent: int | None = None
    threshold: int = 0

    @property
    def halo(self) -> int:
        """Rows above and below that a row depends on."""
        return self.times * (self.down[0] + 1) if self.down else 0


class Passes(NamedTuple):
    """What is said of a blur where others have a Plan."""

    correlation: Correlation
    reason: str
    method: str = "passes"
    exactness: str = "the same bytes as Pillow's"


@lru_cache(maxsize=64)
def boxes(x: float, y: float, times: int, percent: int | None = None, threshold: int = 0) -> Boxes:
    """The blur of radii along rows and along columns: of boxes or, taken several times, of a Gaussian."""
    if times > 1:
        x, y = (gaussian_radius(radius, times) for radius in (x, y))
    return Boxes(box(x), box(y), times, percent, threshold)


def box(radius: float) -> Box | None:
    """A box that reaches so many pixels from its middle."""
    exact = FLOAT(radius)
    if exact == 0:
        return None
    whole = int(exact)
    weight = int(FLOAT(1 << 24) / (exact * FLOAT(2) + FLOAT(1)))
    return whole, weight, ((1 << 24) - (2 * whole + 1) * weight) % 2**32 // 2


def gaussian_radius(sigma: float, times: int) -> float:
    """The radius of a box that comes close to a Gaussian when it is taken some times (Gwosdek et al. 2011)."""
    one, exact = FLOAT(1), FLOAT(sigma)
    variance = exact * exact / FLOAT(times)
    length = float(FLOAT(math.sqrt(12.0 * float(variance) + 1.0)))
    whole = FLOAT(math.floor((length - 1.0) / 2.0))
    more = whole + one
    part = (FLOAT(2) * whole + one) * (whole * more - FLOAT(3) * variance)
    return float(whole + part / (FLOAT(6) * (variance - more * more)))


def blurred(samples: Array, rows: Span, blur: Boxes, threads: int | None = None, target: Array | None = None) -> Array:
    """Some rows of a picture, blurred; of 8-bit samples of shape (rows, columns, channels), C-contiguous.

    Those further away than the halo need not be there. The result lies in `target`, if that is given.
    """
    height, width, channels = samples.shape
    stride = width * channels
    across, down, times, percent, threshold = blur
    workers = min(threads or available_cores(), 1 + samples.size * times // WORTH_A_THREAD)
    if target is None:
        target = empty((rows.stop - rows.start, width, channels), samples.dtype)
    middle = empty(samples.shape, samples.dtype) if across else samples
    before, between, after = (array.ctypes.data for array in (samples, middle, target))
    if across:
        call = loop(ROWS).call

        def along_rows(memory: int, y: int) -> None:
            place, some = y * stride, min(ACROSS, height - y)
            call(between + place, before + place, memory, some, width, channels, *across, times)

        _each(along_rows, height, stride, workers)
    if down:
        finish = loop(COLUMNS).call

        def along_columns(memory: int, x: int) -> None:
            finish(after + x, between + x, memory, height, stride, min(ACROSS, stride - x), *rows, *down, times)

        _each(along_columns, stride, height, workers)
    else:
        target[...] = middle[slice(*rows)]
    if percent is not None:
        sharpen, own = loop(SHARPEN).call, before + rows.start * stride

        def piece(x: int) -> int:
            count = min(SHARPENED_AT_ONCE, target.size - x)
            return int(sharpen(after + x, own + x, count, percent, threshold))

        pieces = range(0, target.size, SHARPENED_AT_ONCE)
        in_threads(lambda: piece, pieces, min(workers, len(pieces)))
    return target


def _each(work: Callable[[int, int], None], lines: int, length: int, workers: int) -> None:
    """Does the work for every `ACROSS` lines, in threads with memory of their own."""

    def prepare_worker() -> Callable[[int], int]:
        memory = empty((2 * ACROSS * length,), np.dtype(np.uint8))
        address = memory.ctypes.data

        def one(line: int, kept: Array = memory) -> int:
            work(address, line)
            return 0

        return one

    tiles = range(0, lines, ACROSS)
    in_threads(prepare_worker, tiles, min(workers, len(tiles)))
