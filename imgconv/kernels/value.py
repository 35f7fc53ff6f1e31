"""The Kernel value: weights as they were written, and what their author said about them."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.conventions import LIKES, is_finite, is_pair, parse_border
from imgconv.errors import KernelError

if TYPE_CHECKING:
    import numpy.typing as npt

LARGEST_SIDE = 4095  # taps along an axis; a window beyond that is a mistake or an attack
LARGEST_SIZE = LARGEST_SIDE**2


@dataclass(frozen=True, eq=False)
class Kernel:
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

    Raises
    ------
    KernelError
        When the weights are empty, too large or not finite, the scale is 0, or a field has no meaning.
    """

    weights: npt.NDArray[np.float64]
    scale: float = 1.0
    offset: float = 0.0
    name: str = "kernel"
    anchor: tuple[int, int] | None = None
    border: str | None = None
    like: str | None = None
    about: str = ""
    title: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        try:
            weights = np.asarray(self.weights)
            if weights.dtype.kind == "c":
                raise KernelError(f"{self.name}: weights must be real numbers, not complex")
            weights = weights.astype(np.float64) + 0.0  # a copy; a minus in front of 0 means nothing here
        except (TypeError, ValueError):
            raise KernelError(f"{self.name}: weights must be rows of numbers, all rows equally long") from None
        if weights.ndim not in (2, 3, 4):
            raise KernelError(
                f"{self.name}: weights need 2 levels (rows, columns), 3 (and channels) or 4 (and channels out),"
                f" not {weights.ndim}"
            )
        if weights.size == 0:
            raise KernelError(f"{self.name}: has no weights")
        if max(weights.shape) > LARGEST_SIDE or weights.size > LARGEST_SIZE:
            raise KernelError(f"{self.name}: {weights.shape[0]}×{weights.shape[1]}, more than {LARGEST_SIDE} on a side")
        if not np.isfinite(weights).all():
            raise KernelError(f"{self.name}: weights must be finite numbers")
        if not is_finite(self.scale) or self.scale == 0:
            raise KernelError(f"{self.name}: scale must be a finite number other than 0, not {self.scale!r}")
        if not is_finite(self.offset):
            raise KernelError(f"{self.name}: offset must be a finite number, not {self.offset!r}")
        if self.like is not None and not (isinstance(self.like, str) and self.like in LIKES):
            raise KernelError(f"{self.name}: like = {self.like!r} is not one of {', '.join(LIKES)}")
        if self.border is not None:
            try:
                parse_border(self.border)
            except ValueError as problem:
                raise KernelError(f"{self.name}: {problem}") from None
        if self.anchor is not None and not is_pair(self.anchor, 0):
            raise KernelError(f"{self.name}: anchor {self.anchor!r} is not two whole numbers from 0 up")
        if self.anchor is not None and not all(0 <= a < k for a, k in zip(self.anchor, weights.shape, strict=False)):
            raise KernelError(
                f"{self.name}: anchor {self.anchor[0]},{self.anchor[1]} lies outside the"
                f" {weights.shape[0]}×{weights.shape[1]} weights"
            )
        weights.flags.writeable = False
        object.__setattr__(self, "weights", weights)

    def __repr__(self) -> str:
        with np.printoptions(threshold=15 * 15, edgeitems=3):
            fields = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in dataclass_fields(self))
        return f"Kernel({fields})"

    def __reduce__(self) -> tuple[Any, ...]:
        # unpickled and copied ones are checked and read-only as well
        return Kernel, tuple(getattr(self, field.name) for field in dataclass_fields(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Kernel):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        fields = (self.scale, self.offset, self.name, self.anchor, self.border, self.like)
        return (self.weights.shape, self.weights.tobytes(), *fields, self.about, self.title, self.source)

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


def low_anchor(shape: tuple[int, ...]) -> tuple[int, int]:
    """The tap (k - 1) // 2 of both axes: the middle, or for even sizes the one before it."""
    return (shape[0] - 1) // 2, (shape[1] - 1) // 2


def high_anchor(shape: tuple[int, ...]) -> tuple[int, int]:
    """The tap k // 2 of both axes: the middle, or for even sizes the one after it."""
    return shape[0] // 2, shape[1] // 2
