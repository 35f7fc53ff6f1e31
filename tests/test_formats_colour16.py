"""16 bits per channel in colour, in and out: what Pillow would cut to 8. OpenCV and tifffile are the judges."""

from __future__ import annotations

import io
import itertools
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from makers import adam7, chunk, exif, imgconv, noise, opened, png, saved, tiff
from PIL import Image

from imgconv.errors import PictureError
from imgconv.formats.picture import Picture
from imgconv.formats.read import parse
from imgconv.formats.tiff.colour16 import as_grey
from imgconv.formats.tiff.tags import directory_of
from imgconv.formats.write import encode

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")

MODES = {1: "I;16", 2: "LA;16", 3: "RGB;16", 4: "RGBA;16"}
KINDS = {1: 0, 2: 4, 3: 2, 4: 6}


def deep(rows: int, columns: int, channels: int) -> np.ndarray:
    return noise(rows, columns, *([channels] if channels > 1 else []), dtype="uint16")


def by_opencv(data: bytes) -> np.ndarray:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return array if array.ndim == 2 else array[:, :, [2, 1, 0, 3][: array.shape[2]]]


def array_of(data: bytes) -> np.ndarray | None:
    """The pixels of a file, None when it is broken in the eyes of imgconv."""
    try:
        return parse(data, "a").array
    except PictureError:
        return None


# PNG


@pytest.mark.parametrize("channels", MODES)
def test_interlaced_png_keeps_its_depth(channels):
    for rows, columns in [(1, 1), (1, 5), (5, 1), (2, 2), (3, 9), (8, 8), (17, 13)]:
        array = deep(rows, columns, channels)
        data = adam7(array)
        found = parse(data, "a")
        assert (found.mode, found.format) == (MODES[channels], "PNG")
        assert np.array_equal(found.array, array)
        if channels != 2:
            assert np.array_equal(by_opencv(data), array)


def test_interlaced_png_is_unfiltered_pass_by_pass():
    array = np.full((4, 4), 300, np.uint16)
    line = lambda width: b"\1" + b"\1\x2c" + b"\0\0" * (width - 1)  # noqa: E731 -- Sub: the first pixel again and again
    widths = [1, 1, 2, 2, 2, 4, 4]  # of the rows of passes 1, 4, 5, 6, 6, 7, 7
    data = bytearray(png(4, 4, 16, 0, b"".join(map(line, widths))))
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert np.array_equal(by_opencv(bytes(data)), array)
    assert np.array_equal(parse(bytes(data), "a").array, array)


@pytest.mark.parametrize(("channels", "turned"), [(1, "LA;16"), (3, "RGBA;16")])
def test_the_transparent_colour_becomes_alpha(channels, turned):
    array = deep(5, 6, channels)
    array[1:3, 2] = array[0, 0]
    key = chunk(b"tRNS", array[:1, :1].astype(">u2").tobytes())
    raw = b"".join(b"\0" + line.tobytes() for line in array.astype(">u2").reshape(5, -1))
    for data in (png(6, 5, 16, KINDS[channels], raw, key), adam7(array, key)):
        found = parse(data, "a")
        assert found.mode == turned
        assert np.array_equal(found.array[:, :, :-1].reshape(array.shape), array)
        gone = found.array[:, :, -1] == 0
        assert gone.sum() == 3
        assert set(found.array[:, :, -1][~gone].tolist()) == {65535}


def test_the_first_frame_of_an_animation_is_taken():
    array = deep(3, 4, 3)
    raw = b"".join(b"\0" + line.tobytes() for line in array.astype(">u2").reshape(3, -1))
    still = png(4, 3, 16, 2, raw, chunk(b"acTL", struct.pack(">II", 5, 0)), chunk(b"tEXt", b"a\0b"))
    found = parse(still, "a")
    assert (found.frames + found.others, found.mode) == (5, "RGB;16")
    assert [name for name, _, _ in found.info["chunks"]] == [b"tEXt"]
    assert np.array_equal(found.array, array)


