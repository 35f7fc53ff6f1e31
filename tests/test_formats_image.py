"""Between Pillow images and arrays."""

from __future__ import annotations

import gc
import io

import numpy as np
import pytest
from makers import noise, saved
from PIL import Image

from imgconv import memory
from imgconv.errors import PictureError
from imgconv.formats import blocks
from imgconv.formats.image import SAMPLES, filterable, from_array, packed, padded, to_array
from imgconv.memory import Samples, SampleType, address_of, with_padding

CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3}


@pytest.mark.parametrize("mode", SAMPLES)
def test_pixels_go_there_and_back(mode):
    shape = (5, 7, CHANNELS[mode]) if mode in CHANNELS else (5, 7)
    array = noise(*shape, dtype="uint16" if SAMPLES[mode] != "uint8" else "uint8").astype(SAMPLES[mode])
    image = from_array(array, mode)
    assert (image.mode, image.size) == (mode, (7, 5))
    assert np.array_equal(to_array(image), array)
    assert filterable(image) is image


def test_a_channel_axis_of_one_is_dropped():
    assert from_array(noise(5, 7, 1), "L").size == (7, 5)


def test_slices_and_turned_arrays_are_copied_right():
    array = noise(10, 14, 3)
    for view in (array[::2, ::-1], array.swapaxes(0, 1), np.asfortranarray(array)):
        assert np.array_equal(np.asarray(from_array(view, "RGB")), view)


@pytest.mark.parametrize(
    ("image", "mode"),
    [
        (Image.fromarray(noise(5, 7) > 99), "L"),
        (Image.fromarray(noise(5, 7, 3)).quantize(5), "RGB"),
        (Image.fromarray(noise(5, 7, 4), "RGBA").convert("RGBa"), "RGBA"),
        (Image.fromarray(noise(5, 7, 2), "LA").convert("La"), "LA"),
        (Image.frombytes("RGBX", (7, 5), noise(5, 7, 4).tobytes()), "RGB"),
        (Image.frombytes("PA", (7, 5), noise(5, 7, 2).tobytes()), "RGBA"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_other_modes_become_plain_as_pillow_converts_them(image, mode):
    assert filterable(image).mode == mode
    assert np.array_equal(np.asarray(filterable(image)), np.asarray(image.convert(mode)))


def test_big_endian_samples_become_native():
    array = noise(5, 7, dtype="uint16")
    image = filterable(Image.frombytes("I;16B", (7, 5), array.astype(">u2").tobytes()))
    assert image.mode == "I;16"
    assert np.array_equal(to_array(image), array)


def test_a_mode_that_cannot_be_filtered_is_named():
    class Odd:
        mode = "BGR;15"
        has_transparency_data = False

    with pytest.raises(PictureError, match="BGR;15"):
        filterable(Odd())


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(blocks, "SMALL", 0)


SIZES = [(1, 1), (2, 3), (1, 9), (9, 1), (5, 7), (300, 1001), (2101, 2100)]  # the last is two blocks of Pillow's


def made(mode: str, rows: int, columns: int) -> np.ndarray:
    shape = (rows, columns, CHANNELS[mode]) if mode in CHANNELS else (rows, columns)
    return noise(*shape, dtype="uint16" if SAMPLES[mode] != "uint8" else "uint8").astype(SAMPLES[mode])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", SAMPLES)
@pytest.mark.parametrize("told", [True, False])
def test_the_bytes_are_those_of_pillows_codecs(mode, size, told, monkeypatch):
    if not told:
        monkeypatch.setattr(blocks, "HAS_ARROW", False)
    array = made(mode, *size)
    image = from_array(array, mode)
    by_pillow = Image.frombytes(mode, size[::-1], array.tobytes())
    assert image.tobytes() == by_pillow.tobytes() == array.tobytes()
    assert np.array_equal(to_array(by_pillow), array)
    assert np.array_equal(np.asarray(by_pillow), array)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", SAMPLES)
@pytest.mark.parametrize("told", [True, False])
def test_an_array_can_take_the_memory_of_an_image(mode, size, told, monkeypatch):
    if not told:
        monkeypatch.setattr(blocks, "HAS_ARROW", False)
    array = made(mode, *size)
    image = Image.frombytes(mode, size[::-1], array.tobytes())
    block = blocks.new(mode, size[::-1])
    if block is not None:
        block_image = blocks.image_of(block)
        block_image.paste(image)
        image = block_image
    plain = to_array(image.copy(), plain=True)
    assert np.array_equal(plain, array)
    assert isinstance(plain, Samples) == (array.dtype == np.uint8)
    assert np.array_equal(to_array(image, block), array)


def test_a_block_that_an_image_has_left_is_not_taken():
    block = blocks.new("RGB", (7, 5))
    array = noise(5, 7, 3)
    assert np.array_equal(to_array(from_array(array, "RGB"), block), array)


@pytest.mark.skipif(not blocks.HAS_ARROW, reason="this Pillow does not tell where its pixels are")
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kept", [lambda array: array, with_padding, lambda array: from_array(packed(array), "RGB")])
def test_memory_that_an_array_has_taken_is_there_as_long_as_the_array(plain, kept):
    array = noise(1500, 1600, 3)
    data = saved(Image.fromarray(array), "BMP")
    with Image.open(io.BytesIO(data)) as image:
        block = blocks.load(image)
        taken = to_array(image, block, plain=plain)
    assert address_of(taken) == block.address
    with pytest.raises(ValueError, match="closed image"):
        image.getpixel((0, 0))
    part = kept(taken[700:])
    del block, taken, image
    gc.collect()
    others = [from_array(noise(1500, 1600, 3, seed=seed), "RGB") for seed in range(1, 4)]
    assert np.array_equal(np.asarray(part)[:, :, :3], array[700:])
    assert len(others) == 3


def test_what_an_array_becomes_later_does_not_change_its_image():
    array = noise(5, 7, 3)
    image = from_array(array, "RGB")
    before = image.tobytes()
    array[:] = 0
    assert image.tobytes() == before


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_an_image_keeps_the_memory_of_samples(mode):
    channels = len(Image.new(mode, (1, 1)).getbands())
    array = noise(700, 800, channels)
    samples = memory.empty(array.shape, SampleType("uint8"))  # lent
    samples.data[:] = array.tobytes()
    image = from_array(*padded(samples, mode))
    where = address_of(samples)
    del samples
    gc.collect()
    others = [memory.empty(array.shape, SampleType("uint8")) for _ in range(3)]
    for other in others:
        other.data[:] = bytes(other.nbytes)
    assert np.array_equal(np.asarray(image).reshape(700, 800, -1)[:, :, :channels], array)
    assert (where in map(address_of, others)) == (mode == "RGB")  # which was copied


def test_an_array_that_does_not_fit_a_mode_is_refused():
    with pytest.raises(ValueError, match="not enough image data"):
        from_array(noise(5, 7), "RGB")
