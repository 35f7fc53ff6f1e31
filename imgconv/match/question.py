"""The question: two pictures and a kernel, where windows may lie, and how well sums explain samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.engine.channels import to_samples
from imgconv.errors import PictureError
from imgconv.kernels.value import Kernel, high_anchor, low_anchor
from imgconv.recipe.layout import letters_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Pair = tuple[int, int]
Tile = tuple[slice, slice]  # rows and columns of the result

# the ways in which tools turn a kernel, simplest first
FLIPS: dict[str, Callable[[Any], Any]] = {
    "none": lambda w: w,
    "both": lambda w: w[::-1, ::-1],
    "vertical": lambda w: w[::-1],
    "horizontal": lambda w: w[:, ::-1],
    "transposed": lambda w: w.swapaxes(0, 1),
    "transposed both": lambda w: w.swapaxes(0, 1)[::-1, ::-1],
}
TILE = 40  # result pixels on a side
ALL_ANCHORS = 49  # taps of a kernel up to which every anchor is tried
FAR = 8.0  # a difference counts for no more than that: a few wild samples must not hide a good candidate
FOURIER_TAPS = 400  # of a kernel from which the sums are taken by Fourier transforms
SMALL = 4096  # samples of a result up to which nothing is left out


class Place(NamedTuple):
    """A flip of the kernel, and where its windows lie."""

    flip: str
    padding: str
    stride: Pair
    anchor: Pair  # in the flipped kernel; (0, 0) when the padding leaves it no say


class Tone(NamedTuple):
    """What happens to a window's sum: divided, moved, rounded."""

    scale: float
    offset: float
    rounding: str  # half-up, half-even, cut, wrap, or float: none


