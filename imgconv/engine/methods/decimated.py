"""The decimated method: of a smooth column every n-th row is summed, those between are interpolated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imgconv.engine import proof
from imgconv.engine.band import COARSE_AT_ONCE, Variant
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.costs import COSTS
from imgconv.native.cpu import fuses

SMOOTH_ROWS = 9  # fewer are not worth interpolating
VARIANTS = (Variant("decimated", "decimated", "uint8"), Variant("decimated", "decimated", "uint16"))


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """A smooth column of taps times a row of taps: every n-th row is summed, those between are interpolated."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    if dtype not in ("uint8", "uint16"):
        return "it takes 8- and 16-bit samples"
    rows, columns = c.weights.shape
    top = proof.top(dtype)
    if rows < SMOOTH_ROWS:
        return f"fewer than {SMOOTH_ROWS} rows are not worth it"
    if c.border == "renormalize":
        return "missing samples have no rows between"
    if refused := proof.odd_outside(c, top):
        return refused
    factors = proof.terms(c.weights, proof.ROUNDING_OFF / top * abs(c.scale), 1)
    if factors is None:
        return "the weights are not of rank 1"
    down, along = factors[0] / c.scale, factors[1]
    # adding fewer numbers, each with three roundings more, is off by less than twice what all of them are
    error = 2 * proof.off_separable(c, dtype, down, along) + proof.off_direct(c, dtype)
    if error > proof.MOST_OFF - proof.SUMS_OFF:
        return f"its sums could be off by {error:.2g}"
    # both kernels sum to the same, so that only differences from the middle of the range count
    smooth = proof.interpolation(down[0], proof.SUMS_OFF / (top / 2 * float(np.abs(along).sum())))
    if smooth is None:
        return "the weights down a column are not smooth enough"
    spread, mixes = smooth
    mixed = mixes.shape[1]
    before = spread * (mixed // 2 - 1) + spread - 1
    zeros = np.zeros((COARSE_AT_ONCE - 1) * spread)
    window = rows + COARSE_AT_ONCE * spread
    return replace(
        direct,
        method="decimated",
        reason=f"smooth weights: one row of {spread} is summed, those between are interpolated from {mixed} of them",
        error_bound=1.0,
        cost=(
            (rows + 3 * spread) / spread * COSTS["coarse"]
            + columns / spread * COSTS["along"]
            + mixed * COSTS["across"] * 1.5
            + 13
        ),
        variant=Variant("decimated", "decimated", dtype),
        weights=np.concatenate([zeros, down[0], zeros, along[0], mixes.ravel()]).astype(np.float32),
        ends=np.array([spread, mixed], np.int64),
        line_type="float32",
        ring_lines=-(-window * np.dtype(dtype).itemsize // 4) + 2 * COARSE_AT_ONCE + mixed + 1,
        halo=(before, spread * mixed - 1 - before),
        grid=(spread, 1),
        portable=False,  # LAPACK fits what is interpolated
    )
