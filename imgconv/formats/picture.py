"""The Picture value: pixels, and what the file said about itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of one frame and everything that should travel along with them.

    Attributes
    ----------
    array : ndarray, shape (rows, columns) or (rows, columns, channels)
        uint8, uint16, int32 or float32 for pictures; any real type for bare arrays.
    mode : str
        Pillow's mode ("L", "RGB", "CMYK", "I;16", …); "LA;16", "RGB;16" and "RGBA;16", which Pillow does not have;
        "" for a bare array.
    format : str
        Pillow's name of the file format ("PNG"), or "NPY", "TEXT", "CSV".
    info : dict
        What the encoder is told again: exif, icc_profile, dpi, xmp, the chunks of a PNG, quantisation tables …
    frames : int
        How many the file holds; the pixels are those of the first.
    notes : tuple of str
        What the user should know about reading it, such as transparency that was left out.
    """

    array: npt.NDArray[Any]
    mode: str
    format: str
    info: dict[str, Any] = field(default_factory=dict)
    frames: int = 1
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """Columns × rows, as people give the size of a picture."""
        return f"{self.array.shape[1]}×{self.array.shape[0]}"

    @property
    def channels(self) -> int:
        """How many samples a pixel has."""
        return self.array.shape[2] if self.array.ndim == 3 else 1


def sound_dpi(found: Any) -> tuple[float, float] | None:
    """A resolution that every encoder can write, or None."""
    try:
        across, down = (float(number) for number in found)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    sound = all(math.isfinite(number) and 0 < number < 65535 for number in (across, down))
    return (across, down) if sound else None
