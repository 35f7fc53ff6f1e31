import math

import numpy as np
import oracle
import pytest
from PIL import Image

import imgconv
from imgconv import masks
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.family import MOST_LEVELS, TOLERANCE, family
from imgconv.kernels.formulas import formula
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

SHARP = "0 -1 0; -1 5 -1; 0 -1 0"
EVEN = np.arange(12.0).reshape(2, 6) / 40
MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "": 3}


def noise(dtype="uint8", shape=(23, 31, 3), seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    return rng.integers(0, min(np.iinfo(dtype).max, 2**20), shape, endpoint=True).astype(dtype)


def recipe(kernels, **options):
    return Recipe(tuple(imgconv.kernel(k) for k in kernels), Options(**options))


# Strength 0, 1 and between


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float16", "float32", "float64"])
@pytest.mark.parametrize("kernels", [["detail"], ["smooth_more", SHARP], [EVEN], ["emboss"]])
@pytest.mark.parametrize("shape", [(23, 31), (23, 31, 3), (1, 1), (70, 3, 2)])
def test_mask_0_leaves_every_byte_and_mask_1_gives_the_plain_result(dtype, kernels, shape):
    src = noise(dtype, shape)
    plain = recipe(kernels).apply(src)[0]
    for mask, expected in ((np.zeros(shape[:2]), src), (np.ones(shape[:2], bool), plain)):
        result = recipe(kernels, mask=mask).apply(src)[0]
        assert result.dtype == src.dtype
        assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options",
    [
        {}, {"linear": True}, {"alpha": "premultiply"}, {"alpha": "keep"}, {"after": "abs"}, {"after": "offset128"},
        {"after": "minmax"}, {"like": "opencv"}, {"like": "ndimage"}, {"border": "keep"}, {"channels": "l"},
        {"border": "renormalize"}, {"combine": "max"}, {"like": "imagemagick"}, {"padding": "tf-same"},
    ],
    ids=str,
)  # fmt: skip
def test_whatever_the_options_a_mask_of_0_and_1_picks_the_picture_or_the_result(mode, options):
    if options.get("channels") and "L" not in mode:
        options = {"channels": "g" if mode else "r"}
    src = noise(shape=(23, 31, MODES[mode]))
    kernels = ["box:radius=1", "gaussian:sigma=1"]
    plain = recipe(kernels, **options).apply(src, mode)[0]
    mask = np.indices((23, 31)).sum(0) % 2 == 1
    result, kind, _ = recipe(kernels, mask=mask, **options).apply(src, mode)
    assert kind == mode
    np.testing.assert_array_equal(result, np.where(mask[:, :, None], plain, src))


def test_half_is_the_mean_of_the_picture_and_the_unrounded_result():
    src = noise()
    blurred = oracle.correlate(src.astype(np.float64), np.ones((2, 2)), 4)
    result = imgconv.correlate(src, "box:size=2", mask=np.full((23, 31), 0.5))
    np.testing.assert_array_equal(result, np.floor((src + blurred) / 2 + 0.5))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_any_strength_is_one_kernel_between_the_identity_and_the_other(dtype):
    src, mask = noise(dtype), noise("float64", (23, 31), 1)
    weights = np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0.0]])
    exact = src + mask[:, :, None] * (oracle.correlate(src.astype(np.float64), weights) - src)
    result = imgconv.correlate(src, SHARP, mask=mask)
    if src.dtype.kind == "f":
        np.testing.assert_allclose(result, exact, rtol=0, atol=1e-6 if dtype == "float32" else 1e-14)
    else:
        top = np.iinfo(dtype).max
        whole = np.clip(np.floor(exact + 0.5), 0, top)
        assert np.abs(result - whole).max() <= 1  # a tie in float32
        assert np.count_nonzero(result != whole) <= (0.002 if dtype == "uint8" else 0.02) * src.size


def test_a_mask_acts_once_for_the_chain():
    src, mask = noise("float64"), noise("float64", (23, 31), 1)
    plain = recipe(["box:radius=2", SHARP]).apply(src)[0]
    result = recipe(["box:radius=2", SHARP], mask=mask).apply(src)[0]
    np.testing.assert_allclose(result, src + mask[:, :, None] * (plain - src), rtol=0, atol=1e-14)