class Question:
    """What is known: the pictures, the ways in which the kernel may be turned, and how far sums may be off.

    Attributes
    ----------
    before, result : ndarray
        As they were given; the result with three axes.
    source, seen : ndarray, shape (rows, columns, channels)
        The same without alpha.
    channels : str
        "each", or "sum" where the result has but one of several channels.
    kind : dtype
        That a tool would compute; `whole` tells whether of whole numbers, `top` is the largest, or 1.
    roundings : tuple of str
        Those that can have made the samples, the likeliest first.
    slack : float
        What more than `error` samples may be off.
    unit : float
        A level, in which differences are counted.
    taps : dict
        The weights of every flip; flips that give the same weights as an earlier one are named in `same_taps` only.
    """

    def __init__(self, before: Array, kernel: Kernel, result: Array, mode: str) -> None:
        self.before = before
        self.kernel = kernel
        self.mode = mode
        self.source, self.seen, self.channels, self.result = _paired(before, kernel, result, mode)
        self.kind = np.dtype(np.uint8) if self.source.dtype == bool else self.source.dtype
        self.whole = self.kind.kind in "iu"
        seen_whole = self.seen.dtype.kind in "iub"
        retyped = self.seen.dtype != self.source.dtype
        self.roundings: tuple[str, ...] = ()
        if self.whole and (not retyped or _holds(self.kind, self.seen)):
            self.roundings = ("half-up", "half-even", "cut", "wrap")[: 4 if self.kind.kind == "u" else 2]
        if retyped or not seen_whole:
            self.roundings += ("float",)
        # whole numbers of another type: the tool may have rounded floating sums, or cut them
        self.slack = 1.0 if seen_whole and retyped else 0.0
        self.top = float(np.iinfo(self.kind).max) if self.whole else 1.0
        self.peak = float(max(abs(float(self.source.max())), abs(float(self.source.min())), 1e-30))
        if not (np.isfinite(self.peak) and np.isfinite(self.seen).all()):
            raise PictureError("the pictures hold nan or inf; match takes finite samples")
        self.unit = 1.0 if self.whole else max(float(self.seen.std()), 1e-30) / 64
        self.taps: dict[str, Array] = {}
        self.same_taps: dict[str, list[str]] = {}
        for flip, turn in FLIPS.items():
            taps = np.ascontiguousarray(turn(kernel.weights))
            twin = next((name for name, other in self.taps.items() if np.array_equal(other, taps)), None)
            if twin is None:
                self.taps[flip] = taps
            self.same_taps.setdefault(twin or flip, []).append(flip)

    def first(self, place: Place) -> Pair:
        """Row and column where the window of the first result pixel starts."""
        rows, columns = self.taps[place.flip].shape[:2]
        if place.padding == "full":
            return 1 - rows, 1 - columns
        return (0, 0) if place.padding == "valid" else (-place.anchor[0], -place.anchor[1])

    def inside(self, place: Place) -> Tile:
        """Rows and columns of the result whose windows lie inside the picture."""
        found = []
        for axis in (0, 1):
            start, step = self.first(place)[axis], place.stride[axis]
            last = self.source.shape[axis] - self.taps[place.flip].shape[axis]  # a window can start here at most
            size = self.seen.shape[axis]
            begin = min(size, -(start // step))
            found.append(slice(begin, max(begin, min(size, (last - start) // step + 1))))
        return found[0], found[1]

    def mirrored(self, place: Place) -> Pair:
        """The anchor, counted in the kernel before it is turned by 180°."""
        rows, columns = self.taps[place.flip].shape[:2]
        return rows - 1 - place.anchor[0], columns - 1 - place.anchor[1]

    def slide(self, values: Array, taps: Array) -> Array:
        """The valid correlation of float64 values, over the channels as the kernel or the result wants."""
        count = values.shape[2]
        summed = self.channels == "sum"
        if taps.ndim == 2 and taps.size > FOURIER_TAPS:
            shape = values.shape[:2]
            ahead = np.fft.rfft2(values, shape, axes=(0, 1))
            back = np.fft.rfft2(taps[::-1, ::-1], shape, axes=(0, 1))[:, :, None]
            total = np.fft.irfft2(ahead * back, shape, axes=(0, 1))[taps.shape[0] - 1 :, taps.shape[1] - 1 :]
            return total.sum(axis=2, keepdims=True) if summed else total
        height, width = values.shape[0] - taps.shape[0] + 1, values.shape[1] - taps.shape[1] + 1
        total = np.zeros((height, width, taps.shape[3] if taps.ndim == 4 else count))
        for i, j in zip(*np.nonzero(taps.reshape(*taps.shape[:2], -1).any(axis=2)), strict=True):
            part = values[i : i + height, j : j + width]
            total += part @ taps[i, j] if taps.ndim == 4 else part * taps[i, j]
        return total.sum(axis=2, keepdims=True) if summed and taps.ndim < 4 else total

    def error(self, tone: Tone) -> float:
        """How far a tool's sums may be off when it adds in float32."""
        size = float(np.abs(self.kernel.weights).sum()) * self.peak
        bound = (self.kernel.weights.size + 2) * 2.0**-24 * (size / abs(tone.scale) + abs(tone.offset))
        return bound if tone.rounding == "float" else min(bound, 0.25)

    def cost(self, sums: Array, seen: Array, tone: Tone) -> tuple[float, bool]:
        """How badly sums explain samples (0 is best), and whether rounding explains the rest."""
        if sums.size == 0:
            return 0.0, True
        values = sums / tone.scale + tone.offset
        error = self.error(tone)
        if tone.rounding == "float":
            far = np.abs(values - seen)
            worst = float(far.max())
            far = np.where(far <= error, 0, far)
            return float(np.minimum(far / self.unit, FAR).sum()), worst <= max(error, self.slack)
        far = np.minimum(*(np.abs(_rounded(values + e, tone.rounding, self.kind) - seen) for e in (-error, error)))
        return float(np.minimum(far, FAR).sum()), float(far.max()) <= 1


def places(q: Question) -> list[Place]:
    """Every flip, padding, stride and anchor that gives a result of this size."""
    found = []
    for flip, taps in q.taps.items():
        seen: set[tuple[str, Pair]] = set()
        for padding, stride in _paddings(q.source.shape, taps.shape, q.seen.shape):
            if (padding, stride) in seen:
                continue
            seen.add((padding, stride))
            for anchor in _anchors(taps.shape) if padding == "same" else [(0, 0)]:
                found.append(Place(flip, padding, stride, anchor))
    return found


def _paddings(size: tuple[int, ...], taps: tuple[int, ...], out: tuple[int, ...]) -> Iterator[tuple[str, Pair]]:
    """Paddings and strides that give a result of that size; two paddings of the same extent count once."""
    known = set()
    for padding, more in (("same", 0), ("valid", -1), ("full", 1)):
        extent = tuple(n + more * (k - 1) for n, k in zip(size[:2], taps[:2], strict=True))
        if min(extent) > 0 and extent not in known:
            known.add(extent)
            for down, across in product(_strides(extent[0], out[0]), _strides(extent[1], out[1])):
                yield padding, (down, across)


def _strides(extent: int, out: int) -> range:
    """Strides that leave `out` of `extent` pixels, a few of the smallest."""
    if not 0 < out <= extent:
        return range(0)
    least = -(-extent // out)
    most = (extent - 1) // (out - 1) if out > 1 else least
    return range(least, min(most, least + 2) + 1)


def _anchors(taps: tuple[int, ...]) -> list[Pair]:
    """Anchors to try, the common ones first; for large kernels no others."""
    rows, columns = taps[:2]
    common = [low_anchor(taps), high_anchor(taps)]
    common += list(product(dict.fromkeys((0, rows - 1)), dict.fromkeys((0, columns - 1))))
    if rows * columns <= ALL_ANCHORS:
        common += list(product(range(rows), range(columns)))
    return list(dict.fromkeys(common))


def _paired(before: Array, kernel: Kernel, result: Array, mode: str) -> tuple[Array, Array, str, Array]:
    """Both as (rows, columns, channels) without alpha, whether channels are added up, and the result with alpha."""
    source = before.reshape(*before.shape[:2], -1)
    seen = result.reshape(*result.shape[:2], -1)
    weights = kernel.weights
    if weights.ndim == 2 and source.shape[2] == 1 < seen.shape[2] and (seen == seen[:, :, :1]).all():
        seen = seen[:, :, :1]  # grey, saved as colour
    out = weights.shape[3] if weights.ndim == 4 else source.shape[2]
    if weights.ndim > 2 and weights.shape[2] != source.shape[2]:
        raise PictureError(
            f"the kernel's weights are for {weights.shape[2]} channels, the picture has {source.shape[2]}"
        )
    if seen.shape[2] == out:
        if weights.ndim == 2 and letters_of(mode) in ("la", "rgba"):
            return source[:, :, :-1], seen[:, :, :-1], "each", seen
        return source, seen, "each", seen
    if seen.shape[2] == 1 and weights.ndim < 4:
        return source, seen, "sum", seen
    raise PictureError(f"the input has {source.shape[2]} channels and the result {seen.shape[2]}; convert one of them")


def _rounded(values: Array, rounding: str, kind: np.dtype[Any]) -> Array:
    """Values as samples, still as float64."""
    if rounding == "cut":
        return np.clip(np.floor(values), np.iinfo(kind).min, np.iinfo(kind).max)
    return to_samples(values, kind, rounding)[0].astype(np.float64)


def _holds(kind: np.dtype[Any], seen: Array) -> bool:
    """Whether samples of another type could have been of this one."""
    limits = np.iinfo(kind)
    within = float(limits.min) <= float(seen.min()) and float(seen.max()) <= float(limits.max)
    return within and bool((np.floor(seen) == seen).all())


def starts(span: slice, count: int) -> list[int]:
    """Where up to `count` tiles start that are spread evenly over a span, without overlap."""
    last = span.stop - TILE
    if last <= span.start:
        return [span.start]
    count = min(count, -(-(span.stop - span.start) // TILE))
    return [span.start + (last - span.start) * i // (count - 1) for i in range(count)]


def size_words(array: Array) -> str:
    """Rows × columns."""
    return f"{array.shape[0]}×{array.shape[1]}"
