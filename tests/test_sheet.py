"""`imgconv sheet`: every kernel on one picture."""

from __future__ import annotations

import io
import json
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from makers import exif, noise, png16, saved, smooth
from PIL import Image

import imgconv
from imgconv.cli import cli
from imgconv.errors import ImgconvError, UsageError
from imgconv.formats.picture import Picture
from imgconv.formats.preview import as_bytes, contact_sheet, reduced, shown_range
from imgconv.kernels.catalogue import names
from imgconv.recipe.options import Options
from imgconv.sheet import STEPS, cells, spread


@pytest.fixture(autouse=True)
def _in_tmp(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(saved(Image.fromarray(smooth(90, 120)), "PNG"))


def run(*words):
    done = CliRunner().invoke(cli, ["sheet", *map(str, words)], catch_exceptions=False, standalone_mode=False)
    return done.return_value, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("gaussian:sigma=1..8/8", [f"gaussian:sigma={n}" for n in range(1, 9)]),
        ("gaussian:1..2/3", ["gaussian:1", "gaussian:1.5", "gaussian:2"]),
        ("box:radius=3..1", ["box:radius=3", "box:radius=2", "box:radius=1"]),
        ("motion:length=3..5,angle=0..90/2", [f"motion:length={n},angle={a}" for n in (3, 4, 5) for a in (0, 90)]),
        ("gaussian:sigma=0.5..4", [f"gaussian:sigma={0.5 + 0.5 * n:g}" for n in range(STEPS)]),
        ("blur", ["blur"]), ("../a/b.toml", ["../a/b.toml"]), ("1 2; 3 4", ["1 2; 3 4"]),
    ],
)  # fmt: skip
def test_a_range_stands_for_several_kernels(spec, expected):
    assert spread([spec]) == expected


@pytest.mark.parametrize("spec", ["gaussian:sigma=1..2/0", "gaussian:sigma=1..2/x", "gaussian:sigma=1..2/500"])
def test_what_is_no_range_is_refused(spec):
    with pytest.raises(UsageError, match=r"a range is LOW\.\.HIGH"):
        spread([spec])
    with pytest.raises(UsageError, match="more than"):
        spread(["gaussian:sigma=1..2/300", "box:radius=1..200"])


def test_each_cell_is_what_the_kernel_makes_of_the_small_picture():
    small = reduced(Picture(smooth(90, 120), "RGB", "PNG"), 60)
    assert small.array.shape == (45, 60, 3)
    first, *rest = cells(small, spread([]), Options(border="wrap"))
    assert first.array is small.array
    assert [cell.label for cell in rest] == names()
    image = Image.fromarray(small.array)
    for cell in rest:
        shown = cell.array[:, :, 0] if cell.array.shape[2] == 1 else cell.array
        np.testing.assert_array_equal(shown, np.asarray(imgconv.apply(image, cell.label, border="wrap")))


def test_the_sheet_shows_every_cell_whole():
    grey, colour = noise(30, 40), noise(20, 40, 3)
    sheet = contact_sheet([("one", grey, "L"), ("two", colour, "RGB"), ("a long label that has no room", grey, "L")], 2)
    found = np.lib.stride_tricks.sliding_window_view(sheet.array[:, :, 0], (30, 40)) == grey
    assert len(np.argwhere(found.all(axis=(2, 3)))) == 2
    found = np.lib.stride_tricks.sliding_window_view(sheet.array[:, :, 2], (20, 40)) == colour[:, :, 2]
    assert len(np.argwhere(found.all(axis=(2, 3)))) == 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 2)])
def test_the_smallest_pictures_have_sheets(shape):
    Path("b.png").write_bytes(saved(Image.fromarray(noise(*shape)), "PNG"))
    assert run("b.png", "-k", "blur", "-k", "sobel_x")[0] == 0


