"""What is to be computed, and how: values that the planner makes and the engine carries out."""

from __future__ import annotations

from imgconv.arrayfile import Array
from imgconv.conventions import BORDERS, border_text
from imgconv.engine.band import Variant
from imgconv.errors import UsageError
from imgconv.notebook import Look, Shown, matrix
from imgconv.record import dataclass

PADDINGS = ("same", "valid", "full")
LARGEST_SHOWN = 15  # rows and columns of weights that a notebook shows
SUM_TYPES = {"uint8": "float32", "uint16": "float32", "int32": "float64", "float32": "float32", "float64": "float64"}


@dataclass(frozen=True, eq=False)
class Correlation:
    """What is to be computed: weights that are slid as they stand, and everything that the sum depends on."""

    weights: Array  # float64, shape (rows, columns)
    scale: float  # divides every weight
    offset: float  # added to every sum, in the picture's own units
    anchor: tuple[int, int]  # row and column of the tap that lies on the output pixel
    border: str  # one of BORDERS
    outside: float  # the value outside the picture for border "constant"
    padding: str  # one of PADDINGS
    exact: bool = False  # only methods that give the direct method's bytes may be chosen
    portable: bool = False  # only those with the same sums on every machine that fuses multiplications and additions
    # float64 samples are added as scipy.ndimage does: tap by tap, from the top left one on, but for those that are no
    # larger than the epsilon of float64
    in_order: bool = False

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
class Plan(Shown):
    """How a correlation is computed."""

    correlation: Correlation
    method: str  # one of METHODS, never "auto"
    reason: str  # why this method, for `--explain`
    # largest difference from the direct method: 0 means the same bytes. In levels for integer samples, in units of the
    # largest sample for floating ones
    error_bound: float
    cost: float  # estimated cycles for 16 samples of 8 bits
    variant: Variant  # the compiled loop
    # what the loop is given: weights over the scale, in its own order; for listed taps the distance in pixels from the
    # window's left column, and for each kernel row, bottom one first, one past its last tap
    weights: Array
    shifts: Array
    ends: Array
    line_type: str  # of the lines that source rows are widened to; the samples' own where they are read as they lie
    base: float  # what every sum starts from
    ring_lines: int  # of `line_type`, that a thread needs
    halo: tuple[int, int] = (0, 0)  # source rows that are read above and below the kernel's windows
    # rows and columns of the result, counted from the first that the loop computes, after which sums are taken anew: a
    # part of a picture has the same sums to the last bit if it begins on the grid
    grid: tuple[int, int] = (1, 1)
    block: int = 1  # rows of the result, counted likewise, that are computed together or not at all
    portable: bool = True  # the same sums on every machine: not where LAPACK has a part in them

    def _look(self) -> Look:
        c = self.correlation
        facts = {
            "why": self.reason,
            "exactness": self.exactness,
            "samples": f"{self.variant.dtype}, summed in {'int16' if self.method == 'integer' else self.line_type}",
            "kernel": f"{c.weights.shape[0]}×{c.weights.shape[1]}, anchor {c.anchor[0]},{c.anchor[1]}",
            "scale, offset": f"{c.scale:g}, {c.offset:g}",
            "border": border_text(c.border, c.outside),
            "padding": c.padding,
            "cost": f"{self.cost:.3g} cycles for 16 samples of 8 bits, estimated",
        }
        small = max(c.weights.shape) <= LARGEST_SHOWN
        return Look(f"Plan: {self.method}", facts, matrix(c.weights.tolist(), "weights as they slide") if small else "")

    @property
    def exactness(self) -> str:
        """How far it may be from the direct method, in words."""
        if self.method == "direct":
            return "the definition itself"
        if self.error_bound == 0:
            return "the same bytes as the direct method, proven"
        if self.variant.dtype[0] in "ui":
            return f"at most {self.error_bound:g} level{'s' * (self.error_bound > 1)} from the direct method"
        return f"at most {self.error_bound:.1g} of the largest sample from the direct method"
