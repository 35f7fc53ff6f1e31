"""Frames are read and written some rows at a time: with the pixels that Pillow, OpenCV and NumPy see."""

from __future__ import annotations

import io
import itertools
import re
import shutil
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from makers import exif, noise, png, png16, saved, smooth, tiff
from PIL import Image

from imgconv.errors import PictureError, WriteError
from imgconv.formats import jpeg
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.read import frames_of, parse
from imgconv.formats.tiff import strips as module
from imgconv.formats.write import encode, sink_of


def frame(data: bytes, name: str = "a", **options) -> Frame:
    return next(frames_of(io.BytesIO(data), len(data), name, Path(name).suffix, **options))


def pixels(found, counts=(5, 1, 9)) -> np.ndarray:
    """All rows, so many at a time."""
    rows, columns, channels = (*found.about.array.shape, 1)[:3]
    array = np.empty((rows, columns, channels), found.about.array.dtype)
    done = 0
    for count in itertools.cycle(counts):
        if done == rows:
            break
        found.read(array[done : done + count])
        done += len(array[done : done + count])
    return array.reshape(found.about.array.shape)


def outside(data: bytes) -> np.ndarray:
    """The first frame as Pillow has it, or OpenCV, where Pillow would cut 16 bits in colour."""
    if data[:2] in (b"\x89P", b"P6"):
        array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if array.dtype == np.uint16:
            return cv2.cvtColor(array, cv2.COLOR_BGR2RGB)
    image = Image.open(io.BytesIO(data))
    image = image.convert({"1": "L", "P": "RGB"}.get(image.mode, image.mode))
    array = np.asarray(image)
    return (
        array.astype("uint16") if image.mode.startswith("I;16") or (data[:2] == b"P5" and array.itemsize > 1) else array
    )


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def pnm(head: bytes, array: np.ndarray) -> bytes:
    return head + array.tobytes()


TOLD = {"exif": exif(), "dpi": (300, 200), "icc_profile": b"profile " * 9}
GREY, RGB = noise(23, 17), noise(23, 17, 3)
LARGE = Image.fromarray(smooth(700, 800))
READ = {
    "png": saved(Image.fromarray(RGB), "PNG", **TOLD),
    "png with alpha": saved(Image.fromarray(noise(23, 17, 4)), "PNG"),
    "png, grey with alpha": saved(Image.fromarray(noise(23, 17, 2)), "PNG"),
    "png 16": png16(noise(23, 17, 3, dtype="uint16")),
    "pgm": saved(Image.fromarray(GREY), "PPM"),
    "ppm": saved(Image.fromarray(RGB), "PPM"),
    "ppm with remarks": pnm(b"P6 # 9 9\n#255\n 17 23\n#\n255\t", RGB),
    "ppm 16": pnm(b"P6\n17 23\n65535\n", noise(23, 17, 3, dtype="uint16").astype(">u2")),
    "pgm 16": pnm(b"P5\n17 23\n65535\n", noise(23, 17, dtype="uint16").astype(">u2")),
    "tiff": saved(Image.fromarray(RGB), "TIFF", **TOLD),
    "tiff, large": saved(LARGE, "TIFF"),
    "tiff of two": saved(Image.fromarray(RGB), "TIFF", save_all=True, append_images=[Image.fromarray(GREY)]),
    "tiff by hand": tiff(noise(23, 17, dtype="uint16")),
    "tiff int32": tiff(noise(23, 17, dtype="uint16").astype("int32")),
    "tiff float32": tiff(noise(23, 17, dtype="uint16").astype("float32")),
    "tiff by OpenCV": cv2.imencode(".tif", RGB)[1].tobytes(),
    "tiff uint16 by OpenCV": cv2.imencode(".tif", noise(230, 170, dtype="uint16"))[1].tobytes(),
} | {
    f"tiff {mode} {packed}": saved(LARGE.convert(mode).resize((300, 411)), "TIFF", compression=packed)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
    for packed in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd")
    if not (mode in ("LAB", "I;16") and LARGE.mode == "RGB")
} | {
    f"tiff {packed}": saved(LARGE.convert("1"), "TIFF", compression=packed) for packed in ("group3", "group4")
} | {"tiff jpeg": saved(LARGE, "TIFF", compression="jpeg")}  # fmt: skip
ARRAYS = {
    f"npy {array.dtype} {array.ndim}": array
    for array in (
        noise(23, 17), noise(23, 17, 3, dtype="uint16"), noise(23, 17, 5).astype("float64"), noise(9, 4) > 99,
        noise(23, 17, 1).astype(">f4"), noise(23, 17).astype("int64"), noise(23, 17).astype(">i2"),
        noise(23, 17).astype("float16"),
    )
}  # fmt: skip