def test_every_number_has_a_shade():
    large = 2.0**62
    for samples, shades in (
        (np.full((2, 2), large), {0}), ([[-1.7e308, 0], [0, 0]], {0, 255}), ([[1e300, 2e300]], {0, 255}),
        (np.array([[2**62, 2**62 + 2**50]]), {0, 255}), (np.int32(10**9) + np.arange(256)[None], {*range(256)}),
        ([[large, np.nan, np.inf]], {0, 255}), (np.float32([[1e-44, 3e-44]]) - 1, {0}), ([[-5e-324, 0]], {0, 255}),
    ):  # fmt: skip
        array = np.asarray(samples)
        assert {*as_bytes(array, *shown_range(array)).ravel().tolist()} == shades
    np.save("b.npy", np.full((9, 9), large))
    assert run("b.npy", "-k", "blur")[0] == 0


@pytest.mark.parametrize("deep", [False, True])
def test_any_picture_gives_the_same_bytes_again(deep):
    grey = saved(Image.fromarray(noise(50, 70)), "PNG")
    Path("b.png").write_bytes(png16(noise(50, 70, 4, dtype="uint16")) if deep else grey)
    status, out, _ = run("b.png", "--size", 32)
    assert status == 0
    assert out.startswith(f"b.png → b.sheet.png   {len(names())} kernels   ")
    before = Path("b.sheet.png").read_bytes()
    with pytest.raises(UsageError, match=r"b\.sheet\.png: exists; --overwrite"):
        run("b.png")
    run("b.png", "--size", 32, "--overwrite")
    assert Path("b.sheet.png").read_bytes() == before


def test_a_page_has_each_picture_with_its_kernel():
    assert run("a.png", "-k", "blur", "-k", "0 -1 0; -1 5 -1; 0 -1 0", "--crop", "--size", 50, "-o", "s.html")[0] == 0
    page = Path("s.html").read_text("utf-8")
    assert re.findall('alt="(.*?)"', page) == ["the picture", "blur", "0 -1 0; -1 5 -1; 0 -1 0"]
    shown = [Image.open(io.BytesIO(b64decode(data))) for data in re.findall(r"webp;base64,([\w+/=]+)", page)]
    middle = smooth(90, 120)[20:70, 35:85]
    assert "http://" not in page
    for image, kernel in zip(shown, ["identity", "blur", "0 -1 0; -1 5 -1; 0 -1 0"], strict=True):
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), imgconv.apply(Image.fromarray(middle), kernel))


def test_photos_are_upright():
    Path("b.jpg").write_bytes(saved(Image.fromarray(smooth(40, 80)), "JPEG", exif=exif(orientation=6)))
    run("b.jpg", "-k", "identity", "-o", "s.html", "--size", 80)
    (first, _) = re.findall(r"webp;base64,([\w+/=]+)", Path("s.html").read_text("utf-8"))
    assert Image.open(io.BytesIO(b64decode(first))).size == (40, 80)


def test_what_a_kernel_cannot_do_is_left_out_and_said():
    status, out, said = run("a.png", "-k", "blur", "-k", "laplacian", "--scale", "sum", "--json")
    assert status == 1
    assert "laplacian is left out: " in said
    found = json.loads(out)
    assert (found["kernels"], [one["kernel"] for one in found["left_out"]]) == (["blur"], ["laplacian"])


@pytest.mark.parametrize("name", ["", ".", "..", "/"])
def test_a_folder_has_no_sheet(name):
    with pytest.raises(ImgconvError, match="is a folder, not a file"):
        run(name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-k", "nothing"], "no kernel named"), (["-o", "s.npy"], r"s\.npy: a sheet is a picture or \.html"),
        (["-o", "s"], "a sheet is a picture"), (["-k", "gaussian:sigma=1..1e999"], "'1e999' is not a finite number"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_before_anything_is_written(words, said):
    with pytest.raises(ImgconvError, match=said):
        run("a.png", *words)
    assert [path.name for path in Path().iterdir()] == ["a.png"]
