"""The problem: two pictures and a kernel, where windows may lie, and how well sums explain samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.channels import to_samples
from imgconv.errors import PictureError
from imgconv.kernels.value import Kernel, high_anchor, low_anchor
from imgconv.recipe.layout import check_squares, letters_of

Pair = tuple[int, int]
Tile = tuple[slice, slice]  # rows and columns

# the ways in which tools turn a kernel, simplest first
FLIPS: dict[str, Callable[[Any], Any]] = {
    "none": lambda w: w,
    "both": lambda w: w[::-1, ::-1],
    "vertical": lambda w: w[::-1],
    "horizontal": lambda w: w[:, ::-1],
    "transposed": lambda w: w.swapaxes(0, 1),
    "transposed both": lambda w: w.swapaxes(0, 1)[::-1, ::-1],
}
ALL_ANCHORS = 49  # taps of a kernel up to which every anchor is tried
LARGEST = 8.0  # a difference counts for no more than that: a few wild samples must not hide a good candidate
FOURIER_TAPS = 400  # of a kernel from which the sums are taken by Fourier transforms


class Geometry(NamedTuple):
    """A flip of the kernel, and where its windows lie."""

    flip: str
    padding: str
    stride: Pair
    anchor: Pair  # in the flipped kernel; (0, 0) when the padding leaves it no say


class Scaling(NamedTuple):
    """How a window's sum becomes a sample."""

    scale: float
    offset: float
    rounding: str  # half-up, half-even, cut, wrap, or float: none


class Candidate(NamedTuple):
    """A convention, and what it costs a sample; its border is "" before borders are tried, or where none shows.

    `like` is the tool whose convention it is: it is written as such, since the tool's sums have their own type.
    """

    geometry: Geometry
    scaling: Scaling
    cost: float
    border: str = ""
    outside: float = 0.0
    order: int = 0
    like: str | None = None


