"""Where two pictures or arrays differ, and by how much."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from imgconv.arrayfile import Array, as_json
from imgconv.engine.plan import Correlation, plan
from imgconv.engine.run import execute
from imgconv.formats.picture import Picture
from imgconv.recipe.layout import letters_of

PIECE_SAMPLES = 2**18  # looked at in one go: what lies between stays in the cache
SSIM_SIDE = 7  # of the window, as the default of skimage.metrics.structural_similarity


@dataclass(frozen=True)
class Difference:
    """Two pictures beside each other, sample by sample."""

    equal: bool  # no sample differs by more than the tolerance
    unlike: str = ""  # why they cannot be laid on each other: sizes, channels, modes or depths that differ
    pixels: int = 0  # that differ in any channel by more than the tolerance
    all_pixels: int = 0
    # of the differences of all samples, without sign, in levels; inf where one sample only is a number
    largest: float = 0.0
    mean: float = 0.0
    rms: float = 0.0
    psnr: float = math.inf  # dB, for the range of the type, or of the first array's values
    ssim: float | None = None  # the mean over all channels, as scikit-image takes it; None below its 7×7 window
    # the first and the last row, and column, in which a pixel differs
    rows: tuple[int, int] | None = None
    columns: tuple[int, int] | None = None
    first: tuple[int, int] | None = None  # row and column of the first pixel that differs
    samples: tuple[tuple[float, ...], tuple[float, ...]] | None = None  # of both there

    def as_dict(self) -> dict[str, Any]:
        """Every field, as JSON has it: None for what is not finite."""
        return dict(as_json(self))


def gaps(one: Array, other: Array) -> Iterator[tuple[int, Array]]:
    """How far samples are apart, some rows of two arrays of one shape at a time; and which row is the first."""
    height = max(1, PIECE_SAMPLES // max(1, one[0].size))
    for start in range(0, len(one), height):
        yield start, gap(one[start : start + height], other[start : start + height])


def gap(one: Array, other: Array) -> Array:
    """How far samples are apart: int32 of up to 16 bits, else float64; NaN lies on NaN, and inf from all else."""
    whole = one.dtype.kind in "bui" and other.dtype.kind in "bui"
    if whole and max(one.dtype.itemsize, other.dtype.itemsize) <= 2:
        return np.abs(np.subtract(one, other, dtype=np.int32))
    same = one == other  # infinities, too
    with np.errstate(all="ignore"):
        apart = np.abs(np.subtract(one, other, dtype=np.float64))
    if whole:
        apart = np.maximum(apart, 1)  # some of 64 bits are nearer than float64 can tell
    else:
        same |= np.isnan(one) & np.isnan(other)
        apart[np.isnan(apart)] = np.inf
    apart[same] = 0
    return apart


@np.errstate(over="ignore")  # of numbers whose squares are none
def difference(one: Picture, other: Picture, tolerance: float = 0.0) -> Difference:
    """Lays two pictures on each other.

    Bare arrays are numbers, whatever their type; a picture has a mode and a depth, which must be the same. NaN is the
    same as NaN.
    """
    a, b = (np.atleast_3d(picture.array) for picture in (one, other))
    if unlike := _unlike(one, other):
        return Difference(equal=False, unlike=unlike)
    pixels, sums, squares, largest = 0, 0.0, 0.0, 0.0
    rows, columns = [], np.zeros(a.shape[1], bool)
    first = None
    for start, apart in gaps(a, b):
        differs = np.asarray((apart > tolerance).any(axis=2))
        pixels += int(np.count_nonzero(differs))
        sums, squares = sums + float(apart.sum()), squares + float(np.square(apart, dtype=np.float64).sum())
        largest = max(largest, float(apart.max()))
        here = np.flatnonzero(differs.any(axis=1))
        if len(here):
            first = first or (start + int(here[0]), int(np.flatnonzero(differs[here[0]])[0]))
            rows += [start + int(here[0]), start + int(here[-1])]
            columns |= differs.any(axis=0)
    mean_square, top = squares / a.size, _range(one, other)
    psnr = math.inf if mean_square == 0 else -math.inf
    if top and 0 < mean_square < math.inf:
        psnr = 10 * math.log10(top * top / mean_square)
    across = np.flatnonzero(columns)
    return Difference(
        equal=not pixels,
        pixels=pixels,
        all_pixels=a.shape[0] * a.shape[1],
        largest=largest,
        mean=sums / a.size,
        rms=math.sqrt(mean_square),
        psnr=psnr,
        ssim=_ssim(a, b, top) if top and math.isfinite(mean_square + top * top) else None,
        rows=(rows[0], rows[-1]) if rows else None,
        columns=(int(across[0]), int(across[-1])) if rows else None,
        first=first,
        samples=(tuple(a[first].tolist()), tuple(b[first].tolist())) if first else None,
    )


def amplified(one: Picture, other: Picture, largest: float) -> Picture:
    """The difference as a picture of 8 bits in which the `largest` is 255; alpha's counts for every colour."""
    a, b = (np.atleast_3d(picture.array) for picture in (one, other))
    mode = one.mode or other.mode
    coloured = a.shape[2] in (3, 4) and (not mode or letters_of(mode) in ("rgb", "rgba"))
    shown = np.empty((*a.shape[:2], 3 if coloured else 1), np.uint8)
    for start, apart in gaps(a, b):
        colours, rest = np.split(apart, [3 if coloured else 1], axis=2)
        most = np.maximum(colours, rest.max(axis=2, keepdims=True, initial=0))
        with np.errstate(invalid="ignore"):  # nothing differs, or by inf
            shown[start : start + len(apart)] = np.minimum(
                np.rint(np.nan_to_num(most * (255 / (largest or 1)), nan=255)), 255
            )
    return Picture(shown if coloured else shown[:, :, 0], "RGB" if coloured else "L", "PNG")


