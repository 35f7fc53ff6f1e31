"""Pillow's own calls, done by imgconv: the same bytes, and nothing else is changed.

With PILLOW_TESTS=…/Tests, of the source of the Pillow that is installed, its own tests of filters run under it, too.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from makers import PILLOW_MODES, image_of, noise
from PIL import Image, ImageFilter

import imgconv
from imgconv import pillow
from imgconv.formats import blocks

NUMBERS = st.floats(-9, 9).map(lambda number: round(number, 3)) | st.integers(-5, 20)
RADII = st.floats(0, 40) | st.integers(0, 9) | st.tuples(st.floats(0, 9), st.integers(0, 9))
SIDES = st.sampled_from([3, 5])
FILTERS = st.one_of(
    st.sampled_from(pillow.KERNELS[1:]),
    st.sampled_from(
        [ImageFilter.GaussianBlur, ImageFilter.UnsharpMask, ImageFilter.MedianFilter, ImageFilter.ModeFilter]
    ),
    RADII.map(ImageFilter.GaussianBlur),
    RADII.map(ImageFilter.BoxBlur),
    st.builds(ImageFilter.UnsharpMask, st.floats(0, 20), st.integers(-300, 500), st.integers(0, 30)),
    SIDES.flatmap(
        lambda n: st.builds(
            ImageFilter.Kernel,
            st.just((n, n)),
            st.lists(NUMBERS, min_size=n * n, max_size=n * n),
            st.integers(1, 20),
            NUMBERS,
        )
    ),
)


@pytest.fixture(autouse=True)
def _all_sizes(monkeypatch):
    monkeypatch.setattr(pillow, "FEWEST_PIXELS", 0)


def served(monkeypatch):
    """The images that imgconv has filtered: those that Pillow itself was not asked for."""
    asked = []
    theirs = pillow._pillows
    monkeypatch.setattr(pillow, "_pillows", lambda image, filter: asked.append(filter) or theirs(image, filter))
    return asked


def same(ours, theirs):
    assert (ours.mode, ours.size, ours.info, type(ours)) == (theirs.mode, theirs.size, theirs.info, type(theirs))
    assert ours.tobytes() == theirs.tobytes()


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([*PILLOW_MODES]), st.integers(1, 60), st.integers(1, 60), FILTERS, st.integers(0, 99))
def test_every_filter_gives_pillows_bytes(mode, columns, rows, filter, seed):
    source = image_of(mode, columns, rows, seed)
    source.info["transparency"] = 3
    theirs = source.filter(filter)
    with pillow.installed():
        same(source.filter(filter), theirs)


def test_large_images_that_pillow_keeps_in_several_blocks():
    source = image_of("RGB", 2300, 2000)
    for filter in (ImageFilter.BoxBlur((2.5, 0)), ImageFilter.SHARPEN):
        theirs = source.filter(filter)
        with pillow.installed():
            same(source.filter(filter), theirs)


def test_files_and_images_over_foreign_memory(tmp_path):
    image_of("RGB", 300, 200).save(tmp_path / "a.png")
    foreign = Image.frombuffer("L", (300, 200), noise(200, 300).tobytes(), "raw", "L", 0, 1)
    for source in (Image.open(tmp_path / "a.png"), foreign, image_of("RGBA", 40, 30).crop((5, 5, 30, 20))):
        theirs = source.filter(ImageFilter.GaussianBlur(2))
        with pillow.installed():
            same(source.filter(ImageFilter.GaussianBlur(2)), theirs)


def test_what_imgconv_has_is_not_pillows_work(monkeypatch):
    asked, source = served(monkeypatch), image_of("RGB", 50, 40)
    with pillow.installed():
        for filter in (
            *pillow.KERNELS[1:],
            ImageFilter.GaussianBlur(2),
            ImageFilter.BoxBlur(1),
            ImageFilter.UnsharpMask,
        ):
            source.filter(filter)
        assert not asked
        rest = (ImageFilter.MedianFilter(3), ImageFilter.RankFilter(3, 2), imgconv.PillowFilter("gaussian:2"), Own(1))
        for filter in rest:
            source.filter(filter)
    assert asked == [*rest]


class Own(ImageFilter.BoxBlur):
    """A filter of somebody's own, whatever it does."""

    def filter(self, image):
        return image.copy()


@pytest.mark.parametrize("mode", ["1", "P", "LAB", "HSV", "YCbCr", "F", "I", "I;16", "I;16B", "PA"])
@pytest.mark.parametrize("filter", [ImageFilter.GaussianBlur(2), ImageFilter.BLUR, ImageFilter.UnsharpMask])
def test_other_modes_are_left_to_pillow(mode, filter):
    source = Image.new(mode, (30, 20))
    assert outcome(source, filter) == outcome(source, filter, pillow.installed)