@pytest.mark.parametrize("kind", READ)
def test_rows_have_the_pixels_that_others_see(kind):
    expected = outside(READ[kind])
    for counts in ((5, 1, 9), (1,), (1000,)):
        found = frame(READ[kind])
        assert found.about.array.dtype == expected.dtype
        assert found.about.frames == (2 if kind == "tiff of two" else 1)
        np.testing.assert_array_equal(pixels(found, counts), expected)
    picture = parse(READ[kind], "a")
    np.testing.assert_array_equal(picture.array, expected)
    if kind in ("png", "tiff"):
        assert {key: picture.info[key] for key in ("dpi", "icc_profile")} == {
            "dpi": pytest.approx((300, 200), rel=1e-3), "icc_profile": TOLD["icc_profile"],
        }  # fmt: skip


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_are_read_in_strips(kind):
    for data, name in ((npy(ARRAYS[kind]), "a"), (npy(ARRAYS[kind], version=(2, 0)), "a.NPY")):
        found = frame(data, name)
        assert (found.about.mode, found.about.format) == ("", "NPY")
        assert found.about.array.dtype == ARRAYS[kind].dtype.newbyteorder("=")
        np.testing.assert_array_equal(pixels(found), ARRAYS[kind])


def turned() -> bytes:
    return saved(Image.fromarray(RGB), "TIFF", exif=exif(orientation=6))


AT_ONCE = {
    "jpeg": saved(Image.fromarray(RGB), "JPEG"),
    "palette": saved(Image.fromarray(RGB).quantize(9), "PNG"),
    "tiff upside down": turned(),
    "by columns": npy(np.asfortranarray(noise(4, 5))),
    "plain text": b"1 2\n3 4\n",
    "pgm of other range": b"P5 2 2 99 abcd",
    "bilevel ppm": b"P4 8 1 \1",
}


@pytest.mark.parametrize("kind", AT_ONCE)
def test_the_unusual_is_read_at_once(kind):
    found = frame(AT_ONCE[kind])
    assert found.read is None
    assert found.about.array.strides != (0, 0)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (npy(noise(4)), "shape (4,) is no picture's"),
        (npy(np.zeros((0, 3))), "shape (0, 3) is no picture's"),
        (b"", "is empty"),
        (b"II+\0" + bytes(100), "is not a picture that can be read"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "is"),
        (b"II*\0", "is"),
    ],
)
def test_what_is_no_picture_is_refused(data, told):
    with pytest.raises(PictureError, match=re.escape(f"a: {told}")):
        frame(data)


def test_planes_and_tiles_are_read_at_once():
    for extra in ({"planarconfig": "separate"}, {"tile": (16, 16)}):
        file = io.BytesIO()
        array = noise(3, 20, 30) if "planarconfig" in extra else noise(20, 30, 3)
        tifffile.imwrite(file, array, photometric="rgb", **extra)
        found = frame(file.getvalue())
        assert found.read is None
        np.testing.assert_array_equal(found.about.array, outside(file.getvalue()))


def test_what_must_be_turned_upright_is_read_at_once():
    data = saved(Image.fromarray(RGB), "PNG", exif=exif(orientation=6))
    np.testing.assert_array_equal(frame(data, auto_orient=True).about.array, np.rot90(RGB, -1))
    assert frame(data).read is not None
    assert frame(READ["png 16"], auto_orient=True).read is not None


