"""JPEG by restart intervals, in threads: the pixels are those of Pillow's own decoding, whatever the file."""

from __future__ import annotations

import io
import random
import re

import numpy as np
import pytest
from makers import noise, saved, smooth
from PIL import Image

from imgconv.formats import blocks, decode, intervals
from imgconv.formats.limits import DEFAULT
from imgconv.formats.read import frames_of, read
from imgconv.formats.segments import before_pixels, each

FRAME, SCAN, ADOBE = 0xC0, b"\xff\xda", b"Adobe"
# by the blocks of a unit: files of the same coded bytes, whose rows and columns they say differently
SAMPLINGS = {
    3: [(0x11, 0x11, 0x11)],
    4: [(0x21, 0x11, 0x11), (0x12, 0x11, 0x11), (0x11, 0x12, 0x11), (0x11, 0x21, 0x11)],
    6: [(0x22, 0x11, 0x11), (0x41, 0x11, 0x11), (0x14, 0x11, 0x11), (0x12, 0x12, 0x12), (0x21, 0x12, 0x12)],
}
COLOURS = [
    (0, SAMPLINGS[3][0]),
    *((1, factors) for factors in SAMPLINGS[4]),
    *((2, factors) for factors in SAMPLINGS[6]),
]


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(blocks, "SMALL", 0)
    monkeypatch.setattr(intervals, "BAND_PIXELS", 1)


