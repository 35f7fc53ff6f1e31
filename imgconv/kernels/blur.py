"""What Pillow has for some formulas: no weights, but passes of boxes that are rounded in between."""

from __future__ import annotations

from typing import NamedTuple

MOST_PERCENT, MOST_THRESHOLD = 10_000, 255


class Blur(NamedTuple):
    """BoxBlur, GaussianBlur or UnsharpMask.

    Attributes
    ----------
    x, y : float
        Radii along rows and along columns; of a Gaussian, its standard deviations.
    passes : int
        Along each axis: 3 for a Gaussian, 1 for a box.
    percent : int or None
        What sharpens; None for a mere blur.
    threshold : int
        Only what differs from the blur by more than that is sharpened.
    lacks : str
        What the formula says and Pillow has not, or "".
    """

    x: float
    y: float
    passes: int = 3
    percent: int | None = None
    threshold: int = 0
    lacks: str = ""

    @property
    def numbers(self) -> tuple[float, ...]:
        """As a file has it."""
        return self[:3] if self.percent is None else (*self[:3], self.percent, self.threshold)
