"""Chooses how a correlation is computed, and says why. Imports no compiler.

The direct method is the definition:

    out[y, x, c] = offset + sum over i, j of (w[i, j] / scale) * in[y + i - ay, x + j - ax, c]

in float32 for 8- and 16-bit and float32 samples, in float64 for int32 and float64. The sum starts from the offset
(plus one half for integers) and takes the kernel rows from the bottom one up, each summed left to right first. That is
the order in which Pillow adds, and for kernels such as DETAIL no other order gives Pillow's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.conventions import BORDERS, METHODS
from imgconv.engine.native import SHAPES, Variant
from imgconv.errors import KernelError, UsageError

PADDINGS = ("same", "valid", "full")
SUM_TYPES = {"uint8": "float32", "uint16": "float32", "int32": "float64", "float32": "float32", "float64": "float64"}


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
    """

    weights: npt.NDArray[np.float64]
    scale: float
    offset: float
    anchor: tuple[int, int]
    border: str
    outside: float
    padding: str

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
        Largest difference from the direct method, in sample units: 0 means the same bytes.
    variant : Variant
        The compiled loop.
    weights, shifts, ends : ndarray
        Taps in the order in which they are added: weight over scale in the sum type; distance in pixels from the
        window's left column; for each kernel row, bottom one first, one past its last tap. Taps that are zero are
        left out.
    """

    correlation: Correlation
    method: str
    reason: str
    error_bound: float
    variant: Variant
    weights: npt.NDArray[np.floating[Any]]
    shifts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]


def plan(correlation: Correlation, dtype: str, method: str = "auto") -> Plan:
    """Plans `correlation` over samples of `dtype`, one of the five that the loops take.

    Raises
    ------
    KernelError
        When the weights over the scale cannot be summed in the sum type.
    UsageError
        When the method is not known.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not one of {', '.join(METHODS)}")
    sum_type = np.dtype(SUM_TYPES[dtype]).type
    with np.errstate(all="ignore"):
        weights = correlation.weights.astype(sum_type) / sum_type(correlation.scale)
        largest = np.abs(weights, dtype=np.float64).sum()
        largest = largest * (float(np.iinfo(dtype).max) if dtype[0] in "ui" else 1.0) + abs(correlation.offset)
    if not largest < np.finfo(sum_type).max:
        raise KernelError(f"weights over scale {correlation.scale:g} are too large for sums in {SUM_TYPES[dtype]}")
    rows, columns = weights.shape
    upward = weights[::-1]
    used = upward != 0
    dense = bool(used.all())
    if dense and (rows, columns) in SHAPES:
        variant = Variant(dtype, (rows, columns))
        reason = f"a loop of its own for {rows}×{columns}, taps unrolled"
    else:
        variant = Variant(dtype, None)
        reason = f"taps taken from a list, {np.count_nonzero(used)} of {used.size} are not zero"
    return Plan(
        correlation=correlation,
        method="direct",
        reason=reason,
        error_bound=0.0,
        variant=variant,
        # the unrolled loops take weights as they lie in the kernel, the list is in the order of adding
        weights=np.ascontiguousarray(weights if variant.shape else upward[used]),
        shifts=np.nonzero(used)[1].astype(np.int64),
        ends=np.cumsum(np.count_nonzero(used, axis=1)).astype(np.int64),
    )