def picture(rows=100, columns=75, channels=3, seed=0):
    """Soft enough to need few bytes, and different in every row."""
    array = noise(rows // 6 + 1, columns // 5 + 1, channels, seed=seed)
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[channels]
    return Image.fromarray(array[:, :, 0] if channels == 1 else array, mode).resize((columns, rows), Image.BICUBIC)


def sampled(data, factors, less=(0, 0)):
    """A file whose channels are sampled otherwise, some rows and columns smaller than its units are."""
    at = next(start for marker, start, _ in each(data) if marker == FRAME)
    changed = bytearray(data)
    sides = []
    for shift, side in ((0, 5), (4, 7)):
        old, new = (max(f >> shift & 15 for f in given) for given in (data[at + 11 :: 3][: len(factors)], factors))
        units = -(-int.from_bytes(data[at + side : at + side + 2], "big") // (8 * old))
        sides.append(units * 8 * new)
    changed[at + 11 : at + 11 + 3 * len(factors) : 3] = bytes(factors)
    for side, place, fewer in zip(sides, (5, 7), less, strict=True):
        changed[at + place : at + place + 2] = (side - fewer).to_bytes(2, "big")
    return bytes(changed)


def banded(data, threads=3):
    """What `decode` makes of a file by itself; None where it leaves that to Pillow."""
    image = Image.open(io.BytesIO(data))
    image.load_prepare()
    intervals.decode(image, before_pixels(data), data, threads)
    return None if image.tile else np.asarray(image)


def loaded(data, threads):
    """Mode, size and pixels by `blocks.load`, or the error."""
    try:
        image = Image.open(io.BytesIO(data))
        blocks.load(image, data, threads)
    except Exception as problem:
        return re.sub(" at 0x[0-9a-f]+", "", repr(problem))  # of the file, which may lie anywhere
    return image.mode, image.size, image.tobytes()


def pillows(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("threads", [2, 3, 16])
@pytest.mark.parametrize("less", [(0, 0), (1, 1), (6, 7), (7, 3)])
@pytest.mark.parametrize(("subsampling", "factors"), COLOURS, ids=str)
def test_every_sampling_is_pillows(subsampling, factors, less, threads):
    data = saved(picture(), "JPEG", subsampling=subsampling, restart_marker_rows=1)
    data = sampled(data, factors, less)
    assert np.array_equal(banded(data, threads), pillows(data))


@pytest.mark.parametrize("rows", [17, 32, 33, 40, 97])
@pytest.mark.parametrize("kind", ["grey", "grey 2×2", "RGB", "CMYK", "YCCK"])
def test_every_colour_is_pillows(kind, rows):
    channels = 1 if "grey" in kind else 3 if kind == "RGB" else 4
    options = {"keep_rgb": True} if kind == "RGB" else {}
    data = saved(picture(rows, 150, channels), "JPEG", restart_marker_rows=1, quality=95, **options)
    if kind == "grey 2×2":  # says nothing where there is one channel
        at = next(start for marker, start, _ in each(data) if marker == FRAME)
        data = data[: at + 11] + b"\x22" + data[at + 12 :]
    if kind == "YCCK":
        at = data.index(ADOBE) + 11
        data = data[:at] + b"\2" + data[at + 1 :]
    assert np.array_equal(banded(data), pillows(data))


@pytest.mark.parametrize("interval", [*range(1, 12), 15, 20, 25, 35, 64])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_intervals_of_any_length_are_pillows(subsampling, interval):
    data = saved(picture(200, 75), "JPEG", subsampling=subsampling, restart_marker_blocks=interval, quality=95)
    found, wide = banded(data, 16), {0: 10, 2: 5}[subsampling]
    places = len(range(0, wide * {0: 25, 2: 13}[subsampling], np.lcm(interval, wide)))
    assert (found is not None) == (places > 1)
    assert found is None or np.array_equal(found, pillows(data))


def test_bands_have_fewer_rows_where_more_is_coded():
    array = np.concatenate([np.zeros((160, 160, 3), np.uint8), noise(160, 160, 3)])
    for turned in (array, array[::-1]):
        data = saved(Image.fromarray(turned), "JPEG", restart_marker_rows=1, subsampling=0, quality=95)
        image = Image.open(io.BytesIO(data))
        image.load_prepare()
        first, second = (len(band.marks) for band in intervals._bands(image, before_pixels(data), data, 2))
        assert (first > 1.3 * second) == (turned is array)
        assert (second > 1.3 * first) == (turned is not array)
        assert first + second == 38  # of 40 intervals


@pytest.mark.parametrize(
    "options",
    [{}, {"restart_marker_rows": 1, "progressive": True}, {"restart_marker_blocks": 1000}],
    ids=["no intervals", "progressive", "one interval"],
)
def test_what_has_no_such_intervals_is_left_to_pillow(options):
    data = saved(picture(), "JPEG", **options)
    assert banded(data) is None
    assert loaded(data, 3) == loaded(data, 1)


def test_one_thread_small_pictures_and_long_headers_are_left_to_pillow(monkeypatch):
    data = saved(picture(), "JPEG", restart_marker_rows=1)
    assert banded(data, 1) is None
    long = saved(picture(), "JPEG", restart_marker_rows=1, icc_profile=bytes(len(data)))
    assert banded(long) is None  # each band would have one
    monkeypatch.setattr(intervals, "BAND_PIXELS", 100 * 75)
    assert banded(data) is None


def marked(data):
    """Where the restart markers are."""
    start = len(before_pixels(data))
    return [at for at in range(start, len(data) - 1) if data[at] == 0xFF and 0xD0 <= data[at + 1] <= 0xD7]


MARKED = saved(picture(), "JPEG", restart_marker_rows=1, subsampling=2)
SECOND = marked(MARKED)[1]
BROKEN = {
    "a marker lost": MARKED[:SECOND] + MARKED[SECOND + 2 :],
    "a marker twice": MARKED[:SECOND] + MARKED[SECOND : SECOND + 2] + MARKED[SECOND:],
    "a wrong number": MARKED[: SECOND + 1] + b"\xd5" + MARKED[SECOND + 2 :],
    "filling": MARKED[:SECOND] + b"\xff" + MARKED[SECOND:],
    "an interval lost": MARKED[: marked(MARKED)[0]] + MARKED[SECOND:],
    "an early end": MARKED[:SECOND] + b"\xff\xd9" + MARKED[SECOND:],
    "rows after the pixels": MARKED[:SECOND] + b"\xff\xdc\0\4\0\x40" + MARKED[SECOND:],
    "cut": MARKED[: SECOND + 30],
    "cut before its pixels": MARKED[: MARKED.index(SCAN) + 2],
    "no end": MARKED[:-2],
    "half an end": MARKED[:-1],
    "interval 0": MARKED.replace(b"\xff\xdd\0\4\0\5", b"\xff\xdd\0\4\0\0"),
    "another interval": MARKED.replace(b"\xff\xdd\0\4\0\5", b"\xff\xdd\0\4\0\4"),
    "two frames": MARKED.replace(b"\xff\xc0", b"\xff\xc0\0\x11\x08\0\x64\0\x4b\3\1\x22\0\2\x11\1\3\x11\1\xff\xc0"),
    "no sampling": MARKED.replace(b"\1\x22\0\2\x11\1\3\x11\1", b"\1\0\0\2\0\1\3\0\1"),
    "a table lost": MARKED.replace(b"\xff\xc4", b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_broken_is_decoded_or_refused_as_pillow_does(kind):
    data = BROKEN[kind]
    assert data != MARKED
    assert loaded(data, 3) == loaded(data, 1)


def test_damage_does_what_it_does_in_pillow():
    chance = random.Random(1)
    files = [
        sampled(saved(picture(120, 50), "JPEG", subsampling=subsampling, restart_marker_rows=1), factors)
        for subsampling, factors in COLOURS
    ]
    done = 0
    for number in range(400):
        data = bytearray(files[number % len(files)])
        for _ in range(chance.choice([1, 1, 3, 20])):
            at = chance.randrange(len(before_pixels(bytes(data))) + 14, len(data) - 2)
            if chance.random() < 0.7:
                data[at] = chance.randrange(255)
            elif chance.random() < 0.5:
                del data[at : at + chance.randrange(1, 9)]
            else:
                data[at:at] = noise(chance.randrange(1, 9), seed=number).tobytes()
        done += banded(bytes(data)) is not None
        assert loaded(bytes(data), 3) == loaded(bytes(data), 1), number
    assert done > 100  # whose markers are whole


def test_what_follows_the_pixels_does_not_matter():
    data = saved(picture(), "JPEG", restart_marker_rows=1)
    assert np.array_equal(banded(data + bytes(3) + data), pillows(data))


@pytest.mark.parametrize("ending", [".jpg", ".mpo"])
def test_files_are_read_by_as_many_threads_as_they_may_have(tmp_path, monkeypatch, ending):
    path = tmp_path / f"a{ending}"
    if ending == ".mpo":
        path.write_bytes(saved(picture(), "MPO", save_all=True, append_images=[picture(seed=1)], restart_marker_rows=1))
    else:
        path.write_bytes(saved(picture(), "JPEG", restart_marker_rows=1))
    asked = []
    real = intervals._bands
    monkeypatch.setattr(intervals, "_bands", lambda *given: asked.append(given[-1]) or real(*given))
    for threads in (1, 2, 5):
        asked.clear()
        with open(path, "rb", buffering=0) as file:
            frames = list(frames_of(file, path.stat().st_size, "a", ending, threads=threads))
        assert asked == [threads] * len(frames) * (threads > 1)
        with Image.open(path) as image:
            for number, frame in enumerate(frames):
                image.seek(number)
                assert np.array_equal(frame.whole(DEFAULT).array, np.asarray(image))
    assert np.array_equal(read(path).array, pillows(path.read_bytes()))


def test_one_thread_is_left_to_what_is_imported_meanwhile(tmp_path, monkeypatch):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(Image.fromarray(smooth(90, 120)), "JPEG", restart_marker_rows=1))
    assert [decode.begin(path, threads).threads for threads in (1, 2, 5)] == [1, 1, 4]
    monkeypatch.setattr(decode, "LONG", 1000)
    assert [decode.begin(path, threads).threads for threads in (1, 2, 5)] == [1, 2, 5]
    assert np.array_equal(np.asarray(decode.begin(path, 3).take().image), pillows(path.read_bytes()))
