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

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.conventions import BORDERS, METHODS
from imgconv.engine import fourier
from imgconv.engine.native import SHAPES, Variant, fuses
from imgconv.errors import KernelError, UsageError

if TYPE_CHECKING:
    import numpy.typing as npt

PADDINGS = ("same", "valid", "full")
SUM_TYPES = {"uint8": "float32", "uint16": "float32", "int32": "float64", "float32": "float32", "float64": "float64"}

# Cost of one tap in CPU cycles for 16 samples of 8 bits, measured at 12 megapixels with one thread (imgconv bench
# --costs prints them for a machine); only their ratios matter.
COSTS = {"unrolled": 1.45, "listed": 1.6, "integer": 0.85, "fused": 0.54, "along": 1.35, "across": 0.7}
FLOAT32 = float(np.finfo(np.float32).eps) / 2  # one rounding
WORTH = 0.8  # a method that may be off by a level must cost less than this share of one that cannot


# Plans that were made: for a small picture, planning takes longer than filtering
MOST_KEPT = 64
LARGEST_KEPT = 2**12  # weights
_made: dict[Any, Plan] = {}


@dataclass(frozen=True, eq=False)
class Correlation:
    """What is to be computed: weights that are slid as they stand, and everything that the sum depends on.

    Attributes
    ----------
    weights : ndarray of float64, shape (rows, columns)
    scale : float
        Divides every weight.
    offset : float
        Added to every sum, in the picture's own units.
    anchor : (int, int)
        Row and column of the tap that lies on the output pixel.
    border : str
        One of `BORDERS`.
    outside : float
        The value outside the picture for border "constant".
    padding : str
        One of `PADDINGS`.
    exact : bool
        Only methods that give the direct method's bytes may be chosen.
    """

    weights: npt.NDArray[np.float64]
    scale: float
    offset: float
    anchor: tuple[int, int]
    border: str
    outside: float
    padding: str
    exact: bool = False

    def __post_init__(self) -> None:
        rows, columns = self.weights.shape
        if not (0 <= self.anchor[0] < rows and 0 <= self.anchor[1] < columns):
            raise UsageError(
                f"anchor {self.anchor[0]},{self.anchor[1]} lies outside the {rows}×{columns} kernel"
                f" (rows 0 to {rows - 1}, columns 0 to {columns - 1})"
            )
        if self.border not in BORDERS:
            raise UsageError(f"border {self.border!r} is not one of {', '.join(BORDERS)}")
        if self.padding not in PADDINGS:
            raise UsageError(f"padding {self.padding!r} is not one of {', '.join(PADDINGS)}")
        if self.border == "keep" and self.padding == "full":
            raise UsageError("border keep copies pixels from the picture, so it cannot fill padding full")
        if self.border == "renormalize" and self.weights.sum() == 0:
            raise UsageError("border renormalize needs a kernel whose weights do not sum to 0")


@dataclass(frozen=True, eq=False)
class Plan:
    """How a correlation is computed.

    Attributes
    ----------
    method : str
        One of `METHODS`, never "auto".
    reason : str
        Why this method, for `--explain`.
    error_bound : float
        Largest difference from the direct method: 0 means the same bytes. In levels for integer samples, in units of
        the largest sample for floating ones.
    cost : float
        Estimated cycles for 16 samples of 8 bits.
    variant : Variant
        The compiled loop.
    weights, shifts, ends : ndarray
        What the loop is given: weights over the scale, in its own order; for listed taps the distance in pixels from
        the window's left column, and for each kernel row, bottom one first, one past its last tap.
    line_type : str
        Type of the lines that source rows are widened to.
    base : float
        What every sum starts from.
    """

    correlation: Correlation
    method: str
    reason: str
    error_bound: float
    cost: float
    variant: Variant
    weights: npt.NDArray[Any]
    shifts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    line_type: str
    base: float


