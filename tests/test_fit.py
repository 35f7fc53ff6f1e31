"""Kernels found again from what real tools made with them."""

import numpy as np
import pytest
from cases import PILLOW
from makers import imgconv
from PIL import Image, ImageFilter

from imgconv.errors import PictureError, UsageError
from imgconv.fit import fit
from imgconv.kernels.catalogue import named
from imgconv.kernels.table import parse_toml
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.settings import correlation

signal = pytest.importorskip("scipy.signal")
ndimage = pytest.importorskip("scipy.ndimage")
cv2 = pytest.importorskip("cv2")
chelsea = pytest.importorskip("skimage.data").chelsea

CORNER = np.array([[1.0, 2, 0], [0, 3, -1], [4, -2, 1]])  # nothing in it is symmetric


def slid(kernel):
    c = correlation(kernel, Options())
    return c.weights / c.scale


@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("crop", [False, True])
def test_pillows_ten_filters(name, crop):
    image = Image.fromarray(chelsea())
    if crop:
        image = image.crop((150, 90, 214, 154))
    after = image.filter(getattr(ImageFilter, name.upper()))
    for size in (None, named(name).shape) if crop else (None,):
        found = fit(np.asarray(image), np.asarray(after), size)
        assert (found.name, found.explains) == (name, True)
        assert found.kernel == named(name)
        made, _, _ = Recipe((found.kernel,)).apply(np.asarray(image), "RGB")
        np.testing.assert_array_equal(made, np.asarray(after))


@pytest.mark.parametrize("scale", [8, 17])
def test_whole_numbers_over_a_scale(scale):
    before = chelsea()
    planes = [signal.correlate2d(before[:, :, c], CORNER / scale, "same") for c in range(3)]
    after = np.clip(np.rint(np.stack(planes, axis=2)), 0, 255).astype(np.uint8)
    found = fit(before, after)
    assert found.explains
    assert (found.kernel.weights.tolist(), found.kernel.scale, found.kernel.offset) == (CORNER.tolist(), scale, 0)


def test_samples_that_were_cut_show_as_an_offset():
    before = chelsea()[:, :, 0]
    after = np.clip(ndimage.correlate(before.astype(float), CORNER / 8) + 7, 0, 255).astype(np.uint8)
    found = fit(before, after)
    assert found.explains
    assert (found.kernel.weights.tolist(), found.kernel.offset) == (CORNER.tolist(), 6.5)
    assert found.kernel.scale == 8


def test_a_convolution_is_found_as_the_correlation_that_it_is():
    before = chelsea()[:, :, 1].astype(float)
    found = fit(before, signal.convolve2d(before, CORNER, "valid"))
    assert found.explains
    assert found.kernel.weights.tolist() == CORNER[::-1, ::-1].tolist()


def test_opencv_with_weights_that_are_no_fractions():
    before = chelsea()
    taps = cv2.getGaussianKernel(5, 1.1) @ cv2.getGaussianKernel(5, 0.8).T
    found = fit(before, cv2.filter2D(before, -1, taps))
    assert found.explains
    assert found.kernel.shape == (5, 5)
    np.testing.assert_allclose(slid(found.kernel), taps, atol=2e-3)


def test_an_even_size_tries_both_middles():
    before = chelsea()
    taps = np.array([[1.0, 2, 3, 1], [0, 5, -2, 1]]) / 11
    found = fit(before, cv2.filter2D(before, -1, taps), (2, 4))
    assert found.explains
    assert found.kernel.anchor == (1, 2)
    np.testing.assert_allclose(slid(found.kernel), taps, atol=1e-9)


@pytest.mark.parametrize("kind", ["float32", "uint16", "float64"])
def test_other_types(kind):
    before = np.random.default_rng(0).integers(0, 60000, (40, 50)).astype(kind)
    after = ndimage.correlate(before.astype(float), CORNER / 16)
    after = np.clip(np.rint(after), 0, 65535).astype(kind) if kind == "uint16" else after.astype(kind)
    found = fit(before, after)
    assert found.explains
    np.testing.assert_allclose(slid(found.kernel), CORNER / 16, atol=1e-6)


@pytest.mark.parametrize("size", [None, (2, 4)])  # an even size is tried with both middles
def test_what_no_kernel_explains(size):
    image = Image.fromarray(chelsea())
    found = fit(chelsea(), np.asarray(image.filter(ImageFilter.MedianFilter(3))), size)
    assert not found.explains
    assert found.rms > 1
    assert "does not explain" in found.lines()[0]


def test_pictures_of_one_bit():
    dark = chelsea()[:, :, 0] > 99
    found = fit(dark, dark)
    assert (found.kernel.weights.sum(), found.explains) == (1, True)


def test_what_cannot_be_told():
    flat = np.full((30, 30), 9, np.uint8)
    with pytest.raises(PictureError, match="flat"):
        fit(flat, flat)
    noise = np.random.default_rng(0).integers(0, 256, (6, 6), np.uint8)
    with pytest.raises(PictureError, match="samples"):
        fit(noise, noise, (5, 5))
    with pytest.raises(PictureError, match="too small"):
        fit(noise, noise, (9, 9))
    with pytest.raises(PictureError, match="clipped"):
        fit(noise, np.zeros_like(noise))
    with pytest.raises(PictureError, match="equal"):
        fit(noise, noise[:, :3])
    with pytest.raises(UsageError, match="weights"):
        fit(chelsea(), chelsea(), (99, 99))
    stripes = np.tile(np.arange(40, dtype=float) ** 2, (40, 1))  # every row the same
    assert "ill-posed" in fit(stripes, stripes, (3, 3)).ill_posed


def test_the_command(tmp_path):
    image = Image.fromarray(chelsea())
    image.save(tmp_path / "before.png")
    image.filter(ImageFilter.Kernel((3, 3), [1, 2, 3, 4, 5, 6, 7, 8, 10], 47, 3)).save(tmp_path / "after.png")
    said = imgconv("fit", "before.png", "after.png", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "within rounding" in said.stderr
    kernel = parse_toml(said.stdout.encode(), "fit")
    # Pillow flips
    assert (kernel.weights.ravel().tolist(), kernel.scale, kernel.offset) == ([7, 8, 10, 4, 5, 6, 1, 2, 3], 47, 3)
    assert imgconv("fit", "before.png", "after.png", "--size", "3", "-o", "k.toml", cwd=tmp_path).returncode == 0
    again = imgconv("fit", "before.png", "after.png", "-o", "k.toml", cwd=tmp_path)
    assert (again.returncode, "exists" in again.stderr) == (2, True)
    assert imgconv("apply", "before.png", "-k", "k.toml", "-o", "made.png", cwd=tmp_path).returncode == 0
    inside = np.s_[1:-1, 1:-1]
    made, wanted = (np.asarray(Image.open(tmp_path / name))[inside] for name in ("made.png", "after.png"))
    assert np.abs(made.astype(int) - wanted).max() <= 1  # Pillow adds in another order: ties
    image.filter(ImageFilter.MedianFilter(5)).save(tmp_path / "median.png")
    assert imgconv("fit", "before.png", "median.png", cwd=tmp_path).returncode == 1
