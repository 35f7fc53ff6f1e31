"""Frames on their way through a job: one at a time, and none is lost without a word."""

import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import chunk, imgconv, noise, saved
from PIL import Image, features

from imgconv.formats.tiff.tags import Tags

FORMS = {"gif": "", "png": "", "webp": "--co lossless=true --co method=0 --co quality=1", "tif": ""}
SHAPE = 256, 384, 3
FEW, MANY = 4, 16  # frames
GROWTH = 2**20  # bytes: the rest of the file of many has half as many again
PEAKS = """
import gc, re, sys
from click.testing import CliRunner
from imgconv.cli import cli
for line in sys.stdin:
    gc.collect()
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    done = CliRunner().invoke(cli, line.split(), standalone_mode=False)
    print(done.return_value, re.findall(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[0], flush=True)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells")
def test_many_frames_take_no_more_memory_than_few(tmp_path):
    """From raw video into each format, and back."""
    for count in (FEW, MANY):
        (tmp_path / f"{count}.raw").write_bytes(noise(count, *SHAPE).tobytes())
    lines = [
        f"apply {source} -k sharpen -o {target} {words} -q -t 1 -j 1"
        for form, options in FORMS.items()
        for source, target, words in (
            ("{}.raw", "{}." + form, f"--raw {SHAPE[1]}x{SHAPE[0]}:rgb24 {options}"),
            ("{}." + form, form + "{}.raw", ""),
        )
    ]  # fmt: skip
    given = [line.replace("{}", str(count)) for line in lines for count in (FEW, MANY)]
    done = subprocess.run(
        [sys.executable, "-c", PEAKS], input="\n".join(given), cwd=tmp_path, capture_output=True, text=True, check=True
    )
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert [status for status, _ in found] == [0] * len(given)
    for line, (_, few), (_, many) in zip(lines, found[::2], found[1::2], strict=True):
        assert 1024 * (many - few) < GROWTH, line
    for form in FORMS:
        assert (tmp_path / f"{form}{MANY}.raw").stat().st_size == MANY * np.prod(SHAPE)
        few, many = ((tmp_path / f"{count}.{form}").stat().st_size for count in (FEW, MANY))
        assert many - few > 1.5 * GROWTH


def animation(form: str, frames: int = 4, **options) -> bytes:
    first, *others = (Image.fromarray(noise(20, 24, 3, seed=number)) for number in range(frames))
    return saved(first, form, save_all=True, append_images=others, **options)


def told(data: bytes, name: str, *words: str) -> tuple[int, str]:
    """The exit status of the command on a file, and what it says."""
    Path(name).write_bytes(data)
    done = imgconv("apply", name, "-k", "identity", "-o", "out.tif", "--overwrite", *words)
    assert Path("out.tif").exists() == (not done.returncode)
    Path("out.tif").unlink(missing_ok=True)
    return done.returncode, done.stdout + done.stderr


def test_a_gif_without_an_end_is_named_as_one_that_may_be_cut(tmp_path, monkeypatch):
    """Many writers forget it, so it is no error."""
    monkeypatch.chdir(tmp_path)
    data = animation("GIF")
    third = data.rindex(b"!\xf9\x04")
    note = "has no end: it may be cut"
    assert note not in told(data, "a.gif")[1]
    assert note not in told(data + b"more", "a.gif")[1]
    for cut, frames in (
        (data[:-1], 4),
        (data[:third], 3),
        (data[: third + 8], 3),
        (saved(Image.new("L", (9, 9)), "GIF")[:-1], 1),
    ):
        status, text = told(cut, "a.gif", "--json")
        result = json.loads(text.splitlines()[0])
        assert (status, result["frames"]) == (0, frames)
        assert note in result["notes"]
        assert f"imgconv: a.gif: {note}" in told(cut, "a.gif")[1]
    status, text = told(data[: third - 4], "a.gif")
    assert (status, "is broken" in text) == (1, True)


def of_png(data: bytes, frames: int) -> bytes:
    at = data.index(b"acTL") - 4
    return data[:at] + chunk(b"acTL", struct.pack(">II", frames, 0)) + data[at + 20 :]


CUT = {
    "a.png": (lambda data: of_png(data, 5), "it says 5 frames and holds 4"),
    "b.png": (lambda data: of_png(data[: data.rindex(b"fcTL") - 4], 4), "it says 4 frames and holds 3"),
    "a.webp": (lambda data: data[: data.rindex(b"ANMF")], "it says"),
    "b.webp": (lambda data: data[: data.rindex(b"ANMF") + 50], "it says"),
    "a.tif": (lambda data: data[: data.rindex(b"II*\0") if data.count(b"II*\0") > 1 else -1], "is broken"),
    "a.avif": (lambda data: data[:-9], "broken"),
}


@pytest.mark.parametrize("name", CUT)
def test_an_animation_that_says_more_than_it_holds_fails(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    form = {"tif": "TIFF"}.get(name[2:], name[2:].upper())
    if form == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow has no AVIF")
    change, reason = CUT[name]
    status, text = told(change(animation(form)), name)
    assert (status, text.count("\n")) == (1, 1)
    assert f"imgconv: {name}: " in text
    assert reason in text


def test_a_tiff_that_points_to_a_page_behind_its_end_fails(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = bytearray(animation("TIFF", 2))
    place = Tags(io.BytesIO(data), len(data))
    second = place.unpacked(place.directory(place.first)[1], "I")
    end = place.directory(second)[1]
    data[end : end + 4] = struct.pack("<I", len(data) + 100)
    status, text = told(bytes(data), "a.tif")
    assert (status, "behind page 2 there is none, but what points to one" in text) == (1, True)
    assert "only the first" in told(bytes(data), "a.tif", "--frames", "first")[1]
