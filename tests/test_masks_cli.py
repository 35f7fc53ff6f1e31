import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from makers import png16
from PIL import Image

import imgconv
from imgconv.cli import cli


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save("a.png")
    mask = rng.integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(mask).save("mask.png")
    Image.fromarray(mask).convert("RGB").save("grey_rgb.png")
    Image.fromarray(mask).convert("RGBA").save("grey_rgba.png")
    Image.fromarray(mask.astype(np.uint16) * 257).save("mask16.png")
    deep = np.dstack([mask.astype(np.uint16) * 257] * 3 + [np.full(mask.shape, 65535, np.uint16)])
    Path("deep_rgba.png").write_bytes(png16(deep))
    Path("deep_la.png").write_bytes(png16(deep[:, :, 2:]))
    np.save("mask.npy", mask / 255)
    np.savetxt("mask.txt", mask / 255)
    np.save("a.npy", rng.random((20, 30)))
    np.save("large.npy", np.full((20, 30), 2.0))
    clear = Image.fromarray(mask).convert("LA")
    clear.putpixel((0, 0), (1, 2))
    clear.save("clear.png")
    Image.new("L", (30, 20), 255).save("ones.png")
    Image.new("L", (30, 21)).save("tall.png")
    return tmp_path


def run(*words):
    return CliRunner().invoke(cli, ["apply", *words], standalone_mode=False)


def pixels(name):
    with Image.open(name) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    "name",
    ["mask.png", "grey_rgb.png", "grey_rgba.png", "mask16.png", "mask.npy", "mask.txt", "deep_rgba.png", "deep_la.png"],
)
def test_masks_in_files(place, name):
    assert run("a.png", "-k", "blur", "-k", "sharpen", "--mask", name, "-o", "b.png").exception is None
    with Image.open("a.png") as image:
        expected = imgconv.apply(image, ["blur", "sharpen"], mask=pixels("mask.png"))
    np.testing.assert_array_equal(pixels("b.png"), np.asarray(expected))


def test_a_white_mask_gives_the_plain_result_and_a_shape_fits_any_size(place):
    assert run("a.png", "-k", "blur", "--mask", "ones.png", "-o", "b.png").exception is None
    assert run("a.png", "-k", "blur", "-o", "c.png").exception is None
    np.testing.assert_array_equal(pixels("b.png"), pixels("c.png"))
    assert run("a.png", "tall.png", "-k", "blur", "--mask", "radial:inner=0.3", "--out-dir", "out").exception is None


def test_vary_takes_the_place_of_the_kernel(place):
    done = run("a.png", "--vary", "gaussian:sigma=0..2", "--mask", "linear:band=0.5", "-v")
    assert done.exception is None
    assert "a.gaussian_sigma0-2.png" in done.output
    assert "levels (0, " in done.output
    assert "% of the range from the kernel of each pixel" in done.output
    with Image.open("a.png") as image:
        expected = imgconv.apply(image, vary="gaussian:sigma=0..2", mask="linear:band=0.5")
    np.testing.assert_array_equal(pixels("a.gaussian_sigma0-2.png"), np.asarray(expected))
    done = run("a.npy", "--vary", "gaussian:sigma=0..2", "--mask", "mask.npy", "--json")
    assert json.loads(done.output)["kernel"] == "gaussian_sigma0-2"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-k", "blur", "--mask", "none.png"], "--mask none.png: no such file"),
        (["-k", "blur", "--mask", "a.png"], "--mask a.png: a mask is a grey picture"),
        (["-k", "blur", "--mask", "clear.png"], "--mask clear.png: a mask is opaque"),
        (["-k", "blur", "--mask", "large.npy"], "--mask large.npy: a mask of float64 goes from 0 to 1, not 2 to 2"),
        (["-k", "blur", "--mask", "radial:inner=x"], "mask radial: inner='x' is not a number"),
        (["-k", "blur", "--mask", "radial", "--stride", "2"], "stride 1"),
        (["-k", "blur", "--vary", "gaussian:sigma=0..2", "--mask", "radial"], "one or the other"),
        (["--vary", "gaussian:sigma=0..2"], "vary needs a mask"),
        (["--vary", "gaussian:sigma=2", "--mask", "radial"], "needs one parameter with a range"),
        (["--mask", "radial"], "Missing option '-k' / '--kernel' .or --vary"),
    ],
)
def test_errors_before_any_work(place, words, text):
    problem = run("a.png", *words).exception
    assert isinstance(problem, Exception)
    with pytest.raises((imgconv.UsageError, imgconv.KernelError, type(problem)), match=text.replace("[", ".")):
        raise problem
    assert not list(place.glob("a.*.png"))


def test_a_mask_of_another_size_fails_that_file(place):
    done = run("a.png", "tall.png", "-k", "blur", "--mask", "mask.png", "--out-dir", "out")
    assert done.return_value == 1
    assert "tall.png: the mask mask.png is 30×20, the picture 30×21; they must be of one size" in done.output
    assert (place / "out" / "a.blur.png").exists()
