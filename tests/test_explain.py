"""`explain`: the worked sum is the articles', the plain reference's, and what filtering really gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import oracle
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import noise, saved
from PIL import Image, ImageFilter

import imgconv
from imgconv.cli import cli
from imgconv.errors import ImgconvError, UsageError
from imgconv.explain import explain
from imgconv.explain.result import first_parting
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

SAMPLES = Path(__file__).resolve().parent.parent / "samples"


def run(*words):
    done = CliRunner().invoke(cli, ["explain", *map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def told(*words):
    return json.loads(run(*words, "--json"))


# The articles' numbers


@pytest.mark.parametrize(("pixel", "number"), [("0,0", 312), ("2,2", 744), ("1,0", 492)])
def test_the_convolution_by_hand(pixel, number):
    (worked,) = told(f"{SAMPLES}/hand_5x5.txt@{pixel}", "-k", SAMPLES / "hand_kernel_3x3.txt", "--padding", "valid")[
        "sums"
    ]
    (channel,) = worked["channels"]
    assert channel["result"] == channel["worked"] == number
    (term,) = channel["terms"]
    products = np.array(term["window"]) * np.arange(9).reshape(3, 3)
    np.testing.assert_array_equal(term["products"], products)
    assert [line["row"] for line in term["sums"]] == [2, 1, 0]
    assert [line["total"] for line in term["sums"]] == products.sum(axis=1)[::-1].cumsum().tolist()
    assert not np.any(term["made"])


def test_a_sum_over_channels_has_a_block_for_each():
    for kernel in ([SAMPLES / "channels_kernel_hwio.npy"], ["1 1; 1 1", "--channels", "sum"]):
        source = f"{SAMPLES}/channels_3x3x3.npy@1,1"
        (worked,) = told(source, "-k", *kernel, "--padding", "valid", "--bias", "0", "--after", "relu")["sums"]
        (channel,) = worked["channels"]
        assert [term["total"] for term in channel["terms"]] == [4, 400, 40000]
        assert channel["result"] == 40404


@pytest.mark.parametrize("pixel", [(3, 3), (0, 0), (7, 4)])
def test_scipy_and_keras_part_at_the_weights(pixel):
    signal = pytest.importorskip("scipy.signal")
    image, kernel = (np.loadtxt(SAMPLES / f"scipy_keras_{name}.txt") for name in ("8x8", "kernel_3x3"))
    words = [f"{SAMPLES}/scipy_keras_8x8.txt@{pixel[0]},{pixel[1]}", "-k", SAMPLES / "scipy_keras_kernel_3x3.txt"]
    sides = ["--like", "scipy", "--mode", "convolve", "--like", "keras", "--mode", "correlate"]
    both = told(*words, *sides)
    scipy, keras = (one["channels"][0] for one in both["sums"])
    assert scipy["result"] == pytest.approx(signal.convolve2d(image, kernel, mode="same")[pixel], abs=1e-12)
    assert keras["result"] == pytest.approx(np.loadtxt(SAMPLES / "keras_3x3_same.txt")[pixel], abs=1e-6)
    assert both["parting"] == {
        "step": "how the weights lie", "channel": "", "first": "rotated by 180°", "second": "as written",
    }  # fmt: skip
    text = run(*words, *sides)
    assert text.endswith("they part at how the weights lie: scipy convolve rotated by 180°; keras as written\n")
    assert f"{scipy['result']:.9g}" in text
    assert f"{keras['result']:.9g}" in text


@pytest.mark.parametrize("pixel", [(0, 0), (1, 1), (20, 30)])
def test_a_photo_under_pillows_kernel(pixel):
    with Image.open(SAMPLES / "chelsea.png") as photo:
        theirs = np.asarray(photo.filter(ImageFilter.EDGE_ENHANCE))[pixel]
    worked = imgconv.explain_pixel(SAMPLES / "chelsea.png", *pixel, "edge_enhance")
    assert [channel.worked for channel in worked.channels] == theirs.tolist()
    assert [channel.name for channel in worked.channels] == ["R", "G", "B"]
    copied = pixel == (0, 0)
    assert [step.name for step in worked.channels[0].steps] == (["copied"] if copied else ["sum", "rounded"])


# The plain reference, and what filtering gives


@pytest.mark.parametrize("padding", ["same", "valid", "full"])
@pytest.mark.parametrize("border", [*oracle.PAD_MODES, "constant:9"])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_every_pixel_is_the_plain_references(dtype, border, padding):
    src = noise(4, 5, 1, dtype="uint8").astype(dtype)
    weights, anchor = np.array([[1, 2, 0, -3], [4, 0.5, 7, 1]]), (1, 2)
    name, _, outside = border.partition(":")
    how = {"anchor": anchor, "border": name, "outside": float(outside or 0), "padding": padding, "offset": 1.0}
    expected = oracle.correlate(src, weights, scale=3.0, **how)[:, :, 0]
    options = Options(anchor=anchor, border=border, padding=padding, scale=3.0, offset=1.0, method="direct")
    recipe = Recipe((imgconv.kernel(weights),), options)
    around = oracle.padded(src.astype(float), (2, 4), anchor, name, float(outside or 0), padding)[:, :, 0]
    for y, x in np.ndindex(expected.shape):
        (channel,) = explain(src[:, :, 0], "", recipe, y, x).channels
        (term,) = channel.terms
        assert channel.worked == channel.result == expected[y, x]
        np.testing.assert_array_equal(term.window, around[y : y + 2, x : x + 4])
        inside = ((term.rows >= 0) & (term.rows < 4))[:, None] & ((term.columns >= 0) & (term.columns < 5))
        np.testing.assert_array_equal(term.made, ~inside)


CHANNELS = {"": 2, "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "LAB": 3, "I;16": 1}


@st.composite
def works(draw):
    """A small picture, its mode, and a recipe."""
    mode = draw(st.sampled_from([*CHANNELS]))
    shape = draw(st.integers(1, 6)), draw(st.integers(1, 6)), CHANNELS[mode]
    dtype = {"I;16": "uint16"}.get(mode) or (
        draw(st.sampled_from(["uint8", "float32", "int8"])) if not mode else "uint8"
    )
    seed = draw(st.integers(0, 2**16))
    array = noise(*shape, dtype="uint16", seed=seed).astype(dtype)
    names = st.sampled_from(["edge_enhance", "emboss", "sharpen", "box_blur", "sobel_x", "identity"])
    sizes = st.tuples(st.integers(1, 3), st.integers(1, 4))
    drawn = sizes.map(lambda size: np.random.default_rng(seed).integers(-3, 5, size))
    kernels = tuple(map(imgconv.kernel, draw(st.lists(names | drawn, min_size=1, max_size=2))))
    given = {
        name: draw(st.sampled_from(values))
        for name, values in {
            "mode": ["correlate", "convolve"],
            "border": [None, "reflect", "wrap", "constant:7", "keep", "renormalize"],
            "padding": [None, "valid", "full", "tf-same"], "anchor": [None, "high"], "stride": [1, (2, 1)],
            "dilation": [1, 2], "scale": [None, 3.0, "abs-sum"], "offset": [None, -20.5], "bias": [None, 2.25],
            "channels": ["each", "sum", "r"], "like": [None, None, "scipy", "ndimage", "opencv", "imagemagick"],
            "after": [None, None, "abs", "relu", "minmax", "offset128", "float"],
            "alpha": [None, None, "straight", "keep", "premultiply"], "linear": [False, False, True],
            "combine": [None, None, None, "hypot", "max"], "mask": [None, None, None, "linear:angle=90"],
        }.items()
        if draw(st.integers(0, 3)) == 0
    }  # fmt: skip
    return array, mode, Recipe(kernels, Options(**given, method="direct"))


@given(st.data())
@settings(max_examples=100, deadline=None, database=None)
def test_every_option_is_worked_as_it_is_filtered(data):
    try:
        array, mode, recipe = data.draw(works())
        result, _, _ = recipe.apply(array, mode)
    except ImgconvError:  # options that do not go together
        return
    result = np.atleast_3d(result)
    pixel = data.draw(st.tuples(st.integers(0, result.shape[0] - 1), st.integers(0, result.shape[1] - 1)))
    worked = explain(array, mode, recipe, *pixel)
    assert [one.result for one in worked.channels] == pytest.approx(result[pixel].tolist(), nan_ok=True, rel=0, abs=0)
    got = [one.worked for one in worked.channels]
    exact = result.dtype.kind in "ui"  # floating sums that are rescaled are so by another order of operations
    assert got == pytest.approx(result[pixel].tolist(), nan_ok=True, rel=0 if exact else 1e-6, abs=0 if exact else 1e-4)
    assert first_parting(worked, worked) is None
    json.dumps(worked.as_dict(), allow_nan=False)


def test_a_method_that_may_be_off_says_so():
    src = noise(40, 40)
    (channel,) = (worked := imgconv.explain_pixel(src, 20, 20, "gaussian:sigma=3", method="fourier")).channels
    assert worked.method == "fourier"
    assert "level" in worked.exactness
    assert channel.result == imgconv.correlate(src, "gaussian:sigma=3", method="fourier")[20, 20]
    assert abs(channel.result - channel.worked) <= 1


# What is printed and refused


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a@b,1@2.png"
    path.write_bytes(saved(Image.fromarray(noise(6, 8, 4)), "PNG"))
    return path


def test_the_value_outside_is_told_to_its_last_digit():
    made = imgconv.explain_pixel(np.zeros((3, 3)), 0, 0, "1 2 3", border="constant:1234567.25")
    assert made.border == "constant:1234567.25"


def test_what_is_printed_marks_the_border_and_names_every_channel(photo):
    text = run(f"{photo}@5,7", "-k", "1 2; 3 4", "--anchor", "high", "--border", "constant:7", "--mode", "convolve")
    assert "[7]" in text
    assert "weights, ↻ rotated by 180°" in text
    for name in "RGBA":
        assert f"\n{name} result" in text
    assert "the pixel's own: this channel is not filtered" in text
    assert max(map(len, text.splitlines())) < 160
    large = run(f"{photo}@3,3", "-k", "gaussian:sigma=20")
    assert "…" in large
    assert len(large.splitlines()) < 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["@9,0"], "row 9, column 0 lies outside the result, which has 6 rows and 8 columns"),
        ([""], "is not PICTURE@ROW,COLUMN"),
        (["@-1,0"], "is not PICTURE@ROW,COLUMN"),
        (["@0,0", "--vary", "gaussian:sigma=0..8", "--mask", "radial"], "vary"),
        (["@0,0", "-k", "box:radius=2", "--like", "pillow"], "Pillow's own blur"),
        (["@0,0", *["--like", "scipy"] * 3], "two sides"),
    ],
)
def test_what_cannot_be_worked_is_refused_in_a_line(photo, words, said):
    kernel = [] if "-k" in words or "--vary" in words else ["-k", "blur"]
    with pytest.raises(UsageError, match=said):
        CliRunner().invoke(cli, ["explain", str(photo) + words[0], *kernel, *words[1:]], catch_exceptions=False)


def test_two_sides_that_agree_say_so(photo):
    text = run(f"{photo}@3,3", "-k", "sharpen", "--mode", "correlate", "--mode", "convolve")
    assert text.endswith("they do not part: every step is the same\n")
    assert (
        "border" in run(f"{photo}@0,0", "-k", "sharpen", "--like", "opencv", "--like", "imagemagick").splitlines()[-1]
    )


@pytest.mark.parametrize(
    ("words", "step"),
    [
        (["--like", "scipy", "--like", "opencv"], "where the window lies"),  # the anchor of even sizes
        (["--like", "opencv", "--like", "ndimage", "--anchor", "low", "--border", "edge"], "rounded"),
        (["--like", "keras", "--like", "imagemagick", "--border", "edge", "--alpha", "keep"], "the scale"),
        (["--like", "opencv", "--like", "pillow", "--anchor", "low", "--border", "wrap"], "how the weights lie"),
    ],
)
def test_the_first_step_in_which_two_tools_part_is_named(photo, words, step):
    assert told(f"{photo}@2,2", "-k", "-1 .25; 2 1", *words)["parting"]["step"] == step