@pytest.mark.parametrize(
    ("data", "name", "told"),
    [
        (png(2, 1, 8, 0, b"\0\1\2")[:35], "a", "ends before its pixels"),
        (npy(noise(4, 5))[:-1], "a", "cut short"),
        (saved(Image.fromarray(RGB), "PPM")[:-1], "a", "cut short"),
        (b"no array", "a.npy", "not a sound .npy"),
        (tiff(noise(4, 5).astype("uint32")), "a", "32-bit samples"),
    ],
)
def test_what_is_broken_is_told_before_pixels_are_read(data, name, told):
    with pytest.raises(PictureError, match=f"^{name}: .*{told}"):
        frame(data, name)


def test_a_damaged_tiff_is_told_when_its_strip_is_read():
    data = bytearray(saved(LARGE, "TIFF", compression="tiff_adobe_deflate"))
    found = frame(bytes(data))
    at = data.index(struct.pack("<HH", 273, 4)) + 8
    (where,) = struct.unpack("<I", data[at : at + 4])
    starts = struct.unpack("<9I", data[where : where + 36])
    data[starts[8] : starts[8] + 40] = bytes(40)
    found = frame(bytes(data))
    with pytest.raises(PictureError, match=r"^a: is broken") as caught:
        pixels(found, (100,))
    assert len(str(caught.value).splitlines()) == 1


def test_no_memory_is_taken_for_a_tiff_that_claims_much():
    data = bytearray(tiff(noise(4, 5)))
    for tag in (256, 257, 278):
        at = data.index(struct.pack("<HHI", tag, 4, 1)) + 8
        data[at : at + 4] = struct.pack("<I", 30_000)
    with pytest.raises(PictureError, match=r"^a: is broken"):
        frame(bytes(data))


# writing

MODES = {
    "L": ("uint8", 1), "LA": ("uint8", 2), "RGB": ("uint8", 3), "RGBA": ("uint8", 4), "I;16": ("uint16", 1),
    "RGB;16": ("uint16", 3), "CMYK": ("uint8", 4), "I": ("int32", 1), "F": ("float32", 1), "LAB": ("uint8", 3),
}  # fmt: skip


def picture(mode: str, rows: int = 301, columns: int = 211, **info) -> Picture:
    dtype, channels = MODES[mode]
    shape = (rows, columns) if channels == 1 else (rows, columns, channels)
    return Picture(noise(*shape, dtype="uint16" if dtype != "uint8" else dtype).astype(dtype), mode, "PNG", info)


def written(given: Picture, form: str, options=None, strips: int = 2) -> bytes:
    file = io.BytesIO()
    about = replace(given, array=unread(given.array.shape, given.array.dtype))
    sink = sink_of(about, form, options or {})
    sink.begin(file)
    step = strips * sink.step
    for start in range(0, len(given.array), step):
        sink.write(given.array[start : start + step])
    sink.end()
    return file.getvalue()


INFO = {"xmp": b"<x:xmpmeta/>", "exif": exif().tobytes(), "dpi": (300, 200), "icc_profile": b"profile " * 9}


