"""Palettes: exact where they can be, and otherwise as near as Pillow's best, or nearer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from makers import noise
from PIL import Image

from imgconv.formats.palette import palette_of

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def shown(indices, colours, alphas):
    palette = np.full((len(colours) // 3, 4), 255, np.uint8)
    palette[:, :3] = np.frombuffer(colours, np.uint8).reshape(-1, 3)
    palette[: len(alphas), 3] = np.frombuffer(alphas, np.uint8)
    return palette[indices]


def decibels(one, other):
    """PSNR of what is seen: colours weighed by alpha, and alpha."""
    seen = [np.dstack([array[:, :, :3] * (array[:, :, 3:] / 255), array[:, :, 3]]) for array in (one, other)]
    return 10 * np.log10(255**2 / np.mean((seen[0] - seen[1]) ** 2))


@pytest.mark.parametrize("name", ["coffee", "astronaut", "chelsea", "chelsea_cutout"])
def test_many_colours_become_as_near_ones_as_pillow_finds(name):
    """Of RGB within half a decibel of its median cut with means, in a tenth of its time; with alpha 3 dB nearer."""
    with Image.open(SAMPLES / f"{name}.png") as image:
        image = image.convert("RGBA")
    mode = "RGB" if name != "chelsea_cutout" else "RGBA"
    how, kmeans = (Image.Quantize.MEDIANCUT, 2) if mode == "RGB" else (Image.Quantize.FASTOCTREE, 0)
    pillows = image.convert(mode).resize((300, 200)).quantize(256, how, kmeans=kmeans).convert("RGBA")
    array = np.asarray(image.resize((300, 200)))
    indices, colours, alphas, note = palette_of(np.ascontiguousarray(array[:, :, : len(mode)]))
    assert "holds 256 of its" in note
    nearer = decibels(array, shown(indices, colours, alphas)) - decibels(array, np.asarray(pillows))
    assert nearer > (-0.5 if mode == "RGB" else 3)


def test_few_colours_stay_and_those_with_alpha_come_first():
    array = noise(9, 7, 4) // 64 * 64
    indices, colours, alphas, note = palette_of(array)
    seen = shown(indices, colours, alphas)
    visible = array[:, :, 3] > 0
    assert note == ""
    np.testing.assert_array_equal(seen[visible], array[visible])
    assert (seen[~visible] == 0).all()
    assert len(alphas) == len({tuple(pixel) for pixel in seen.reshape(-1, 4) if pixel[3] < 255})


@pytest.mark.parametrize("channels", [3, 4])
def test_every_pixel_becomes_the_nearest_colour(channels):
    array = noise(40, 50, channels)
    array[:, :, 3:] |= 1  # what cannot be seen is one colour
    indices, colours, alphas, _ = palette_of(array)
    palette = shown(np.arange(256)[None], colours, alphas)[0, :, :channels].astype(int)
    apart = np.square(array.astype(int)[:, :, None] - palette).sum(axis=3)
    np.testing.assert_array_equal(np.take_along_axis(apart, indices[:, :, None], 2)[:, :, 0], apart.min(axis=2))
