"""The direct method: every tap in a fixed order. It is what results mean."""

from __future__ import annotations

import numpy as np

from imgconv.engine import proof
from imgconv.engine.band import SAMPLE_TYPES, SHAPES, Variant
from imgconv.engine.correlation import SUM_TYPES, Correlation, Plan
from imgconv.engine.costs import COSTS
from imgconv.errors import KernelError

NDIMAGES_ZERO = np.finfo(np.float64).eps  # weights up to it are none to scipy.ndimage
MOST_CUT = 2.0**30  # sums that a CPU cuts to whole numbers of 32 bits, with room for their roundings
VARIANTS = (
    *(Variant("direct", "direct", dtype, shape) for dtype in SAMPLE_TYPES for shape in (None, *SHAPES)),
    Variant("direct", "in_order", "float64"),
)


def plan(c: Correlation, dtype: str) -> Plan:
    """The definition; what the other methods' plans start from.

    Raises
    ------
    KernelError
        When the weights over the scale cannot be summed in the sum type.
    """
    sum_type = np.dtype(SUM_TYPES[dtype]).type
    with np.errstate(all="ignore"):
        weights = c.weights.astype(sum_type) / sum_type(c.scale)
        most = np.abs(weights, dtype=np.float64).sum() * proof.top(dtype) + abs(c.offset)
    if not most < np.finfo(sum_type).max:
        raise KernelError(f"the weights over the scale are too large for sums in {SUM_TYPES[dtype]}")
    shape = c.weights.shape
    in_order = c.in_order and dtype == "float64"
    listed = weights if in_order else weights[::-1]
    used = np.abs(listed) > (NDIMAGES_ZERO if in_order else 0)
    count = int(np.count_nonzero(used))
    own = bool(used.all()) and shape in SHAPES and not in_order
    own = own and (dtype != "uint16" or proof.reach(c, dtype) < MOST_CUT)
    return Plan(
        correlation=c,
        method="direct",
        reason=f"a loop of its own for {shape[0]}×{shape[1]}" if own else f"{count} of {used.size} taps are not zero",
        error_bound=0.0,
        cost=count * COSTS["unrolled" if own else "listed"] + 4,
        variant=Variant("direct", "in_order" if in_order else "direct", dtype, (shape[0], shape[1]) if own else None),
        # the unrolled loops take weights as they lie in the kernel, the list is in the order of adding
        weights=np.ascontiguousarray(weights if own else listed[used]),
        shifts=np.nonzero(used)[1].astype(np.int64),
        ends=np.cumsum(np.count_nonzero(used, axis=1)).astype(np.int64),
        line_type=SUM_TYPES[dtype],
        base=c.offset + (0.5 if dtype[0] in "ui" else 0.0),
        ring_lines=shape[0] + 5,
    )
