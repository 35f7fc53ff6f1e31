"""Pillow's own blurs, by the byte, held against the Pillow that is installed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from makers import PILLOW_MODES, image_of, noise
from PIL import Image, ImageFilter

import imgconv
from imgconv.compare import compare
from imgconv.engine.blur import LARGEST_DIVIDED, _parts, blurred, box, boxes
from imgconv.engine.stage import Span
from imgconv.formats.picture import Picture
from imgconv.kernels.files import read_kernels
from imgconv.kernels.spec import kernel
from imgconv.kernels.write import encode
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

RADII = st.floats(0.01, 60) | st.integers(1, 60) | st.sampled_from([0.01, 0.5, 0.999, 1.001, 59.99])
SHARPENED = "unsharp:radius=2,percent=150,threshold=3"


def assert_as_pillow(source, spec, theirs):
    ours, theirs = imgconv.apply(source, spec, like="pillow"), source.filter(theirs)
    assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
    differ = np.count_nonzero(np.asarray(ours) != np.asarray(theirs))
    assert not differ, f"{differ} bytes differ: {source.mode}, {source.size}, {spec}"


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*PILLOW_MODES]), st.integers(1, 200), st.integers(1, 200), RADII, RADII, st.integers(0, 999))
@example("L", 1, 1, 60, 60, 0)
@example("RGB", 1, 200, 0.3, 60, 100)
@example("RGB", 200, 1, 60, 0.3, 100)
@example("RGBA", 15, 17, 7.5, 7.5, 3)
def test_blurs_are_pillows(mode, columns, rows, x, y, number):
    source = image_of(mode, columns, rows, number)
    percent, threshold = number, number % 20
    assert_as_pillow(source, f"gaussian:{x!r}", ImageFilter.GaussianBlur(x))
    assert_as_pillow(source, f"gaussian:sigma_x={x!r},sigma_y={y!r}", ImageFilter.GaussianBlur((x, y)))
    assert_as_pillow(source, f"box:radius={x!r}", ImageFilter.BoxBlur(x))
    assert_as_pillow(source, f"box:radius_x={x!r},radius_y={y!r}", ImageFilter.BoxBlur((x, y)))
    spec = f"unsharp:radius={x!r},percent={percent},threshold={threshold}"
    assert_as_pillow(source, spec, ImageFilter.UnsharpMask(x, percent, threshold))


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (33, 20), (5, 300)])
@pytest.mark.parametrize("radius", [0, 1e-30, 1e-6, 0.01, 0.2, 3, 127.5, 129, 500.3, 100_000])
def test_every_radius(radius, size):
    """Also those that no weights are made for."""
    source = image_of("RGB", *size)
    for times, theirs in ((1, ImageFilter.BoxBlur), (3, ImageFilter.GaussianBlur)):
        for x, y in ((radius, radius), (radius, 0), (0, radius), (1.5, radius)):
            ours = blurred(np.asarray(source), Span(0, size[1]), boxes(x, y, times))
            np.testing.assert_array_equal(ours, np.asarray(source.filter(theirs((x, y)))), f"{theirs} {x} {y}")


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
@pytest.mark.parametrize("cached", [1, 2**15, 2**19])
@pytest.mark.parametrize("threads", [1, 7])
def test_parts_fit_together(mode, cached, threads, monkeypatch):
    """Whether they are narrow, low or all of it, or rows and columns are blurred one after the other."""
    monkeypatch.setattr("imgconv.engine.blur.CACHED", cached)
    monkeypatch.setattr("imgconv.engine.blur._parts", _parts.__wrapped__)
    monkeypatch.setattr("imgconv.engine.blur.WORTH_A_THREAD", 1)
    source = image_of(mode, 333, 150)
    samples = np.asarray(source).reshape(150, 333, -1)
    for radius in (0.7, 2, 9.25, 80):
        for blur, theirs in (
            (boxes(radius, radius, 1), ImageFilter.BoxBlur(radius)),
            (boxes(radius, radius, 3), ImageFilter.GaussianBlur(radius)),
            (boxes(radius, radius, 3, 130, 2), ImageFilter.UnsharpMask(radius, 130, 2)),
        ):
            expected = np.asarray(source.filter(theirs)).reshape(samples.shape)
            for rows in (Span(0, 150), Span(21, 92)):
                ours = blurred(samples, rows, blur, threads)
                np.testing.assert_array_equal(ours, expected[slice(*rows)], f"{theirs} {radius} {rows}")


def test_quotients_are_pillows_products():
    """Of every sum that can be, whatever is on the rim."""
    for radius in range(1, LARGEST_DIVIDED + 1):
        size = 2 * radius + 1
        sums, weight = np.arange(255 * size + 1), 2**24 // size
        rim = (2**24 - size * weight) // 2
        _, factor, _, shift = box(radius)
        assert max(factor, sums[-1] + radius) < 2**16
        for most in (0, 510):
            theirs = (sums * weight + most * rim + 2**23) >> 24
            np.testing.assert_array_equal((sums + radius) * factor >> 16 + shift, theirs, str(radius))


def test_an_axis_may_stay():
    source = image_of("RGB", 30, 20)
    assert_as_pillow(source, "gaussian:sigma_x=2,sigma_y=0", ImageFilter.GaussianBlur((2, 0)))
    assert_as_pillow(source, "box:radius_x=0,radius_y=2.5", ImageFilter.BoxBlur((0, 2.5)))
    assert_as_pillow(source, "box:0", ImageFilter.BoxBlur(0))
    assert_as_pillow(source, "box:size=5", ImageFilter.BoxBlur(2))


def test_sharpening_beyond_the_range_and_by_thresholds():
    source = image_of("RGB", 90, 40)
    for percent, threshold in ((0, 0), (1, 0), (10_000, 0), (500, 255), (99, 254), (33, 7)):
        spec = f"unsharp:radius=2,percent={percent},threshold={threshold}"
        assert_as_pillow(source, spec, ImageFilter.UnsharpMask(2, percent, threshold))
    for percent, threshold in ((-10_000, 0), (-70, 3), (-1, 0)):  # Pillow takes them
        ours = blurred(np.asarray(source), Span(0, 40), boxes(2, 2, 3, percent, threshold))
        np.testing.assert_array_equal(ours, np.asarray(source.filter(ImageFilter.UnsharpMask(2, percent, threshold))))
    assert_as_pillow(source, "unsharp:sigma=3,amount=1.29", ImageFilter.UnsharpMask(3, 129, 0))
    assert_as_pillow(source, "unsharp", ImageFilter.UnsharpMask(1, 100, 0))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_nothing(threads):
    source = image_of("RGB", 700, 400)
    ours = imgconv.apply(source, "gaussian:4.2", like="pillow", threads=threads)
    assert ours.tobytes() == source.filter(ImageFilter.GaussianBlur(4.2)).tobytes()


def test_chains_pass_through_it():
    source = image_of("RGB", 60, 50)
    theirs = source.filter(ImageFilter.EDGE_ENHANCE).filter(ImageFilter.GaussianBlur(2)).filter(ImageFilter.SMOOTH)
    ours = imgconv.apply(source, ["edge_enhance", "gaussian:2", "smooth"], like="pillow")
    assert ours.tobytes() == theirs.tobytes()


def test_arrays_are_blurred_whatever_their_channels():
    array = noise(40, 30, 7)
    ours = imgconv.correlate(array, "gaussian:2", like="pillow")
    for channel in range(7):
        theirs = Image.fromarray(array[:, :, channel]).filter(ImageFilter.GaussianBlur(2))
        np.testing.assert_array_equal(ours[:, :, channel], np.asarray(theirs))


def test_palettes_are_blurred_as_colours():
    source = image_of("L", 20, 20).convert("P")
    theirs = source.convert("RGB").filter(ImageFilter.GaussianBlur(2))
    assert imgconv.apply(source, "gaussian:2", like="pillow").tobytes() == theirs.tobytes()


def test_a_filter_for_pillow_is_pillows_where_it_has_one():
    source, spec = image_of("RGB", 60, 50), "gaussian:2"
    theirs = source.filter(ImageFilter.GaussianBlur(2)).tobytes()
    exact = imgconv.apply(source, spec).tobytes()
    assert source.filter(imgconv.PillowFilter(spec)).tobytes() == theirs != exact
    assert source.filter(imgconv.PillowFilter(imgconv.kernel(spec), threads=1)).tobytes() == theirs
    assert source.filter(imgconv.PillowFilter(spec, border="edge")).tobytes() == exact
    other = source.convert("YCbCr")  # Pillow refuses it
    assert other.filter(imgconv.PillowFilter(spec)).tobytes() == imgconv.apply(other, spec).tobytes()


@pytest.mark.parametrize(
    ("spec", "options", "says"),
    [
        ("gaussian:2", {"border": "reflect"}, "Pillow's own blur, which has no border; leave one out"),
        ("gaussian:2", {"channels": "r"}, "has no channels"),
        ("box", {"mask": np.ones((9, 9))}, "has no mask"),
        ("box", {"method": "direct"}, "has no method"),
        ("box:size=4", {}, "has no even size"),
        ("gaussian:sigma=2,radius=3", {}, "has no radius in taps (its own is the standard deviation)"),
        ("unsharp:radius=3,amount=1", {}, "has no radius in taps"),
        ("unsharp:amount=1.234", {}, "has no part of a percent"),
    ],
)
def test_what_pillow_has_not_is_refused(spec, options, says):
    with pytest.raises(imgconv.UsageError) as refusal:
        imgconv.apply(image_of("RGB", 9, 9), spec, like="pillow", **options)
    assert says in str(refusal.value)


def test_what_pillow_does_anyway_may_be_said():
    source = image_of("RGBA", 20, 20)
    said = {"border": "edge", "padding": "same", "after": "clip", "alpha": "straight", "method": "auto", "threads": 2}
    ours = imgconv.apply(source, "gaussian:2", like="pillow", mode="convolve", **said)
    assert ours.tobytes() == source.filter(ImageFilter.GaussianBlur(2)).tobytes()


@pytest.mark.parametrize("mode", ["I;16", "F", "I", "LAB", "HSV", "YCbCr"])
def test_pictures_that_pillow_does_not_blur_are_refused(mode):
    source = Image.new(mode, (9, 9))
    with pytest.raises(ValueError):  # noqa: PT011 - Pillow's words are its own
        source.filter(ImageFilter.GaussianBlur(2))
    with pytest.raises(imgconv.PictureError, match=r"without like every picture can be blurred"):
        imgconv.apply(source, "gaussian:2", like="pillow")


def test_a_threshold_needs_pillow():
    with pytest.raises(imgconv.UsageError, match="a threshold is Pillow's"):
        imgconv.correlate(noise(9, 9), SHARPENED)


def test_without_pillow_its_words_are_weights():
    sharpen, blur = kernel("unsharp:radius=2,percent=150"), kernel("box:radius_x=2,radius_y=0.5")
    np.testing.assert_array_equal(sharpen.weights, kernel("unsharp:sigma=2,amount=1.5").weights)
    np.testing.assert_array_equal(blur.weights / blur.scale, np.outer([0.25, 0.5, 0.25], np.ones(5) / 5))
    with pytest.raises(imgconv.KernelError, match=r"radius=2\.5 is no number of taps"):
        kernel("unsharp:radius=2.5")


@pytest.mark.parametrize("spec", ["gaussian:2.25", "box:radius_x=1,radius_y=0.5", SHARPENED])
@pytest.mark.parametrize("form", ["toml", "json"])
def test_files_hold_it(spec, form, tmp_path):
    path = tmp_path / f"kernel.{form}"
    path.write_bytes(encode([kernel(spec)], form)[0])
    assert read_kernels(path)[0].blur == kernel(spec).blur


@pytest.mark.parametrize(
    "text", ["[1, 2]", "[1, 1, 2]", "[-1, 1, 3]", "[1, 1e9, 3]", "[1, 1, 3, 0.5, 0]", '"box"', "7"]
)
def test_files_with_another_are_refused(text, tmp_path):
    path = tmp_path / "kernel.toml"
    path.write_text(f"weights = [[1]]\nblur = {text}\n")
    with pytest.raises(imgconv.KernelError, match="blur"):
        imgconv.kernel(path)


def test_a_family_is_weights_whatever_it_is_like():
    array, mask, family = noise(20, 30, 3), np.linspace(0, 1, 600).reshape(20, 30), "box:radius=0..3"
    ours = imgconv.correlate(array, None, vary=family, mask=mask, like="pillow")
    np.testing.assert_array_equal(ours, imgconv.correlate(array, None, vary=family, mask=mask, border="keep"))
    with pytest.raises(imgconv.UsageError, match="a threshold is Pillow's"):
        imgconv.correlate(array, None, vary="unsharp:threshold=1..9", mask=mask)


def test_compare_measures_it():
    picture = Picture(noise(40, 50, 3), "RGB", "")
    chain = (kernel("gaussian:2"), kernel("sharpen"), kernel(SHARPENED))
    found = compare("pillow", picture, Recipe(chain, Options(like="pillow")), rounds=1)
    assert (found.equal, found.impossible, found.all_pixels) == (True, "", 2000)
    found = compare("scipy", picture, Recipe(chain, Options(like="pillow")), rounds=1)
    assert "no such passes of boxes" in found.impossible
