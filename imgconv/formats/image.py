"""Between Pillow images and arrays. Pillow is imported when it is needed: PNG files mostly go without."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.memory import Samples, SampleType, address_of, bytes_at, contiguous, empty, with_padding, without_padding
from imgconv.native import kept

if TYPE_CHECKING:
    from PIL import Image

    from imgconv.formats.blocks import Block
    from imgconv.kernels.value import Blur

# everything that Pillow has been seen to raise on broken files and odd metadata
PILLOW_ERRORS = (
    OSError, ValueError, SyntaxError, NotImplementedError, TypeError, RuntimeError, IndexError, KeyError,
    AttributeError, struct.error, OverflowError, EOFError, ZeroDivisionError, AssertionError,
)  # fmt: skip

# modes whose pixels can be filtered as they are, and the type of their samples
SAMPLES = dict.fromkeys(("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "HSV"), "uint8")
SAMPLES |= {"I;16": "uint16", "I": "int32", "F": "float32"}
# what others become, without a transparent colour or level and with one
CONVERTED = {
    "1": ("L", "LA"), "L": ("L", "LA"), "P": ("RGB", "RGBA"), "RGB": ("RGB", "RGBA"), "PA": ("RGBA", "RGBA"),
    "RGBa": ("RGBA", "RGBA"), "RGBX": ("RGB", "RGB"), "La": ("LA", "LA"),
}  # fmt: skip
ONLY_IN_MEMORY = ("RGBX", "RGBa", "La")  # no file has them; bytes that can be filtered as they are, too
# left to Pillow's codecs: NumPy takes two bytes of four slower, and of LAB other bytes are kept
CODED = ("LA", "La", "LAB")
SHARED = ("L", "RGBA", "RGBX", "CMYK", "I;16")  # Pillow makes images of these over the memory of an array
MOVES = {name: kept.Function("imgconv.formats.pixels_loop", name, (), "ppi") for name in ("pack", "unpack")}
BYTES = SampleType("uint8")
STRIP_BYTES = 2**19  # of an image, taken at once: half of a second-level cache


def filterable(image: Image.Image) -> Image.Image:
    """The image in a mode of `SAMPLES`: bilevel becomes L, palettes and colour keys become L, LA, RGB or RGBA."""
    mode = mode_of(image.mode, image.has_transparency_data)  # which a palette may have, too
    if image.mode in CONVERTED:
        return image if image.mode == mode else image.convert(mode)
    if image.mode.startswith("I;16") and image.mode != "I;16":
        return from_array(np.asarray(image).astype(np.uint16), "I;16")
    if image.mode not in SAMPLES:
        raise PictureError(f"pictures of mode {image.mode} cannot be filtered")
    return image


def read(image: Image.Image, convert: bool = True) -> tuple[Image.Image, Array]:
    """An image of the caller's as it can be filtered, and its samples. Raises PictureError where Pillow fails."""
    try:
        prepared = filterable(image) if convert else image
        return prepared, to_array(prepared)
    except PILLOW_ERRORS as problem:
        raise PictureError(f"the image cannot be read: {problem}") from problem


def mode_of(mode: str, transparency: bool) -> str:
    """In which mode an image is filtered, with a transparent colour or level or without."""
    if mode in CONVERTED:
        return CONVERTED[mode][transparency]
    return "I;16" if mode.startswith("I;16") else mode


def back_in(mode: str, image: Image.Image) -> Image.Image:
    """An image that `filterable` gave, filtered since, in the mode that it had before; a palette is made anew."""
    from PIL import Image

    if mode == "1":
        return image.point([0] * 128 + [255] * 128, "1")
    if mode == "PA":
        coloured = image.convert("RGB").quantize(256)
        result = Image.merge("PA", (Image.frombytes("L", image.size, coloured.tobytes()), image.getchannel("A")))
        result.putpalette(coloured.getpalette() or [])
        return result
    if mode.startswith("I;16"):
        order = ">u2" if mode == "I;16B" else "=u2" if mode == "I;16N" else "<u2"
        return Image.frombytes(mode, image.size, np.asarray(image).astype(order).tobytes())
    return image


