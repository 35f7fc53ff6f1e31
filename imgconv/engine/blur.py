"""Pillow's BoxBlur, GaussianBlur and UnsharpMask by the byte: passes of a box, rounded after each, in threads.

Pillow takes an extended box, whose rim counts in part, along every row, as often as there are passes; then along every
column. Outside is the nearest pixel. A Gaussian is three passes of the box that has a third of its variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
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
COLUMNS, SHARPENED = (Function(MODULE, name, (), "pppp" + 11 * "i") for name in ("columns", "sharpened"))
ACROSS = 64  # rows or columns that a loop takes at once, as it has it
WORTH_A_THREAD = 2**16  # samples times passes; fewer take less time than waking one
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


def blurred(samples: Array, rows: Span, boxes: Boxes, threads: int | None = None) -> Array:
    """Some rows of a picture, blurred; of 8-bit samples of shape (rows, columns, channels), C-contiguous.

    Those further away than the halo need not be there.
    """
    height, width, channels = samples.shape
    stride = width * channels
    across, down, times, percent, threshold = boxes
    workers = min(threads or available_cores(), 1 + samples.size * times // WORTH_A_THREAD)
    middle = samples
    if across:
        middle = empty(samples.shape, samples.dtype)
        call = loop(ROWS).call

        def along_rows(memory: Array, y: int) -> None:
            place = y * stride
            call(
                middle.ctypes.data + place, samples.ctypes.data + place, memory.ctypes.data, min(ACROSS, height - y),
                width, channels, *across, times,
            )  # fmt: skip

        _each(along_rows, height, stride, workers)
    if not down:
        return middle[slice(*rows)].copy() if middle is samples else middle[slice(*rows)]
    target = empty((rows.stop - rows.start, width, channels), samples.dtype)
    finish = loop(COLUMNS if percent is None else SHARPENED).call

    def along_columns(memory: Array, x: int) -> None:
        finish(
            target.ctypes.data + x, middle.ctypes.data + x, memory.ctypes.data, samples.ctypes.data + x, height, stride,
            min(ACROSS, stride - x), *rows, *down, times, percent or 0, threshold,
        )  # fmt: skip

    _each(along_columns, stride, height, workers)
    return target


def _each(work: Callable[[Array, int], None], lines: int, length: int, workers: int) -> None:
    """Does the work for every `ACROSS` lines, in threads with memory of their own."""

    def prepare_worker() -> Callable[[int], int]:
        memory = empty((2 * ACROSS * length,), np.dtype(np.uint8))

        def one(line: int) -> int:
            work(memory, line)
            return 0

        return one

    tiles = range(0, lines, ACROSS)
    in_threads(prepare_worker, tiles, min(workers, len(tiles)))
