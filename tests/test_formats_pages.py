"""Multi-page TIFFs: pages of any size and mode, read and written, held against Pillow and tifffile."""

import io

import numpy as np
import pytest
import tifffile
from makers import noise, saved
from PIL import Image, ImageSequence

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Picture
from imgconv.formats.read import frames_of


def pages(data: bytes, wanted=None) -> list[Picture]:
    return [frame.whole(DEFAULT) for frame in frames_of(io.BytesIO(data), len(data), "a", wanted=wanted)]


def of_three(**options) -> bytes:
    arrays = noise(40, 50, 3), noise(30, 20), noise(10, 12, dtype="uint16")
    first, *others = map(Image.fromarray, arrays)
    return saved(first, "TIFF", save_all=True, append_images=others, **options)


@pytest.mark.parametrize("options", [{}, {"compression": "tiff_lzw"}, {"big_tiff": True}])
def test_every_page_has_the_pixels_that_pillow_sees(options):
    data = of_three(**options)
    with Image.open(io.BytesIO(data)) as image:
        expected = [np.asarray(page) for page in ImageSequence.Iterator(image)]
    found = pages(data)
    assert [(page.frames, page.number) for page in found] == [(3, 1), (3, 2), (3, 3)]
    for page, array in zip(found, expected, strict=True):
        np.testing.assert_array_equal(page.array, array)
    assert [page.number for page in pages(data, (1, 3))] == [1, 3]
    with pytest.raises(PictureError, match="has 3 frames, and no number 4"):
        pages(data, (4,))


def test_pages_of_tiles_and_of_16_bit_colour_are_read():
    arrays = [noise(40, 50, 3, dtype="uint16"), noise(40, 50, 3), noise(70, 33, 3)]
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for array, tile in zip(arrays, (None, (16, 16), (32, 32)), strict=True):
            writer.write(array, photometric="rgb", tile=tile, metadata=None)
    for page, array in zip(pages(file.getvalue()), arrays, strict=True):
        np.testing.assert_array_equal(page.array, array)


def test_smaller_versions_of_a_page_are_none():
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for side, kind in ((64, 0), (32, 1), (16, 1)):
            writer.write(noise(side, side, 3), photometric="rgb", subfiletype=kind, metadata=None)
    (found,) = pages(file.getvalue())
    assert (found.frames, found.others, found.size) == (1, 2, "64×64")


def test_a_chain_of_pages_that_breaks_is_an_error_unless_the_first_is_asked_for():
    data = bytearray(of_three())
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        offset = tiff.pages[1].offset
    data[offset : offset + 2] = b"\xff\xff"
    with pytest.raises(PictureError, match="--frames first"):
        pages(bytes(data))
    assert len(pages(bytes(data), (1,))) == 1
