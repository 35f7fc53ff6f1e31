"""Chooses how a correlation is computed, and says why. Imports no compiler.

The direct method is the definition:

    out[y, x, c] = offset + sum over i, j of (w[i, j] / scale) * in[y + i - ay, x + j - ax, c]

in float32 for 8- and 16-bit and float32 samples, in float64 for int32 and float64. The sum starts from the offset
(plus one half for integers) and takes the kernel rows from the bottom one up, each summed left to right first. That is
the order in which Pillow adds, and for kernels such as DETAIL no other order gives Pillow's bytes.

Every other method states how far it may be from the direct one. It is 0 where that can be proven, in one of two ways:
both are exact (whole weights over a power of two), or no sum can lie on the edge between two output levels, and the
nearest lies further from it than the rounding errors of both can reach (whole weights, odd scale).
"""

from __future__ import annotations

from typing import Any

from imgconv.conventions import METHODS
from imgconv.engine import methods, proof
from imgconv.engine.correlation import PADDINGS, SUM_TYPES, Correlation, Plan
from imgconv.errors import UsageError

__all__ = ["PADDINGS", "SUM_TYPES", "WORTH", "Correlation", "Plan", "plan"]

WORTH = 0.8  # a method that may be off by a level must cost less than this share of one that cannot

# Plans that were made: for a small picture, planning takes longer than filtering
MOST_KEPT = 32
LARGEST_KEPT = 2**16  # weights: half a megabyte, and planning a gaussian of sigma 20 takes 8 ms
_made: dict[Any, Plan] = {}


def plan(correlation: Correlation, dtype: str, method: str = "auto") -> Plan:
    """Plans `correlation` over samples of `dtype`, one of the five that the loops take.

    Raises KernelError when the weights over the scale cannot be summed in the sum type. Raises UsageError when the
    method is not known, or cannot be used here.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not one of {', '.join(METHODS)}")
    c = correlation
    scalars = (value for name, value in vars(c).items() if name != "weights")
    key = (c.weights.tobytes(), c.weights.shape, *scalars, dtype, method)
    made = _made.get(key)
    if made is None:
        made = _plan(proof.normalised(c), dtype, method)
        if c.weights.size <= LARGEST_KEPT:
            while len(_made) >= MOST_KEPT:
                _made.pop(next(iter(_made)), None)
            _made[key] = made
    return made


def _plan(correlation: Correlation, dtype: str, method: str) -> Plan:
    direct = methods.direct.plan(correlation, dtype)
    if method == "direct":
        return direct
    if method != "auto":
        forced = methods.METHODS[method].plan(correlation, dtype, direct)
        if isinstance(forced, str):
            raise UsageError(f"method {method} cannot be used here: {forced}")
        if correlation.portable and not forced.portable:
            raise UsageError(f"method {method} cannot be used here: its sums depend on the machine")
        return forced
    best = direct
    for module in methods.METHODS.values():
        other = module.plan(correlation, dtype, direct)
        if isinstance(other, str) or (correlation.exact and other.error_bound):
            continue
        if correlation.portable and not other.portable:
            continue
        if other.cost < best.cost * (WORTH if other.error_bound > best.error_bound else 1):
            best = other
    return best