@pytest.mark.parametrize(
    "filter",
    [
        ImageFilter.GaussianBlur(-2), ImageFilter.GaussianBlur(float("nan")), ImageFilter.GaussianBlur("2"),
        ImageFilter.GaussianBlur((1, 2, 3)), ImageFilter.GaussianBlur([2, 5]), ImageFilter.BoxBlur([0, 0]),
        ImageFilter.UnsharpMask(2, 1.5, 3), ImageFilter.UnsharpMask(2, 100, -3), ImageFilter.UnsharpMask((1, 2)),
        ImageFilter.Kernel((3, 3), [1] * 9, 0), ImageFilter.Kernel((3, 5), [1] * 15), "blur", None,
        ImageFilter.Kernel((3, 3), ["a"] * 9, 1), ImageFilter.Kernel((3, 3), [float("inf")] * 9, 1),
    ],
)  # fmt: skip
def test_what_pillow_refuses_stays_refused(filter):
    source = image_of("RGB", 30, 20)
    assert outcome(source, filter) == outcome(source, filter, pillow.installed)


def outcome(source, filter, under=None):
    try:
        if under is None:
            return source.filter(filter).tobytes()
        with under():
            return source.filter(filter).tobytes()
    except Exception as problem:
        return type(problem), str(problem)


def test_small_images_are_left_to_pillow(monkeypatch):
    monkeypatch.setattr(pillow, "FEWEST_PIXELS", 100)
    asked = served(monkeypatch)
    with pillow.installed():
        image_of("L", 9, 11).filter(ImageFilter.BLUR)
        image_of("L", 10, 10).filter(ImageFilter.BLUR)
    assert asked == [ImageFilter.BLUR]


def test_it_is_undone():
    before = Image.Image.filter
    with imgconv.pillow.installed(), imgconv.pillow.installed():
        assert Image.Image.filter is not before
    assert Image.Image.filter is before
    imgconv.pillow.install()
    imgconv.pillow.install()
    with imgconv.pillow.installed():
        pass
    assert Image.Image.filter is not before
    imgconv.pillow.uninstall()
    assert Image.Image.filter is before


def test_the_source_stays_and_the_result_has_its_own_memory():
    source = image_of("RGB", 40, 30)
    before = source.tobytes()
    with pillow.installed():
        for filter in (ImageFilter.GaussianBlur(0), ImageFilter.BoxBlur(2), ImageFilter.UnsharpMask(0)):
            result = source.filter(filter)
            result.paste(7, (0, 0, 40, 30))
            assert source.tobytes() == before


@pytest.mark.skipif("PILLOW_TESTS" not in os.environ, reason="PILLOW_TESTS names no folder with Pillow's own tests")
def test_pillows_own_tests_pass(tmp_path):
    plugin = "from imgconv import pillow\npillow.FEWEST_PIXELS = 0\npillow.install()\n"
    (tmp_path / "under_imgconv.py").write_text(plugin)
    tests = os.environ["PILLOW_TESTS"]
    names = [os.path.join(tests, f"test_{name}.py") for name in ("image_filter", "box_blur", "imageops_usm")]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "under_imgconv", "-p", "no:cacheprovider", *names]
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=os.path.dirname(tests), env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("mode", ["L", "RGB", "LA"])
def test_images_in_several_places_are_blurred_from_there(mode, monkeypatch):
    """As Pillow has those above 16 MB."""
    before = Image.core.get_block_size()
    try:
        Image.core.set_block_size(2**15)
        source = image_of(mode, 401, 300).copy()
    finally:
        Image.core.set_block_size(before)
    assert blocks.block_of(source.im) is None
    monkeypatch.setattr("imgconv.pillow.to_array", None)
    with pillow.installed():
        assert source.filter(ImageFilter.BoxBlur(0)).tobytes() == source.tobytes()
    for theirs in (ImageFilter.BoxBlur(2), ImageFilter.GaussianBlur(60), ImageFilter.UnsharpMask(40)):
        with pillow.installed():
            ours = source.filter(theirs)
        assert ours.tobytes() == source.filter(theirs).tobytes()


def test_large_images_are_blurred_so_from_the_second_call_on(monkeypatch):
    source, ours = image_of("RGB", 1500, 1000), pillow.PillowFilter("box:2", threads=1)
    expected = source.filter(ImageFilter.BoxBlur(2)).tobytes()
    assert source.filter(ours).tobytes() == expected
    monkeypatch.setattr("imgconv.pillow.filtered", None)
    assert source.filter(ours).tobytes() == expected
