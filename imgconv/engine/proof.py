"""What is known about the sums of a correlation: how large they get, and how far another way of adding may be off.

A sum of floating numbers is rounded once for each number added, by at most a unit of its last place: half of `eps`
times what has been added up so far (Higham, Accuracy and Stability of Numerical Algorithms, 4.2).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.correlation import SUM_TYPES, Correlation

if TYPE_CHECKING:
    Weights = Array

DOUBLE = 2.0**-53  # one rounding of a float64 sum
SPREADS = "samples that are not finite would spread by taps of zero"
MOST_OFF = 0.9  # levels: sums that are closer are cut to the same level or to one beside it
MOST_OFF_FLOATING = 1e-3  # of the largest sample, or of the largest sum if that is less
SUMS_OFF = 0.05  # levels that sums may be off by design
ROUNDING_OFF = 1e-3  # levels: no more than weights that were rounded when they were written
DIGITS = 53  # of a float64
HALVING = {"float32": 4.1, "float64": 80}  # roundings; roots are products of up to eleven others, rounded to float32
HIGHER_ORDER = 1.01  # roundings of roundings
LARGEST_SVD = 256  # taps on a side: 20 ms
MIXED = (4, 6, 8)  # coarse rows that one in between is interpolated from


def top(dtype: str) -> float:
    """The largest magnitude of a sample; 1 for floating types, whose errors are relative to their samples."""
    return 1.0 if dtype[0] == "f" else float(np.iinfo(dtype).max) + (1 if dtype == "int32" else 0)


def unit(dtype: str) -> float:
    """The largest relative error of one rounding of a sum."""
    return float(np.finfo(SUM_TYPES[dtype]).eps) / 2


def largest(c: Correlation, dtype: str) -> float:
    """The largest magnitude of what a weight meets: a sample, or the value outside."""
    return max(top(dtype), abs(c.outside))


def reach(c: Correlation, dtype: str) -> float:
    """The largest magnitude that a sum can have."""
    return float(np.abs(c.weights).sum() / abs(c.scale)) * largest(c, dtype) + start(c, dtype)


def odd_outside(c: Correlation, top: float) -> str:
    """Why the value outside is no whole sample up to `top`; "" where it is one."""
    fits = c.outside == int(c.outside) and 0 <= c.outside <= top
    return "" if fits else f"the value outside must be a whole number from 0 to {top:g}"


def start(c: Correlation, dtype: str) -> float:
    """The largest magnitude of what a sum starts from: the offset, and for integers one half."""
    return abs(c.offset) + (1.0 if dtype[0] in "ui" else 0.0)


def adding(sizes: Weights, first: float = 0.0) -> float:
    """What roundings add up to, in units, when numbers up to `sizes` are added in order, beginning with `first`."""
    return float((first + np.cumsum(sizes)).sum()) * HIGHER_ORDER


def off_direct(c: Correlation, dtype: str) -> float:
    """How far the direct method's sums may be from the exact ones."""
    sizes = np.abs(c.weights[::-1] / c.scale) * largest(c, dtype)
    if c.in_order:
        return off_fused(c, dtype) + 2 * unit(dtype) * float(sizes.sum())
    rows = sizes.sum(axis=1)
    # three for a weight: as it is stored, over the scale, times the sample
    along = 3 * float(rows.sum()) + float(np.cumsum(sizes, axis=1)[:, 1:].sum())
    return unit(dtype) * (HIGHER_ORDER * along + adding(rows, start(c, dtype)))


def off_fused(c: Correlation, dtype: str) -> float:
    """How far sums with fused multiply-add, in the direct method's order, may be from the exact ones."""
    sizes = np.abs(c.weights[::-1] / c.scale).ravel() * largest(c, dtype)
    return unit(dtype) * (float(sizes.sum()) + adding(sizes, start(c, dtype)))


