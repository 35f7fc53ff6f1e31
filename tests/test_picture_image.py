"""Between Pillow images and arrays."""

from __future__ import annotations

import numpy as np
import pytest
from makers import noise
from PIL import Image

from imgconv.errors import PictureError
from imgconv.picture.image import SAMPLES, from_array, plain, to_array

CHANNELS = {"LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "LAB": 3, "HSV": 3}


@pytest.mark.parametrize("mode", SAMPLES)
def test_pixels_go_there_and_back(mode):
    shape = (5, 7, CHANNELS[mode]) if mode in CHANNELS else (5, 7)
    array = noise(*shape, dtype="uint16" if SAMPLES[mode] != "uint8" else "uint8").astype(SAMPLES[mode])
    image = from_array(array, mode)
    assert (image.mode, image.size) == (mode, (7, 5))
    assert np.array_equal(to_array(image), array)
    assert plain(image) is image


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
    assert plain(image).mode == mode
    assert np.array_equal(np.asarray(plain(image)), np.asarray(image.convert(mode)))


def test_big_endian_samples_become_native():
    array = noise(5, 7, dtype="uint16")
    image = plain(Image.frombytes("I;16B", (7, 5), array.astype(">u2").tobytes()))
    assert image.mode == "I;16"
    assert np.array_equal(to_array(image), array)


def test_a_mode_that_cannot_be_filtered_is_named():
    class Odd:
        mode = "BGR;15"
        info = ()

    with pytest.raises(PictureError, match="BGR;15"):
        plain(Odd())