def test_nothing_of_the_result_is_seen_where_the_mask_is_0():
    src = noise("float32")
    src[10, 10] = np.nan
    mask = np.zeros((23, 31))
    mask[:5] = 1
    result = imgconv.correlate(src, "box:radius=1", mask=mask)
    np.testing.assert_array_equal(result[5:], src[5:])
    assert np.isfinite(result[:5]).all()


def test_colours_are_mixed_by_how_much_they_cover():
    src = np.zeros((9, 9, 4), np.uint8)  # black under nothing, beside opaque red: no dark fringe
    src[:, 4:] = (255, 0, 0, 255)
    result = recipe(["box:radius=1"], mask=np.full((9, 9), 0.5)).apply(src, "RGBA")[0]
    assert (result[:, 3] == (255, 0, 0, 43)).all()  # a third of the alpha, half of it


def test_linear_light_is_mixed_as_light():
    src = np.zeros((1, 9, 1), np.uint8)
    src[:, 4:] = 255
    half = recipe(["0 0 1"], mask=np.full((1, 9), 0.5), linear=True).apply(src)[0]
    assert half[0, 3, 0] == 188  # half the light in sRGB
    plain = recipe(["0 0 1"], mask=np.full((1, 9), 0.5)).apply(src)[0]
    assert plain[0, 3, 0] == 128


def test_the_library_takes_masks():
    image = Image.fromarray(noise(shape=(20, 30, 3)))
    same = imgconv.apply(image, "blur", mask=np.zeros((20, 30), np.uint8))
    assert same.tobytes() == image.tobytes()
    assert imgconv.apply(image, "blur", mask="radial").tobytes() != image.tobytes()
    varied = imgconv.apply(image, vary="gaussian:sigma=0..2", mask="linear")
    assert (varied.mode, varied.size) == (image.mode, image.size)
    result = imgconv.correlate(np.asarray(image), vary="gaussian:sigma=0..2", mask="linear")
    assert result.tobytes() == varied.tobytes()


# Masks


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 255, 51]], np.uint8), [[0, 1, 0.2]]),
        (np.array([[0, 65535, 13107]], np.uint16), [[0, 1, 0.2]]),
        (np.array([[True, False, True]]), [[1, 0, 1]]),
        (np.array([[0, 1, 1]], np.int64), [[0, 1, 1]]),
        (np.array([[[0.25], [0.5], [1.0]]], np.float32), [[0.25, 0.5, 1]]),
    ],
)
def test_arrays_as_masks(values, expected):
    mask = masks.to_mask(values)
    mask.check(1, 3)
    np.testing.assert_array_equal(mask.strengths((1, 3), slice(None), slice(None)), expected)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (np.zeros((3, 3, 3)), "one channel"),
        (np.zeros(3), "one channel"),
        (np.zeros((0, 3)), "one channel"),
        (np.array([[1.5]]), "from 0 to 1, not 1.5"),
        (np.array([[-0.1]]), "from 0 to 1"),
        (np.array([[np.nan]]), "from 0 to 1"),
        (np.array([[200]], np.int32), "8 and 16 bits"),
        (np.array([[1j]]), "numbers"),
        (np.array([["a"]]), "numbers"),
    ],
)
def test_what_is_no_mask(values, text):
    with pytest.raises(PictureError, match=text):
        Options(mask=values)