def off_separable(c: Correlation, dtype: str, columns: Weights, rows: Weights, once: float | None = None) -> float:
    """How far sums of separable terms may be from the exact ones, what the terms themselves leave out included.

    `columns`, over the scale, and `rows` have a line for each term: the outer products add up to the kernel. `once` is
    one rounding, by default that of the sum type.
    """
    most = largest(c, dtype)
    left_out = float(np.abs(columns.T @ rows - c.weights / c.scale).sum()) * most
    after_rows = np.abs(rows).sum(axis=1) * most
    by_rows = np.array([adding(np.abs(row) * most) for row in rows])
    sizes = (np.abs(columns[:, ::-1]).T * after_rows).ravel()
    roundings = float(np.abs(columns).sum(axis=1) @ by_rows) + 2 * float(sizes.sum())
    return left_out + (once or unit(dtype)) * (roundings + adding(sizes, start(c, dtype)))


def off_fourier(c: Correlation, dtype: str, size: int, sum_type: str) -> float:
    """How far sums by transforms of `size` rows, in `sum_type`, may be from the exact ones.

    Errors are measured over all values of a column together, by the root of the sum of their squares, which each
    halving multiplies by the root of 2 (Higham, 24.1). With its root rounded it makes errors of HALVING roundings; and
    2·columns products are added to each real and each imaginary part. A single sum may have all of the error.
    """
    gain = float(np.abs(c.weights).sum() / abs(c.scale)) * math.sqrt(size)
    steps: float = 2 * HALVING[sum_type] * math.log2(size / 2) + math.sqrt(2) * (2 * c.weights.shape[1] + 1)
    once = float(np.finfo(sum_type).eps) / 2
    return once * HIGHER_ORDER * (gain * largest(c, dtype) * steps + reach(c, dtype))


def normalised(c: Correlation) -> Correlation:
    """The same, with weights and scale times a power of two: whole numbers where they can be, else a scale from 1 to 2.

    That changes no bit of their quotients, but for those that single precision has no exponent for; and what is proven
    for whole numbers holds for the fractions that they are written as.
    """
    numbers = np.append(c.weights, c.scale)
    mantissas, exponents = np.frexp(numbers[numbers != 0])
    bits = (mantissas * 2.0**DIGITS).astype(np.int64)
    lowest = exponents + np.frexp((bits & -bits).astype(np.float64))[1] - 1 - DIGITS
    power = -int(lowest.min())
    if int(exponents.max()) + power > DIGITS:
        power = 1 - int(exponents[-1])
    if power == 0:
        return c
    with np.errstate(over="ignore", under="ignore"):
        return replace(c, weights=np.ldexp(c.weights, power), scale=float(np.ldexp(c.scale, power)))


def whole(c: Correlation) -> tuple[Array, int] | None:
    """Weights and scale as whole numbers with a positive scale, if that is what they are."""
    if c.scale != int(c.scale) or (c.weights != np.rint(c.weights)).any() or np.abs(c.weights).max() >= 2**31:
        return None
    sign = 1 if c.scale > 0 else -1
    return (sign * c.weights).astype(np.int64), sign * int(c.scale)


def same_bytes(c: Correlation, dtype: str, error: float, *, exact: bool = True) -> bool:
    """Whether another way of adding, off by at most `error`, must give the direct method's bytes.

    `exact` says that the other way makes no error where whole weights are divided by a power of two.
    """
    integers = whole(c)
    if integers is None or dtype not in ("uint8", "uint16") or c.outside != int(c.outside):
        return False
    scale = integers[1]
    # sums times 2·scale are 2·S + twice, S whole; levels change at multiples of 2·scale
    twice = (2 * c.offset + 1) * scale
    if twice != int(twice):
        return False
    if scale & (scale - 1) == 0 and reach(c, dtype) * 2 * scale < 2**24 and exact:
        return True  # every product and sum is a whole number over a power of two, exact in float32
    return int(twice) % 2 == 1 and off_direct(c, dtype) + error < 1 / (2 * scale)