def test_an_interlaced_png_is_turned_upright():
    array = deep(5, 6, 3)
    tags = exif(orientation=6).tobytes().removeprefix(b"Exif\0\0")
    found = parse(adam7(array, chunk(b"eXIf", tags)), "a", auto_orient=True)
    assert np.array_equal(found.array, np.rot90(array, -1))


def test_damage_of_an_interlaced_png_is_an_error_or_does_no_harm():
    array = deep(5, 7, 3)
    data = adam7(array)
    for at in range(len(data)):
        for change in (data[:at], data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]):
            found = array_of(change)
            assert found is None or np.array_equal(found, array), at
    bad_key = adam7(array, chunk(b"tRNS", b"\0\1"))
    with pytest.raises(PictureError, match="tRNS"):
        parse(bad_key, "a")
    bomb = bytearray(data)
    bomb[16:24] = struct.pack(">II", 2**15, 2**15)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bomb[12:29]))
    with pytest.raises(PictureError, match="cannot hold"):
        parse(bytes(bomb), "a")


# TIFF


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("tile", [None, (32, 16)])
@pytest.mark.parametrize("order", "<>")
def test_tiff_keeps_its_depth(order, tile, planes, channels):
    array = deep(70, 50, channels)
    file = io.BytesIO()
    tifffile.imwrite(
        file, array if planes == "contig" else np.moveaxis(array, 2, 0), byteorder=order, tile=tile,
        rowsperstrip=None if tile else 16, photometric="rgb" if channels > 2 else "minisblack", planarconfig=planes,
        extrasamples=["unassalpha"] if channels % 2 == 0 else None, resolution=(300, 200), resolutionunit="INCH",
    )  # fmt: skip
    found = parse(file.getvalue(), "a")
    assert (found.mode, found.format, found.frames, found.notes) == (MODES[channels], "TIFF", 1, ())
    assert np.array_equal(found.array, array)
    assert found.info["dpi"] == (300, 200)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize("predictor", [1, 2])
