"""Animated WebP: frames of every kind are put together as libwebp does, which Pillow asks."""

import io
import struct

import numpy as np
import pytest
from makers import noise, saved
from PIL import Image

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Picture
from imgconv.formats.read import frames_of


def three(number: int) -> bytes:
    return struct.pack("<I", number)[:3]


def riff(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def animation(seed: int) -> bytes:
    """Frames of all sizes, places, disposals and blends; the file says that it has alpha, or not."""
    rng = np.random.default_rng(seed)
    rows, columns, parts = *map(int, rng.integers(3, 40, 2)), b""
    for number in range(int(rng.integers(2, 8))):
        top, left = (2 * int(rng.integers(0, (side - 1) // 2 + 1)) for side in (rows, columns))
        bottom, right = int(rng.integers(top + 1, rows + 1)), int(rng.integers(left + 1, columns + 1))
        if rng.random() < 0.3:
            top, left, bottom, right = 0, 0, rows, columns
        pixels = noise(bottom - top, right - left, 4, seed=100 * seed + number)
        kind = rng.integers(0, 3)
        if kind < 2:
            pixels[..., 3] = 255 if kind else pixels[..., 3] // 128 * 255
        data = saved(Image.fromarray(pixels), "WEBP", lossless=bool(rng.random() < 0.6), exact=True)
        data = data[30 if data[12:16] == b"VP8X" else 12 :]
        numbers = (left // 2, top // 2, right - left - 1, bottom - top - 1, int(rng.integers(0, 500)))
        parts += riff(b"ANMF", b"".join(map(three, numbers)) + bytes([rng.integers(0, 4)]) + data)
    head = riff(b"VP8X", bytes([0x02 | 0x10 * (seed % 3 > 0), 0, 0, 0]) + three(columns - 1) + three(rows - 1))
    return riff(b"RIFF", b"WEBP" + head + riff(b"ANIM", struct.pack("<IH", 0x12345678, 3)) + parts)


def pictures(data: bytes) -> list[Picture]:
    return [frame.whole(DEFAULT) for frame in frames_of(io.BytesIO(data), len(data), "a", ".webp")]


@pytest.mark.parametrize("seed", range(40))
def test_frames_are_put_together_as_libwebp_does(seed):
    data = animation(seed)
    with Image.open(io.BytesIO(data)) as image:
        found = pictures(data)
        assert [picture.frames for picture in found] == [image.n_frames] * image.n_frames
        for number, picture in enumerate(found):
            image.seek(number)
            np.testing.assert_array_equal(picture.array, np.asarray(image))
            assert (picture.mode, picture.info["duration"]) == (image.mode, image.info["duration"])
            assert picture.info["plays"] == 3


def test_what_is_cut_is_refused_wherever_that_is():
    data = animation(7)
    assert len(pictures(data)) > 2
    for size in (*range(40, len(data) - 1, 7), len(data) - 1):
        with pytest.raises(PictureError, match=r"^a: is broken: it says"):
            pictures(data[:size])
        if shorter := pillow_frames(cut := data[:4] + struct.pack("<I", size - 8) + data[8:size]):
            assert len(pictures(cut)) == shorter
        else:
            with pytest.raises(PictureError, match=r"^a: is broken"):
                pictures(cut)


def pillow_frames(data: bytes) -> int:
    """How many Pillow sees; 0 where it sees that they are broken."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            for number in range(image.n_frames):
                image.seek(number)
                image.load()
            return image.n_frames
    except Exception:
        return 0
