"""What a worked sum consists of, as values; and where two of them part."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from imgconv.arrayfile import Array, as_json


class RowSum(NamedTuple):
    """What a row of the kernel adds, in the order of adding."""

    row: int  # of the weights as they lie
    sum: float | None  # of its products; None where they are added to the total one by one
    total: float  # of all so far


@dataclass(frozen=True, eq=False)
class Term:
    """A channel of the picture under a plane of weights: arrays of shape (rows, columns), but for where they lie."""

    kernel: str
    channel: str
    rows: Array  # where the taps lie in the picture, counted from 0; some lie outside
    columns: Array
    window: Array  # the values there, float64; NaN where nothing counts (border renormalize)
    made: Array  # whether the border made them up, for they lie outside
    weights: Array  # as they lie on the window: turned for a convolution
    scale: float  # divides every weight before it is multiplied
    products: Array
    offset: float
    start: float  # what the sum begins with: the offset, and ½ where it is then cut to a whole sample
    sums: tuple[RowSum, ...]  # in the order of adding
    share: float | None  # with border renormalize, what the weights that count sum to, where they are not all
    total: float
    sum_type: str  # "float32" or "float64"


class Step(NamedTuple):
    """What happens to a sum."""

    name: str
    value: float
    says: str


class Channel(NamedTuple):
    """A channel of the result.

    `result` is the sample that filtering gives, `worked` what the steps come to: the same, unless the method's bound
    lets the sums differ.
    """

    name: str
    terms: tuple[Term, ...]
    steps: tuple[Step, ...]
    worked: float
    result: float


@dataclass(frozen=True, eq=False)
class PixelSum:
    """A pixel of a result, worked.

    Attributes
    ----------
    row, column : int
        Of the result, counted from 0.
    home : (int, int)
        The row and column of the picture on which the anchor lies.
    kernel : str
    flip : str
        How the weights lie beside how they are written; "" for as written.
    like : str
        The tool whose conventions hold, or "".
    mode, border, padding : str
    before : tuple of str
        Kernels of a chain that come before; the window is of what they made.
    method, exactness : str
        How it is computed, and how far that may be from the sum as it is worked.
    channels : tuple of Channel
    """

    row: int
    column: int
    home: tuple[int, int]
    kernel: str
    flip: str
    like: str
    mode: str
    border: str
    padding: str
    before: tuple[str, ...]
    method: str
    exactness: str
    channels: tuple[Channel, ...]

    def as_dict(self) -> dict[str, Any]:
        return dict(as_json(self))


class Parting(NamedTuple):
    """Where two sums part: the first step in which they differ, and what it is in each."""

    step: str
    channel: str
    first: str
    second: str


def first_parting(one: PixelSum, other: PixelSum) -> Parting | None:
    """The first step in which two sums of the same pixel differ, in the order of working; None where none does."""
    if len(one.channels) != len(other.channels):
        return Parting("channels", "", str(len(one.channels)), str(len(other.channels)))
    partings = []
    for first, second in zip(one.channels, other.channels, strict=True):
        looks = zip(_looks(first, one), _looks(second, other), strict=False)
        differ = ((n, mine, theirs) for n, (mine, theirs) in enumerate(looks) if mine[1] != theirs[1])
        if found := next(differ, None):
            number, (step, _, said), (_, _, said_there) = found
            partings.append((number, Parting(step, first.name, said, said_there)))
    return min(partings, key=lambda parting: parting[0])[1] if partings else None


def _looks(channel: Channel, whole: PixelSum) -> Iterator[tuple[str, Any, str]]:
    """What is compared of a channel, step by step: what it is called, its value, and that in words."""
    terms = channel.terms
    yield "the channels added up", len(terms), ", ".join(term.channel for term in terms) or channel.steps[0].name
    for term in terms:
        ends = [f"{axis[0]} to {axis[-1]}" for axis in (term.rows, term.columns)]
        yield (
            "where the window lies",
            (*term.rows, *term.columns),
            f"rows {ends[0]}, columns {ends[1]} (padding {whole.padding})",
        )
        yield "how the weights lie", term.weights.tolist(), whole.flip or "as written"
        yield "what the border makes up", [*map(_same, term.window.ravel().tolist())], f"border {whole.border}"
        yield "the scale", term.scale, f"{term.scale:g}"
        yield "the type of the sums", term.sum_type, term.sum_type
        yield "what the sum begins with", term.start, f"{term.start:g}"
        yield "the order of adding", _same(term.total), f"{term.total:g}"
    for step in channel.steps:
        yield f"{step.name}", (step.name, _same(step.value)), f"{step.name} {step.value:g} {step.says}".strip()
    yield "the result", _same(channel.result), f"{channel.result:g}"


def _same(value: float) -> float | None:
    """The number, or None for NaN, which is not even equal to itself."""
    return None if math.isnan(value) else value
