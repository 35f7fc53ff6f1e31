"""Pillow's BoxBlur, GaussianBlur and UnsharpMask by the byte: passes of a box, rounded after each, in threads.

Pillow takes an extended box, whose rim counts in part, along every row, as often as there are passes; then along every
column. Outside is the nearest pixel. A Gaussian is three passes of the box that has a third of its variance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.stage import Span
from imgconv.memory import empty
from imgconv.native.kept import Function, loop
from imgconv.threads import available_cores, in_threads

if TYPE_CHECKING:
    from imgconv.engine.correlation import Correlation

BLUR = {unit: Function("imgconv.engine.blur_loop", "blur", (unit,), "pppp" + 22 * "i") for unit in (1, 4)}
ACROSS = 64  # bytes that the loop takes at once, as it has it
CACHED = 2**19  # bytes of its memory that stay near
LOW = 256  # rows of a part that is a copy, which stays near
OVERLAPS = 4  # at least so many times what its neighbours compute again is a part wide or high
WORTH_A_THREAD = 2**18  # samples times passes; fewer take less time than waking one
LARGEST_DIVIDED = 89  # radius; for larger ones the quotient may be another than Pillow's, which is a product


Box = tuple[int, int, int, int]  # as the loop has it, but for the radius itself
SAME: Box = 0, 1 << 24, 0, -1


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

    @property
    def side(self) -> int:
        """Columns left and right that a column depends on."""
        return self.times * (self.across[0] + 1) if self.across else 0


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
    exact = np.float32(radius)
    if exact == 0:
        return None
    whole = int(exact)
    size = 2 * whole + 1
    if whole == exact and whole <= LARGEST_DIVIDED:
        shift = size.bit_length() - 1
        return whole, (1 << 16 + shift) // size + 1, 0, shift
    weight = int(np.float32(1 << 24) / (exact * np.float32(2) + np.float32(1)))
    return whole, weight, ((1 << 24) - size * weight) % 2**32 // 2, -1


def gaussian_radius(sigma: float, times: int) -> float:
    """The radius of a box that comes close to a Gaussian when it is taken some times (Gwosdek et al. 2011)."""
    one, exact = np.float32(1), np.float32(sigma)
    variance = exact * exact / np.float32(times)
    length = float(np.float32(math.sqrt(12.0 * float(variance) + 1.0)))
    whole = np.float32(math.floor((length - 1.0) / 2.0))
    more = whole + one
    part = (np.float32(2) * whole + one) * (whole * more - np.float32(3) * variance)
    return float(whole + part / (np.float32(6) * (variance - more * more)))


class Pixels(Protocol):
    """8-bit samples, of which parts are taken: an array, or what makes one of them."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, place: Any) -> Array: ...


