"""`compare A B`: what differs between two pictures, counted by NumPy and measured by scikit-image."""

from __future__ import annotations

import json
import math
from itertools import product
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from makers import noise, png16, saved
from PIL import Image

from imgconv import difference as module
from imgconv.cli import cli
from imgconv.difference import amplified, difference, gap
from imgconv.errors import UsageError
from imgconv.formats.picture import Picture
from imgconv.page.section import changes

pytestmark = pytest.mark.usefixtures("here")

MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}


def run(*words):
    done = CliRunner().invoke(cli, ["compare", *map(str, words)], catch_exceptions=False, standalone_mode=False)
    return done.return_value, done.stdout


def pair(dtype="uint8", channels=3, rows=20, columns=30):
    """Two pictures, of which the second differs in a few pixels."""
    one = noise(rows, columns, channels, dtype="uint8").astype(dtype)
    two = one.copy()
    two[4, 7, 0] = one[4, 7, 0] // 2 + 1
    two[11, 3:9, -1] = 255 - one[11, 3:9, -1]
    return one, two


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("tolerance", [0, 1, 40, 255])
def test_what_differs_is_counted_as_numpy_counts_it(channels, tolerance, monkeypatch):
    monkeypatch.setattr(module, "PIECE_SAMPLES", 300)  # a few rows at once
    one, two = pair(channels=channels)
    found = difference(*(Picture(array, MODES[channels], "PNG") for array in (one, two)), tolerance)
    gap = np.abs(one.astype(int) - two)
    rows, columns = np.nonzero((gap > tolerance).any(axis=2))
    assert found.equal == (not len(rows))
    assert (found.pixels, found.all_pixels) == (len(rows), 600)
    assert (found.largest, found.mean) == (gap.max(), pytest.approx(gap.mean()))
    if len(rows):
        assert found.rows == (rows.min(), rows.max())
        assert found.columns == (columns.min(), columns.max())
        assert found.first == (rows[0], columns[0])
        assert found.samples == tuple(tuple(array[found.first].tolist()) for array in (one, two))


def test_numbers_whose_squares_are_none_have_no_ssim():
    one = np.linspace(-1e300, 1e300, 81).reshape(9, 9)
    found = difference(Picture(one, "", "NPY"), Picture(one / 2, "", "NPY"))
    assert (found.equal, found.largest, found.ssim) == (False, 5e299, None)
    assert difference(Picture(one, "", "NPY"), Picture(one, "", "NPY")).equal


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64"])
def test_psnr_and_ssim_are_scikit_images(dtype, monkeypatch):
    monkeypatch.setattr(module, "PIECE_SAMPLES", 300)
    metrics = pytest.importorskip("skimage.metrics")
    one, two = pair(dtype)
    top = np.iinfo(dtype).max if dtype != "float64" else np.ptp(one)
    found = difference(Picture(one, "", "NPY"), Picture(two, "", "NPY"))
    assert found.psnr == pytest.approx(metrics.peak_signal_noise_ratio(one, two, data_range=top))
    ssim = metrics.structural_similarity(one, two, data_range=top, channel_axis=-1)
    assert found.ssim == pytest.approx(ssim, abs=1e-12)
    assert difference(Picture(one[:5], "RGB", ""), Picture(two[:5], "RGB", "")).ssim is None  # its window is 7×7


def test_arrays_are_numbers_and_nan_is_itself():
    numbers = np.array([[1.0, np.nan, np.inf], [4.0, 5.0, 6.0]])
    assert difference(Picture(numbers, "", "NPY"), Picture(numbers.copy(), "", "NPY")).equal
    other = numbers.copy()
    other[0, 1] = 0
    found = difference(Picture(numbers, "", "NPY"), Picture(other, "", "NPY"))
    assert (found.pixels, found.first, found.largest) == (1, (0, 1), math.inf)
    assert json.dumps(found.as_dict(), allow_nan=False)
    large = np.array([[2**63, 1]], np.uint64)
    found = difference(Picture(large, "", "NPY"), Picture(large + np.uint64(1), "", "NPY"))
    assert found.pixels == 2
    assert difference(Picture(np.array([[7]]), "", ""), Picture(np.array([[7.0]]), "", "")).equal


EDGES = {kind: [np.iinfo(kind).min, np.iinfo(kind).max, 0, 7, 2**62, 2**62 + 1] for kind in ("int64", "uint64")}
EDGES |= {"uint8": [0, 255, 7], "int16": [-32768, 32767, 7], "uint16": [0, 65535, 7], "bool": [False, True]}


