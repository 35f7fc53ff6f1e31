"""The separable method: a column of taps times a row of taps, or a few such products."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from imgconv.engine import proof
from imgconv.engine.band import SAMPLE_TYPES, Variant
from imgconv.engine.correlation import SUM_TYPES, Correlation, Plan
from imgconv.engine.costs import COSTS
from imgconv.native.cpu import fuses

MOST_TERMS = 8
VARIANTS = (
    *(Variant("separable", name, dtype) for dtype in SAMPLE_TYPES for name in ("separable", "low_rank")),
    Variant("separable", "separable_double", "uint16"),
)


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """A column of taps times a row of taps, or a few such products."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    rows, columns = c.weights.shape
    if c.border == "renormalize" and dtype[0] == "f":
        return "missing samples have no rows and columns"
    if dtype[0] == "f" and (c.weights == 0).any():
        return proof.SPREADS
    # what the terms leave out may be as much as their roundings are anyway, or too little to tell
    left_out = proof.unit(dtype) * proof.reach(c, dtype) if dtype[0] == "f" else proof.SUMS_OFF
    most = math.ceil(rows * columns * COSTS["fused"] / (columns * COSTS["along"] + rows * COSTS["across"]))
    factors = proof.terms(c.weights, left_out / proof.largest(c, dtype) * abs(c.scale), min(most, MOST_TERMS))
    if factors is None:
        return "the weights are not of rank 1, nor of a rank that pays"
    downs, alongs = factors[0] / c.scale, factors[1]
    error, off = proof.off_separable(c, dtype, downs, alongs), proof.off_direct(c, dtype)
    rank, double = len(alongs), False
    if error + off > proof.most_off(c, dtype):
        if dtype != "uint16" or rank > 1:
            return f"its sums could be off by {error + off:.2g}"
        error, double = proof.off_separable(c, dtype, downs, alongs, proof.DOUBLE), True
    exact = (
        all((factor == np.rint(factor)).all() for factor in factors) and (factors[0].T @ factors[1] == c.weights).all()
    )
    return replace(
        direct,
        method="separable",
        reason=f"a column of {rows} times a row of {columns}"
        + (f", {rank} times" if rank > 1 else ", in float64" if double else ""),
        error_bound=proof.bound(c, dtype, error, exact=bool(exact)),
        cost=(rank + double) * (columns * COSTS["along"] + rows * COSTS["across"]) + 8,
        variant=Variant("separable", "separable_double" if double else "separable" if rank == 1 else "low_rank", dtype),
        # for each row of the kernel what each term weighs, then the terms' rows
        weights=np.concatenate([downs.T.ravel(), alongs.ravel()]).astype("float64" if double else SUM_TYPES[dtype]),
        ends=np.array([rank], np.int64),
        line_type="float64" if double else direct.line_type,
        ring_lines=rank * (rows + 3) + 2,
        portable=rank == 1,  # LAPACK finds several terms
    )
