"""The fixed method: weights as 16-bit whole numbers over a power of two, sums of products in 32 bits."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import proof
from imgconv.engine.band import Variant
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.costs import COSTS
from imgconv.native.cpu import cpu, products_at_once

VARIANTS = (Variant("fixed", "fixed", "uint8"),)
LARGEST_WEIGHT, LARGEST_SUM = 2**15 - 129, 2**31 - 1  # in two bytes, each with a sign
MOST_BITS = 30


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Sums of whole numbers: the weights are rounded once, and no sum is."""
    if dtype != "uint8":
        return "it takes 8-bit samples"
    if refused := proof.odd_outside(c, 255):
        return refused
    weights, start = c.weights / c.scale, c.offset + 0.5
    most = 255 * float(np.abs(weights).sum()) + abs(start) + 1
    room = min(LARGEST_WEIGHT / float(np.abs(weights).max() or 1), LARGEST_SUM / most)
    if room < 1:
        return "the weights do not fit in 16 bits, or the sums in 32"
    one = 2.0 ** min(math.floor(math.log2(room)), MOST_BITS)
    taps, base = np.rint(weights * one), round(start * one)
    off = taps / one - weights
    error = 255 * max(float(off.clip(0).sum()), -float(off.clip(max=0).sum())) + abs(base / one - start)
    if error > proof.SUMS_OFF:
        return f"its sums could be off by {error:.2g}"
    parts = [_grouped(taps, np.int16)]
    if bytewise := products_at_once(cpu().features) == 4:
        lower = (taps + 128) % 256 - 128
        parts = [_grouped((taps - lower) / 256, np.int8), _grouped(lower, np.int8)]
    return replace(
        direct,
        method="fixed",
        reason="dense weights in fixed point, several rows multiplied and added in one step",
        error_bound=proof.bound(c, dtype, error, exact=error == 0),
        cost=-(-len(taps) // 2) * taps.shape[1] * COSTS["fixed"] + 9,
        variant=VARIANTS[0],
        weights=np.array([*chain(*parts), math.log2(one)], np.int32),
        line_type="int32",
        # bytes with a sign are 128 less than the samples
        base=base + 128 * float(taps.sum()) if bytewise else base,
    )


def _grouped(taps: Array, kind: Any) -> Array:
    """Taps of some kernel rows in each 32-bit number, those of the lowest row first; none are above the top row."""
    count = 4 // np.dtype(kind).itemsize
    padded = np.pad(taps, ((-len(taps) % count, 0), (0, 0))).reshape(-1, count, taps.shape[1])
    return np.ascontiguousarray(padded[:, ::-1].swapaxes(1, 2)).astype(kind).view(np.int32).ravel()