def _unlike(one: Picture, other: Picture) -> str:
    """What of two pictures differs beside their samples, in words."""
    said = []
    if one.array.shape[:2] != other.array.shape[:2]:
        said.append(f"sizes {one.size} and {other.size}")
    if one.mode and other.mode and one.mode != other.mode:
        said.append(f"modes {one.mode} and {other.mode}")
    elif one.channels != other.channels:
        said.append(f"channels {one.channels} and {other.channels}")
    elif one.mode and other.mode and one.array.dtype != other.array.dtype:
        said.append(f"types {one.array.dtype} and {other.array.dtype}")
    return ", ".join(said)


def _ssim(a: Array, b: Array, top: float) -> float | None:
    """The mean structural similarity (Wang et al. 2004), as scikit-image has it: over boxes, by sample variances.

    scikit-image takes 20 times as long over 12 megapixels.
    """
    side = SSIM_SIDE
    if min(a.shape[:2]) < side:
        return None
    box = Correlation(np.ones((side, side)), side**2, 0.0, (side // 2, side // 2), "edge", 0.0, "valid")
    means, unbiased = plan(box, "float64"), side**2 / (side**2 - 1)
    low, high = (0.01 * top) ** 2, (0.03 * top) ** 2
    height, total, count = max(1, 4 * PIECE_SAMPLES // a[0].size), 0.0, 0
    for start in range(0, len(a) - side + 1, height):
        x, y = (np.ascontiguousarray(part[start : start + height + side - 1], np.float64) for part in (a, b))
        samples = (len(x) - side + 1) * (x.shape[1] - side + 1) * x.shape[2]
        count += samples
        if np.array_equal(x, y):
            total += samples
            continue
        mean_x, mean_y, xx, yy, xy = (execute(means, part).array for part in (x, y, x * x, y * y, x * y))
        shared, squares = mean_x * mean_y, mean_x**2 + mean_y**2
        covariance, variances = unbiased * (xy - shared), unbiased * (xx + yy - squares)
        likeness = (2 * shared + low) * (2 * covariance + high) / ((squares + low) * (variances + high))
        total += float(likeness.sum())
    return total / count


def _range(one: Picture, other: Picture) -> float:
    """Of the samples: that of their type for pictures of whole samples, else that of the first's own values."""
    array = one.array if one.array.dtype.kind in "ui" else other.array
    if array.dtype in (np.uint8, np.uint16):
        return float(np.iinfo(array.dtype).max)
    known = one.array[np.isfinite(one.array)] if one.array.dtype.kind == "f" else one.array
    return float(known.max()) - float(known.min()) if known.size else 0.0