def terms(weights: Weights, tolerance: float, most: int) -> tuple[Weights, Weights] | None:
    """At most so many columns and rows whose outer products add up to `weights`, or None where that takes more.

    Their shapes are (terms, rows) and (terms, columns). The sum may differ by the `tolerance`, over all weights
    together. Whole weights of rank 1 have whole factors.
    """
    i, j = np.unravel_index(int(np.abs(weights).argmax()), weights.shape)
    if weights[i, j] == 0:
        return None
    if (weights == np.rint(weights)).all() and np.abs(weights).max() < 2**53:  # whole factors make no errors
        row = weights[i] / np.gcd.reduce(weights[i].astype(np.int64))
        column = weights[:, j] / row[j]
        if (column == np.rint(column)).all() and (np.outer(column, row) == weights).all():
            return column[None], row[None]
    column, row = weights[:, j].copy(), weights[i] / weights[i, j]
    if np.abs(np.outer(column, row) - weights).sum() <= tolerance:
        return column[None], row[None]
    if most < 2 or max(weights.shape) > LARGEST_SVD:
        return None
    left, values, right = np.linalg.svd(weights, full_matrices=False)
    for rank in range(2, min(most, len(values)) + 1):
        columns, rows = (left[:, :rank] * values[:rank]).T, right[:rank]
        if np.abs(columns.T @ rows - weights).sum() <= tolerance:
            return np.ascontiguousarray(columns), np.ascontiguousarray(rows)
    return None


def interpolation(taps: Array, tolerance: float) -> tuple[int, Array] | None:
    """How far apart sums under smooth taps may lie for the others to be interpolated, and how, if it is more than 1.

    Every `spread`-th sum is needed. Row p of the array, shape (spread, mixed), is what `mixed` of them, the first one
    mixed // 2 - 1 before, weigh for the p-th sum after one of them: the least squares between the taps, under the
    condition that each row sums to 1, so that even surfaces stay as they are. The taps that come out of that may differ
    from `taps` by the `tolerance`, added up over all of them.
    """
    best = None
    for mixed in MIXED:
        low, high = 1, len(taps) // 8  # the largest spread that is good enough lies from low to high
        mixes = None
        while low < high:
            spread = (low + high + 1) // 2
            tried = [_mix(taps, spread, mixed, phase) for phase in range(spread)]
            if max(off for off, _ in tried) <= tolerance:
                low, mixes = spread, np.array([mix for _, mix in tried])
            else:
                high = spread - 1
        if mixes is not None:
            cost = 2 * len(taps) / low + mixed
            if best is None or cost < best[0]:
                best = cost, low, mixes
    return None if best is None else best[1:]


def _mix(taps: Array, spread: int, mixed: int, phase: int) -> tuple[float, Array]:
    """(sum of differences from the taps, weights) for the `phase`-th sum after a coarse one."""
    moves = [spread * (n - mixed // 2 + 1) - phase for n in range(mixed)]
    low, size = min(moves), len(taps) + max(moves) - min(moves)
    moved = np.zeros((size, mixed))
    for n, move in enumerate(moves):
        moved[move - low : move - low + len(taps), n] = taps
    wanted = np.zeros(size)
    wanted[-low : len(taps) - low] = taps
    rest = moved[:, 1:] - moved[:, :1]
    others = np.linalg.lstsq(rest, wanted - moved[:, 0], rcond=None)[0]
    mix: Weights = np.array([1 - others.sum(), *others])
    return float(np.abs(moved @ mix - wanted).sum()), mix


def bound(c: Correlation, dtype: str, error: float, *, exact: bool = True) -> float:
    """The error bound of a plan whose sums are off by at most `error`; those of the direct method are, too."""
    off = error + off_direct(c, dtype)
    if dtype[0] == "f":
        return off
    return 0.0 if same_bytes(c, dtype, error, exact=exact) else float(math.ceil(off))


def most_off(c: Correlation, dtype: str) -> float:
    """How far the sums of a method that is chosen by itself may be from the direct one's."""
    return MOST_OFF if dtype[0] in "ui" else MOST_OFF_FLOATING * min(1.0, reach(c, dtype))
