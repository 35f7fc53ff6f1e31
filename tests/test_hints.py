"""What the command says to those who know other tools: each line names what is meant here."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from makers import imgconv, noise, saved
from PIL import Image

import imgconv as library


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(noise(6, 8)), "PNG"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.png", "-k", "blur", "--border", "mirror"], "scipy.ndimage's mirror is reflect here"),
        (["a.png", "-k", "blur", "--border", "nearest"], "nearest is edge here"),
        (["a.png", "-k", "blur", "--border", "replicate"], "replicate is edge here"),
        (["a.png", "-k", "blur", "--border", "REFLECT_101"], "reflect_101 is reflect here"),
        (["a.png", "-k", "blur", "--border", "HorizontalTileEdge"], "ImageMagick's HorizontalTileEdge is wrap-x here"),
        (["a.png", "-k", "blur", "--border", "refelct"], "did you mean reflect?"),
        (["a.png", "-k", "blur", "--border", "whatever"], "is not one of edge, reflect"),
        (["a.png", "-k", "gaussian", "--sigma", "2"], "-k gaussian:sigma=2"),
        (["a.png", "-k", "gaussian:radius=5", "--sigma=2"], "-k gaussian:radius=5,sigma=2"),
        (["--size", "7", "a.png", "--kernel=box"], "-k box:size=7"),
        (["a.png", "-k", "blur", "--sigma", "2"], "-k gaussian:sigma=2"),
        (["a.png", "-k", "blur", "--overwirte"], "--overwrite"),
        (["a.png", "-k", "blur:5"], "blur is a kernel without parameters"),
        (["a.png", "-k", "blur:5"], "box"),
        (["a.png", "-k", "median:3"], "no weighted sum"),
        (["a.png", "-k", "median"], "no weighted sum"),
        (["-x.png", "-k", "blur"], "write ./-x.png"),
        (["-old.png", "a.png", "-k", "blur"], "write ./-old.png"),
    ],
)
def test_a_line_says_what_is_meant(words, told):
    for name in ("-x.png", "-old.png"):
        Path(name).write_bytes(Path("a.png").read_bytes())
    done = imgconv("apply", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in Path().iterdir()) == ["-old.png", "-x.png", "a.png"]


def test_a_name_behind_kernels_is_shown():
    assert imgconv("kernels", "emboss").stdout == imgconv("kernels", "show", "emboss").stdout != ""
    assert (
        imgconv("kernels", "gaussian:2", "--toml").stdout == imgconv("kernels", "show", "gaussian:2", "--toml").stdout
    )
    done = imgconv("kernels", "embos")
    assert (done.returncode, done.stdout) == (2, "")
    assert "did you mean emboss" in done.stderr


def test_color_goes_anywhere():
    plain, coloured = imgconv("kernels", "list"), imgconv("--color", "always", "kernels", "list")
    assert plain.stdout != coloured.stdout
    assert imgconv("kernels", "--color", "always", "list").stdout == coloured.stdout
    assert imgconv("kernels", "list", "--color", "always").stdout == coloured.stdout
    assert imgconv("--color", "always", "kernels", "list", "--color=never").stdout == plain.stdout
    assert imgconv("apply", "--color", "never", "a.png", "-k", "blur").returncode == 0
    assert imgconv("apply", "a.png", "-k", "blur", "--color", "red").returncode == 2


@pytest.mark.parametrize("spec", ["gaussian:20", "motion:length=500", "log:sigma=30"])
def test_a_large_kernel_is_shown_by_its_edges(spec):
    lines = imgconv("kernels", "show", spec).stdout.splitlines()
    assert sum(map(len, lines)) < 4000
    assert max(len(line) for line in lines if line.startswith("    ")) < 160
    assert "the edges are shown" in " ".join(lines)
    assert any("…" in line for line in lines)
    assert len(repr(library.kernel(spec))) < 2000
    assert len(repr(library.kernel("gaussian:3"))) < 2000  # 25×25, which NumPy would print in full


def test_a_small_kernel_is_shown_in_full():
    text = imgconv("kernels", "show", "binomial:size=15").stdout
    assert text.count("1.17786e+07") == 1
    assert "…" not in text


@pytest.mark.parametrize(
    "array",
    [
        np.full((4, 4), 3e38, np.float32),
        np.full((4, 4), 1e308),
        np.array([[np.nan, np.inf], [-np.inf, 1]]),
        np.array([[np.nan, np.inf], [-np.inf, 1]], np.float32),
        np.full((4, 4), 2**50),
    ],
)
def test_no_warning_of_numpys_reaches_the_user(array):
    np.save("a.npy", array)
    done = imgconv("apply", "a.npy", "-k", "9 9; 9 9", "-k", "blur", "--after", "minmax", "--format", "tif")
    assert all(line.startswith("imgconv: ") and "Warning" not in line for line in done.stderr.splitlines())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for options in (
            {"after": "minmax"}, {"like": "ndimage"}, {"linear": True}, {"border": "renormalize"},
            {"scale": 1e-30}, {"combine": "hypot"}, {"stride": 2, "bias": 1e30},
        ):  # fmt: skip
            library.correlate(array, "gaussian:sigma=1", **options)


def test_no_caution_of_a_decoder_reaches_the_user():
    """Data behind damage, a stray marker, wrong EXIF: Pillow and its libraries warn about them by themselves."""
    data = saved(Image.fromarray(noise(64, 64, 3)), "JPEG", quality=90)
    scan = data.index(b"\xff\xda") + 40
    cases = {
        "stray.jpg": data[:scan] + b"\xff\xd3" + data[scan:],
        "cut.jpg": data[: len(data) // 2],
        "mpo.jpg": data[:2] + b"\xff\xe2\x00\x10MPF\x00II*\x00\x08\x00\x00\x00\x01\x00" + data[2:],
        "exif.jpg": data[:2] + b"\xff\xe1\x00\x12Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + data[2:],
    }
    tiff = saved(Image.fromarray(noise(64, 64, 3)), "TIFF", compression="jpeg")
    cases["jpeg.tif"] = tiff[:2000] + b"\xff\xd3" + tiff[2002:]
    for name, content in cases.items():
        Path(name).write_bytes(content)
    done = imgconv("apply", *cases, "-k", "blur")
    assert all(line.startswith("imgconv: ") for line in done.stderr.splitlines()), done.stderr
