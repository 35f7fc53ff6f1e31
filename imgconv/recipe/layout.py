"""What the samples of a picture are: the type to come back to, its range, and what the channels mean."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.formats.table import mode_of
from imgconv.memory import with_padding

# how each sample type is computed when no loop takes it as it is; the result comes back in the type that went in
WIDER = {
    "bool": "uint8", "int8": "int32", "int16": "int32", "uint32": "float64", "int64": "float64", "uint64": "float64",
    "float16": "float32",
}  # fmt: skip
LETTERS = {
    "L": "l", "LA": "la", "RGB": "rgb", "RGBA": "rgba", "CMYK": "cmyk", "YCbCr": "ybr", "HSV": "hsv", "LAB": "lab",
    "I": "l", "F": "l", "La": "la", "RGBa": "rgba", "RGBX": "rgba",
}  # fmt: skip
BY_COUNT = {1: "l", 2: "la", 3: "rgb", 4: "rgba"}
EXACT = 2.0**53  # whole numbers up to here are exact in float64
LARGEST_SQUARED = 1e140  # samples whose squares can be added up


class Layout(NamedTuple):
    """What is known about a picture while kernels are applied to it."""

    mode: str  # Pillow's, of the picture that came in; "" for a bare array
    back: np.dtype[Any]  # the type to come back to
    letters: str  # one for each channel that there is now, such as "rgba"; "" where they have none

    @property
    def top(self) -> float:
        """Of the range of `back`: 255 for 8 bits, 1 for floating samples."""
        return float(np.iinfo(self.back).max) if self.back.kind in "iu" else 1.0

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.letters in ("la", "rgba")

    @property
    def premultiplied(self) -> bool:
        """Whether the colours are weighed by alpha as they stand."""
        return self.has_alpha and self.mode in ("La", "RGBa")

    def shift(self, samples: Array) -> Array:
        """Moves a and b of LAB in place: signed outside, as Pillow and TIFF have them; here, 128 more."""
        if self.letters == "lab" and samples.dtype == np.uint8:
            samples[:, :, 1:] ^= 128
        elif self.letters == "lab":  # a result that is left floating
            samples[:, :, 1:] -= 128
        return samples

    def finished(self, samples: Array, floating: bool) -> Array:
        """A result, changed in place, as it is handed out: of the type to come back to unless it is left floating."""
        samples = self.shift(samples)
        if samples.dtype == self.back or (floating and self.back.kind != "f"):
            return samples
        return samples.astype(self.back)

    def of_channels(self, count: int) -> Layout:
        """What is known when a kernel has left so many channels."""
        return self._replace(letters=BY_COUNT.get(count, "")) if self.mode and count != len(self.letters) else self

    def mode_of(self, count: int, dtype: np.dtype[Any]) -> str:
        """The mode that a picture has after its channels or its type have changed to those."""
        before = len(letters_of(self.mode) or "l")
        if not self.mode or (count == before and dtype == self.back):
            return self.mode
        known = dtype.kind == "f" or dtype == self.back in (np.uint8, np.uint16)
        return (known and mode_of(dtype, count)) or f"{count} channels of {dtype}"


def letters_of(mode: str) -> str:
    """The channels of Pillow's mode as letters: "rgba" for RGBA and RGBA;16; "" for a mode without any."""
    return LETTERS.get(mode.partition(";")[0], "")


def samples_of(array: Array, mode: str, *, padded: bool = False) -> tuple[Array, Layout]:
    """The array as (rows, columns, channels) of a type that the loops take, and what they are; it may stay `padded`.

    Raises PictureError when the array is no picture.
    """
    array = np.asarray(array)
    kind, layout = layout_of(array, mode)
    if padded and kind == array.dtype == np.uint8 and with_padding(array) is not None:
        return array, layout
    samples = as_samples(array, kind)
    return layout.shift(samples.copy()) if layout.letters == "lab" else samples, layout


def layout_of(array: Array, mode: str) -> tuple[np.dtype[Any], Layout]:
    """The type that the loops take such an array in, and what its samples are, which are not looked at.

    Raises PictureError as `samples_of` does.
    """
    if array.ndim not in (2, 3):
        raise PictureError(f"an array of {array.ndim} dimensions is no picture; it takes (rows, columns[, channels])")
    if array.size == 0:
        raise PictureError(f"an array of shape {array.shape} has no pixels")
    return _kept_layout(array.dtype, mode)


@lru_cache(maxsize=64)
def _kept_layout(dtype: np.dtype[Any], mode: str) -> tuple[np.dtype[Any], Layout]:
    back = dtype.newbyteorder("=")
    name = WIDER.get(back.name, back.name)
    if name not in ("uint8", "uint16", "int32", "float32", "float64"):
        raise PictureError(f"samples of type {back} cannot be filtered; convert them to a real type such as float64")
    return np.dtype(name), Layout(mode, back, letters_of(mode))


def as_samples(array: Array, kind: np.dtype[Any]) -> Array:
    """The array as (rows, columns, channels) of the type that `layout_of` gives.

    Raises PictureError when it holds whole numbers that are not exact in that type.
    """
    if kind == np.float64 and array.dtype.kind in "iu" and max(float(array.max()), -float(array.min())) > EXACT:
        back = array.dtype.newbyteorder("=")
        raise PictureError(f"{back} samples beyond 2**53 cannot be summed exactly; convert them to float64 first")
    # aligned: where loops read samples in place, they count in samples from their own memory
    return np.require(array[:, :, None] if array.ndim == 2 else array, kind, ("C", "A"))


def check_squares(what: str, *arrays: Array) -> None:
    """Raises PictureError where samples have no squares that can be added up, as `what` does."""
    largest = max(max(abs(float(array.min())), abs(float(array.max()))) for array in arrays)
    if not all(np.isfinite(array).all() for array in arrays):
        raise PictureError(f"the pictures hold nan or inf; {what} takes finite samples")
    if largest > LARGEST_SQUARED:
        raise PictureError(f"the pictures hold samples beyond {LARGEST_SQUARED:g}; {what} adds up squares")