def plan(correlation: Correlation, dtype: str, method: str = "auto") -> Plan:
    """Plans `correlation` over samples of `dtype`, one of the five that the loops take.

    Raises
    ------
    KernelError
        When the weights over the scale cannot be summed in the sum type.
    UsageError
        When the method is not known, or cannot be used here.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not one of {', '.join(METHODS)}")
    c = correlation
    key = (c.weights.tobytes(), c.weights.shape, c.scale, c.offset, c.anchor, c.border, c.outside, c.padding, c.exact)
    made = _made.get((key, dtype, method))
    if made is None:
        made = _plan(c, dtype, method)
        if c.weights.size <= LARGEST_KEPT:
            while len(_made) >= MOST_KEPT:
                _made.pop(next(iter(_made)), None)
            _made[key, dtype, method] = made
    return made


def _plan(correlation: Correlation, dtype: str, method: str) -> Plan:
    direct = _direct(correlation, dtype)
    if method == "direct":
        return direct
    tries = {"integer": _integer, "box": _box, "separable": _separable, "fused": _fused, "fourier": _fourier}
    if method != "auto":
        found = tries[method](correlation, dtype, direct)
        if isinstance(found, str):
            raise UsageError(f"method {method} cannot be used here: {found}")
        return found
    best = direct
    for attempt in tries.values():
        found = attempt(correlation, dtype, direct)
        if isinstance(found, str) or (correlation.exact and found.error_bound):
            continue
        if found.cost < best.cost * (WORTH if found.error_bound > best.error_bound else 1):
            best = found
    return best


def _direct(c: Correlation, dtype: str) -> Plan:
    sum_type = np.dtype(SUM_TYPES[dtype]).type
    with np.errstate(all="ignore"):
        weights = c.weights.astype(sum_type) / sum_type(c.scale)
        largest = np.abs(weights, dtype=np.float64).sum()
        largest = largest * (float(np.iinfo(dtype).max) if dtype[0] in "ui" else 1.0) + abs(c.offset)
    if not largest < np.finfo(sum_type).max:
        raise KernelError(f"weights over scale {c.scale:g} are too large for sums in {SUM_TYPES[dtype]}")
    shape = c.weights.shape
    upward = weights[::-1]
    used = upward != 0
    count = int(np.count_nonzero(used))
    own = bool(used.all()) and shape in SHAPES
    return Plan(
        correlation=c,
        method="direct",
        reason=f"a loop of its own for {shape[0]}×{shape[1]}" if own else f"{count} of {used.size} taps are not zero",
        error_bound=0.0,
        cost=count * COSTS["unrolled" if own else "listed"] + 4,
        variant=Variant(dtype, (shape[0], shape[1]) if own else None),
        # the unrolled loops take weights as they lie in the kernel, the list is in the order of adding
        weights=np.ascontiguousarray(weights if own else upward[used]),
        shifts=np.nonzero(used)[1].astype(np.int64),
        ends=np.cumsum(np.count_nonzero(used, axis=1)).astype(np.int64),
        line_type=SUM_TYPES[dtype],
        base=c.offset + (0.5 if dtype[0] in "ui" else 0.0),
    )


def _integer(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Sums in 16-bit integers, divided by a multiplication that is tried on every sum that can come."""
    if dtype != "uint8":
        return "it takes 8-bit samples"
    whole = _whole(c)
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
        error_bound=0.0 if _provable(c, dtype, direct, 0.0) else 1.0,
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
    if c.weights.size * top >= 2**24:
        return "the sums are too large for float32"
    if dtype == "uint8" and c.weights.shape[1] * top >= 2**16:
        return f"{c.weights.shape[1]} columns are too many for its sums"
    if c.outside != int(c.outside) or not 0 <= c.outside <= top:
        return f"the value outside must be a whole number from 0 to {top}"
    columns = c.weights.shape[1]
    return replace(
        direct,
        method="box",
        reason=f"equal weights: {columns.bit_length() - 1} doublings along, running sums down",
        error_bound=0.0 if _provable(c, dtype, direct, 3 * FLOAT32 * _reach(c, dtype)) else 1.0,
        cost=12 + 2 * math.log2(columns),
        variant=Variant(dtype, kind="box"),
        weights=np.array([c.weights[0, 0] / c.scale], np.float32),
        line_type="int32",
    )