class Problem:
    """What is known: the pictures, the ways in which the kernel may be turned, and how far sums may be off."""

    def __init__(self, before: Array, kernel: Kernel, result: Array, mode: str) -> None:
        self.before, self.kernel, self.mode = before, kernel, mode
        # both without alpha; "each", or "sum" where the result has but one of several channels; the result with alpha
        self.source, self.seen, self.channels, self.result = _paired(before, kernel.weights, result, self.has_alpha)
        # of the samples that a tool computes, which are whole numbers from `low` to `top`, or not
        self.dtype = np.dtype(np.uint8) if self.source.dtype == bool else self.source.dtype
        self.whole = self.dtype.kind in "iu"
        seen_whole = self.seen.dtype.kind in "iub"
        retyped = self.seen.dtype != self.source.dtype
        self.roundings: tuple[str, ...] = ()  # those that can have made the samples, the likeliest first
        if self.whole and (not retyped or _fits(self.dtype, self.seen)):
            self.roundings = ("half-up", "half-even", "cut", "wrap")[: 4 if self.dtype.kind == "u" else 2]
        if retyped or not seen_whole:
            self.roundings += ("float",)
        # what samples may be off beyond `error`: as whole numbers of another type they may have been rounded, or cut
        self.slack = 1.0 if seen_whole and retyped else 0.0
        limits = np.iinfo(self.dtype) if self.whole and self.source.dtype != bool else None
        self.low, self.top = (float(limits.min), float(limits.max)) if limits else (0.0, 1.0)
        self.peak = float(max(abs(float(self.source.max())), abs(float(self.source.min())), 1e-30))
        check_squares("match", self.source, self.seen)
        self.unit = 1.0 if self.whole else max(float(self.seen.std()), 1e-30) / 64  # a level, as differences count
        # the weights of every flip; flips that give the same weights as an earlier one are named in `same_taps` only
        self.taps: dict[str, Array] = {}
        self.same_taps: dict[str, list[str]] = {}
        for flip, turn in FLIPS.items():
            taps = np.ascontiguousarray(turn(kernel.weights))
            twin = next((name for name, other in self.taps.items() if np.array_equal(other, taps)), flip)
            self.taps.setdefault(twin, taps)
            self.same_taps.setdefault(twin, []).append(flip)

    @property
    def has_alpha(self) -> bool:
        """Whether the picture has alpha, which has rules of its own."""
        return letters_of(self.mode) in ("la", "rgba")

    def first(self, geometry: Geometry) -> Pair:
        """Row and column where the window of the first result pixel starts."""
        rows, columns = self.taps[geometry.flip].shape[:2]
        if geometry.padding == "full":
            return 1 - rows, 1 - columns
        return (0, 0) if geometry.padding == "valid" else (-geometry.anchor[0], -geometry.anchor[1])

    def windows(self, geometry: Geometry, tile: Tile) -> list[range]:
        """Rows and columns of the source where the windows of a tile of the result start."""
        return [
            range(first + step * span.start, first + step * span.stop, step)
            for first, step, span in zip(self.first(geometry), geometry.stride, tile, strict=True)
        ]

    def inside(self, geometry: Geometry) -> Tile:
        """Rows and columns of the result whose windows lie inside the picture."""
        spans = []
        for axis, (first, step) in enumerate(zip(self.first(geometry), geometry.stride, strict=True)):
            size = self.seen.shape[axis]
            last = self.source.shape[axis] - self.taps[geometry.flip].shape[axis]  # a window can start here at most
            begin = min(size, -(first // step))
            spans.append(slice(begin, max(begin, min(size, (last - first) // step + 1))))
        return spans[0], spans[1]

    def mirrored(self, geometry: Geometry) -> Pair:
        """The anchor, counted in the kernel before it is turned by 180°."""
        rows, columns = self.taps[geometry.flip].shape[:2]
        return rows - 1 - geometry.anchor[0], columns - 1 - geometry.anchor[1]

    def slide(self, values: Array, taps: Array) -> Array:
        """The valid correlation of float64 values, over the channels as the kernel or the result wants."""
        summed = self.channels == "sum"
        if taps.ndim == 2 and taps.size > FOURIER_TAPS:
            shape = values.shape[:2]
            ahead = np.fft.rfft2(values, shape, axes=(0, 1))
            back = np.fft.rfft2(taps[::-1, ::-1], shape, axes=(0, 1))[:, :, None]
            total = np.fft.irfft2(ahead * back, shape, axes=(0, 1))[taps.shape[0] - 1 :, taps.shape[1] - 1 :]
            return total.sum(axis=2, keepdims=True) if summed else total
        height, width = values.shape[0] - taps.shape[0] + 1, values.shape[1] - taps.shape[1] + 1
        total = np.zeros((height, width, taps.shape[3] if taps.ndim == 4 else values.shape[2]))
        for i, j in zip(*np.nonzero(taps.reshape(*taps.shape[:2], -1).any(axis=2)), strict=True):
            part = values[i : i + height, j : j + width]
            total += part @ taps[i, j] if taps.ndim == 4 else part * taps[i, j]
        return total.sum(axis=2, keepdims=True) if summed and taps.ndim < 4 else total

    def error(self, scaling: Scaling) -> float:
        """How far a tool's sums may be off when it adds in float32."""
        size = float(np.abs(self.kernel.weights).sum()) * self.peak
        bound = (self.kernel.weights.size + 2) * 2.0**-24 * (size / abs(scaling.scale) + abs(scaling.offset))
        return bound if scaling.rounding == "float" else min(bound, 0.25)

    def cost(self, sums: Array, seen: Array, scaling: Scaling) -> tuple[float, bool]:
        """How badly sums explain samples (0 is best), and whether rounding explains the rest."""
        if sums.size == 0:
            return 0.0, True
        values = sums / scaling.scale + scaling.offset
        error = self.error(scaling)
        if scaling.rounding == "float":
            far = np.abs(values - seen)
            counted = np.where(far <= error, 0, far) / self.unit
            allowed = max(error, self.slack)
        else:
            rounded = (self.rounded(values + e, scaling.rounding) for e in (-error, error))
            far = counted = np.minimum(*(np.abs(samples - seen) for samples in rounded))
            allowed = 1
        return float(np.minimum(counted, LARGEST).sum()), float(far.max()) <= allowed

    def rounded(self, values: Array, rounding: str) -> Array:
        """Values as samples, still as float64."""
        if rounding != "cut":
            values = to_samples(values, self.dtype, rounding)[0].astype(np.float64)
        return np.clip(np.floor(values), self.low, self.top)

    def wrapped(self, difference: Array) -> Array:
        """How far samples are apart that wrap at the ends of their type."""
        span = 2.0 ** (8 * self.dtype.itemsize)
        return np.abs((difference + span / 2) % span - span / 2)


def geometries(p: Problem) -> list[Geometry]:
    """Every flip, padding, stride and anchor that gives a result of this size."""
    return [
        Geometry(flip, padding, stride, anchor)
        for flip, taps in p.taps.items()
        for padding, stride in _paddings(p.source.shape, taps.shape, p.seen.shape)
        for anchor in (_anchors(taps.shape) if padding == "same" else [(0, 0)])
    ]


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
    common = [low_anchor(taps), high_anchor(taps), *product((0, rows - 1), (0, columns - 1))]
    if rows * columns <= ALL_ANCHORS:
        common += product(range(rows), range(columns))
    return list(dict.fromkeys(common))


def _paired(before: Array, weights: Array, result: Array, has_alpha: bool) -> tuple[Array, Array, str, Array]:
    """Both as (rows, columns, channels) without alpha, whether channels are added up, and the result with alpha."""
    source = before.reshape(*before.shape[:2], -1)
    seen = result.reshape(*result.shape[:2], -1)
    channels = source.shape[2]
    if weights.ndim == 2 and channels == 1 < seen.shape[2] and (seen == seen[:, :, :1]).all():
        seen = seen[:, :, :1]  # grey, saved as colour
    if weights.ndim > 2 and weights.shape[2] != channels:
        raise PictureError(f"the kernel's weights are for {weights.shape[2]} channels, the picture has {channels}")
    if seen.shape[2] == (weights.shape[3] if weights.ndim == 4 else channels):
        colours = slice(-1 if weights.ndim == 2 and has_alpha else None)
        return source[:, :, colours], seen[:, :, colours], "each", seen
    if seen.shape[2] == 1 and weights.ndim < 4:
        return source, seen, "sum", seen
    raise PictureError(f"the input has {channels} channels and the result {seen.shape[2]}; convert one of them")


def _fits(dtype: np.dtype[Any], seen: Array) -> bool:
    """Whether samples of another type could have been of this one."""
    limits = np.iinfo(dtype)
    within = float(limits.min) <= float(seen.min()) and float(seen.max()) <= float(limits.max)
    return within and bool((np.floor(seen) == seen).all())
