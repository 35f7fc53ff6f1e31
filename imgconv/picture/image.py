"""Between Pillow images and arrays. Pillow is imported when it is needed: plain PNG files go without."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.errors import PictureError

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

# everything that Pillow has been seen to raise on broken files and odd metadata
BROKEN = (
    OSError, ValueError, SyntaxError, NotImplementedError, TypeError, RuntimeError, IndexError, KeyError,
    AttributeError, struct.error, OverflowError, EOFError, ZeroDivisionError, AssertionError,
)  # fmt: skip

# modes whose pixels can be filtered as they are, and the type of their samples
SAMPLES = {
    "L": "uint8",
    "LA": "uint8",
    "RGB": "uint8",
    "RGBA": "uint8",
    "CMYK": "uint8",
    "YCbCr": "uint8",
    "LAB": "uint8",
    "HSV": "uint8",
    "I;16": "uint16",
    "I": "int32",
    "F": "float32",
}


def plain(image: Image.Image) -> Image.Image:
    """The image in a mode of `SAMPLES`: bilevel becomes L, palettes and colour keys become L, LA, RGB or RGBA."""
    if image.mode == "1":
        return image.convert("LA" if "transparency" in image.info else "L")
    if image.mode in ("P", "PA"):
        return image.convert("RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB")
    if image.mode in ("L", "RGB") and "transparency" in image.info:
        return image.convert("LA" if image.mode == "L" else "RGBA")
    if image.mode in ("RGBa", "RGBX"):
        return image.convert("RGBA" if image.mode == "RGBa" else "RGB")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode.startswith("I;16"):
        return image if image.mode == "I;16" else from_array(np.asarray(image).astype(np.uint16), "I;16")
    if image.mode not in SAMPLES:
        raise PictureError(f"pictures of mode {image.mode} cannot be filtered")
    return image


def to_array(image: Image.Image) -> npt.NDArray[Any]:
    """Pixels of an image in a plain mode, shape (rows, columns) or (rows, columns, channels)."""
    return np.asarray(image, dtype=SAMPLES[image.mode])


def from_array(array: npt.NDArray[Any], mode: str) -> Image.Image:
    """An image of `mode` from pixels as `to_array` gives them."""
    from PIL import Image

    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    array = np.ascontiguousarray(array)
    size = (array.shape[1], array.shape[0])
    return Image.frombuffer(mode, size, array, "raw", mode, 0, 1)
