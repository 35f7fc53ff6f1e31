"""The ways to compute a correlation: each a function that returns its plan, or the reason why it cannot be used."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from imgconv.engine import fourier, proof
from imgconv.engine.correlation import SUM_TYPES, Correlation, Plan
from imgconv.engine.native import COARSE_AT_ONCE, SHAPES, Variant, fuses
from imgconv.errors import KernelError

# Cost of one tap in CPU cycles for 16 samples of 8 bits, measured with one thread (imgconv bench --costs prints them
# for a machine); only their ratios matter.
COSTS = {
    "unrolled": 0.85, "listed": 1.4, "integer": 0.6, "fused": 0.59, "along": 1.35, "across": 0.7, "coarse": 0.7,
}  # fmt: skip
FEW_ROWS = {1: 2, 2: 1.3, 3: 1.15}  # what a tap costs more where fewer than four rows share what is loaded
MOST_OFF = 0.9  # levels: sums that are closer are cut to the same level or to one beside it
MOST_OFF_FLOATING = 1e-3  # of the largest sample, or of the largest sum if that is less
SUMS_OFF = 0.05  # levels that sums may be off by design
ROUNDING_OFF = 1e-3  # levels: no more than weights that were rounded when they were written
MOST_TERMS = 8  # separable ones
SMOOTH_ROWS = 9  # fewer are not worth interpolating
NDIMAGES_ZERO = np.finfo(np.float64).eps  # weights up to it are none to scipy.ndimage
SPREADS = "samples that are not finite would spread by taps of zero"


def direct(c: Correlation, dtype: str) -> Plan:
    """The definition; what others start from.

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
    return Plan(
        correlation=c,
        method="direct",
        reason=f"a loop of its own for {shape[0]}×{shape[1]}" if own else f"{count} of {used.size} taps are not zero",
        error_bound=0.0,
        cost=count * COSTS["unrolled" if own else "listed"] + 4,
        variant=Variant(dtype, (shape[0], shape[1]) if own else None, "in_order" if in_order else "direct"),
        # the unrolled loops take weights as they lie in the kernel, the list is in the order of adding
        weights=np.ascontiguousarray(weights if own else listed[used]),
        shifts=np.nonzero(used)[1].astype(np.int64),
        ends=np.cumsum(np.count_nonzero(used, axis=1)).astype(np.int64),
        line_type=SUM_TYPES[dtype],
        base=c.offset + (0.5 if dtype[0] in "ui" else 0.0),
        ring_lines=shape[0] + 5,
    )


