"""Small pictures for people to look at, of whatever can be filtered."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.image import from_array, to_array
from imgconv.formats.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

LOSSLESS_PIXELS = 2**16  # a picture of no more is kept as it is, so that its pixels can be told apart
LABEL, GAP = 13, 12  # pixels: the height of a label on a contact sheet, and what is between pictures
PAPER, INK, GREY = (255, 255, 255), (32, 32, 32), (128, 128, 128)
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
    return low, high if high > low else max(low + 1, math.nextafter(low, math.inf))


def as_bytes(array: Array, low: float, high: float) -> Array:
    """The array in 8 bits, from black at `low` to white at `high`."""
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.uint16:
        return (array >> 8).astype(np.uint8)
    wide = array.astype(np.result_type(array, np.float32))  # of 32 bits and more small steps far from 0 are to be seen
    with np.errstate(all="ignore"):  # NaN, infinities
        share = (wide - low) * (255 / (high - low)) + 0.5
    return np.asarray(np.nan_to_num(np.clip(share, 0, 255), nan=0), np.uint8)


def image_of(array: Array, mode: str) -> Image.Image:
    """Samples of 8 bits as an image of grey or RGB, with or without alpha.

    `mode` is Pillow's, "" for a bare array. Of channels that are no colours the first three are shown, or the first.
    """
    channels = 1 if array.ndim == 2 else array.shape[2]
    base = mode.partition(";")[0]
    if base in ("CMYK", "YCbCr", "HSV"):
        return from_array(array, base).convert("RGB")
    if channels in (2, 4) and base in ("LA", "RGBA"):
        return from_array(array, base)
    shown = array if array.ndim == 2 else array[:, :, : 3 if channels >= 3 and base != "LAB" else 1]
    return from_array(np.ascontiguousarray(shown), "RGB" if shown.ndim == 3 and shown.shape[2] == 3 else "L")


def webp(array: Array, mode: str, side: int) -> bytes:
    """Samples of 8 bits as a WebP that is no longer than `side` pixels on a side, scaled by means.

    `mode` is as `image_of` takes it.
    """
    image = image_of(array, mode)
    if max(image.size) > side:
        image = image.reduce(-(-max(image.size) // side))
    if image.size[0] * image.size[1] <= min(LOSSLESS_PIXELS, side**2 // 16):
        return _encoded(image, lossless=True)
    for quality in QUALITIES:
        data = _encoded(image, quality=quality, method=2)
        if len(data) <= LARGEST:
            break
    return data


def reduced(picture: Picture, side: int, *, crop: bool = False) -> Picture:
    """A picture as 8 bits of RGB or RGBA, no longer than `side` pixels on a side: made smaller, or its middle."""
    image = image_of(as_bytes(picture.array, *shown_range(picture.array)), picture.mode)
    image = image.convert("RGBA" if "A" in image.mode else "RGB")
    width, height = (min(side, length) for length in image.size)
    if crop:
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    else:
        image.thumbnail((side, side))
    return Picture(to_array(image), image.mode, "PNG")


def beside(pictures: Sequence[Picture], gap: int) -> Image.Image:
    """Pictures as `reduced` gives them side by side, on grey."""
    from PIL import Image

    images = [image_of(picture.array, picture.mode).convert("RGBA") for picture in pictures]
    size = sum(image.width + gap for image in images) - gap, max(image.height for image in images)
    joined, left = Image.new("RGB", size, GREY), 0
    for image in images:
        joined.paste(image, (left, 0), image)
        left += image.width + gap
    return joined


def contact_sheet(cells: Sequence[tuple[str, Array, str]], columns: int) -> Picture:
    """Pictures (a label, 8-bit samples and their mode) in rows, each above its label."""
    from PIL import Image, ImageDraw, ImageFont

    images = [image_of(array, mode).convert("RGBA") for _, array, mode in cells]
    width, height = (max(LABEL, *(image.size[axis] for image in images)) for axis in (0, 1))  # a label needs room
    font = ImageFont.load_default(LABEL)
    rows = -(-len(cells) // columns)
    across, down = width + GAP, height + 2 * LABEL + GAP
    sheet = Image.new("RGB", (columns * across + GAP, rows * down + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, (image, (label, _, _)) in enumerate(zip(images, cells, strict=True)):
        left, top = GAP + number % columns * across, GAP + number // columns * down
        sheet.paste(image, (left + (width - image.width) // 2, top + (height - image.height) // 2), image)
        while draw.textlength(label, font) > width:
            label = f"{label[:-2]}…"
        draw.text((left + width // 2, top + height + LABEL), label, INK, font, "mm")
    return Picture(to_array(sheet), "RGB", "PNG")


def _encoded(image: Image.Image, **options: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", **options)
    return file.getvalue()