def test_a_mask_of_another_size_is_one_error():
    with pytest.raises(PictureError, match="is 30×20, the picture 31×23; they must be of one size"):
        imgconv.correlate(noise(), "blur", mask=np.zeros((20, 30)))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"mask": "radial", "stride": (2, 2)}, "stride 1"),
        ({"mask": "radial", "padding": "valid"}, "padding same"),
        ({"mask": "radial", "padding": "full"}, "padding same"),
        ({"mask": "radial", "channels": "sum"}, "no sum"),
        ({"mask": "mask.png"}, "not a file"),
        ({"mask": "radial:middle=1"}, "no parameter 'middle'; it takes cx"),
        ({"mask": "radial:inner"}, "inner='' is not a number; write inner=0.5"),
        ({"mask": "radial:inner=nan"}, "is not a number"),
        ({"mask": "radial:invert=maybe"}, "is not yes or no"),
        ({"mask": "radial:inner=1,inner=2"}, "given twice"),
        ({"mask": "radial:inner=0.8,outer=0.2"}, "inner=0.8 lies beyond outer=0.2; invert"),
        ({"mask": "linear:band=0.5,from=0.6"}, "from=0.6 lies beyond to=0.5"),
        ({"vary": "gaussian:sigma=0..2"}, "needs a mask"),
        ({"vary": "gaussian:sigma=0..2", "mask": "radial", "combine": "max"}, "nothing to combine"),
    ],
)
def test_options_that_make_no_sense(options, text):
    with pytest.raises(UsageError, match=text):
        Options(**options)


def test_a_result_of_other_channels_cannot_be_mixed():
    with pytest.raises(UsageError, match="the result has 1 channels, the picture 3"):
        imgconv.correlate(noise(), np.ones((1, 1, 3, 1)), mask="radial")


def test_nor_can_that_of_a_chain_whose_first_kernel_leaves_other_channels():
    one_of_two = np.ones((1, 1, 2, 1))
    with pytest.raises(UsageError, match="the result has 1 channels, the picture 2"):
        recipe([one_of_two, "blur"], mask="radial").apply(noise(shape=(5, 5, 2)))


def smooth(u):
    u = min(1.0, max(0.0, u))
    return u * u * (3 - 2 * u)


def strengths(text, rows, columns):
    return masks.shape(text).strengths((rows, columns), slice(0, rows), slice(0, columns))


def test_radial():
    found = strengths("radial:cx=0.3,cy=0.6,inner=0.1,outer=0.7", 7, 12)
    for y in range(7):
        for x in range(12):
            way = math.hypot(x + 0.5 - 0.3 * 12, y + 0.5 - 0.6 * 7) / (math.hypot(12, 7) / 2)
            assert found[y, x] == pytest.approx(smooth((way - 0.1) / 0.6), abs=1e-15)
    np.testing.assert_array_equal(strengths("radial", 7, 12), strengths("Radial: inner=1/4, outer=1", 7, 12))
    np.testing.assert_array_equal(strengths("radial:invert", 7, 12), 1 - strengths("radial", 7, 12))
    np.testing.assert_array_equal(strengths("radial:inner=0.5,outer=0.5", 1, 4), [[1, 0, 0, 1]])
    assert strengths("radial", 1, 1) == 0
    assert 0.9 < strengths("radial", 100, 100)[0, 0] < 1


def test_linear():
    up = strengths("linear", 10, 4)
    np.testing.assert_allclose(up[:, 0], [smooth((9.5 - y) / 10) for y in range(10)], atol=1e-15)
    assert (up == up[:, :1]).all()
    np.testing.assert_array_equal(strengths("linear:angle=270", 10, 4), up[::-1])
    np.testing.assert_array_equal(strengths("linear:angle=0", 4, 10), up[::-1].T)
    found = strengths("linear:angle=30,from=0.2,to=0.6", 7, 12)
    c, s = math.cos(math.radians(30)), math.sin(math.radians(30))
    for y in range(7):
        for x in range(12):
            place = ((x + 0.5 - 6) * c - (y + 0.5 - 3.5) * s) / (12 * c + 7 * s) + 0.5
            assert found[y, x] == pytest.approx(smooth((place - 0.2) / 0.4), abs=1e-14)


def test_linear_with_a_band_is_a_tilt_shift():
    found = strengths("linear:band=0.4,from=0.1,to=0.3", 100, 3)[:, 0]
    height = 1 - (np.arange(100) + 0.5) / 100  # 90° is up
    np.testing.assert_allclose(found, [smooth((abs(h - 0.4) - 0.1) / 0.2) for h in height], atol=1e-14)
    assert (found[51:69] == 0).all()
    assert (found[:29] == 1).all()
    assert (found[92:] == 1).all()