def _integer(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Sums in 16-bit integers, divided by a multiplication that is tried on every sum that can come."""
    if dtype != "uint8":
        return "it takes 8-bit samples"
    whole = proof.whole(c)
    if whole is None:
        return "weights and scale must be whole numbers"
    weights, scale = whole
    if c.outside != int(c.outside) or not 0 <= c.outside <= 255:
        return "the value outside must be a whole number from 0 to 255"
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
    ordered = taps.ravel() if direct.variant.shape else used
    return replace(
        direct,
        method="integer",
        reason="whole weights, and every sum fits in 16 bits",
        error_bound=0.0 if proof.same_bytes(c, dtype, 0.0) else 1.0,
        cost=used.size * COSTS["integer"] + 3,
        variant=Variant(dtype, direct.variant.shape, "integer"),
        weights=np.array([*ordered, *division], np.int16),
        line_type="int16",
        base=start,
    )


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


def _box(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Running sums of equal weights: exact integers, multiplied by the weight over the scale in float32."""
    if dtype not in ("uint8", "uint16"):
        return "it takes 8- and 16-bit samples"
    if not (c.weights == c.weights[0, 0]).all() or c.weights[0, 0] == 0:
        return "the weights are not all the same"
    top = int(np.iinfo(dtype).max)
    if c.weights.size * top >= 2**31:
        return "the sums do not fit in 32 bits"
    error = 4 * proof.unit(dtype) * proof.reach(c, dtype)
    if error + proof.off_direct(c, dtype) > MOST_OFF:
        return "the direct method's own sums are off by more than a level"
    if c.outside != int(c.outside) or not 0 <= c.outside <= top:
        return f"the value outside must be a whole number from 0 to {top}"
    columns = c.weights.shape[1]
    short = dtype == "uint8" and columns * top < 2**16
    return replace(
        direct,
        method="box",
        reason=f"equal weights: {columns.bit_length() - 1} doublings along, running sums down",
        error_bound=_bound(c, dtype, error),
        cost=(6 + 3.5 * math.log2(columns)) * (1 if short else 1.7),
        variant=Variant(dtype, kind="box" if short or dtype == "uint16" else "box_wide"),
        weights=np.array([c.weights[0, 0] / c.scale], np.float32),
        line_type="int32",
    )


def _separable(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """A column of taps times a row of taps, or a few such products."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    rows, columns = c.weights.shape
    if c.border == "renormalize" and dtype[0] == "f":
        return "missing samples have no rows and columns"
    if dtype[0] == "f" and (c.weights == 0).any():
        return SPREADS
    # what the terms leave out may be as much as their roundings are anyway, or too little to tell
    left_out = proof.unit(dtype) * proof.reach(c, dtype) if dtype[0] == "f" else SUMS_OFF
    most = math.ceil(rows * columns * COSTS["fused"] / (columns * COSTS["along"] + rows * COSTS["across"]))
    found = proof.terms(c.weights, left_out / proof.largest(c, dtype) * abs(c.scale), min(most, MOST_TERMS))
    if found is None:
        return "the weights are not of rank 1, nor of a rank that pays"
    downs, alongs = found[0] / c.scale, found[1]
    error, off = proof.off_separable(c, dtype, downs, alongs), proof.off_direct(c, dtype)
    rank, double = len(alongs), False
    if error + off > _most_off(c, dtype):
        if dtype != "uint16" or rank > 1:
            return f"its sums could be off by {error + off:.2g}"
        error, double = proof.off_separable(c, dtype, downs, alongs, proof.DOUBLE), True
    exact = all((factor == np.rint(factor)).all() for factor in found) and (found[0].T @ found[1] == c.weights).all()
    return replace(
        direct,
        method="separable",
        reason=f"a column of {rows} times a row of {columns}"
        + (f", {rank} times" if rank > 1 else ", in float64" if double else ""),
        error_bound=_bound(c, dtype, error, exact=bool(exact)),
        cost=(rank + double) * (columns * COSTS["along"] + rows * COSTS["across"]) + 8,
        variant=Variant(dtype, kind="separable_double" if double else "separable" if rank == 1 else "low_rank"),
        # for each row of the kernel what each term weighs, then the terms' rows
        weights=np.concatenate([downs.T.ravel(), alongs.ravel()]).astype("float64" if double else SUM_TYPES[dtype]),
        ends=np.array([rank], np.int64),
        line_type="float64" if double else direct.line_type,
        ring_lines=rank * (rows + 3) + 2,
    )


def _decimated(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
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
    if c.outside != int(c.outside) or not 0 <= c.outside <= top:
        return f"the value outside must be a whole number from 0 to {top:g}"
    found = proof.terms(c.weights, ROUNDING_OFF / top * abs(c.scale), 1)
    if found is None:
        return "the weights are not of rank 1"
    down, along = found[0] / c.scale, found[1]
    # adding fewer numbers, each with three roundings more, is off by less than twice what all of them are
    error = 2 * proof.off_separable(c, dtype, down, along) + proof.off_direct(c, dtype)
    if error > MOST_OFF - SUMS_OFF:
        return f"its sums could be off by {error:.2g}"
    # both kernels sum to the same, so that only differences from the middle of the range count
    smooth = proof.interpolation(down[0], SUMS_OFF / (top / 2 * float(np.abs(along).sum())))
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
        variant=Variant(dtype, kind="decimated"),
        weights=np.concatenate([zeros, down[0], zeros, along[0], mixes.ravel()]).astype(np.float32),
        ends=np.array([spread, mixed], np.int64),
        line_type="float32",
        ring_lines=-(-window * np.dtype(dtype).itemsize // 4) + 2 * COARSE_AT_ONCE + mixed + 1,
        halo=(before, spread * mixed - 1 - before),
    )


def _fused(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """All taps with fused multiply-add, for four output rows at once."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    if dtype == "int32":
        return "it takes no 32-bit integers"
    if dtype[0] == "f" and (c.weights == 0).any():
        return SPREADS
    rows, columns = c.weights.shape
    cost = rows * columns * COSTS["fused"] * FEW_ROWS.get(rows, 1) + 12
    most = _most_off(c, dtype)
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
        error_bound=_bound(c, dtype, error),
        cost=cost,
        variant=Variant(dtype, kind=kind),
        weights=(c.weights / c.scale).astype(SUM_TYPES[dtype]),
    )


def _fourier(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Products of spectra, tile by tile."""
    if dtype[0] == "f":
        return "a sample that is not a number would spread over its tile"
    rows, columns = c.weights.shape
    cost = fourier.cost(rows, columns)
    if cost == math.inf:
        return "the kernel is too large for its tiles"
    error = fourier.ERROR * proof.reach(c, dtype)
    return replace(
        direct,
        method="fourier",
        reason=f"a large dense kernel: products of spectra in tiles of {fourier.tile_side(max(rows, columns))}",
        error_bound=_bound(c, dtype, error, exact=False),
        cost=cost,
        weights=c.weights / c.scale,
        line_type="float64",
    )


def _most_off(c: Correlation, dtype: str) -> float:
    return MOST_OFF if dtype[0] in "ui" else MOST_OFF_FLOATING * min(1.0, proof.reach(c, dtype))


def _bound(c: Correlation, dtype: str, error: float, *, exact: bool = True) -> float:
    """The error bound of a plan whose sums are off by at most `error`; those of the direct method are, too."""
    off = error + proof.off_direct(c, dtype)
    if dtype[0] == "f":
        return off
    return 0.0 if proof.same_bytes(c, dtype, error, exact=exact) else float(math.ceil(off))


# in the order in which they are tried
TRIES = {
    "integer": _integer, "box": _box, "separable": _separable, "decimated": _decimated, "fused": _fused,
    "fourier": _fourier,
}  # fmt: skip
