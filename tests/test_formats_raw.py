"""Raw video through pipes, held against the frames themselves and ffmpeg."""

import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import noise
from PIL import Image, ImageFilter, ImageSequence

from imgconv.errors import PictureError, UsageError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.raw import PIXELS, parse
from imgconv.formats.read import frames_of

pytestmark = pytest.mark.usefixtures("here")

APPLY = [sys.executable, "-m", "imgconv", "apply"]


def apply(*words: str, given: bytes = b"", **options) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*APPLY, *words], input=given, capture_output=True, **options)


@pytest.mark.parametrize("pixels", PIXELS)
def test_frames_come_out_as_they_went_in(pixels):
    mode, kind, channels = PIXELS[pixels]
    frames = noise(3, 8, 10, channels, dtype="uint16" if "2" in kind else "uint8").astype(kind)
    data = frames.tobytes()
    found = list(frames_of(io.BytesIO(data), 0, "a", raw=parse(f"10x8:{pixels}")))
    assert [(frame.about.mode, frame.about.number) for frame in found] == [(mode, 1), (mode, 2), (mode, 3)]
    for frame, expected in zip(found, frames, strict=True):
        np.testing.assert_array_equal(frame.about.array.reshape(8, 10, channels), expected)


def test_a_pipe_gives_what_pillow_does_to_each_frame():
    frames = noise(4, 30, 40, 3)
    done = apply("-", "--raw", "40x30:rgb24", "-k", "emboss", "-o", "-", given=frames.tobytes(), check=True)
    found = np.frombuffer(done.stdout, np.uint8).reshape(frames.shape)
    for frame, result in zip(frames, found, strict=True):
        np.testing.assert_array_equal(result, np.asarray(Image.fromarray(frame).filter(ImageFilter.EMBOSS)))


def test_frames_go_out_before_all_have_come_in():
    frame = noise(30, 40, 3).tobytes()
    words = [*APPLY, "-", "--raw", "40x30:rgb24", "-k", "identity", "-o", "-", "-q"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            process.stdin.write(frame)
            back = b""
            while len(back) < len(frame):
                back += process.stdout.read(len(frame) - len(back))
            assert back == frame
        process.stdin.close()
        assert process.wait() == 0


def test_a_frame_that_is_cut_short_is_an_error():
    done = apply("-", "--raw", "40x30:rgb24", "-k", "identity", "-o", "-", given=bytes(5000))
    assert done.returncode == 1
    assert b"standard input: ends within frame 2: 1,400 of its 3,600 bytes are there" in done.stderr
    Path("a.raw").write_bytes(bytes(5000))
    with open("a.raw", "rb", 0) as file, pytest.raises(PictureError, match="ends within frame 2"):
        list(frames_of(file, 5000, "a.raw", raw=parse("40x30:rgb24")))
    done = apply("a.raw", "--raw", "40x30:rgb24", "-k", "identity", "-o", "a.webp")
    assert (done.returncode, Path("a.webp").exists()) == (1, False)


def test_raw_frames_become_an_animation_or_a_file_each():
    frames = noise(3, 30, 40, 3)
    apply("-", "--raw", "40x30:rgb24", "-k", "identity", "-o", "a.png", given=frames.tobytes(), check=True)
    with Image.open("a.png") as image:
        arrays = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
        assert image.info["duration"] == 40
    np.testing.assert_array_equal(arrays, frames)
    words = ("-", "--raw", "40x30:rgb24", "-k", "identity", "--frames", "2-3", "-o", "{frame:03}.png")
    apply(*words, given=frames.tobytes(), check=True)
    assert sorted(path.name for path in Path().glob("0*")) == ["002.png", "003.png"]
    np.testing.assert_array_equal(np.asarray(Image.open("003.png")), frames[2])
    done = apply("-", "--raw", "40x30:rgb24", "-k", "identity", "-o", "a.jpg", given=frames.tobytes())
    assert b"--frames first" in done.stderr


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg stands on both sides")
def test_ffmpeg_stands_on_both_sides():
    source = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=0.4"]
    source += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    given = subprocess.run(source, capture_output=True, check=True).stdout
    done = apply("-", "--raw", "64x48:rgb24", "-k", "identity", "-o", "-", given=given, check=True)
    sink = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-i", "-"]
    sink += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    assert subprocess.run(sink, input=done.stdout, capture_output=True, check=True).stdout == given


@pytest.mark.parametrize("words", ["40x30", "0x3:rgb24", "40x30:yuv420p", "4x-3:gray", "40×30:gray"])
def test_what_makes_no_sense_is_refused(words):
    with pytest.raises(UsageError, match="such as 1920x1080:rgb24"):
        parse(words)


def test_frames_larger_than_memory_are_refused():
    raw = parse("9999999x9999999:rgb24")
    with pytest.raises(PictureError, match="--max-pixels"):
        next(frames_of(io.BytesIO(bytes(99)), 0, "a", limits=DEFAULT, raw=raw))


def test_a_name_alone_does_not_say_how_large_raw_frames_are():
    Path("a.raw").write_bytes(bytes(3600))
    assert b"--raw WxH:rgb24" in apply("a.raw", "-k", "blur", "-o", "b.png").stderr