def _separable(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """A column of taps times a row of taps."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    rows, columns = c.weights.shape
    if c.border == "renormalize" and dtype[0] == "f":
        return "missing samples have no rows and columns"
    factors = _factors(c.weights)
    if factors is None:
        return "the weights are not of rank 1"
    column, row = factors
    sum_type = np.dtype(SUM_TYPES[dtype]).type
    residual = float(np.abs(np.outer(column, row) - c.weights).sum() / abs(c.scale))
    reach = _reach(c, dtype)
    # one rounding for each tap of either pass, and of either factor
    error = residual * _top(dtype) + (rows + columns + 4) * float(np.finfo(sum_type).eps) / 2 * reach
    if error > (0.25 if dtype[0] in "ui" else 1e-3):
        return f"its sums could be off by {error:.2g}"
    exact = bool((column == np.rint(column)).all() and (row == np.rint(row)).all())
    padding = np.zeros(3)
    weights = np.concatenate([padding, column / c.scale, padding, row]).astype(sum_type)
    return replace(
        direct,
        method="separable",
        reason=f"a column of {rows} times a row of {columns}",
        error_bound=error if dtype[0] == "f" else 0.0 if _provable(c, dtype, direct, error, exact) else 1.0,
        cost=columns * COSTS["along"] + (rows + 3) * COSTS["across"] + 8,
        variant=Variant(dtype, kind="separable"),
        weights=weights,
    )


def _fused(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """All taps with fused multiply-add, for four output rows at once."""
    if not fuses():
        return "the CPU has no fused multiply-add"
    if dtype not in ("uint8", "uint16"):
        return "it takes 8- and 16-bit samples"
    rows, columns = c.weights.shape
    error = (c.weights.size + 2) * FLOAT32 * _reach(c, dtype)
    if error > 0.25:
        return f"its sums could be off by {error:.2g}"
    padding = np.zeros((3, columns))
    return replace(
        direct,
        method="fused",
        reason="dense weights: each sample is used for four rows, multiplied and added in one step",
        error_bound=0.0 if _provable(c, dtype, direct, error) else 1.0,
        cost=(rows + 3) * columns * COSTS["fused"] + 12,
        variant=Variant(dtype, kind="fused"),
        weights=np.concatenate([padding, c.weights / c.scale, padding]).astype(np.float32),
    )


def _fourier(c: Correlation, dtype: str, direct: Plan) -> Plan | str:
    """Products of spectra, tile by tile."""
    if dtype[0] == "f":
        return "a sample that is not a number would spread over its tile"
    rows, columns = c.weights.shape
    cost = fourier.cost(rows, columns)
    if cost == math.inf:
        return "the kernel is too large for its tiles"
    error = fourier.ERROR * _reach(c, dtype)
    return replace(
        direct,
        method="fourier",
        reason=f"a large dense kernel: products of spectra in tiles of {fourier.tile_side(max(rows, columns))}",
        error_bound=0.0 if _provable(c, dtype, direct, error, exact=False) else 1.0,
        cost=cost,
        weights=c.weights / c.scale,
        line_type="float64",
    )


def _whole(c: Correlation) -> tuple[npt.NDArray[np.int64], int] | None:
    """Weights and scale as whole numbers with a positive scale, if that is what they are."""
    if c.scale != int(c.scale) or (c.weights != np.rint(c.weights)).any() or np.abs(c.weights).max() >= 2**31:
        return None
    sign = 1 if c.scale > 0 else -1
    return (sign * c.weights).astype(np.int64), sign * int(c.scale)


def _top(dtype: str) -> float:
    """The largest magnitude of a sample; 1 for floating types, whose errors are relative to their samples."""
    return 1.0 if dtype[0] == "f" else float(np.iinfo(dtype).max) + (1 if dtype == "int32" else 0)


def _reach(c: Correlation, dtype: str) -> float:
    """The largest magnitude that a sum can have."""
    return float(np.abs(c.weights).sum() / abs(c.scale)) * max(_top(dtype), abs(c.outside)) + abs(c.offset) + 1


def _provable(c: Correlation, dtype: str, direct: Plan, error: float, exact: bool = True) -> bool:
    """Whether another way of adding, off by at most `error`, must give the direct method's bytes.

    `exact` says that the other way makes no error where whole weights are divided by a power of two.
    """
    whole = _whole(c)
    if whole is None or dtype not in ("uint8", "uint16") or c.outside != int(c.outside):
        return False
    weights, scale = whole
    reach = _reach(c, dtype)
    twice = (
        2 * c.offset + 1
    ) * scale  # sums times 2·scale are 2·S + twice, S whole; levels change at multiples of 2·scale
    if twice != int(twice):
        return False
    if scale & (scale - 1) == 0 and reach * 2 * scale < 2**24 and exact:
        return True  # every product and sum is a whole number over a power of two, exact in float32
    off = (direct.weights.size + weights.shape[0] + 2) * FLOAT32 * reach
    return int(twice) % 2 == 1 and off + error < 1 / (2 * scale)


def _factors(weights: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """(column, row) whose outer product is `weights` up to rounding, or None."""
    i, j = np.unravel_index(int(np.abs(weights).argmax()), weights.shape)
    if weights[i, j] == 0:
        return None
    if (weights == np.rint(weights)).all() and np.abs(weights).max() < 2**53:  # whole factors make no errors
        row = weights[i] / np.gcd.reduce(weights[i].astype(np.int64))
        column = weights[:, j] / row[j]
        if (column == np.rint(column)).all() and (np.outer(column, row) == weights).all():
            return column, row
    column, row = weights[:, j].copy(), weights[i] / weights[i, j]
    if np.abs(np.outer(column, row) - weights).max() > 1e-9 * abs(weights[i, j]):
        return None
    return column, row
