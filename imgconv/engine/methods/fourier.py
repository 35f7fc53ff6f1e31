"""The fourier method: columns are transformed, block by block of rows, and taps added along the rows.

Overlap-save (Oppenheim and Schafer, Discrete-Time Signal Processing, 8.7.3) in one direction: a block of rows and the
kernel's columns are transformed, and what is kept are the sums whose windows lie inside the block. To transform the
rows, too, would take turning blocks over and telling channels apart, and could pay for very wide kernels only.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import proof
from imgconv.engine.band import Variant
from imgconv.engine.correlation import SUM_TYPES, Correlation, Plan
from imgconv.engine.costs import COSTS
from imgconv.native.cpu import fuses

SIZES = tuple(2**n for n in range(5, 13))  # rows of a block
SHORTER = 1.15  # a block twice as high must save that much: it takes more memory, and parts of a picture more rows
VARIANTS = (
    *(Variant("fourier", "fourier", dtype) for dtype in ("uint8", "int32")),
    *(Variant("fourier", "fourier_double", dtype) for dtype in ("uint8", "uint16")),
)


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Columns are transformed, taps are added along the rows."""
    if dtype[0] == "f":
        return "a sample that is not a number would spread over its block"
    if not fuses():
        return "the CPU has no fused multiply-add"
    rows, columns = c.weights.shape
    if 2 * rows > SIZES[-1]:
        return f"more than {SIZES[-1] // 2} rows are too large for its blocks"
    sizes = [size for size in SIZES if size >= min(2 * rows, SIZES[-1])]
    size = min(sizes, key=lambda size: _cost(size, rows, columns) * SHORTER ** size.bit_length())
    kind = "float32" if dtype == "uint8" else "float64"  # few sums of 16-bit samples are sure enough in float32
    if proof.off_fourier(c, dtype, size, kind) + proof.off_direct(c, dtype) > proof.MOST_OFF:
        kind = "float64"
    error = proof.off_fourier(c, dtype, size, kind)
    if error > proof.MOST_OFF:
        return f"its sums could be off by {error:.2g}"
    double, kept = kind == "float64", size - rows + 1
    return replace(
        direct,
        method="fourier",
        reason=f"many dense rows: columns of {size} samples are transformed" + ", in float64" * double,
        error_bound=proof.bound(c, dtype, error, exact=False),
        cost=_cost(size, rows, columns) * (1 + double) + 15,
        variant=Variant("fourier", "fourier" if kind == SUM_TYPES[dtype] else "fourier_double", dtype),
        weights=c.weights / c.scale,
        ends=np.array([size // 2, kept], np.int64),
        line_type=kind,
        ring_lines=size,
        halo=(kept - 1, kept - 1),
        grid=(kept, 1),
        block=kept,
    )


def _cost(size: int, rows: int, columns: int) -> float:
    """In blocks of so many rows, without what reading and writing take."""
    return size / (size - rows + 1) * (columns * COSTS["complex"] + (size.bit_length() - 2) * COSTS["halving"])


@lru_cache(maxsize=8)
def tables(chosen: Plan) -> Array:
    """What the loop is given: the roots, then for each of them, and each column of the kernel, the kernel's value."""
    half, weights = int(chosen.ends[0]), chosen.weights
    turns = roots(half)
    values = np.zeros((2 * half, weights.shape[1]))
    values[: len(weights)] = weights
    nodes = 1
    while nodes < half:
        low, high = np.moveaxis(values.reshape(2, nodes, 2, -1, weights.shape[1]), 2, 0)
        turned = _product(high, turns[:, nodes : 2 * nodes, None, None])
        values = np.stack([low + turned, low - turned], 2)
        nodes *= 2
    values = values.reshape(2, half, -1) / half
    values[1] *= -1  # the kernel slides the other way round than its polynomial
    return np.concatenate([turns.T.ravel(), values.transpose(1, 2, 0).ravel()]).astype(chosen.line_type)


def roots(half: int) -> Array:
    """For each node of a tree of halvings, numbered from 1, the root s that its upper half is multiplied by.

    The tree begins with x^half - i; x^2m - s² has below it x^m - s and x^m + s. Cosines and sines in the first row and
    the second, by operations that are rounded in one way everywhere.
    """
    turns = [np.array([0.0, 1.0])]  # of a quarter, an eighth, …
    while len(turns) <= half.bit_length():
        cosine = np.sqrt((1 + turns[-1][0]) / 2)
        turns.append(np.array([cosine, turns[-1][1] / (2 * cosine)]))
    levels = [np.zeros((2, 1))]  # node 0 is none
    for level in range(half.bit_length() - 1):
        found = turns[level + 1][:, None]
        for bit in range(level, 0, -1):
            found = np.stack([found, _product(found, turns[bit - 1][:, None])], 2).reshape(2, -1)
        levels.append(found)
    return np.concatenate(levels, 1)


def _product(a: Array, b: Array) -> Array:
    """Of complex numbers, whose real and imaginary parts come one after the other: NumPy's own may be fused."""
    return np.stack([a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]])
