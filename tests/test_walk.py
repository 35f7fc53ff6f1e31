"""Every file that is met is done, fails by itself, or is counted and said; results of an earlier run are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv, noise, saved
from PIL import Image

pytestmark = pytest.mark.usefixtures("here")

PICTURE = Image.fromarray(noise(6, 8))


def put(name, form="PNG", image=PICTURE):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(saved(image, form))


def names(folder="."):
    return sorted(str(path) for path in Path(folder).rglob("*") if path.is_file() and path.name != ".imgconv-journal")


def test_files_of_other_kinds_are_counted_and_said():
    put("in/a.png")
    for name in ("in/a.txt", "in/x/README", "in/b.xcf", "in/x/c.svg", "in/BMW", "in/P5", "in/empty"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"" if name == "in/empty" else b"BM, P5 and other text that is no picture at all")
    done = imgconv("apply", "-r", "in", "-k", "blur", "--out-dir", "out")
    assert (done.returncode, done.stderr) == (0, "imgconv: 7 files of other kinds passed over\n")
    assert names("out") == ["out/a.blur.png"]
    assert imgconv("apply", "-r", "in", "-k", "blur", "--out-dir", "out", "--overwrite", "-q").stderr == ""
    lines = [
        json.loads(line) for line in imgconv("apply", "-r", "in", "-k", "blur", "-n", "--json").stdout.splitlines()
    ]
    assert len(lines) == 8
    assert [line["input"] for line in lines if line["status"] == "planned"] == ["in/a.png"]
    assert {line["status"] for line in lines} == {"planned", "passed over"}
    done = imgconv("apply", "-r", "in/x", "-k", "blur")
    assert (done.returncode, done.stderr) == (2, "imgconv: no pictures in in/x (2 files of other kinds)\n")


@pytest.mark.parametrize(
    ("form", "ending"),
    [
        ("PNG", "png"),
        ("JPEG", "jpg"),
        ("TIFF", "tif"),
        ("WEBP", "webp"),
        ("BMP", "bmp"),
        ("PPM", "ppm"),
        ("GIF", "gif"),
    ],
)
def test_a_picture_is_known_by_its_bytes(form, ending):
    put("in/photo", form)
    put("in/IMG.2024", "PNG" if form == "TIFF" else form)
    for folder in ("walked", "given"):
        inputs = ["-r", "in"] if folder == "walked" else ["in/photo", "in/IMG.2024"]
        done = imgconv("apply", *inputs, "-k", "blur", "--out-dir", folder)
        assert done.returncode == 0, done.stderr
        other = "png" if form == "TIFF" else ending
        assert names(folder) == [f"{folder}/IMG.2024.blur.{other}", f"{folder}/photo.blur.{ending}"]


def test_a_camera_s_raw_file_is_no_thumbnail():
    put("in/a.nef", "TIFF")
    put("in/a.png")
    done = imgconv("apply", "-r", "in", "-k", "blur")
    assert (done.returncode, done.stderr) == (0, "imgconv: 1 file of other kinds passed over\n")


def test_formats_that_have_no_name_of_their_own():
    put("in/a.mpo", "MPO")
    put("in/a.jpg", "JPEG")
    put("in/b.pbm", "PPM", PICTURE.convert("1"))
    put("in/c.pfm", "PPM", PICTURE.convert("F"))
    done = imgconv("apply", "-r", "in", "-k", "blur", "--out-dir", "out")
    assert names("out") == ["out/a.blur.jpg", "out/a.blur.mpo", "out/b.pbm.blur.ppm", "out/c.blur.pfm"]
    assert done.returncode == 0
    done = imgconv("apply", "-r", "in", "-k", "blur", "--out-dir", "tif", "--format", "tif")
    assert "tif/c.blur.tif" in names("tif") or done.returncode == 2


@pytest.mark.parametrize("name", ["x.psd", "x.nef", "missing", "missing.cur"])
def test_an_input_that_cannot_be_named_does_not_stop_the_others(name):
    put("a.png")
    put("x.nef", "TIFF")
    Path("x.psd").write_bytes(b"8BPS")
    done = imgconv("apply", name, "a.png", "-k", "blur")
    assert done.returncode == 1
    first = done.stderr.splitlines()[0]
    assert first.startswith(f"imgconv: {name}: ")
    assert ("no such file" if "missing" in name else "--format takes one of") in first
    assert done.stderr.splitlines()[1:] == ["imgconv: 1 of 2 files failed"]
    assert Path("a.blur.png").exists()
    planned = imgconv("apply", name, "a.png", "-k", "blur", "-n", "--overwrite")
    assert (planned.returncode, planned.stdout) == (1, "a.png → a.blur.png\n")
    line = json.loads(imgconv("apply", name, "-k", "blur", "--json").stdout)
    assert (line["status"], line["output"]) == ("failed", None)
    assert line["error"].startswith(f"{name}: ")


def test_the_results_of_an_earlier_run_are_left_out():
    for name in ("a.jpg", "b.jpg"):
        put(name, "JPEG")
    assert imgconv("apply", "a.jpg", "-k", "blur").returncode == 0
    before = Path("a.blur.jpg").read_bytes()
    again = ["apply", *sorted(names()), "-k", "blur"]
    assert again[1:4] == ["a.blur.jpg", "a.jpg", "b.jpg"]
    refused = imgconv(*again)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "a.blur.jpg: exists; --overwrite replaces, --skip-existing leaves it" in refused.stderr
    planned = imgconv(*again, "-n", "--skip-existing")
    assert (planned.returncode, planned.stdout) == (0, "b.jpg → b.blur.jpg\n")
    assert planned.stderr == "imgconv: 1 result of an earlier run left out, such as a.blur.jpg\n"
    done = imgconv(*again, "--skip-existing", "--json")
    statuses = {line["input"]: line["status"] for line in map(json.loads, done.stdout.splitlines())}
    assert statuses == {"a.jpg": "skipped", "b.jpg": "done", "a.blur.jpg": "passed over"}
    assert names() == ["a.blur.jpg", "a.jpg", "b.blur.jpg", "b.jpg"]
    assert Path("a.blur.jpg").read_bytes() == before
    assert imgconv("apply", "-r", ".", "-k", "blur", "--overwrite").returncode == 0
    assert names() == ["a.blur.jpg", "a.jpg", "b.blur.jpg", "b.jpg"]
    assert Path("a.blur.jpg").read_bytes() == before  # made of a.jpg again, in spite of being read first


def test_a_result_without_its_original_is_an_input():
    put("a.blur.png")
    assert imgconv("apply", "a.blur.png", "-k", "blur").returncode == 0
    assert names() == ["a.blur.blur.png", "a.blur.png"]
    put("b.png")
    refused = imgconv("apply", "b.png", "a.blur.png", "-k", "blur", "-o", "{stem}.png", "--overwrite")
    assert "is an input" in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="paths are shorter there")
def test_a_deep_tree_is_walked_and_kept():
    """Python's own walk ends 985 folders deep; where a path is too long for the system, that folder fails alone."""
    put("in/a.png")
    here = os.getcwd()
    os.chdir("in")
    for depth in range(1400):
        os.mkdir("dd")
        os.chdir("dd")
        if depth in (1000, 1390):  # the second is further down than a path can name
            Path("b.png").write_bytes(saved(PICTURE, "PNG"))
    os.chdir(here)
    try:
        done = imgconv("apply", "-r", "in", "-k", "blur", "--out-dir", "out")
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert "file name too long" in lines[0]
        assert lines[-1] == "imgconv: 1 of 3 files failed"
        assert Path("out/a.blur.png").exists()
        assert Path("out", "dd/" * 1001, "b.blur.png").exists()
    finally:
        subprocess.run(["rm", "-rf", "in", "out"], check=True)  # Python's own calls itself for each folder


def test_a_name_that_leaves_no_room_for_the_kernel_fails_alone():
    put("a.png")
    put("n" * 251 + ".png")
    done = imgconv("apply", "n" * 251 + ".png", "a.png", "-k", "blur")
    assert done.returncode == 1
    assert "file name too long" in done.stderr
    assert done.stderr.splitlines()[1:] == ["imgconv: 1 of 2 files failed"]
    assert Path("a.blur.png").exists()
    done = imgconv("apply", "a.png", "-k", "blur", "-o", f"{'n' * 300}/x.png")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    np.testing.assert_array_equal(Image.open("a.png"), PICTURE)
