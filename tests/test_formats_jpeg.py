"""JPEG in strips: the files are those that Pillow itself writes with restart markers."""

from __future__ import annotations

import io
import os
from dataclasses import replace

import numpy as np
import pytest
from makers import exif, noise, opened, saved, smooth
from PIL import Image

from imgconv.errors import WriteError
from imgconv.formats import blocks, jpeg
from imgconv.formats.jpeg import JpegSink, segments
from imgconv.formats.picture import Picture
from imgconv.formats.read import parse
from imgconv.formats.write import encode

MODES = {"L": 1, "RGB": 3, "CMYK": 4}


def encode_jpeg(array, mode, options, threads=None):
    return in_strips(array, mode, options, threads, len(array))


def in_strips(array, mode, options, threads, rows):
    file, sink = io.BytesIO(), JpegSink(array, mode, options, threads)
    sink.begin(file)
    for start in range(0, len(array), rows):
        sink.write(array[start : start + rows])
    sink.end()
    return file.getvalue()


@pytest.fixture(autouse=True)
def small_strips(monkeypatch):
    monkeypatch.setattr(jpeg, "STRIP_PIXELS", 2**10)
    monkeypatch.setattr(jpeg, "SMALLEST", 2**12)


def made(mode, rows, columns):
    return noise(rows, columns, MODES[mode]) if MODES[mode] > 1 else noise(rows, columns)


def by_pillow(array, mode, down, step, **options):
    """What Pillow writes with a marker behind every `step` rows of pixels, of which `down` are coded together."""
    return saved(Image.frombytes(mode, array.shape[1::-1], array.tobytes()), "JPEG",
                 restart_marker_rows=step // down, **options)  # fmt: skip


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (64, 64), (333, 61), (100, 2000), (401, 17)])
@pytest.mark.parametrize(
    ("mode", "options", "down"),
    [
        ("RGB", {"quality": 90, "subsampling": 0}, 8),
        ("RGB", {"quality": 75, "subsampling": 1}, 8),
        ("RGB", {"quality": 30, "subsampling": 2}, 16),
        ("RGB", {"qtables": {0: list(range(1, 65)), 1: list(range(64, 0, -1))}, "subsampling": 2}, 16),
        ("RGB", {}, 16),
        ("L", {"quality": 100}, 8),
        ("L", {"quality": 95, "subsampling": 2}, 8),
        ("CMYK", {"quality": 60}, 8),
        ("CMYK", {"quality": 60, "subsampling": 0}, 8),
    ],
)
def test_the_file_is_pillows_with_restart_markers(mode, options, down, size):
    array = made(mode, *size)
    found = encode_jpeg(array, mode, options)
    assert found == by_pillow(array, mode, down, JpegSink(array, mode, options).step, **options)
    assert np.array_equal(np.asarray(opened(found)), np.asarray(opened(saved_whole(array, mode, options))))


def saved_whole(array, mode, options):
    return saved(Image.frombytes(mode, array.shape[1::-1], array.tobytes()), "JPEG", **options)


@pytest.mark.parametrize("threads", [1, 2])
def test_metadata_stands_in_front_once(threads):
    array = smooth(300, 50)
    options = {"exif": exif(orientation=6).tobytes(), "icc_profile": bytes(range(256)) * 300, "dpi": (300, 200),
               "quality": 80, "subsampling": 0}  # fmt: skip
    found = encode_jpeg(array, "RGB", options, threads)
    assert found == by_pillow(array, "RGB", 8, JpegSink(array, "RGB", options).step, **options)
    assert opened(found).info["icc_profile"] == options["icc_profile"]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_bytes_do_not_depend_on_the_threads(threads, monkeypatch):
    array = made("RGB", 500, 40)
    expected = encode_jpeg(array, "RGB", {})
    assert encode_jpeg(array, "RGB", {}, threads) == expected
    step = JpegSink(array, "RGB", {}, threads).step
    assert step < 250
    assert in_strips(array, "RGB", {}, threads, step) == expected
    monkeypatch.setattr(blocks, "SMALL", 0)
    padded = np.dstack([array, array[:, :, :1]])[:, :, :3]  # as Pillow has them, whatever is behind them
    assert encode_jpeg(padded, "RGB", {}, threads) == in_strips(padded, "RGB", {}, threads, step) == expected


