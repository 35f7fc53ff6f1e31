"""A formula with a range, "gaussian:sigma=0..8": a family of kernels, and the few of them that stand for all.

A mask m from 0 to 1 asks for the kernel K(low + m·(high − low)) at each pixel. Only some kernels of the family, the
levels, are applied; between two of them results are mixed. That is exact for the mixture of their kernels, so what is
left is how far such a mixture is from the kernel that was asked for:

    D = K(p) − (1 − t)·A − t·B,    error = the larger of the sums of D's positive and of its negative weights

That is the largest difference in a result over the range of the samples, and there is a picture that reaches it;
photographs stay far below. The share t between two levels is the one that fits best (least squares), not p's own place:
for a Gaussian that is near the variance, and takes fewer levels.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import KernelError
from imgconv.kernels.catalogue import canonical
from imgconv.kernels.formulas import FORMULAS, formula, key_and_value, parameters_of
from imgconv.kernels.table import from_table as kernel_from_table
from imgconv.kernels.value import Kernel, low_anchor

TOLERANCE = 0.01  # of the picture's range; 8-bit steps are 0.004
MOST_LEVELS = 33
SMALLEST = 0.01  # stands for 0 where a formula takes no 0: gaussian:sigma=0.01 is the identity
PARTS = 4  # of an interval, when it is judged; shares are fitted at their ends
FINE_PARTS = 8  # of an interval, when it is used; errors are measured at their ends and middles
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"
RANGE = re.compile(rf"({NUMBER})(?<!\.)\.\.(?!\.)({NUMBER})", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Family:
    """The levels of a family, and how to mix them."""

    name: str
    kernels: tuple[Kernel, ...]  # the levels, from mask 0 to mask 1
    values: tuple[float, ...]  # the parameter of each
    # A mask of strengths[i] asks for level places[i]; in between linearly. Place 2.25 is a quarter of the way from
    # level 2 to level 3.
    strengths: Array
    places: Array
    # The largest error that was measured between levels, over the range of the samples (with --linear: of light).
    # Weighing by alpha and border `renormalize` divide by sums that may be small, and can exceed it.
    error: float

    @property
    def reason(self) -> str:
        """For `--explain`."""
        levels = ", ".join(f"{value:.4g}" for value in self.values)
        error = f"at most {100 * self.error:.2g}% of the range" if self.error > 1e-9 else "no step"
        return f"{len(self.kernels)} levels ({levels}), mixed by the mask: {error} from the kernel of each pixel"


@lru_cache(maxsize=2)
def family(text: str) -> Family:
    """The family that "gaussian:sigma=0..8" means.

    Raises KernelError when it has no range, or more than one, or an end that the formula does not take.
    """
    ranges = RANGE.findall(text)
    if len(ranges) != 1 or text.count("..") != 1:
        raise KernelError(f"vary {text[:40]!r} needs one parameter with a range, as in gaussian:sigma=0..8")
    low, high = map(float, ranges[0])
    members = _Members(text)
    members.at(low), members.at(high)
    values, errors = [low, high], [members.fit(low, high, PARTS)[1]]
    while len(values) < MOST_LEVELS and max(errors) > TOLERANCE:
        widest = int(np.argmax(errors))
        first, last = values[widest], values[widest + 1]
        middle = (first + last) / 2
        if members.whole and abs(last - first) > 1:
            middle = float(round(middle))
        values.insert(widest + 1, middle)
        errors[widest : widest + 1] = [members.fit(*pair, PARTS)[1] for pair in ((first, middle), (middle, last))]
    strengths, places, error = [0.0], [0.0], 0.0
    for number, (first, last) in enumerate(pairwise(values)):
        shares, worst = members.fit(first, last, FINE_PARTS)
        error = max(error, worst)
        asked = first + (last - first) * np.arange(1, FINE_PARTS + 1) / FINE_PARTS
        strengths += list((asked - low) / (high - low)) if high != low else [1.0] * FINE_PARTS
        places += [number + share for share in shares[1:]]
    # a family is no blur of Pillow's, which has weights for none; but a threshold is not left out
    levels = (members.at(value) for value in values)
    kernels = tuple(k if k.blur and k.blur.threshold else replace(k, blur=None) for k in levels)
    return Family(_file_name(text), kernels, tuple(values), np.array(strengths), np.array(places), error)


def from_table(table: dict[str, Any], name: str) -> Family:
    """A family from the keys that `toml_text` writes. Raises ValueError or KernelError when it is none."""
    keys = ("values", "strengths", "places", "error", "kernel")
    if set(table) != {*keys, "name"}:
        raise ValueError(f"a family has the keys name, {', '.join(keys)}")
    levels, given = table["kernel"], [table["values"], table["strengths"], table["places"], [table["error"]]]
    if not isinstance(levels, list) or not all(isinstance(level, dict) for level in levels):
        raise ValueError("the kernels of a family are tables")
    if not all(isinstance(row, list) and row and all(type(x) in (int, float) for x in row) for row in given):
        raise ValueError("values, strengths and places of a family are lists of numbers, and its error is one")
    values, strengths, places, (error,) = (np.array(row, float) for row in given)
    rising = all((np.diff(row) >= 0).all() for row in (strengths, places))
    inside = 0 <= strengths[0] <= strengths[-1] <= 1 and 0 <= places[0] <= places[-1] <= len(levels) - 1
    if not (2 <= len(levels) == len(values) and len(strengths) == len(places) and rising and inside):
        raise ValueError("the levels of a family do not go together")
    kernels = tuple(kernel_from_table(level, name) for level in levels)
    return Family(name, kernels, tuple(values.tolist()), strengths, places, float(error))


def toml_text(family: Family) -> str:
    """A family as a table `vary` of a TOML file, with the weights of every level."""
    from imgconv.kernels.text import toml_text as kernel_text
    from imgconv.kernels.text import toml_value

    rows = {
        "name": family.name, "values": list(family.values), "strengths": family.strengths.tolist(),
        "places": family.places.tolist(), "error": family.error,
    }  # fmt: skip
    text = "".join(f"{key} = {toml_value(value)}\n" for key, value in rows.items())
    levels = (replace(kernel, name="", about="", title="", source="") for kernel in family.kernels)
    return f"\n[vary]\n{text}" + "".join(f"\n[[vary.kernel]]\n{kernel_text(level)}" for level in levels)


class _Members:
    """The kernels of a family by the value of the parameter."""

    def __init__(self, text: str) -> None:
        self.text = text
        head, _, tail = text.partition(":")
        if canonical(head) not in FORMULAS:
            formula(text)  # says what would be right
        known = parameters_of(canonical(head))
        key, _ = key_and_value(next((word for word in tail.split(",") if ".." in word), ""), known)
        self.whole = key in known and known[key].kind is int  # a size: what lies between two of them is mixed
        self.at = cache(self._member)  # the levels are kept, the kernels between them are not

    def _member(self, value: float) -> Kernel:
        """The kernel of one value."""
        if self.whole and value != int(value):
            below, above = self.at(float(np.floor(value))), self.at(float(np.ceil(value)))
            share = value - np.floor(value)
            a, b = _aligned(below, above)
            return replace(above, weights=(1 - share) * a + share * b, scale=1.0, anchor=low_anchor(a.shape))
        try:
            return formula(RANGE.sub(repr(value), self.text))
        except KernelError:
            if not 0 <= value < SMALLEST:
                raise
            return formula(RANGE.sub(repr(SMALLEST), self.text))

    def fit(self, first: float, last: float, parts: int) -> tuple[list[float], float]:
        """The share of the last kernel at the ends of each part, and the largest error, which is measured there and
        in the middle of each part.
        """
        shares = [0.0]
        for part in range(1, parts):
            wanted, a, change = self._between(first, last, part / parts)
            length = float((change * change).sum())
            best = float(((wanted - a) * change).sum()) / length if length else part / parts
            shares.append(min(1.0, max(shares[-1], best)))
        shares.append(1.0)
        worst = 0.0
        for half in range(1, 2 * parts):
            wanted, a, change = self._between(first, last, half / (2 * parts))
            off = wanted - a - (shares[half // 2] + shares[(half + 1) // 2]) / 2 * change
            worst = max(worst, float(np.maximum(off, 0).sum()), float(np.maximum(-off, 0).sum()))
        return shares, worst

    def _between(self, first: float, last: float, part: float) -> tuple[Array, Array, Array]:
        """The kernel that far from the first to the last, the first, and the difference of the two."""
        wanted, a, b = _aligned(self._member(first + (last - first) * part), self.at(first), self.at(last))
        return wanted, a, b - a


def _aligned(*kernels: Kernel) -> list[Array]:
    """Their weights over their scales, among zeros that lay anchor on anchor."""
    anchors = [kernel.anchor or low_anchor(kernel.shape) for kernel in kernels]
    top, left = map(max, zip(*anchors, strict=True))
    ends = [(k.shape[0] - y, k.shape[1] - x) for k, (y, x) in zip(kernels, anchors, strict=True)]
    bottom, right = map(max, zip(*ends, strict=True))
    laid = np.zeros((len(kernels), top + bottom, left + right))
    for space, kernel, (y, x) in zip(laid, kernels, anchors, strict=True):
        space[top - y :, left - x :][: kernel.shape[0], : kernel.shape[1]] = kernel.weights / kernel.scale
    return list(laid)


def _file_name(text: str) -> str:
    """gaussian_sigma0-8"""
    safe = text.strip().lower().replace("..", "-").replace("=", "")
    return re.sub(r"[^a-z0-9.+-]+", "_", safe).strip("_")
