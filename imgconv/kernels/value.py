"""The Kernel value: weights as they were written, and what their author said about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import LIKES, is_finite, is_pair, parse_border
from imgconv.errors import KernelError
from imgconv.notebook import Look, Shown

if TYPE_CHECKING:
    import numpy.typing as npt

LARGEST_SIDE = 4095  # taps along an axis; a window beyond that is a mistake or an attack
LARGEST_SIZE = LARGEST_SIDE**2
MOST_PERCENT, MOST_THRESHOLD = 10_000, 255  # of a blur that sharpens


class Blur(NamedTuple):
    """BoxBlur, GaussianBlur or UnsharpMask, which Pillow has for some formulas: passes of boxes, rounded in between."""

    x: float  # radius along rows; of a Gaussian, its standard deviation
    y: float  # along columns
    passes: int = 3  # along each axis: 3 for a Gaussian, 1 for a box
    percent: int | None = None  # what sharpens; None for a mere blur
    threshold: int = 0  # only what differs from the blur by more than that is sharpened
    lacks: str = ""  # what the formula says and Pillow has not

    @property
    def numbers(self) -> tuple[float, ...]:
        """As a file has it."""
        return self[:3] if self.percent is None else (*self[:3], self.percent, self.threshold)


@dataclass(frozen=True, eq=False)
class Kernel(Shown):
    """Weights with their scale, offset and name. Checked when made; never changed after.

    Attributes
    ----------
    weights : ndarray of float64
        As written in their source; read-only. Shape (rows, columns): the same kernel on every channel;
        (rows, columns, channels): one for each channel, as Keras' DepthwiseConv2D; (rows, columns, channels in,
        channels out): summed over the channels in, as Keras' Conv2D.
    scale : float
        Divides every weight.
    offset : float
        Added to every sum, in the units of the picture (0 to 255 for 8 bits).
    name : str
        What it is called in file names and messages.
    anchor : (int, int) or None
        Row and column of the tap that lies on the output pixel; None for the middle, (k - 1) // 2.
    border : str or None
        What stands in for pixels outside, such as "reflect" or "constant:255"; None for the default.
    like : str or None
        The tool whose convention the weights were written in. "pillow" flips them vertically before it correlates,
        and copies the pixels along the border.
    about, title, source : str
        For people.
    blur : Blur or None
        How Pillow does what its formula says: with like "pillow" that takes the place of the weights.

    Raises
    ------
    KernelError
        When the weights are empty, too large or not finite, the scale is 0, or a field has no meaning.
    """

    weights: Array
    scale: float = 1.0
    offset: float = 0.0
    name: str = "kernel"
    anchor: tuple[int, int] | None = None
    border: str | None = None
    like: str | None = None
    about: str = ""
    title: str = ""
    source: str = ""
    blur: Blur | None = None

    def __post_init__(self) -> None:
        try:
            weights = _checked(self.weights)
            if not is_finite(self.scale) or self.scale == 0:
                raise ValueError(f"scale must be a finite number other than 0, not {self.scale!r}")
            if not is_finite(self.offset):
                raise ValueError(f"offset must be a finite number, not {self.offset!r}")
            if self.like is not None and not (isinstance(self.like, str) and self.like in LIKES):
                raise ValueError(f"like = {self.like!r} is not one of {', '.join(LIKES)}")
            if self.border is not None:
                parse_border(self.border)
            if self.anchor is not None:
                rows, columns = weights.shape[:2]
                if not is_pair(self.anchor, 0):
                    raise ValueError(f"anchor {self.anchor!r} is not two whole numbers from 0 up")
                if self.anchor[0] >= rows or self.anchor[1] >= columns:
                    at = f"{self.anchor[0]},{self.anchor[1]}"
                    raise ValueError(f"anchor {at} lies outside the {rows}×{columns} weights")
        except ValueError as problem:
            raise KernelError(f"{self.name}: {problem}") from None
        object.__setattr__(self, "weights", weights)

    def __repr__(self) -> str:
        with np.printoptions(threshold=15 * 15, edgeitems=3):
            return f"Kernel({', '.join(f'{key}={value!r}' for key, value in vars(self).items())})"

    def _look(self) -> Look:
        from imgconv.kernels.shown import look  # here, because only notebooks ask

        return look(self)

    def __reduce__(self) -> tuple[Any, ...]:
        # unpickled and copied ones are checked and read-only as well
        return Kernel, tuple(vars(self).values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kernel):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.weights.tobytes(), self.scale, self.offset, self.name))  # the rest takes three times as long

    def _key(self) -> tuple[Any, ...]:
        weights, *rest = vars(self).values()
        return (weights.shape, weights.tobytes(), *rest)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.weights.shape[0], self.weights.shape[1]

    @property
    def is_symmetric(self) -> bool:
        """Whether turning the weights by 180° changes nothing, so that correlation and convolution agree."""
        return bool((self.weights == self.weights[::-1, ::-1]).all())

    @property
    def rank(self) -> int:
        """Rank of the weights, counted exactly up to rounding; 1 means separable. The largest over the channels."""
        planes = np.moveaxis(self.weights.reshape(*self.shape, -1), 2, 0)
        return int(np.linalg.matrix_rank(planes).max())


def _checked(values: npt.ArrayLike) -> Array:
    """Weights as a read-only copy. Raises ValueError when a kernel cannot have them."""
    try:
        weights = np.asarray(values)
        is_complex = weights.dtype.kind == "c"
        weights = weights.real.astype(np.float64) + 0.0  # a copy; a minus in front of 0 means nothing here
    except (TypeError, ValueError):
        raise ValueError("weights must be rows of numbers, all rows equally long") from None
    except OverflowError:
        raise ValueError("weights must be finite numbers") from None
    if is_complex:
        raise ValueError("weights must be real numbers, not complex")
    if weights.ndim not in (2, 3, 4):
        levels = "2 levels (rows, columns), 3 (and channels) or 4 (and channels out)"
        raise ValueError(f"weights need {levels}, not {weights.ndim}")
    if weights.size == 0:
        raise ValueError("has no weights")
    if max(weights.shape) > LARGEST_SIDE or weights.size > LARGEST_SIZE:
        raise ValueError(f"{weights.shape[0]}×{weights.shape[1]}, more than {LARGEST_SIDE} on a side")
    if not np.isfinite(weights).all():
        raise ValueError("weights must be finite numbers")
    weights.flags.writeable = False
    return weights


def low_anchor(shape: tuple[int, ...]) -> tuple[int, int]:
    """The tap (k - 1) // 2 of both axes: the middle, or for even sizes the one before it."""
    return (shape[0] - 1) // 2, (shape[1] - 1) // 2


def high_anchor(shape: tuple[int, ...]) -> tuple[int, int]:
    """The tap k // 2 of both axes: the middle, or for even sizes the one after it."""
    return shape[0] // 2, shape[1] // 2
