"""The fused method: all taps with fused multiply-add, for four output rows at once."""

from __future__ import annotations

from dataclasses import replace

from imgconv.engine import proof
from imgconv.engine.band import SAMPLE_TYPES, Variant
from imgconv.engine.correlation import SUM_TYPES, Correlation, Plan
from imgconv.engine.costs import COSTS, FEW_ROWS
from imgconv.native.cpu import fuses

VARIANTS = tuple(
    Variant("fused", name, dtype) for dtype in SAMPLE_TYPES if dtype != "int32" for name in ("fused", "fused_by_rows")
)


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """All taps with fused multiply-add, for four output rows at once."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    if dtype == "int32":
        return "it takes no 32-bit integers"
    if dtype[0] == "f" and (c.weights == 0).any():
        return proof.SPREADS
    rows, columns = c.weights.shape
    cost = rows * columns * COSTS["fused"] * FEW_ROWS.get(rows, 1) + 12
    most = proof.most_off(c, dtype)
    kind, error, off = "fused", proof.off_fused(c, dtype), proof.off_direct(c, dtype)
    if error + off > most:
        kind, error = "fused_by_rows", off
        cost *= 1 + 2 / columns
    if error + off > most:
        return f"its sums could be off by {error + off:.2g}"
    return replace(
        direct,
        method="fused",
        reason="dense weights: each sample is used for four rows, multiplied and added in one step",
        error_bound=proof.bound(c, dtype, error),
        cost=cost,
        variant=Variant("fused", kind, dtype),
        weights=(c.weights / c.scale).astype(SUM_TYPES[dtype]),
    )
