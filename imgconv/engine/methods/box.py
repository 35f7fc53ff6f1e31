"""The box method: equal weights, by running sums."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from imgconv.engine import proof
from imgconv.engine.band import Variant
from imgconv.engine.correlation import Correlation, Plan

VARIANTS = (Variant("box", "box", "uint8"), Variant("box", "box", "uint16"), Variant("box", "box_wide", "uint8"))


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Running sums of equal weights: exact integers, multiplied by the weight over the scale in float32."""
    if dtype not in ("uint8", "uint16"):
        return "it takes 8- and 16-bit samples"
    if not (c.weights == c.weights[0, 0]).all() or c.weights[0, 0] == 0:
        return "the weights are not all the same"
    top = int(np.iinfo(dtype).max)
    if c.weights.size * top >= 2**31:
        return "the sums do not fit in 32 bits"
    error = 4 * proof.unit(dtype) * proof.reach(c, dtype)
    if error + proof.off_direct(c, dtype) > proof.MOST_OFF:
        return "the direct method's own sums are off by more than a level"
    if refused := proof.odd_outside(c, top):
        return refused
    columns = c.weights.shape[1]
    short = dtype == "uint8" and columns * top < 2**16
    return replace(
        direct,
        method="box",
        reason=f"equal weights: {columns.bit_length() - 1} doublings along, running sums down",
        error_bound=proof.bound(c, dtype, error),
        cost=(6 + 3.5 * math.log2(columns)) * (1 if short else 1.7),
        variant=Variant("box", "box" if short or dtype == "uint16" else "box_wide", dtype),
        weights=np.array([c.weights[0, 0] / c.scale], np.float32),
        line_type="int32",
    )