@pytest.mark.parametrize(("kind", "other"), [*product(EDGES, ["same"]), ("int64", "uint64"), ("uint8", "int64")])
def test_whole_numbers_are_as_far_apart_as_python_has_it(kind, other):
    pairs = [*product(EDGES[kind], EDGES[kind if other == "same" else other])]
    one, two = (
        np.array([a for a, _ in pairs], kind),
        np.array([b for _, b in pairs], kind if other == "same" else other),
    )
    exact = [abs(int(a) - int(b)) for a, b in pairs]
    apart = gap(one, two)
    np.testing.assert_array_equal(apart > 0, np.array([distance > 0 for distance in exact]))
    np.testing.assert_allclose(apart, np.array(exact, float), rtol=2**-52)
    shown = changes(one[None], two[None])
    assert np.count_nonzero(shown) == np.count_nonzero(exact)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_nan_lies_on_nan_and_infinities_on_themselves(kind):
    one = np.array([np.nan, np.nan, 1, np.inf, np.inf, -np.inf, 3], kind)
    two = np.array([np.nan, 1, np.nan, np.inf, -np.inf, 0, 2.5], kind)
    np.testing.assert_array_equal(gap(one, two), [0, np.inf, np.inf, 0, np.inf, np.inf, 0.5])
    shown = changes(one[None], two[None])
    assert (np.count_nonzero(shown), np.isfinite(shown).all()) == (5, True)


def test_sizes_modes_and_depths_are_said_in_a_line():
    Path("a.png").write_bytes(saved(Image.fromarray(noise(4, 6, 3)), "PNG"))
    Path("grey.png").write_bytes(saved(Image.fromarray(noise(4, 6)), "PNG"))
    Path("large.png").write_bytes(saved(Image.fromarray(noise(5, 6, 3)), "PNG"))
    Path("deep.png").write_bytes(png16(noise(4, 6, 3, dtype="uint16")))
    for name, said in (
        ("grey.png", "modes RGB and L"), ("large.png", "sizes 6×4 and 6×5"), ("deep.png", "modes RGB and RGB;16"),
    ):  # fmt: skip
        status, out = run("a.png", name)
        assert (status, out) == (1, f"a.png   {name}   they differ in {said}\n")
        assert json.loads(run("a.png", name, "--json")[1])["unlike"] == said
    assert run("a.png", "a.png") == (0, "a.png   a.png   equal: 24 pixels\n")


def test_the_command_says_where_and_saves_it():
    one, two = pair()
    for name, array in (("a.png", one), ("b.png", two)):
        Path(name).write_bytes(saved(Image.fromarray(array), "PNG"))
    gap = np.abs(one.astype(int) - two)
    status, out = run("a.png", "b.png", "--save", "d.png")
    assert status == 1
    assert f"7 of 600 pixels differ (1.17 %)   largest {gap.max()}, mean {gap.mean():.4g}, PSNR " in out
    assert "rows 4 to 11, columns 3 to 8; first at 4,7: " in out
    np.testing.assert_array_equal(np.asarray(Image.open("d.png")), np.rint(gap * (255 / gap.max())))
    assert run("a.png", "b.png", "--save", "d.npy")[0] == 1
    np.testing.assert_array_equal(np.load("d.npy"), two.astype(int) - one)
    assert run("a.png", "b.png", "--tolerance", 255)[0] == 0
    with pytest.raises(UsageError, match=r"d\.png: exists; --overwrite"):
        run("a.png", "b.png", "--save", "d.png")


def test_alphas_difference_can_be_seen():
    one, two = pair(channels=4)
    shown = amplified(Picture(one, "RGBA", "PNG"), Picture(two, "RGBA", "PNG"), 255).array
    gap = np.abs(one.astype(int) - two)
    np.testing.assert_array_equal(shown, np.maximum(gap[:, :, :3], gap[:, :, 3:]))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["b.png", "-k", "blur"], "--kernel is for a kernel; two pictures are compared as they are"),
        (["b.png", "--border", "wrap"], "--border is for a kernel"),
        (["-k", "blur", "--tolerance", 1], "--tolerance goes with two pictures"),
        (["b.png", "--save", "d.xyz"], r"d\.xyz: its ending says no format"),
        (["b.png", "--tolerance", "nan"], "'nan' is not a finite number"),  # from which nothing differs
    ],
)
def test_what_does_not_go_together_is_refused(words, said):
    with pytest.raises((UsageError, click.BadParameter), match=said):
        run("a.png", *words)
