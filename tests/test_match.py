"""Results of real tools; the convention that is found must be theirs, and the command must give the result."""

import json
import shlex

import numpy as np
import pytest
from makers import imgconv
from PIL import Image, ImageFilter

from imgconv.errors import PictureError
from imgconv.kernels.spec import kernel
from imgconv.kernels.value import Kernel
from imgconv.match import match
from imgconv.match.result import option_words
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

signal = pytest.importorskip("scipy.signal")
ndimage = pytest.importorskip("scipy.ndimage")
cv2 = pytest.importorskip("cv2")

SHAPES = [(3, 3), (2, 2), (4, 3), (1, 2), (5, 5)]
NDIMAGE = {"reflect": "symmetric", "constant": "constant:0", "nearest": "edge", "mirror": "reflect", "wrap": "wrap"}
OPENCV = {
    cv2.BORDER_REFLECT_101: "reflect",
    cv2.BORDER_CONSTANT: "constant:0",
    cv2.BORDER_REPLICATE: "edge",
    cv2.BORDER_REFLECT: "symmetric",
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def whole(rng, shape):
    """Asymmetric weights."""
    return Kernel((rng.permutation(shape[0] * shape[1]) * 3.0 - 1).reshape(shape), name="k")


def photo():
    skimage = pytest.importorskip("skimage.data")
    return skimage.chelsea()


def again(found, weights, before, mode=""):
    """What the options of the best explanation really give."""
    used = kernel(found.best.matrix) if found.best.matrix else weights
    return Recipe((used,), found.best.options).apply(before, mode)[0]


def borders(found):
    """The best border, and those that are said to give the same."""
    return " ".join([found.best.border, *found.notes])


@pytest.mark.parametrize("padding", ["same", "valid", "full"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("convolve", [False, True])
def test_scipy_signal(rng, shape, padding, convolve):
    before, k = rng.integers(0, 256, (8, 8)).astype(float), whole(rng, shape)
    result = (signal.convolve2d if convolve else signal.correlate2d)(before, k.weights, padding)
    found = match(before, k, result)
    assert found.best.fit == "exact"
    assert found.best.flip == ("both" if convolve else "none")
    assert found.best.padding == padding
    assert any(words.startswith("--like scipy") and ("convolve" in words) == convolve for words in found.like)
    np.testing.assert_array_equal(again(found, k, before), result)


@pytest.mark.parametrize("mode", NDIMAGE)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("convolve", [False, True])
def test_scipy_ndimage(rng, shape, mode, convolve):
    before, k = rng.integers(0, 256, (8, 8)).astype(float), whole(rng, shape)
    result = (ndimage.convolve if convolve else ndimage.correlate)(before, k.weights, mode=mode)
    found = match(before, k, result)
    assert (found.best.fit, found.best.flip) == ("exact", "both" if convolve else "none")
    assert NDIMAGE[mode] in borders(found)
    if mode == "reflect":
        assert any(words.startswith("--like ndimage") for words in found.like)
    np.testing.assert_array_equal(again(found, k, before), result)


@pytest.mark.parametrize("border", OPENCV)
@pytest.mark.parametrize(("shape", "corner"), [*((shape, False) for shape in SHAPES), ((4, 3), True), ((3, 3), True)])
def test_opencv(rng, shape, border, corner):
    before = rng.integers(0, 256, (12, 9), np.uint8)
    weights = whole(rng, shape).weights
    k = Kernel(weights / np.abs(weights).sum() * 1.25)
    anchor = (0, 0) if corner else (-1, -1)
    result = cv2.filter2D(before, -1, k.weights, anchor=anchor, borderType=border)
    found = match(before, k, result)
    assert found.best.fit
    assert found.best.flip == "none"
    assert OPENCV[border] in borders(found)
    if border == cv2.BORDER_REFLECT_101 and not corner:  # what filter2D does when nothing is asked of it
        assert found.like == ("--like opencv",)
    assert np.abs(again(found, k, before).astype(int) - result).max() <= 1


@pytest.mark.parametrize("size", [3, 5])
def test_pillow_flips_vertically_and_keeps_the_frame(rng, size):
    before = rng.integers(0, 256, (16, 14, 3), np.uint8)
    k = whole(rng, (size, size))
    total = k.weights.sum()
    image = Image.fromarray(before)
    result = np.asarray(image.filter(ImageFilter.Kernel((size, size), k.weights.ravel().tolist(), total, 20)))
    k = Kernel(k.weights, total, 20)
    found = match(before, k, result, "RGB")
    assert (found.best.fit, found.best.flip, found.best.border) == ("exact", "vertical", "keep")
    assert found.like == ("--like pillow",)
    np.testing.assert_array_equal(again(found, k, before, "RGB"), result)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_a_panorama_whose_columns_go_round(rng, shape):
    before, k = rng.integers(0, 256, (12, 20)).astype(float), whole(rng, shape)
    wide = np.pad(before, ((0, 0), (20, 20)), "wrap")
    found = match(before, k, ndimage.correlate(wide, k.weights, mode="nearest")[:, 20:-20])
    assert (found.best.fit, found.best.flip, found.best.border) == ("exact", "none", "wrap-x")


@pytest.mark.parametrize("flip", ["horizontal", "transposed"])
def test_flips_that_no_option_has(rng, flip):
    before, k = rng.integers(0, 256, (20, 20)).astype(float), whole(rng, (3, 3))
    turned = k.weights[:, ::-1] if flip == "horizontal" else k.weights.T
    result = ndimage.correlate(before, turned, mode="wrap")
    found = match(before, k, result)
    assert (found.best.fit, found.best.flip, found.best.border) == ("exact", flip, "wrap")
    np.testing.assert_array_equal(again(found, k, before), result)


@pytest.mark.parametrize(
    ("rounding", "cast"),
    [
        ("half-up", lambda v: np.clip(np.floor(v + 0.5), 0, 255)),
        ("half-even", lambda v: np.clip(np.rint(v), 0, 255)),
        ("cut", lambda v: np.clip(v, 0, 255)),
        ("wrap", lambda v: np.trunc(v).astype(int) % 256),
    ],
)
def test_roundings(rng, rounding, cast):
    before = rng.integers(0, 256, (30, 30), np.uint8)
    k = Kernel(np.array([[1, 2, 5], [-9, 8, 4], [0, -2, 3]]), 4)
    result = cast(ndimage.correlate(before.astype(float), k.weights / 4, mode="mirror")).astype(np.uint8)
    found = match(before, k, result)
    assert (found.best.fit, found.best.rounding, found.best.border) == ("exact", rounding, "reflect")
    np.testing.assert_array_equal(again(found, k, before), result)


@pytest.mark.parametrize(("scale", "offset"), [("sum", 0.0), ("abs-sum", 128.0), (7.0, 3.0), (9.37, -12.0)])
def test_scales_and_offsets(rng, scale, offset):
    before = rng.integers(0, 256, (30, 30, 3), np.uint8)
    k = Kernel(np.array([[1, 2, 3], [-1, 5, 4], [0, -2, 1]]), 5, 1)
    options = Options(scale=scale, offset=offset, border="constant:255")
    result = Recipe((k,), options).apply(before)[0]
    found = match(before, k, result)
    assert found.best.fit == "exact"
    assert found.best.border == "constant:255"
    number = {"sum": 13.0, "abs-sum": 19.0}.get(scale, scale)
    assert found.best.scale == pytest.approx(number, rel=1e-3)
    assert found.best.offset == pytest.approx(offset, abs=0.6)


@pytest.mark.parametrize("stride", [(2, 2), (3, 2)])
@pytest.mark.parametrize("padding", ["tf-same", "valid"])
def test_strides(rng, stride, padding):
    before, k = rng.integers(0, 256, (17, 20)).astype(float), whole(rng, (3, 4))
    options = Options(stride=stride, padding=padding, border="constant:0")
    result = Recipe((k,), options).apply(before)[0]
    found = match(before, k, result)
    assert (found.best.fit, found.best.stride, found.best.flip) == ("exact", stride, "none")
    assert any(words.startswith("--like keras") for words in found.like)
    np.testing.assert_array_equal(again(found, k, before), result)


def test_channels_are_added_up_as_conv2d_does(rng):
    before = rng.integers(0, 256, (12, 12, 3)).astype(float)
    k = whole(rng, (3, 3))
    result = sum(signal.correlate2d(before[:, :, c], k.weights, "same") for c in range(3))
    found = match(before, k, result)
    assert (found.best.fit, found.best.flip, found.best.border) == ("exact", "none", "constant:0")
    assert "--channels sum" in " ".join(option_words(found.best.options))
    many = Kernel(rng.integers(-5, 9, (2, 3, 3, 4)).astype(float))
    planes = [
        sum(signal.correlate2d(before[:, :, c], many.weights[:, :, c, o], "valid") for c in range(3)) for o in range(4)
    ]
    found = match(before, many, np.stack(planes, axis=2))
    assert (found.best.fit, found.best.flip, found.best.padding) == ("exact", "none", "valid")


def test_what_does_not_matter_is_said(rng):
    before, k = rng.integers(0, 256, (9, 9)).astype(float), kernel("laplacian")
    found = match(before, k, signal.convolve2d(before, k.weights, "valid"))
    assert found.best.flip == "none"
    assert any("flip does not matter" in note for note in found.notes)
    assert any("border does not show" in note for note in found.notes)


@pytest.mark.parametrize("side", [5, 9])
def test_a_picture_smaller_than_the_kernel(rng, side):
    before, k = rng.integers(0, 256, (4, 3)).astype(float), whole(rng, (side, side))
    found = match(before, k, ndimage.convolve(before, k.weights, mode="constant", cval=9))
    assert (found.best.fit, found.best.flip, found.best.border) == ("exact", "both", "constant:9")


def test_where_none_fits(rng):
    before, k = rng.integers(0, 256, (40, 50), np.uint8), whole(rng, (3, 3))
    result = ndimage.correlate(before.astype(float), k.weights, mode="wrap")
    result[0] += 40  # the border alone
    found = match(before, k, result)
    assert (found.best.fit, found.best.flip, found.best.interior_differing) == ("", "none", 0)
    assert found.best.differing >= 50
    assert match(before, k, rng.integers(0, 256, (40, 50), np.uint8)).best.fit == ""
    with pytest.raises(PictureError, match="no padding or stride"):
        match(before, k, result[:, :47])


def test_a_photo_through_pillow(tmp_path):
    image = Image.fromarray(photo())
    for name in ("emboss", "detail", "smooth_more"):
        result = np.asarray(image.filter(getattr(ImageFilter, name.upper())))
        found = match(photo(), kernel(name), result, "RGB")
        assert (found.best.fit, found.best.border, found.like) == ("exact", "keep", ("--like pillow",))
        assert option_words(found.best.options) == []


def test_a_photo_through_scipy_and_opencv():
    before = photo()
    k = Kernel(np.array([[1.0, 2], [3, -4], [7, 1]]) / 10)
    planes = [signal.convolve2d(before[:, :, c], k.weights, "same") for c in range(3)]
    result = np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)
    found = match(before, k, result)
    assert found.best.fit
    assert (found.best.flip, found.best.border, found.best.rounding) == ("both", "constant:0", "cut")
    assert found.like == ("--like scipy --mode convolve",)
    found = match(before, k, cv2.filter2D(before, -1, k.weights))
    assert found.best.fit
    assert found.like == ("--like opencv",)


def test_alpha(rng):
    before = rng.integers(0, 256, (20, 20, 4), np.uint8)
    image = Image.fromarray(before)
    found = match(before, kernel("emboss"), np.asarray(image.filter(ImageFilter.EMBOSS)), "RGBA")
    assert found.best.fit == "exact"
    kept, _, _ = Recipe((kernel("emboss"),), Options(alpha="keep")).apply(before, "RGBA")
    found = match(before, kernel("emboss"), kept, "RGBA")
    assert (found.best.fit, found.best.options.alpha) == ("exact", "keep")


def run_again(tmp_path, before, spec, result, *expected):
    """Runs match, then the command that it prints; both files must be equal."""
    said = imgconv("match", before, spec, result, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    for text in expected:
        assert text in said.stdout
    command = shlex.split(said.stdout.strip().splitlines()[-1])
    assert command[:2] == ["imgconv", "apply"]
    done = imgconv(*command[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path / command[-1]


def test_the_command_that_is_printed_gives_the_result(tmp_path, rng):
    before = rng.integers(0, 256, (24, 20, 3), np.uint8)
    Image.fromarray(before).save(tmp_path / "my photo.png")
    Image.fromarray(before).filter(ImageFilter.EMBOSS).save(tmp_path / "theirs.png")
    made = run_again(tmp_path, "my photo.png", "1 0 0; 0 -1 0; 0 0 0", "theirs.png", "scale -1", "offset 128")
    np.testing.assert_array_equal(np.asarray(Image.open(made)), np.asarray(Image.open(tmp_path / "theirs.png")))

    grid = rng.integers(0, 9, (8, 8)).astype(float)
    np.savetxt(tmp_path / "a.txt", grid)
    np.savetxt(tmp_path / "scipy.txt", signal.convolve2d(grid, [[1, 2], [3, 4]], "same"))
    words = ("convolution (kernel flipped on both axes), border constant:0, anchor low   exact",
             "that is --like scipy --mode convolve")  # fmt: skip
    made = run_again(tmp_path, "a.txt", "1 2; 3 4", "scipy.txt", *words)
    np.testing.assert_array_equal(np.loadtxt(made), np.loadtxt(tmp_path / "scipy.txt"))


def test_json_and_exit_status(tmp_path, rng):
    grid = rng.integers(0, 256, (8, 8), np.uint8)
    np.save(tmp_path / "a.npy", grid)
    np.save(tmp_path / "b.npy", rng.integers(0, 256, (8, 8), np.uint8))
    said = imgconv("match", "a.npy", "1 2 3", "b.npy", "--json", cwd=tmp_path)
    told = json.loads(said.stdout)
    assert (said.returncode, told["fit"]) == (1, None)
    said = imgconv("match", "a.npy", "1 2 3", "b.npy", cwd=tmp_path)
    assert "no convention" in said.stdout
    assert "interior:" in said.stdout
    np.save(tmp_path / "b.npy", signal.correlate2d(grid, [[1, 2, 3]], "valid"))
    told = json.loads(imgconv("match", "a.npy", "1 2 3", "b.npy", "--json", cwd=tmp_path).stdout)
    assert (told["fit"], told["best"]["border"]) == ("exact", None)


def test_pillows_results_are_known_where_many_samples_are_clipped():
    rng = np.random.default_rng(3)
    before = rng.integers(0, 256, (40, 50, 3), np.uint8)
    for _ in range(6):
        weights = rng.integers(-9, 10, (5, 5)).astype(float)
        result = np.asarray(Image.fromarray(before).filter(ImageFilter.Kernel((5, 5), weights.ravel().tolist(), 1)))
        found = match(before, Kernel(weights), result, "RGB")
        assert (found.best.fit, found.best.stride, found.like) == ("exact", (1, 1), ("--like pillow",))


@pytest.mark.parametrize(("theirs", "ours"), [("wrap", "wrap"), ("constant", "constant:7")])
def test_ndimages_borders_are_known_where_samples_wrap(rng, theirs, ours):
    before, weights = rng.integers(0, 256, (40, 50), np.uint8), rng.integers(-3, 6, (3, 3)) / 7
    found = match(before, Kernel(weights), ndimage.correlate(before, weights, mode=theirs, cval=7))
    assert (found.best.fit, found.best.border) == ("exact", ours)
    assert option_words(found.best.options) == ["--like", "ndimage", "--border", ours]


def test_three_channels_into_three(rng):
    before = rng.integers(0, 9, (20, 20, 3)).astype(float)
    for shape in ((3, 3, 3), (3, 3, 3, 3)):
        k = Kernel(rng.integers(-2, 5, shape).astype(float))
        found = match(before, k, Recipe((k,)).apply(before)[0])
        assert (found.best.fit, found.best.flip, option_words(found.best.options)) == ("exact", "none", [])


def test_constants_are_found_where_sums_wrap(rng):
    before = photo()[:90, :80]
    for _ in range(4):
        weights = rng.integers(-5, 8, (5, 5)).astype(float)
        planes = [ndimage.correlate(before[:, :, c], weights, mode="constant", cval=7) for c in range(3)]
        found = match(before, Kernel(weights), np.stack(planes, axis=2), "RGB")
        assert found.best.fit == "exact"
        assert option_words(found.best.options) == ["--like", "ndimage", "--border", "constant:7"]


def test_constants_of_whole_samples_are_whole(rng):
    before = photo()[100:190, 60:160]
    odd = np.round(rng.normal(size=(4, 4)), 3)
    for weights in (odd, odd / odd.sum(), rng.integers(-5, 8, (3, 3)).astype(float)):
        result = cv2.filter2D(before, -1, weights, borderType=cv2.BORDER_CONSTANT)
        for made in (result, np.clip(result + rng.integers(-1, 2, result.shape), 0, 255).astype(np.uint8)):
            found = match(before, Kernel(np.round(weights, 9)), made, "RGB")
            for each in (found.best, found.runner_up):
                assert "." not in each.border
                assert each.border != "constant:"


def test_the_plainest_words_come_first(rng):
    before = photo()[100:190, 60:160]
    weights = rng.integers(1, 9, (3, 3)) / 39
    found = match(before, Kernel(weights), cv2.filter2D(before, -1, weights), "RGB")
    assert option_words(found.best.options) == ["--like", "opencv"]
    # weights that were rounded when they were written down: nothing is exact, the tool explains it all the same
    planes = [ndimage.convolve(before[:, :, c], weights, mode="nearest") for c in range(3)]
    found = match(before, Kernel(np.round(weights, 6)), np.stack(planes, axis=2), "RGB")
    assert found.best.fit == "rounding"
    assert option_words(found.best.options)[:4] == ["--like", "ndimage", "--mode", "convolve"]


def test_differences_too_small_to_count_are_no_number_of_samples(tmp_path, rng):
    grid, weights = rng.random((9, 9)), np.array([[0.1, 0.7], [0.3, 0.9]])
    np.save(tmp_path / "a.npy", grid)
    np.save(tmp_path / "b.npy", signal.correlate2d(grid, weights, "same") + 1e-15)
    said = imgconv("match", "a.npy", "0.1 0.7; 0.3 0.9", "b.npy", cwd=tmp_path)
    assert said.returncode == 0
    assert "within rounding: samples differ by at most" in said.stdout


def test_samples_of_one_bit(rng):
    before, k = rng.integers(0, 2, (12, 12)).astype(bool), kernel("1 -2 3; 4 -5 1")
    found = match(before, k, Recipe((k,), Options(mode="convolve")).apply(before)[0])
    assert (found.best.fit, found.best.flip) == ("exact", "both")
