"""The integer method: sums in 16-bit integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import proof
from imgconv.engine.band import SHAPES, Variant
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.costs import COSTS
from imgconv.native.cpu import multiplies_bytes

VARIANTS = (
    *(Variant("integer", "integer", "uint8", shape) for shape in (None, *SHAPES)),
    *(Variant("integer", "pairs", "uint8", shape) for shape in SHAPES if multiplies_bytes()),
    *(Variant("integer", "alike", "uint8", shape) for shape in SHAPES if multiplies_bytes()),
)


def plan(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Sums in 16-bit integers, divided by a multiplication that is tried on every sum that can come."""
    if dtype != "uint8":
        return "it takes 8-bit samples"
    whole = proof.whole(c)
    if whole is None:
        return "weights and scale must be whole numbers"
    weights, scale = whole
    if refused := proof.odd_outside(c, 255):
        return refused
    for power in range(8):  # a larger numerator and denominator may be easier to divide
        factor = 2**power
        start = (c.offset + 0.5) * scale * factor
        taps = weights * factor
        low, high = int(255 * taps[taps < 0].sum() + start), int(255 * taps[taps > 0].sum() + start)
        if low < -(2**15) or high >= 2**15 or np.abs(taps).max() >= 2**15:
            return "the sums do not fit in 16 bits" if power == 0 else "no exact division was found for its sums"
        division = _division(low, high, scale * factor) if start == int(start) else None
        if division is not None:
            break
    else:
        return "no exact division was found for its sums"
    used = taps[::-1][taps[::-1] != 0]
    pairs = _pairs(taps) if taps.shape in SHAPES else None
    if pairs is not None and multiplies_bytes():
        variant, ordered = Variant("integer", "alike" if _alike(taps) else "pairs", "uint8", taps.shape), pairs
    else:
        variant = Variant("integer", "integer", "uint8", direct.variant.shape)
        ordered = taps.ravel() if variant.shape else used
    return replace(
        direct,
        method="integer",
        reason="whole weights, and every sum fits in 16 bits",
        error_bound=0.0 if proof.same_bytes(c, dtype, 0.0) else 1.0,
        cost=used.size * COSTS["integer"] + 3 if pairs is None else pairs.size * COSTS["pairs"] + 2,
        variant=variant,
        weights=np.array([*ordered.ravel(), *division], np.int16),
        line_type="int16" if variant.name == "integer" else "uint8",
        base=start,
    )


def _pairs(taps: Array) -> Array | None:
    """The weights of two columns in each number, as the loop takes them; None where they or sums are too large."""
    low, high = np.pad(taps, ((0, 0), (0, taps.shape[1] % 2))).astype(np.int64).reshape(len(taps), -1, 2).T
    most = 255 * max((low.clip(0) + high.clip(0)).max(), -(low.clip(max=0) + high.clip(max=0)).min())
    return (low & 255 | high << 8).T.astype(np.int16) if max(np.abs(taps).max() * 2**8, most) < 2**15 else None


def _alike(taps: Array) -> bool:
    """Whether all weights but the middle one are the same, and a byte holds how much more that one is."""
    others, middle = np.delete(taps, taps.size // 2), taps.ravel()[taps.size // 2]
    return bool((others == others[0]).all() and abs(middle - others[0]) < 2**7)


def _division(low: int, high: int, divisor: int) -> tuple[int, int] | None:
    """(factor, shift) such that (n * factor >> 16) >> shift is n // divisor, from low to high, up to clipping."""
    numbers = np.arange(low, high + 1, dtype=np.int64)
    exact = np.clip(numbers // divisor, -1, 256)
    for shift in range(16):
        factor = -(-(2 ** (16 + shift)) // divisor)
        if factor >= 2**15:
            return None
        if (np.clip((numbers * factor >> 16) >> shift, -1, 256) == exact).all():
            return factor, shift
    return None