@pytest.mark.parametrize("text", ["radial:cx=0.2", "linear:angle=77", "linear:band=0.5,angle=12,invert"])
def test_windows_of_a_shape_fit_together(text):
    whole = strengths(text, 50, 40)
    part = masks.shape(text).strengths((50, 40), slice(10, 20), slice(5, 40))
    np.testing.assert_array_equal(part, whole[10:20, 5:40])
    assert whole.min() >= 0
    assert whole.max() <= 1


# A parameter that changes with the position


def member(text, value):
    """The kernel of one value; where a formula begins at 0.01, less is the identity."""
    begins = text.startswith(("gaussian:sigma", "disk:radius"))
    return formula("identity") if begins and value < 0.01 else formula(text.format(value=repr(value)))


def exact_vary(src, text, low, high, mask, border="edge"):
    """Each pixel by its own kernel, one after the other, for src of shape (rows, columns, channels)."""
    out = np.zeros(src.shape)
    for y in range(src.shape[0]):
        for x in range(src.shape[1]):
            value = low + mask[y, x] * (high - low)
            kernel = member(text, float(value))
            weights = kernel.weights / kernel.scale
            ry, rx = ((side - 1) // 2 for side in weights.shape)
            around = ((ry, weights.shape[0] - 1 - ry), (rx, weights.shape[1] - 1 - rx), (0, 0))
            wide = oracle.pad(src.astype(np.float64), around, border)
            window = wide[y : y + weights.shape[0], x : x + weights.shape[1]]
            out[y, x] = (weights[:, :, None] * window).sum((0, 1))
    return out


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("gaussian:sigma={value}", 0, 3),
        ("gaussian:sigma={value}", 4, 0.5),
        ("disk:radius={value},rim=soft", 0, 4),
        ("box:{value}", 0, 3),
        ("motion:length=9,angle={value}", 0, 90),
        ("unsharp:sigma=1,amount={value}", 0, 3),
        ("log:sigma={value}", 1, 2),
    ],
)
@pytest.mark.parametrize("border", ["edge", "wrap", "wrap-x", "reflect"])
def test_vary_against_the_kernel_of_each_pixel(text, low, high, border):
    src, mask = noise("float64", (19, 26, 2)), noise("float64", (19, 26), 1)
    mask[0], mask[-1] = 0, 1
    spec = text.format(value=f"{low}..{high}")
    exact = exact_vary(src, text, low, high, mask, border)
    result = imgconv.correlate(src, vary=spec, mask=mask, border=border)
    off = np.abs(result - exact)
    assert off.max() <= family(spec).error + 1e-12
    assert off.max() <= 0.02
    np.testing.assert_allclose(result[0], exact[0], rtol=0, atol=1e-12)  # the ends are levels
    np.testing.assert_allclose(result[-1], exact[-1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("shape", [(17, 21), (9, 30, 3), (1, 1), (1, 40, 1)])
def test_vary_in_every_type(dtype, shape):
    src, mask = noise(dtype, shape), noise("float64", shape[:2], 1)
    exact = exact_vary(src.reshape(*shape[:2], -1), "gaussian:sigma={value}", 0, 2, mask).reshape(shape)
    result = imgconv.correlate(src, vary="gaussian:sigma=0..2", mask=mask)
    top = 1 if src.dtype.kind == "f" else np.iinfo(dtype).max
    assert result.dtype == src.dtype
    assert result.shape == src.shape
    rounding = 1e-6 if src.dtype.kind == "f" else 0.51
    assert np.abs(result - exact).max() <= family("gaussian:sigma=0..2").error * top + rounding


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("gaussian:sigma={value}", 0, 3),
        ("disk:radius={value},rim=soft", 0, 4),
        ("motion:angle=20,length={value}", 1, 9),
    ],
)
def test_the_error_of_a_family_is_that_of_the_worst_picture(text, low, high):
    levels = family(text.format(value=f"{low}..{high}"))
    worst = 0.0
    for strength in np.linspace(0, 1, 301):
        place = float(np.interp(strength, levels.strengths, levels.places))
        off = laid(member(text, low + float(strength) * (high - low)), (41, 41))
        for number in {int(place), math.ceil(place)}:
            off -= (1 - abs(place - number)) * laid(levels.kernels[number], off.shape)
        worst = max(worst, off[off > 0].sum(), -off[off < 0].sum())
    assert worst <= 1.1 * levels.error, (worst, levels.error)  # measured at 15 points of an interval, here at others
    assert worst >= 0.7 * levels.error


