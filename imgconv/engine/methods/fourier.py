"""Correlation through the Fourier transform, tile by tile: for large dense kernels.

Overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, 8.7.3): a tile and the kernel are transformed,
multiplied and transformed back, and what is kept are the sums whose windows lie inside the tile. In float64, whose
errors are far below half a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import proof
from imgconv.engine.band import Variant
from imgconv.engine.correlation import Correlation, Plan

SMALLEST_TILE, LARGEST_TILE = 256, 2048  # samples on a side; 0.2 GB for three channels
VARIANTS: tuple[Variant, ...] = ()  # NumPy's transforms
ERROR = 1e-11  # of the largest sum; measured below 1e-13


def tile_side(taps: int) -> int:
    """Side of the square tiles for a kernel of `taps` on its longer side: a power of two, about four times that."""
    return int(min(max(2 ** math.ceil(math.log2(4 * taps)), SMALLEST_TILE), LARGEST_TILE))


def cost_of(rows: int, columns: int) -> float:
    """Estimated CPU cycles for 16 samples, as in `plan.COSTS`; measured between 1000 and 1900 over a whole tile."""
    side = tile_side(max(rows, columns))
    if side < 2 * max(rows, columns):
        return math.inf
    return 1200 * side**2 / ((side - rows + 1) * (side - columns + 1))


def tiles(
    source: Array,
    target: Array,
    weights: Array,
    row_map: Array,
    column_map: Array,
    outside: float,
    base: float,
) -> list[Callable[[], int]]:
    """The work, one call for each tile: it fills its part of `target` and returns how many samples were clipped.

    Parameters
    ----------
    source, target : ndarray, shape (rows, columns, channels), of an integer type
    weights : ndarray, shape (rows, columns)
        Over the scale, to be slid as they stand.
    row_map, column_map : ndarray
        Which source row and column stand at each place under the windows; -1 for the value `outside`.
    outside, base : float
        `base` is what every sum starts from.
    """
    taps = weights.shape
    side = tile_side(max(taps))
    shape = (min(side, len(row_map)), min(side, len(column_map)))
    spectrum = np.conj(np.fft.rfft2(weights, shape))[:, :, None]
    step = (shape[0] - taps[0] + 1, shape[1] - taps[1] + 1)
    limits = np.iinfo(target.dtype)

    def one(top: int, left: int) -> int:
        rows, columns = row_map[top : top + shape[0]], column_map[left : left + shape[1]]
        block = source[np.maximum(rows, 0)[:, None], np.maximum(columns, 0)].astype(np.float64)
        block[rows < 0] = outside
        block[:, columns < 0] = outside
        sums = np.fft.irfft2(np.fft.rfft2(block, shape, axes=(0, 1)) * spectrum, shape, axes=(0, 1))
        part = target[top : top + step[0], left : left + step[1]]
        whole = np.floor(sums[: part.shape[0], : part.shape[1]] + base)
        inside = np.clip(whole, limits.min, limits.max)
        part[...] = inside
        return int(np.count_nonzero(inside != whole))

    return [
        lambda top=top, left=left: one(top, left)  # type: ignore[misc]
        for top in range(0, target.shape[0], step[0])
        for left in range(0, target.shape[1], step[1])
    ]


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Products of spectra, tile by tile."""
    if dtype[0] == "f":
        return "a sample that is not a number would spread over its tile"
    rows, columns = c.weights.shape
    cost = cost_of(rows, columns)
    if cost == math.inf:
        return "the kernel is too large for its tiles"
    error = ERROR * proof.reach(c, dtype)
    side = tile_side(max(rows, columns))
    return replace(
        direct,
        method="fourier",
        reason=f"a large dense kernel: products of spectra in tiles of {side}",
        error_bound=proof.bound(c, dtype, error, exact=False),
        cost=cost,
        weights=c.weights / c.scale,
        line_type="float64",
        grid=(side - rows + 1, side - columns + 1),
        portable=False,
    )