def to_array(image: Image.Image, block: Block | None = None, *, plain: bool = False) -> Array:
    """Pixels of an image in a mode of `SAMPLES`, shape (rows, columns) or (rows, columns, channels).

    Where they lie in `block` the array has that memory, and the image is closed. Pixels of three samples have Pillow's
    fourth byte behind them then, see `memory.with_padding`. Where `plain`, those of 8 bits are `memory.Samples`.
    """
    from imgconv.formats import blocks

    image.load()
    name, channels, (columns, rows) = SAMPLES.get(image.mode, "uint8"), len(image.getbands()), image.size
    dtype = BYTES if plain and name == BYTES.name else np.dtype(name)
    shape = (rows, columns, channels) if channels > 1 else (rows, columns)
    if image.mode in CODED or (block is None and columns * rows <= blocks.SMALL):
        return _copied(image, shape, dtype)
    if block is not None and block.core is image.im:
        image.close()
        pixels = _memory(block, dtype, blocks.Lent(block))
        return without_padding(pixels) if channels == 3 else pixels
    result = empty(shape, dtype)
    # a crop is an image of Pillow's own, whatever memory this one lies in; a small one stays in the cache
    at_once = max(1, STRIP_BYTES // (4 * columns))
    for top in range(0, rows, at_once):
        block = blocks.block_of(image.im.crop((0, top, columns, min(rows, top + at_once))))
        if block is None:
            return _copied(image, shape, dtype)
        part = result[top : top + at_once]
        if channels == 3:
            _move("pack", address_of(part), block.address, len(part) * columns)
        else:
            part[:] = _memory(block, dtype)
    return result


def _copied(image: Image.Image, shape: tuple[int, ...], dtype: Any) -> Array:
    """The pixels by Pillow's codecs."""
    if isinstance(dtype, SampleType):
        return cast(Array, Samples(shape, dtype, memoryview(image.tobytes())))
    return np.asarray(image, dtype)


def packed(array: Array, *, in_place: bool = False) -> Array:
    """The pixels without the byte that `with_padding` shows; `in_place`, the array has no pixels any more."""
    pixels = with_padding(array)
    if pixels is None:
        return array
    rows, columns, _ = array.shape
    flat = pixels.reshape(pixels.size)
    result = flat[: array.size].reshape(array.shape) if in_place else empty(array.shape, array.dtype)
    _move("pack", address_of(result), address_of(pixels), rows * columns)
    return result


def padded(array: Array, mode: str) -> tuple[Array, str]:
    """Pixels for an encoder that takes RGB with a fourth byte behind each, as Pillow has it; and their mode."""
    from imgconv.formats.blocks import SMALL

    if mode != "RGB" or array.size <= 3 * SMALL:
        return array, mode
    pixels = with_padding(array)
    if pixels is None:
        array, pixels = contiguous(array), empty((*array.shape[:2], 4), array.dtype)
        _move("unpack", address_of(pixels), address_of(array), array.size // 3)
    return pixels, "RGBX"


def from_array(array: Array, mode: str) -> Image.Image:
    """An image of `mode` from pixels as `to_array` gives them; it may share their memory."""
    from PIL import Image

    from imgconv.formats import blocks

    array = contiguous(array, SAMPLES.get(mode, "uint8"))
    if array.ndim == 3 and array.shape[2] == 1:
        array = array.reshape(array.shape[:2])
    channels = Image.getmodebands(mode)
    size = array.shape[1], array.shape[0]
    fits = array.shape[2:] == ((channels,) if channels > 1 else ()) and size[0] * size[1] > blocks.SMALL
    block = blocks.new(mode, size) if fits and mode not in (*SHARED, *CODED) else None
    if block is None:
        make: Any = Image.frombuffer if mode in SHARED else Image.frombytes
        memory = array.buffer if isinstance(array, Samples) else array
        return cast("Image.Image", make(mode, size, memory, "raw", mode, 0, 1))
    if channels == 3:
        _move("unpack", block.address, address_of(array), array.shape[0] * array.shape[1])
    else:
        _memory(block, array.dtype)[...] = array
    return blocks.image_of(block)


class Divided:
    """The pixels of an image as Pillow has them, wherever they are: what is taken of them is a copy."""

    def __init__(self, core: Any) -> None:
        self.core = core
        self.shape = *core.size[::-1], 1 if core.bands == 1 else 4

    def __getitem__(self, place: tuple[slice, slice]) -> Array:
        from imgconv.formats import blocks

        rows, columns = place
        block = blocks.part_of(self.core, rows, columns)
        if block is None:
            raise MemoryError
        shape = rows.stop - rows.start, columns.stop - columns.start, self.shape[2]
        return np.asarray(_memory(block, BYTES)).reshape(shape)


def changed(core: Any, change: Callable[[Any, Array], object], *, by_parts: bool = False) -> Any:
    """Pillow's memory of a new image like `core`, into which `change` writes what it makes of the old one's pixels.

    Both are arrays of shape (rows, columns, bytes of a pixel), as Pillow has them. None where it does not say where
    they are, or has divided them: then taking samples and giving them back is sooner done than copying pixels, unless
    that is done `by_parts`, which are taken of a `Divided`.
    """
    from imgconv.formats import blocks

    before = blocks.block_of(core) if blocks.TELLS_OF_ALL else None
    after = blocks.new(core.mode, core.size) if before or by_parts else None
    if after is None:
        return None
    divided = Divided(core)
    kind = np.dtype(np.uint8)
    old = divided if before is None else _memory(before, kind).reshape(divided.shape)
    change(old, _memory(after, kind).reshape(divided.shape))
    return after.core


def blur_filter(blur: Blur) -> Any:
    """Pillow's own filter for a blur that it has."""
    from PIL import ImageFilter

    if blur.percent is not None:
        return ImageFilter.UnsharpMask(blur.x, blur.percent, blur.threshold)
    kind = ImageFilter.BoxBlur if blur.passes == 1 else ImageFilter.GaussianBlur
    return kind((blur.x, blur.y))


def _memory(block: Block, dtype: Any, owner: object = None) -> Array:
    """The pixels of an image as they lie there, shape (rows, columns) or (rows, columns, 4); they keep an owner."""
    columns, rows = block.core.size
    several = block.size == 4 * dtype.itemsize * rows * columns
    shape = (rows, columns, 4) if several else (rows, columns)
    data = bytes_at(block.address, block.size)
    if isinstance(dtype, SampleType):
        return cast(Array, Samples(shape, dtype, data, owner=owner or block))
    stored = "<u2" if dtype == np.uint16 else dtype
    if owner is None:  # whoever asks has it: this takes a tenth of the time
        return np.ndarray(shape, stored, data)
    flat = Samples((block.size,), BYTES, data, owner=owner)
    return np.asarray(flat).view(stored).reshape(shape)


def _move(kind: str, target: int, source: int, pixels: int) -> None:
    """Pixels of three bytes into, or out of, pixels of four."""
    kept.loop(MOVES[kind]).call(target, source, pixels)
