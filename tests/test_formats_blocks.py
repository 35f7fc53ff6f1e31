"""Where Pillow keeps its pixels; and that whatever cannot be told is done by Pillow's own codecs."""

from __future__ import annotations

import io
import mmap
import subprocess
import sys

import numpy as np
import pytest
from makers import ENDINGS, noise, saved, smooth
from PIL import Image

from imgconv.formats import blocks
from imgconv.formats.image import SAMPLES, to_array

LARGE = (2100, 2101)  # 17.6 MB: Pillow makes two blocks of it
told = pytest.mark.skipif(not blocks.HAS_ARROW, reason="this Pillow does not tell where its pixels are")


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(blocks, "SMALL", 0)


def memory(block: blocks.Block) -> np.ndarray:
    """The bytes of a block, by way of its address."""
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * block.size).from_address(block.address))


@told
@pytest.mark.parametrize("form", ["JPEG", "BMP", "PPM", "WEBP"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (1, 70), (70, 1), LARGE])
def test_a_file_is_decoded_into_one_block(form, size):
    data = saved(Image.fromarray(smooth(*size)), form)
    with Image.open(io.BytesIO(data)) as image:
        block = blocks.load(image)
        assert block.core is image.im
        assert np.array_equal(memory(block).reshape(*size, 4)[:, :, :3], np.asarray(image))
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), memory(block).reshape(*size, 4)[:, :, :3])


@told
@pytest.mark.parametrize("mode", SAMPLES)
@pytest.mark.parametrize("size", [(1, 1), (3, 2), LARGE])
def test_what_is_written_into_a_new_block_is_in_its_image(mode, size):
    block = blocks.new(mode, size)
    pixel = 2 if mode == "I;16" else 1 if mode == "L" else 4
    assert block.size == size[0] * size[1] * pixel
    bytes_ = memory(block)
    bytes_[:] = noise(block.size)
    image = blocks.image_of(block)
    assert (image.mode, image.size) == (mode, size)
    if mode not in ("LA", "LAB"):
        channels = len(image.getbands())
        taken = bytes_.reshape(size[1], size[0], -1)
        taken = taken[:, :, :channels] if channels > 1 else taken.view(SAMPLES[mode])[:, :, 0]
        assert image.tobytes() == taken.tobytes()


def test_pillow_divides_images_as_before_afterwards():
    before = Image.core.get_block_size()
    blocks.new("RGB", LARGE)
    with Image.open(io.BytesIO(saved(Image.fromarray(smooth(5, 5)), "JPEG"))) as image:
        blocks.load(image)
    assert Image.core.get_block_size() == before
    divided = Image.new("RGB", LARGE)
    if blocks.HAS_ARROW:
        assert blocks.block_of(divided.im) is None
    assert np.array_equal(to_array(divided), np.zeros((*LARGE[::-1], 3)))


def test_foreign_memory_is_never_looked_into():
    # Pillow before 13 crashes when it is asked where the pixels of these are
    code = """
import numpy, sys
from PIL import Image
from imgconv.formats.image import to_array
for mode, channels in (("L", 1), ("RGBA", 4), ("CMYK", 4)):
    pixels = numpy.arange(60 * 70 * channels, dtype=numpy.uint8).reshape(60, 70, channels)
    image = Image.frombuffer(mode, (70, 60), pixels, "raw", mode, 0, 1)
    assert (to_array(Image.Image()._new(image.im)) == pixels.squeeze()).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_image_without_pixels_has_no_block():
    assert blocks.block_of(Image.new("RGB", (0, 3)).im) is None
    assert to_array(Image.new("RGB", (0, 3))).shape == (3, 0, 3)


@told
@pytest.mark.parametrize("lacking", ["constant", "function", "refusing"])
def test_without_large_pages_it_is_the_same(monkeypatch, lacking):
    if lacking == "constant":
        monkeypatch.delattr(mmap, "MADV_HUGEPAGE", raising=False)
    if lacking == "function":
        monkeypatch.setattr(blocks.ctypes, "CDLL", lambda name: object())
    if lacking == "refusing":
        monkeypatch.setattr(mmap, "MADV_HUGEPAGE", 12345, raising=False)
    blocks._advice.cache_clear()
    try:
        block = blocks.new("RGB", LARGE)
        assert (blocks._advice() is None) == (lacking != "refusing")
        memory(block)[:] = 7
        assert blocks.image_of(block).getextrema() == ((7, 7),) * 3
    finally:
        blocks._advice.cache_clear()


@told
def test_blocks_are_given_back():
    resource = pytest.importorskip("resource")
    array = smooth(600, 700)
    data = saved(Image.fromarray(array), "JPEG")

    def once():
        with Image.open(io.BytesIO(data)) as image:
            blocks.load(image)
        blocks.new("RGB", (700, 600))

    for _ in range(20):
        once()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(200):
        once()
    leaked = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert leaked < 50 * 4 * 600 * 700 / 1024 * (1024 if sys.platform == "darwin" else 1)


@pytest.mark.parametrize("form", ENDINGS)
def test_every_format_loads_as_pillow_loads_it(form):
    for array in (smooth(20, 30), noise(20, 30)):
        data = saved(Image.fromarray(array), form)
        with Image.open(io.BytesIO(data)) as image, Image.open(io.BytesIO(data)) as other:
            blocks.load(image)
            assert image.mode == other.mode
            assert np.array_equal(np.asarray(image), np.asarray(other))


def read(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    return to_array(image, blocks.load(image))


@told
def test_the_memory_of_a_jpeg_is_used_again_when_nobody_has_it():
    first, second, small, grey = (
        saved(Image.fromarray(array), "JPEG") for array in (noise(9, 8, 3), smooth(9, 8), smooth(8, 9), noise(9, 8))
    )
    array = read(first)
    address, other = array.ctypes.data, read(second)  # the first is held
    assert other.ctypes.data != address
    del other
    assert np.array_equal(array, np.asarray(Image.open(io.BytesIO(first))))
    del array
    again = read(second)
    assert again.ctypes.data == address
    for data in (second, small, grey, first):
        del again
        again = read(data)
        assert np.array_equal(again, np.asarray(Image.open(io.BytesIO(data))))
    del again
    with pytest.raises(OSError, match="truncated"):
        read(first[:-50])