def laid(kernel, shape):
    """Its weights in the middle of a larger array."""
    out = np.zeros(shape)
    top, left = (s // 2 - (k - 1) // 2 for s, k in zip(shape, kernel.shape, strict=True))
    out[top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel.weights / kernel.scale
    return out


@pytest.mark.parametrize(
    ("text", "most"),
    [("gaussian:sigma=0..8", 25), ("box:radius=0..8", 25), ("unsharp:amount=0..3", 2), ("gaussian:2..2", 2)],
)
def test_a_family_takes_few_levels(text, most):
    levels = family(text)
    assert len(levels.kernels) <= most <= MOST_LEVELS
    assert levels.error <= TOLERANCE
    assert np.all(np.diff(levels.strengths) >= 0)
    assert np.all(np.diff(levels.places) >= 0)


def test_whole_numbers_are_mixed_between():
    src, mask = noise("float64", (9, 9)), np.full((9, 9), 0.25)  # size 2.5
    both = [imgconv.correlate(src, f"box:size={size}") for size in (2, 3)]
    result = imgconv.correlate(src, vary="box:size=2..4", mask=mask)
    np.testing.assert_allclose(result, (both[0] + both[1]) / 2, rtol=0, atol=1e-14)
    assert family("box:size=2..4").error < 1e-12


@pytest.mark.parametrize("border", ["edge", "wrap", "wrap-x", "reflect", "renormalize", "keep", "constant:9"])
def test_tiles_leave_no_seam(border, monkeypatch):
    src = noise(shape=(70, 90, 3))
    whole = recipe([], vary="gaussian:sigma=0..3", mask="radial:cx=0.3", border=border).apply(src)[0]
    monkeypatch.setattr(masks, "TILE_SIDE", 16)
    tiled = recipe([], vary="gaussian:sigma=0..3", mask="radial:cx=0.3", border=border).apply(src)[0]
    np.testing.assert_array_equal(tiled, whole)


def test_vary_with_alpha_and_light():
    src = np.zeros((9, 20, 4), np.uint8)
    src[:, 10:] = (255, 0, 0, 255)
    result, mode, report = recipe([], vary="gaussian:sigma=0..3", mask="linear:angle=0", linear=True).apply(src, "RGBA")
    assert mode == "RGBA"
    seen = result[result[:, :, 3] > 0]
    assert (seen[:, :3] == (255, 0, 0)).all()  # no dark fringe
    assert "levels" in report.vary
    assert "% of the range" in report.vary


def test_vary_names_its_files():
    assert recipe([], vary="gaussian:sigma=0..8", mask="radial").name == "gaussian_sigma0-8"
    assert recipe([], vary="disk:radius=0.5..8,rim=soft", mask="radial").name == "disk_radius0.5-8_rimsoft"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gaussian", "needs one parameter with a range, as in gaussian:sigma=0..8"),
        ("gaussian:sigma=2", "needs one parameter with a range"),
        ("gaussian:sigma=0..2,radius=1..3", "needs one parameter with a range"),
        ("disk:rim=hard..soft", "needs one parameter with a range"),
        ("gausian:sigma=0..2", "did you mean gaussian"),
        ("gaussian:sgma=0..2", "no parameter 'sgma'"),
        ("gaussian:sigma=-1..2", "out of range"),
        ("gaussian:sigma=0..1e9", "out of range"),
        ("blur:sigma=0..2", "blur is a kernel without parameters"),
    ],
)
def test_what_is_no_family(text, problem):
    with pytest.raises(KernelError, match=problem):
        recipe([], vary=text, mask="radial")


def test_vary_takes_the_place_of_the_kernels():
    with pytest.raises(UsageError, match="one or the other"):
        recipe(["blur"], vary="gaussian:sigma=0..2", mask="radial")