@pytest.mark.parametrize(
    ("form", "mode"),
    [(form, mode) for form, modes in {"PNG": "L LA RGB RGBA I;16 RGB;16", "PPM": "L RGB I;16", "NPY": "L RGB F"}.items()
     for mode in modes.split()],
)  # fmt: skip
def test_the_file_is_that_of_the_whole_way(form, mode):
    for info in ({}, INFO):
        given = picture(mode, **info)
        for strips in (1, 2, 1000):
            assert written(given, form, strips=strips) == encode(given, form)[0]


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "CMYK", "I", "F", "LAB"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
def test_a_tiff_is_put_together(mode, compression, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE_BYTES", 2**12)
    for rows, columns in ((1, 1), (7, 3), (3, 70_000), (901, 211)):
        given = picture(mode, rows, columns, **INFO)
        data = written(given, "TIFF", {"compression": compression})
        image, whole = Image.open(io.BytesIO(data)), parse(data, "a")
        assert np.array_equal(whole.array, given.array)
        assert whole.mode == mode
        assert image.info["compression"] == compression
        assert image.info["icc_profile"] == INFO["icc_profile"]
        assert image.info["dpi"] == (300, 200)
        assert image.info["xmp"] == INFO["xmp"]
        assert image.getexif()[271] == "maker"
        assert image.getexif().get_ifd(0x8769)[0x829D] == pytest.approx(2.8)
        alone = encode(replace(given, info={}), "TIFF", {"compression": compression})[0]
        assert len(data) < len(alone) * 1.1 + 1000


def test_others_read_the_tiff():
    for mode in ("L", "RGB", "I;16"):
        given = picture(mode, 2000, 1000)
        data = written(given, "TIFF", {"compression": "tiff_lzw"})
        found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(found[:, :, ::-1] if mode == "RGB" else found, given.array)


def test_the_tiff_keeps_the_compression_of_the_old_one():
    given = replace(picture("RGB", compression="packbits"), format="TIFF")
    assert Image.open(io.BytesIO(written(given, "TIFF"))).info["compression"] == "packbits"


def test_more_than_4_gb_are_refused(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_FILE", 100_000)
    with pytest.raises(WriteError, match="more than 4 GB"):
        written(picture("RGB"), "TIFF")


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
def test_pngcheck_finds_nothing_wrong(tmp_path):
    for mode in ("L", "RGBA", "RGB;16"):
        (tmp_path / "a.png").write_bytes(written(picture(mode, 1000, 500, dpi=(72, 72)), "PNG"))
        subprocess.run(["pngcheck", "-q", tmp_path / "a.png"], check=True)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_that_of_the_whole_way(mode, monkeypatch):
    monkeypatch.setattr(jpeg, "SMALLEST", 1)
    monkeypatch.setattr(jpeg, "STRIP_PIXELS", 2**12)
    for info in ({}, INFO, {"xmp": b"x" * 70_000}):
        given = picture(mode, **info)
        for options in ({}, {"quality": 60}, {"subsampling": 2}):
            for strips in (1, 2, 1000):
                assert written(given, "JPEG", options, strips) == encode(given, "JPEG", options)[0]
    about = replace(given, array=unread(given.array.shape, given.array.dtype))
    assert sink_of(about, "JPEG", {}).notes == encode(given, "JPEG")[1] != ()


@pytest.mark.parametrize(
    ("form", "columns", "options", "at_once"),
    [
        ("JPEG", 2000, {"quality": 30}, False), ("JPEG", 20, {}, True), ("JPEG", 2000, {"progressive": True}, True),
        ("JPEG", 2000, {"optimize": True}, True), ("PNG", 2000, {"optimize": True}, False), ("GIF", 2000, {}, True),
    ],
)  # fmt: skip
def test_only_what_pillow_must_write_is_written_at_once(form, columns, options, at_once):
    about = Picture(unread((2000, columns, 3), np.dtype("uint8")), "RGB", "PNG")
    assert (sink_of(about, form, options).step is None) == at_once


def test_encoder_options_are_followed():
    given = picture("RGB")
    for options in ({"compress_level": 0}, {"compress_level": 9}, {"optimize": True}):
        assert written(given, "PNG", options) == encode(given, "PNG", options)[0]


@pytest.mark.parametrize(("form", "mode"), [("PNG", "CMYK"), ("PPM", "RGBA"), ("PNG", "F")])
def test_what_a_format_cannot_hold_is_refused_at_once(form, mode):
    with pytest.raises(WriteError, match=f"{form} cannot hold"):
        sink_of(picture(mode), form, {})


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_one_thread_is_one_thread(form, monkeypatch):
    given = picture("RGB", 1200, 1100)
    whole = encode(given, form)[0]

    def refuse(*args, **options):
        raise AssertionError("a thread was started")

    monkeypatch.setattr("imgconv.threads._begin", refuse)
    assert encode(given, form, None, 1)[0] == whole
    file = io.BytesIO()
    sink = sink_of(given, form, {}, 1)
    sink.begin(file)
    sink.write(given.array)
    sink.end()
    assert file.getvalue() == whole
    if form == "PNG":
        found = frame(whole, "a.png", threads=1)
        np.testing.assert_array_equal(pixels(found, (600,)), given.array)
    with pytest.raises(AssertionError, match="thread"):
        encode(given, form)
