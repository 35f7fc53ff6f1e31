"""Small pictures for people to look at, of whatever can be filtered."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.image import from_array

if TYPE_CHECKING:
    from PIL import Image

LOSSLESS_PIXELS = 2**16  # a picture of no more is kept as it is, so that its pixels can be told apart
QUALITIES, LARGEST = (80, 60, 35, 15), 2**19  # the first that takes no more bytes: of noise it takes many


def shown_range(*arrays: Array) -> tuple[float, float]:
    """What is black and what is white: the range of whole samples of 8 and 16 bits, of others 0 to 1 or what they hold.

    The arrays are of one type; samples that are not finite are left out.
    """
    dtype = arrays[0].dtype
    if dtype in (np.uint8, np.uint16):
        return 0.0, float(np.iinfo(dtype).max)
    finite = [array[np.isfinite(array)] if dtype.kind == "f" else array for array in arrays]
    low = min((float(array.min()) for array in finite if array.size), default=0.0)
    high = max((float(array.max()) for array in finite if array.size), default=1.0)
    if dtype.kind in "fb" and low >= 0 and high <= 1:
        return 0.0, 1.0
    return (low, high) if high > low else (low, low + 1)


def as_bytes(array: Array, low: float, high: float) -> Array:
    """The array in 8 bits, from black at `low` to white at `high`."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    share = (array.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low))
    return np.asarray(np.nan_to_num(np.clip(share + np.float32(0.5), 0, 255), nan=0), np.uint8)


def webp(array: Array, mode: str, side: int) -> bytes:
    """Samples of 8 bits as a WebP that is no longer than `side` pixels on a side, scaled by means.

    `mode` is Pillow's, "" for a bare array. Of channels that are no colours the first three are shown, or the first.
    """
    channels = 1 if array.ndim == 2 else array.shape[2]
    plain = mode.partition(";")[0]
    if plain in ("CMYK", "YCbCr", "HSV"):
        image = from_array(array, plain).convert("RGB")
    elif channels in (2, 4) and plain in ("LA", "RGBA"):
        image = from_array(array, plain)
    else:
        shown = array if array.ndim == 2 else array[:, :, : 3 if channels >= 3 and plain != "LAB" else 1]
        image = from_array(np.ascontiguousarray(shown), "RGB" if shown.ndim == 3 and shown.shape[2] == 3 else "L")
    if max(image.size) > side:
        image = image.reduce(-(-max(image.size) // side))
    if image.size[0] * image.size[1] <= min(LOSSLESS_PIXELS, side**2 // 16):
        return _encoded(image, lossless=True)
    for quality in QUALITIES:
        data = _encoded(image, quality=quality, method=2)
        if len(data) <= LARGEST:
            break
    return data


def _encoded(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", **options)
    return file.getvalue()