@pytest.mark.parametrize("lacking", ["file", "room"])
def test_without_a_file_in_memory_they_are_the_same(lacking, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    array = made("RGB", 300, 40)
    expected = encode_jpeg(array, "RGB", {})
    if lacking == "file":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    assert encode_jpeg(array, "RGB", {}) == expected


@pytest.mark.parametrize("size", [100, 10**6])
def test_a_strip_is_whole_whatever_room_there_was(size):
    array = made("RGB", 64, 64)
    options = {"quality": 100, "subsampling": 0}
    with jpeg._Room(size) as room:
        for _ in range(2):
            assert room.encode(array, "RGB", options) == saved_whole(array, "RGB", options)


def test_files_in_memory_are_closed():
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")
    before = len(os.listdir("/proc/self/fd"))
    encode_jpeg(made("RGB", 500, 40), "RGB", {})
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_widest_picture_has_an_interval_that_fits():
    for mode in MODES:
        array = np.zeros((40, 65500, MODES[mode])[: 3 if MODES[mode] > 1 else 2], np.uint8)
        found = encode_jpeg(array, mode, {"quality": 50})
        assert opened(found).size == (65500, 40)


def test_another_decoder_sees_the_same():
    cv2 = pytest.importorskip("cv2")
    array = smooth(400, 300)
    found = cv2.imdecode(np.frombuffer(encode_jpeg(array, "RGB", {"quality": 95, "subsampling": 0}), np.uint8), 1)
    assert np.abs(found[:, :, ::-1].astype(int) - array).max() <= 8


def test_strips_may_come_one_by_one():
    array = made("RGB", 333, 61)
    step = JpegSink(array, "RGB", {}).step
    assert in_strips(array, "RGB", {}, None, 2 * step) == encode_jpeg(array, "RGB", {})


def test_large_pictures_are_written_in_strips_and_others_by_pillow_at_once():
    for size, options, strips in [
        ((64, 64), {}, True),
        ((64, 63), {}, False),
        ((64, 64), {"progressive": True}, False),
        ((64, 64), {"optimize": True}, False),
    ]:
        data, _ = encode(Picture(smooth(*size), "RGB", "PNG"), "JPEG", options)
        assert bool(segments(data).restarts if not options else b"\xff\xdd" in data) == strips
        assert np.abs(np.asarray(opened(data)).astype(int) - smooth(*size)).max() <= 5


def test_a_large_jpeg_keeps_its_tables_and_subsampling():
    from PIL.JpegImagePlugin import get_sampling

    for subsampling in range(3):
        old = saved(Image.fromarray(smooth(90, 80)), "JPEG", quality=71, subsampling=subsampling, exif=exif())
        before, after = opened(old), opened(encode(parse(old, "a"), "JPEG")[0])
        assert after.quantization == before.quantization
        assert get_sampling(after) == subsampling
        assert after.info["exif"] == before.info["exif"]


def test_what_pillow_refuses_is_an_error_in_one_line():
    given = Picture(smooth(80, 80), "RGB", "JPEG", {"qtables": [[1, 2]], "subsampling": 0, "progressive": False})
    with pytest.raises(WriteError, match="JPEG cannot be written") as caught:
        encode(given, "JPEG")
    assert len(str(caught.value).splitlines()) == 1
    assert encode(replace(given, info={}), "JPEG")[0]


def test_segments_are_those_of_the_file():
    data = saved(Image.fromarray(smooth(20, 30)), "JPEG", restart_marker_blocks=3)
    found = segments(data)
    assert data[found.frame : found.frame + 2] == b"\xff\xc0"
    assert data[found.restarts : found.restarts + 6] == b"\xff\xdd\0\4\0\3"
    assert data[found.scan - 14 : found.scan - 12] == b"\xff\xda"
    assert segments(saved(Image.fromarray(smooth(20, 30)), "JPEG")).restarts == 0
    assert Image.open(io.BytesIO(data)).size == (30, 20)