def blurred(samples: Pixels, rows: Span, blur: Boxes, threads: int | None = None, target: Array | None = None) -> Array:
    """Some rows of a picture, blurred; of 8-bit samples of shape (rows, columns, channels), each row without gaps.

    Those further away than the halo need not be there. The result lies in `target`, if that is given.
    """
    height, width, channels = samples.shape
    if target is None:
        target = empty((rows.stop - rows.start, width, channels), np.dtype(np.uint8))
    workers = min(threads or available_cores(), 1 + height * width * channels * blur.times // WORTH_A_THREAD)
    every = slice(0, height), slice(0, width)
    if not (blur.across or blur.down):
        target[...] = samples[slice(*rows), every[1]]
    elif not _in_parts(target, samples, samples, rows, blur, workers):
        own = samples[every]
        middle = empty(own.shape, np.dtype(np.uint8))
        _in_parts(middle, own, own, Span(0, height), blur._replace(down=None, percent=None), workers)
        _in_parts(target, middle, own, rows, blur._replace(across=None), workers)
    return target


class _Parts(NamedTuple):
    """How a picture is divided: height and width of a part, what the loop is told of each, and what memory it needs."""

    unit: int
    tall: int
    wide: int
    told: tuple[int, ...]
    memory: int


@lru_cache(maxsize=64)
def _parts(shape: tuple[int, ...], count: int, blur: Boxes, workers: int, low: int | None) -> _Parts | None:
    """Divides a picture of which `count` rows are wanted; None where each axis by itself is sooner done."""
    height, width, channels = shape
    unit = 4 if channels % 4 == 0 else 1
    at_once, halo, side = ACROSS // unit, blur.halo, blur.side
    across, down = blur.across or SAME, blur.down or SAME
    times_x, times_y = blur.times if blur.across else 0, blur.times if blur.down else 1
    ring = 1 << (max(at_once, min(2 * down[0] + 3 + at_once, height)) - 1).bit_length()
    # threads that write to rows of their own do not clear the same new pages
    tall = max(-(-count // workers), OVERLAPS * halo)
    if low is not None:
        tall = min(tall, max(low, 4 * OVERLAPS * halo))
    below = -(-count // tall)
    near = max(1, CACHED // (channels * (ACROSS // unit + ring * times_y)) // ACROSS) * ACROSS
    if not side:
        near = min(near, -(-width * below // (workers * ACROSS)) * ACROSS)
    wide = min(width, max(near, OVERLAPS * side))
    if side and halo and (below * -(-width // wide) < workers or near < wide):
        return None
    columns, blocks = min(width, wide + 2 * side), -(-wide * channels // ACROSS)
    turned = (columns + times_x * min(across[0] + 1, columns)) * channels // unit + 20
    sharpened = (0, -1) if blur.percent is None else (blur.percent, blur.threshold)
    told = ring, across[0] + 1, *across[1:], times_x, down[0] + 1, *down[1:], times_y, *sharpened
    return _Parts(unit, tall, wide, told, ACROSS * (turned + blocks * ((times_y + 1) * ring + 4 * times_y)))


def _in_parts(target: Array, source: Pixels, own: Pixels, rows: Span, blur: Boxes, workers: int) -> bool:
    """Blurs part by part, in threads with memory of their own; does not where `_parts` has none.

    What a part needs of its neighbours it computes again. What is sharpened is `own`.
    """
    height, width, channels = source.shape
    low = None if isinstance(source, np.ndarray) else LOW
    parts = _parts(source.shape, rows.stop - rows.start, blur, workers, low)
    if parts is None:
        return False
    unit, tall, wide, told, size = parts
    halo, side = blur.halo, blur.side
    call, goal, stride = loop(BLUR[unit]).call, target.ctypes.data, width * channels

    def prepare_worker() -> Callable[[tuple[int, int]], int]:
        memory = empty((size + ACROSS,), np.dtype(np.uint8))
        address = -(-memory.ctypes.data // ACROSS) * ACROSS

        def one(part: tuple[int, int], kept: Array = memory) -> int:
            y, x = part
            bottom, right = min(y + tall, rows.stop), min(x + wide, width)
            top, left = max(0, y - halo), max(0, x - side)
            taken = slice(top, min(height, bottom + halo)), slice(left, min(width, right + side))
            piece = source[taken]
            (lines, pixels, _), apart, start = piece.shape, piece.strides[0], piece.ctypes.data
            unblurred = piece if own is source else own[taken]
            same = start if own is source else unblurred.ctypes.data
            same += (y - top) * apart + (x - left) * channels
            places = goal + (y - rows.start) * stride + x * channels, start, same, address, stride, apart
            part_columns = pixels, pixels * channels, (x - left) * channels, (right - x) * channels
            call(*places, lines, y - top, bottom - y, *part_columns, *told)
            return 0

        return one

    places = [(y, x) for x in range(0, width, wide) for y in range(rows.start, rows.stop, tall)]
    in_threads(prepare_worker, places, min(workers, len(places)))
    return True
