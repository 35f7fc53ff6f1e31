"""Decoding before a picture's turn changes nothing but when it is done."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from makers import exif, imgconv, leftovers, saved, smooth
from PIL import Image

from imgconv.arrayfile import opened
from imgconv.errors import PictureError
from imgconv.formats.decode import begin
from imgconv.formats.limits import DEFAULT
from imgconv.formats.read import frames_of, read
from imgconv.formats.segments import before_pixels


def read_early(path, begun, auto_orient=False):
    file, size = opened(path, PictureError, buffering=0)
    with file:
        frame = next(frames_of(file, size, str(path), path.suffix, auto_orient=auto_orient, begun=begun))
        return frame.whole(DEFAULT)


def photo(mode="RGB"):
    return Image.fromarray(smooth(90, 120)).convert(mode)


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(saved(photo(), "JPEG", exif=exif(orientation=6), dpi=(300, 300)))
    return path


@pytest.mark.parametrize("auto_orient", [False, True])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_what_has_begun_is_read_as_ever(jpeg, mode, auto_orient):
    jpeg.write_bytes(saved(photo(mode), "JPEG", exif=exif(orientation=6), dpi=(300, 300)))
    early = read_early(jpeg, begin(jpeg), auto_orient)
    late = read(jpeg, auto_orient=auto_orient)
    assert early.mode == late.mode == mode
    assert np.array_equal(early.array, late.array)
    assert np.array_equal(late.array, np.asarray(Image.open(jpeg).rotate(-90, expand=True) if auto_orient else
                                                 Image.open(jpeg)))  # fmt: skip
    assert early.info == late.info


def test_it_is_taken_once(jpeg):
    begun = begin(jpeg)
    assert begun.take().image.size == (120, 90)
    assert begun.take() is None
    assert np.array_equal(read_early(jpeg, begun).array, read(jpeg).array)


def test_what_is_broken_says_so_in_its_turn(jpeg):
    jpeg.write_bytes(jpeg.read_bytes()[:700])
    with pytest.raises(PictureError) as late:
        read(jpeg)
    with pytest.raises(PictureError) as early:
        read_early(jpeg, begin(jpeg))
    assert str(early.value) == str(late.value)


def test_a_file_that_goes_away_says_so_in_its_turn(jpeg):
    begun = begin(jpeg)
    begun.take()
    jpeg.unlink()
    with pytest.raises(PictureError, match="no such file"):
        read_early(jpeg, begun)


def test_what_holds_up_other_threads_does_not_begin(tmp_path, jpeg):
    other = tmp_path / "a.png"
    other.write_bytes(saved(photo(), "PNG"))
    assert begin(other) is None
    assert begin(tmp_path / "none.jpg") is None
    assert begin(tmp_path) is None
    assert begin(jpeg.rename(tmp_path / "a.txt")) is None  # its ending says that it is an array
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jpg")
        assert begin(tmp_path / "pipe.jpg") is None  # and does not hang


def test_numpy_need_not_be_there(jpeg):
    code = (
        "import sys; from pathlib import Path; from imgconv.formats.decode import begin\n"
        "assert begin(Path(sys.argv[1])).take().image.size == (120, 90)\n"
        "sys.exit('numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, jpeg], check=False).returncode == 0


def test_the_command_begins_and_writes_the_same(tmp_path, jpeg):
    for threads in (1, 2):  # with one nothing begins
        done = imgconv("apply", jpeg, "-k", "sharpen", "-t", threads, "-o", tmp_path / f"{threads}.png")
        assert done.returncode == 0, done.stderr
    assert np.array_equal(read(tmp_path / "1.png").array, read(tmp_path / "2.png").array)


@pytest.mark.parametrize("words", [["-k", "nonesuch"], ["-k", "blur", "-o", "a.xyz"], ["-k", "blur", "--stride", "x"]])
def test_what_has_begun_is_left_when_the_command_is_wrong(jpeg, words):
    done = imgconv("apply", jpeg, *words, cwd=jpeg.parent)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert os.listdir(jpeg.parent) == ["a.jpg"]
    assert leftovers(jpeg.parent) == []


def test_a_jpeg_is_looked_through_up_to_its_pixels():
    thumbnail = b"Exif\0\0" + exif().tobytes().removeprefix(b"Exif\0\0") + saved(photo(), "JPEG")
    data = saved(photo(), "JPEG", exif=thumbnail, comment=b"\xff\xda")
    head = before_pixels(data)
    assert data.startswith(head)
    assert data[len(head) :].startswith(b"\xff\xda\0\x0c\x03\x01\0")  # a scan of three channels
    assert b"\xff\xda" not in data[len(head) + 2 :]
    for broken in (data[:2] + b"x" + data[2:], data[: len(head)], data[:2] + b"\xff\xe0\0\1" + data[2:]):
        assert before_pixels(broken) == broken  # all of it, where Pillow might go on elsewhere