def test_compressed_tiff_keeps_its_depth(predictor, compression, channels):
    array = deep(70, 50, channels)
    options = [cv2.IMWRITE_TIFF_COMPRESSION, compression, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    data = cv2.imencode(".tif", array[:, :, [2, 1, 0, 3][:channels]], options)[1].tobytes()
    assert as_grey(directory_of(data))[1] == (50 if predictor == 2 and compression in (5, 8) else 0)
    found = parse(data, "a")
    assert found.mode == MODES[channels]
    assert np.array_equal(found.array, array)


@pytest.mark.parametrize("order", "<>")
def test_differences_begin_anew_in_each_tile(order):
    """Tiles of differences made by hand, as TIFF 6.0 has them, for tifffile to put into a file."""
    array = deep(64, 48, 3)
    tiles = array.reshape(4, 16, 3, 16, 3).swapaxes(1, 2).reshape(12, 16, 16, 3)
    stored = np.diff(tiles, axis=2, prepend=np.uint16(0)).reshape(4, 3, 16, 16, 3).swapaxes(1, 2).reshape(64, 48, 3)
    file = io.BytesIO()
    tifffile.imwrite(file, stored, byteorder=order, tile=(16, 16), photometric="rgb", compression="zlib")
    directory = directory_of(file.getvalue())
    data = directory.changed(file.getvalue(), {317: directory.entry(2)})
    assert np.array_equal(by_opencv(data), array)
    assert np.array_equal(parse(data, "a").array, array)


def test_extra_samples_are_what_they_say():
    array = deep(20, 30, 4)
    array[:4, :, 3] = 0
    array[:, :, :3] = np.minimum(array[:, :, :3], array[:, :, 3:])
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb", extrasamples=["assocalpha"])
    found = parse(file.getvalue(), "a").array
    assert np.array_equal(found[:, :, 3], array[:, :, 3])
    again = found[:, :, :3].astype(float) * found[:, :, 3:] / 65535
    assert np.abs(again - array[:, :, :3]).max() <= 0.5
    file = io.BytesIO()
    tifffile.imwrite(file, array, photometric="rgb", extrasamples=["unspecified"])
    found = parse(file.getvalue(), "a")
    assert found.mode == "RGB;16"
    assert np.array_equal(found.array, array[:, :, :3])
    assert "no stated meaning" in found.notes[0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_tiff_comes_in_upright_as_pillow_has_it(orientation):
    small = noise(6, 9, 3)
    tags = {274: orientation}
    expected = np.asarray(opened(saved(Image.fromarray(small), "TIFF", tiffinfo=tags)))
    file = io.BytesIO()
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(file, small.astype(np.uint16) * 257, photometric="rgb", extratags=tag, metadata=None)
    assert np.array_equal(parse(file.getvalue(), "a").array, expected.astype(np.uint16) * 257)


def test_pages_are_counted():
    file = io.BytesIO()
    tifffile.imwrite(file, np.stack([deep(5, 6, 3)] * 4), photometric="rgb")
    assert parse(file.getvalue(), "a").frames == 4


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("compression", [None, "raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_tiff_is_written_with_all_bits(compression, channels):
    told = {"exif": exif().tobytes(), "icc_profile": b"icc", "dpi": (300, 200), "xmp": b"<x/>"}
    array = deep(70, 50, channels)
    options = {"compression": compression} if compression else {}
    data = encode(Picture(array, MODES[channels], "PNG", told), "TIFF", options)[0]
    if channels > 2:
        assert np.array_equal(by_opencv(data), array)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        assert page.shape == array.shape
        assert page.dtype == np.uint16
        assert [int(value) for value in page.extrasamples] == ([2] if channels % 2 == 0 else [])
        if compression in (None, "raw"):
            assert np.array_equal(page.asarray(), array)
        assert page.tags[34675].value == b"icc"
    found = parse(data, "a")
    assert np.array_equal(found.array, array)
    assert found.info["dpi"] == (300, 200)
    assert found.info["xmp"].rstrip(b"\0") == b"<x/>"
    kept = Image.Exif()
    kept.load(found.info["exif"])
    assert (kept[271], kept.get_ifd(0x8769)[0x829D]) == ("maker", 2.8)
    assert np.array_equal(parse(encode(found, "TIFF")[0], "a").array, array)


def test_damage_of_a_deep_tiff_is_an_error_or_a_picture():
    data = encode(Picture(deep(9, 7, 4), "RGBA;16", "PNG"), "TIFF", {"compression": "tiff_lzw"})[0]
    random = np.random.default_rng(0)
    for at, bit in itertools.product(range(0, len(data), 3), (0, 7)):
        changed = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        for given in (changed, data[:at], bytes(random.permutation(np.frombuffer(data, np.uint8)))[:8] + data[8:at]):
            array_of(given)


def test_nothing_but_the_error_is_printed(tmp_path):
    data = tiff(deep(4, 5, 3))
    directory = directory_of(data)
    (tmp_path / "a.tif").write_bytes(directory.changed(data, {277: directory.entry(32772)}))
    done = imgconv("apply", tmp_path / "a.tif", "-k", "blur")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr


# PPM


def test_ppm_in_and_out():
    array = deep(5, 6, 3)
    samples = array.astype(">u2").tobytes()
    for start in (b"P6 6 5 65535\n", b"P6\n# a remark\n6 #another\n5\n65535 "):
        found = parse(start + samples, "a")
        assert (found.mode, found.format) == ("RGB;16", "PPM")
        assert np.array_equal(found.array, array)
    data = encode(Picture(array, "RGB;16", "PNG"), "PPM")[0]
    assert data == b"P6\n6 5\n65535\n" + samples
    assert np.array_equal(by_opencv(data), array)
    with pytest.raises(PictureError, match="cut short"):
        parse(data[:-1], "a")


@pytest.mark.parametrize("maximum", [256, 1023, 4095, 65534])
def test_other_ranges_of_ppm_are_widened_as_pillow_widens_grey(maximum):
    array = deep(9, 8, 3) % (maximum + 1)
    array[0, 0] = maximum
    found = parse(f"P6 8 9 {maximum}\n".encode() + array.astype(">u2").tobytes(), "a").array
    grey = parse(f"P5 24 9 {maximum}\n".encode() + array.astype(">u2").tobytes(), "a").array
    assert np.array_equal(found.reshape(9, 24), grey)
    assert found.max() == 65535
