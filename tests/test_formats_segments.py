"""A JPEG is written as it was: tables, sampling, colours, scans. What cannot be as it was is said."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from makers import noise, opened, saved, smooth
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from imgconv.formats.read import parse
from imgconv.formats.segments import LARGEST, frame_in, into_options
from imgconv.formats.table import parse_encoder_options
from imgconv.formats.write import encode

SAMPLES = Path(cv2.__file__).parent
SMALL, LARGE = (64, 96), (1024, 1056)  # the latter is written in strips


def again(data: bytes, *pairs: str, array: np.ndarray | None = None) -> tuple[Image.Image, tuple[str, ...]]:
    """The JPEG after a way through imgconv, with other pixels if they are given, and what is said of that."""
    picture = parse(data, "a")
    if array is not None:
        picture = replace(picture, array=array)
    data, notes = encode(picture, "JPEG", parse_encoder_options(pairs))
    image = opened(data)
    image.load()
    return image, notes


def tables(image: Image.Image) -> list[list[int]]:
    """The table of each channel."""
    return [image.quantization[layer[3]] for layer in image.layer]


def retold(data: bytes, *numbers: int) -> bytes:
    """The file with other numbers of tables for its channels."""
    at = data.index(b"\xff\xc0")
    changed = bytearray(data)
    for channel, number in enumerate(numbers):
        changed[at + 12 + 3 * channel] = number
    return bytes(changed)


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("numbers", [(0, 1, 1), (0, 0, 0), (1, 0, 0), (0, 1, 0), (1, 1, 1)])
def test_each_channel_keeps_its_table(numbers, size):
    """Pillow#3542: opened and saved again, a photo is duller."""
    given = retold(saved(Image.fromarray(smooth(*size)), "JPEG", quality=37), *numbers)
    after, notes = again(given)
    assert tables(after) == tables(opened(given))
    assert notes == ()


def test_a_table_of_large_steps_stays():
    given = saved(Image.fromarray(smooth(64, 96)), "JPEG", qtables=[[300 + n for n in range(64)]])
    assert tables(again(given)[0]) == tables(opened(given))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_sampling_and_scans_stay(size, subsampling, progressive):
    given = saved(Image.fromarray(smooth(*size)), "JPEG", subsampling=subsampling, progressive=progressive)
    after, notes = again(given)
    assert (get_sampling(after), bool(after.info.get("progressive")), notes) == (subsampling, progressive, ())


def interval(data: bytes) -> int:
    """The restart interval of a file, or 0."""
    at = data.find(b"\xff\xdd\0\4")
    return int.from_bytes(data[at + 4 : at + 6], "big") if at >= 0 else 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("more", [{}, {"progressive": True}])
@pytest.mark.parametrize("restarts", [{}, {"restart_marker_rows": 2}, {"restart_marker_blocks": 5}], ids=str)
def test_restart_intervals_stay(restarts, more, channels):
    array = smooth(64, 90)[:, :, :channels].squeeze()
    given = saved(Image.fromarray(array), "JPEG", **restarts, **more)
    picture = parse(given, "a")
    assert interval(encode(picture, "JPEG")[0]) == interval(given)
    options = {"subsampling": 0} if channels > 1 else {}  # the same rows, or units, of another size
    other = saved(Image.fromarray(array), "JPEG", **restarts, **more, **options)
    assert interval(encode(picture, "JPEG", options)[0]) == interval(other)
    assert interval(encode(picture, "JPEG", {"progressive": True})[0]) == interval(given)


def test_what_is_written_in_strips_has_its_own_intervals():
    array = smooth(*LARGE)
    with_, without = (
        parse(saved(Image.fromarray(array), "JPEG", **given), "a") for given in ({"restart_marker_rows": 2}, {})
    )
    assert encode(with_, "JPEG")[0] == encode(without, "JPEG")[0]


@pytest.mark.parametrize(("name", "factors"), [("411", "4×1, 1×1, 1×1"), ("440", "1×2, 1×1, 1×1")])
def test_a_sampling_that_cannot_be_written_is_said(name, factors):
    option = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
    given = cv2.imencode(".jpg", smooth(64, 96), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, option])[1].tobytes()
    after, notes = again(given)
    assert notes == (f"had a sampling ({factors}) that cannot be written, and has 4:4:4 now, which loses nothing",)
    assert get_sampling(after) == 0
    after, notes = again(given, "subsampling=4:2:0")
    assert (get_sampling(after), notes) == (2, ())


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_a_file_of_red_green_and_blue_stays_one(size):
    given = saved(Image.fromarray(smooth(*size)), "JPEG", keep_rgb=True, quality=90)
    after, notes = again(given)
    assert [layer[0] for layer in after.layer] == list(b"RGB")
    assert tables(after) == tables(opened(given))
    assert np.abs(np.asarray(after).astype(int) - np.asarray(opened(given))).max() <= 4
    assert notes == ()


def test_ycck_becomes_cmyk_and_is_said():
    fine, coarse = [1] * 64, [9] * 64  # for luma and for chroma, which yellow and the like are not
    given = bytearray(saved(Image.fromarray(noise(64, 96, 4), "CMYK"), "JPEG", qtables=[fine, coarse]))
    assert given[given.index(b"Adobe") + 11] == 0
    assert again(bytes(given))[1] == ()
    given[given.index(b"Adobe") + 11] = 2
    after, notes = again(retold(bytes(given), 0, 1, 1, 0))
    assert notes == ("was YCCK and is CMYK now",)
    assert tables(after) == [fine] * 4


def test_arithmetic_coding_is_said():
    given = saved(Image.fromarray(smooth(64, 96)), "JPEG")
    picture = parse(given, "a")
    assert frame_in(given) == (0xC0, given.index(b"\xff\xda"))
    assert frame_in(given.replace(b"\xff\xc0", b"\xff\xc9")) == (0xC9, given.index(b"\xff\xda"))
    from imgconv.formats.segments import coding

    info = coding(opened(given), 0xC9)
    assert encode(replace(picture, info=info), "JPEG")[1] == (
        "was coded arithmetically and has Huffman codes now, which lose nothing",
    )
    assert encode(replace(picture, info=info), "PNG")[1] == ()


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8\xff\xff\xff\xfe\0\2"]
)
def test_a_file_without_a_scan_has_no_pixels(data):
    assert frame_in(data)[1] == 0


def test_filling_between_segments_is_passed_over():
    assert frame_in(b"\xff\xd8\xff\xff\xff\xc2\0\2\xff\xda") == (0xC2, 8)


def test_what_is_too_long_is_taken_out_and_what_is_not_stays():
    options = {"exif": bytes(LARGEST + 1), "comment": bytes(LARGEST), "xmp": b"<x/>", "quality": 90}
    assert into_options(options) == ["its EXIF data is longer than JPEG holds and left out"]
    assert set(options) == {"comment", "xmp", "quality"}


def test_comments_one_after_the_other():
    given = saved(Image.fromarray(smooth(16, 24)), "JPEG", comment=b"second")
    given = given[:2] + b"\xff\xfe\0\x07first" + given[2:]
    with Image.open(io.BytesIO(given)):
        assert parse(given, "a").info["comment"] == b"first\nsecond"
