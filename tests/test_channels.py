"""What happens to channels, alpha and light, through the public library."""

from decimal import Decimal, getcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import correlate, renormalized
from PIL import Image

import imgconv
from imgconv.engine.channels import _power_2_4, _root_2_4, from_linear, to_linear
from imgconv.errors import ImgconvError, UsageError
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe


def noise(mode, size=(19, 23), seed=0):
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, np.random.default_rng(seed).bytes(size[0] * size[1] * channels))


def pixels(image):
    array = np.asarray(image)
    return array[:, :, None] if array.ndim == 2 else array


def rounded(values):
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


# The kernels that mix channels.


def test_grayscale_is_pillows():
    image = noise("RGB", (300, 200))
    assert imgconv.apply(image, "grayscale") == image.convert("L")


@pytest.mark.parametrize(
    ("kernel", "before", "after"),
    [
        ("grayscale", "RGB", "L"), ("grayscale", "RGBA", "LA"), ("sepia", "RGB", "RGB"), ("sepia", "RGBA", "RGBA"),
        ("swap_rb", "RGBA", "RGBA"),
    ],
)  # fmt: skip
def test_weights_for_the_colours_leave_alpha(kernel, before, after):
    image = noise(before)
    result = imgconv.apply(image, kernel)
    assert result.mode == after
    colours = pixels(image)[:, :, :3]
    np.testing.assert_array_equal(
        pixels(result)[:, :, : 1 if kernel == "grayscale" else 3],
        pixels(imgconv.apply(Image.fromarray(colours), kernel)),
    )
    if before == "RGBA":
        np.testing.assert_array_equal(pixels(result)[:, :, -1], pixels(image)[:, :, -1])


def test_sepia_and_swap_rb():
    red = Image.new("RGB", (2, 2), (200, 0, 0))
    assert imgconv.apply(red, "sepia").getpixel((0, 0)) == (79, 70, 54)  # 200 times 0.393, 0.349, 0.272
    assert imgconv.apply(red, "swap_rb").getpixel((0, 0)) == (0, 0, 200)


def test_a_chain_knows_the_channels_that_are_left():
    image = noise("RGBA")
    grey = imgconv.apply(image, "grayscale")
    assert imgconv.apply(image, ["grayscale", "box_blur"]) == imgconv.apply(grey, "box_blur")
    assert imgconv.apply(image, ["grayscale", "sobel_x"]) == imgconv.apply(grey, "sobel_x")


def test_weights_for_four_channels_take_alpha_as_one_of_them():
    image = noise("RGBA")
    weights = np.ones((1, 1, 4, 1)) / 4
    result = imgconv.apply(image, weights)
    assert result.mode == "L"
    np.testing.assert_array_equal(pixels(result), rounded(pixels(image).mean(axis=2, keepdims=True)))


def test_the_sum_over_channels_leaves_alpha_unless_it_is_asked_for():
    image = noise("RGBA")
    array = pixels(image).astype(float)
    result = imgconv.apply(image, [[1.0]], channels="sum", scale=4.0)
    assert result.mode == "LA"
    np.testing.assert_array_equal(pixels(result)[:, :, :1], rounded(array[:, :, :3].sum(axis=2, keepdims=True) / 4))
    np.testing.assert_array_equal(pixels(result)[:, :, 1], array[:, :, 3])
    result = imgconv.apply(image, [[1.0]], channels="sum", scale=4.0, alpha="straight")
    np.testing.assert_array_equal(pixels(result), rounded(array.mean(axis=2, keepdims=True)))


@pytest.mark.parametrize(
    ("before", "weights", "after"),
    [("L", (1, 1, 1, 3), "RGB"), ("RGB", (1, 1, 3, 4), "RGBA"), ("L", (2, 2, 1, 1), "L"), ("RGB", (2, 2, 3), "RGB")],
)
def test_the_mode_follows_the_number_of_channels(before, weights, after):
    assert imgconv.apply(noise(before), np.full(weights, 0.25)).mode == after


# Which channels.


@pytest.mark.parametrize(
    ("mode", "letters", "chosen"),
    [
        ("RGB", "g", [1]), ("RGBA", "rgb", [0, 1, 2]), ("RGBA", "a", [3]), ("LA", "l", [0]), ("L", "l", [0]),
        ("RGBA", "ABGR", [0, 1, 2, 3]), ("CMYK", "k", [3]), ("YCbCr", "y", [0]),
    ],
)  # fmt: skip
def test_only_the_channels_that_are_named(mode, letters, chosen):
    image = noise(mode)
    weights = np.array([[1.0, 2, 0], [0, 3, -1]])
    result, before = pixels(imgconv.apply(image, weights, channels=letters)), pixels(image)
    expected = before.copy()
    expected[:, :, chosen] = correlate(before[:, :, chosen], weights)
    np.testing.assert_array_equal(result, expected)


def test_channels_that_are_not_named_are_taken_where_the_anchor_lies():
    array = pixels(noise("RGB")).astype(float)
    weights = np.arange(6.0).reshape(2, 3)
    for options in ({"padding": "valid"}, {"padding": "full"}, {"stride": (2, 3)}, {"padding": "valid", "stride": 2}):
        for anchor in ((0, 0), (1, 2)):
            result = imgconv.correlate(array, weights, channels="g", anchor=anchor, **options)
            every = imgconv.correlate(array, weights, anchor=anchor, **options)
            unit = np.zeros((2, 3))
            unit[anchor] = 1
            np.testing.assert_array_equal(result[:, :, 1], every[:, :, 1])
            moved = imgconv.correlate(array, unit, anchor=anchor, **options)
            np.testing.assert_array_equal(result[:, :, [0, 2]], moved[:, :, [0, 2]])


@pytest.mark.parametrize(("mode", "letters", "have"), [("RGB", "a", "rgb"), ("L", "r", "l"), ("CMYK", "rgb", "cmyk")])
def test_a_letter_that_the_picture_lacks(mode, letters, have):
    with pytest.raises(UsageError, match=rf"not among the picture's \({have}\)"):
        imgconv.apply(noise(mode), "blur", channels=letters)


# Alpha.

BOX = np.ones((5, 5)) / 25


def cutout():
    """A light disc with a soft edge on black that is wholly transparent: what a careless blur makes a halo of."""
    y, x = np.mgrid[:41, :41]
    cover = np.clip(14.5 - np.hypot(y - 20, x - 20), 0, 1)
    array = np.zeros((41, 41, 4), np.uint8)
    array[cover > 0, :3] = (250, 200, 150)
    array[:, :, 3] = rounded(cover * 255)
    return array


def test_premultiplied_alpha_leaves_no_dark_halo():
    array = cutout()
    result = pixels(imgconv.apply(Image.fromarray(array), BOX))
    seen = result[:, :, 3] > 0
    assert np.abs(result[seen][:, :3].astype(int) - (250, 200, 150)).max() <= 1
    careless = pixels(imgconv.apply(Image.fromarray(array), BOX, alpha="straight"))
    assert careless[seen][:, 0].min() < 50  # the halo


@pytest.mark.parametrize("border", ["edge", "reflect", "constant:0"])
@pytest.mark.parametrize("weights", [BOX, np.array([[0.0, -1, 0], [-1, 5, -1], [0, -1, 0]]), np.array([[0.5, 1.5]])])
def test_premultiplied_alpha_against_an_oracle(weights, border):
    array = pixels(noise("RGBA")).astype(float)
    array[:6, :, 3] = 0
    name, _, outside = border.partition(":")
    options = {"border": name, "outside": float(outside or 0)}
    cover = correlate(array[:, :, 3:], weights, **options)
    weighed = correlate(array[:, :, :3] * array[:, :, 3:], weights, **options)
    with np.errstate(all="ignore"):
        colour = np.where(cover == 0, 0, weighed / cover * weights.sum())
    image = Image.fromarray(array.astype(np.uint8))
    result = pixels(imgconv.apply(image, weights, border=border, alpha="premultiply")).astype(int)
    expected = rounded(np.concatenate([colour, cover], axis=2)).astype(int)
    assert np.abs(result - expected)[np.abs(cover[:, :, 0]) > 1e-3].max() <= 1  # float32
    assert np.count_nonzero(result != expected) < 0.01 * expected.size


@pytest.mark.parametrize(
    "options", [{"alpha": "keep"}, {"alpha": "premultiply"}, {"linear": True}, {"after": "abs"}, {"channels": "rg"}],
    ids=str,
)  # fmt: skip
def test_wrap_x_is_border_edge_on_a_picture_with_its_other_end_beside_it(options):
    array = pixels(noise("RGBA"))
    count = array.shape[1]
    wide = Image.fromarray(np.pad(array, ((0, 0), (count, count), (0, 0)), "wrap"))
    for kernel in ("gaussian:sigma=1.5", "1 2 3 4; 5 6 7 8; 9 9 9 -9"):
        theirs = pixels(imgconv.apply(wide, kernel, border="edge", **options))[:, count:-count]
        ours = pixels(imgconv.apply(Image.fromarray(array), kernel, border="wrap-x", **options))
        np.testing.assert_array_equal(ours, theirs)
        full = pixels(imgconv.apply(Image.fromarray(array), kernel, border="wrap-x", padding="full", **options))
        theirs = pixels(imgconv.apply(wide, kernel, border="edge", padding="full", **options))
        extra = full.shape[1] - count
        start = count  # where the first window that touches the picture begins in the wide result
        np.testing.assert_array_equal(full, theirs[:, start : start + count + extra])


@pytest.mark.parametrize("alpha", ["auto", "premultiply", "keep", "straight"])
@pytest.mark.parametrize("kernel", [BOX, "gaussian_blur", "sharpen", "smooth"])
def test_opaque_alpha_gives_the_bytes_of_rgb(kernel, alpha):
    image = noise("RGB")
    opaque = image.convert("RGBA")
    result = imgconv.apply(opaque, kernel, alpha=alpha)
    assert result.convert("RGB") == imgconv.apply(image, kernel)
    assert result.getextrema()[3] == (255, 255)


def test_kernels_that_are_no_mean_keep_alpha():
    image = noise("RGBA")
    result = imgconv.apply(image, "sobel_x")
    np.testing.assert_array_equal(pixels(result)[:, :, 3], pixels(image)[:, :, 3])
    assert result.convert("RGB") == imgconv.apply(image.convert("RGB"), "sobel_x")


def test_alpha_is_kept_where_the_size_changes():
    image = noise("RGBA")
    result = pixels(imgconv.apply(image, "sobel_x", padding="valid", stride=2))
    np.testing.assert_array_equal(result[:, :, 3], pixels(image)[1:-1:2, 1:-1:2, 3])


@pytest.mark.parametrize("after", ["abs", "relu", "minmax", "offset128"])
def test_what_is_done_to_values_is_not_done_to_alpha(after):
    image = noise("RGBA")
    result = imgconv.apply(image, "sobel_x", after=after)
    np.testing.assert_array_equal(pixels(result)[:, :, 3], pixels(image)[:, :, 3])
    colours = imgconv.apply(image.convert("RGB"), "sobel_x", after=after)
    assert result.convert("RGB") == colours


def test_offset_and_bias_are_not_weighed_by_alpha():
    image = Image.new("RGBA", (9, 9), (100, 100, 100, 51))
    for options in ({"offset": 20}, {"bias": 20}, {"bias": (20, 20, 20)}, {"bias": (20, 20, 20, 0)}):
        result = imgconv.apply(image, BOX, alpha="premultiply", **options)
        assert result.getpixel((4, 4)) == (120, 120, 120, 51), options


@pytest.mark.parametrize(
    ("kernel", "options", "words"),
    [
        ("sobel_x", {"alpha": "premultiply"}, "do not sum to 0"),
        ("sepia", {"alpha": "premultiply"}, "2 levels"),
        ("sharpen", {"alpha": "premultiply", "border": "keep", "offset": 3.0}, "border keep"),
    ],
)
def test_weighing_that_makes_no_sense_is_refused(kernel, options, words):
    with pytest.raises(UsageError, match=words):
        imgconv.apply(noise("RGBA"), kernel, **options)


# Light.


def to_light(samples):
    """IEC 61966-2-1, one number after the other."""
    return np.vectorize(lambda v: v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)(samples / 255)


def from_light(light):
    return 255 * np.vectorize(lambda v: v * 12.92 if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)(light)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA"])
def test_linear_light_against_an_oracle(mode):
    image = noise(mode)
    before = pixels(image).astype(float)
    colours = len(mode.replace("A", ""))
    result = pixels(imgconv.apply(image, BOX, linear=True)).astype(int)
    light = to_light(before[:, :, :colours])
    if "A" in mode:
        cover = correlate(before[:, :, -1:], BOX)
        np.testing.assert_array_equal(result[:, :, -1:], rounded(cover))  # alpha is no light
        light = correlate(light * before[:, :, -1:], BOX) / cover
    else:
        light = correlate(light, BOX)
    assert np.abs(result[:, :, :colours] - from_light(light)).max() <= 0.51


def test_linear_light_needs_light():
    with pytest.raises(UsageError, match="grey or RGB"):
        imgconv.apply(noise("CMYK"), BOX, linear=True)


def test_light_that_is_not_filtered_stays():
    image = noise("RGBA")
    result = pixels(imgconv.apply(image, BOX, linear=True, channels="ga"))
    np.testing.assert_array_equal(result[:, :, [0, 2]], pixels(image)[:, :, [0, 2]])
    np.testing.assert_array_equal(result[:, :, 3:], correlate(pixels(image)[:, :, 3:], BOX))


# Several kernels on the same picture.


def combine(array, how, *kernels, mode=""):
    recipe = Recipe(tuple(imgconv.kernel(k) for k in kernels), Options(combine=how))
    return recipe.apply(array, mode)[0]


def test_the_hypot_of_sobels():
    array = pixels(noise("RGB")).astype(float)
    x, y = (imgconv.correlate(array, name) for name in ("sobel_x", "sobel_y"))
    np.testing.assert_allclose(combine(array, "hypot", "sobel_x", "sobel_y"), np.hypot(x, y), rtol=1e-12)
    bytes_ = array.astype(np.uint8)
    np.testing.assert_array_equal(combine(bytes_, "hypot", "sobel_x", "sobel_y"), rounded(np.hypot(x, y)))


@pytest.mark.parametrize(("how", "theirs"), [("max", np.max), ("sum", np.sum), ("mean", np.mean)])
def test_other_combinations(how, theirs):
    array = pixels(noise("L")).astype(float)
    names = ("sobel_x", "sobel_y", "laplacian")
    expected = theirs([imgconv.correlate(array, name) for name in names], axis=0)
    np.testing.assert_allclose(combine(array, how, *names), expected, rtol=1e-12, atol=1e-9)


def test_combined_kernels_keep_alpha():
    array = pixels(noise("RGBA"))
    for how in ("hypot", "sum", "max", "mean"):
        np.testing.assert_array_equal(combine(array, how, "sobel_x", "sobel_y", mode="RGBA")[:, :, 3], array[:, :, 3])


# Missing samples.


def test_renormalize_takes_nan_for_missing():
    rng = np.random.default_rng(1)
    array = rng.random((9, 8, 2))
    array[rng.random(array.shape) < 0.3] = np.nan
    array[3:7, 3:7] = np.nan
    weights = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 3]])
    result = imgconv.correlate(array, weights, border="renormalize", scale="sum")
    expected = renormalized(array, weights, (1, 1)) / weights.sum()
    np.testing.assert_allclose(result, expected, rtol=1e-12)
    assert np.isnan(result[4, 4]).all()


@pytest.mark.parametrize("options", [{}, {"like": "opencv"}, {"after": "abs"}, {"stride": 2}])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_integers_have_no_nan(dtype, options):
    array = np.full((4, 4), 9, dtype)
    weights = np.array([[0.0, 0, 0], [0, 1, 1], [0, 1, -2]])  # its taps inside sum to 0 at some place
    result = imgconv.correlate(array, weights, anchor=(2, 2), border="renormalize", offset=7, **options)
    assert result.dtype == dtype
    assert result.flat[0] in (7, 16)


# Options.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stride": 0}, "stride"), ({"stride": (1, 2, 3)}, "stride"), ({"dilation": 1.5}, "dilation"),
        ({"anchor": (0,)}, "anchor"), ({"anchor": (0.5, 1)}, "anchor"), ({"anchor": (-1, 0)}, "anchor"),
        ({"scale": np.int64(0)}, "scale"), ({"scale": [1]}, "scale"), ({"offset": "a"}, "offset"),
        ({"bias": ()}, "bias"),
        ({"bias": (1, float("nan"))}, "bias"), ({"channels": "1"}, "channels"), ({"like": "gimp"}, "like"),
        ({"after": "wrap"}, "after"), ({"alpha": "none"}, "alpha"), ({"combine": "min"}, "combine"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused_in_one_line(options, words):
    with pytest.raises(UsageError, match=words) as caught:
        imgconv.correlate(np.zeros((3, 3)), "blur", **options)
    assert "\n" not in str(caught.value)


def test_options_take_what_numpy_gives():
    array = np.arange(30.0).reshape(5, 6)
    theirs = imgconv.correlate(array, "1 2; 3 4", stride=(2, 2), scale=2.0, bias=(5.0,), anchor=(1, 0))
    ours = imgconv.correlate(
        array, "1 2; 3 4", stride=np.int64(2), scale=np.float32(2), bias=np.array([5]), anchor=[np.int8(1), 0]
    )
    np.testing.assert_array_equal(ours, theirs)


# What must hold for any weights.

sides = st.integers(1, 5)


@st.composite
def problems(draw):
    """(array of small integers as float64, weights): sums are exact in any order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    array = rng.integers(-50, 50, (draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 4))))
    weights = rng.integers(-9, 10, (draw(sides), draw(sides)))
    return array.astype(float), weights.astype(float)


borders = st.sampled_from(["edge", "reflect", "symmetric", "wrap", "wrap-x", "constant:3"])


@given(problems(), borders, st.sampled_from(["same", "full"]))
@settings(max_examples=60, deadline=None)
def test_convolution_is_correlation_with_the_kernel_turned(problem, border, padding):
    array, weights = problem
    np.testing.assert_array_equal(
        imgconv.convolve(array, weights[::-1, ::-1], border=border, padding=padding, anchor="low"),
        imgconv.correlate(array, weights, border=border, padding=padding, anchor="high"),
    )


@given(problems(), borders, st.tuples(sides, sides), st.sampled_from(["same", "full", "valid"]))
@settings(max_examples=60, deadline=None)
def test_strides_leave_out_pixels(problem, border, stride, padding):
    array, weights = problem
    try:
        every = imgconv.correlate(array, weights, border=border, padding=padding)
    except ImgconvError:
        return
    some = imgconv.correlate(array, weights, border=border, padding=padding, stride=stride)
    np.testing.assert_array_equal(some, every[:: stride[0], :: stride[1]])


@given(problems(), borders, st.tuples(st.integers(1, 3), st.integers(1, 3)), st.sampled_from(["low", "high"]))
@settings(max_examples=60, deadline=None)
def test_dilation_puts_zeros_between_taps(problem, border, dilation, anchor):
    array, weights = problem
    spread = np.kron(weights, np.eye(1, dilation[0] * dilation[1]).reshape(dilation))
    spread = spread[: spread.shape[0] - dilation[0] + 1, : spread.shape[1] - dilation[1] + 1]
    at = [(k - 1) // 2 if anchor == "low" else k // 2 for k in weights.shape]
    np.testing.assert_array_equal(
        imgconv.correlate(array, weights, border=border, dilation=dilation, anchor=anchor),
        imgconv.correlate(array, spread, border=border, anchor=(at[0] * dilation[0], at[1] * dilation[1])),
    )


@given(problems(), borders, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_channels_one_by_one_and_conv2d_their_sum(problem, border, count):
    array, weights = problem
    channels = array.shape[2]
    planes = np.stack([weights * (c + 1) - c for c in range(channels * count)], axis=2)
    planes = planes.reshape(*weights.shape, channels, count)
    each = [
        imgconv.correlate(array[:, :, c], planes[:, :, c, 0], border=border).reshape(array.shape[:2])
        for c in range(channels)
    ]
    np.testing.assert_array_equal(imgconv.correlate(array, planes[..., 0], border=border), np.stack(each, axis=2))
    summed = imgconv.correlate(array, planes, border=border)
    assert summed.shape == (*array.shape[:2], count)
    for out in range(count):
        parts = imgconv.correlate(array, planes[..., out], border=border)
        np.testing.assert_array_equal(summed[:, :, out], parts.sum(axis=2))
        np.testing.assert_array_equal(
            imgconv.correlate(array, planes[..., out], border=border, channels="sum")[:, :, 0], parts.sum(axis=2)
        )


@given(problems(), borders, st.integers(-5, 5))
@settings(max_examples=60, deadline=None)
def test_linearity(problem, border, factor):
    array, weights = problem
    border = border.replace(":3", "")  # only 0 outside is linear
    other = array[::-1, ::-1] - 7
    mixed = imgconv.correlate(array + factor * other, weights, border=border)
    np.testing.assert_array_equal(
        mixed,
        imgconv.correlate(array, weights, border=border) + factor * imgconv.correlate(other, weights, border=border),
    )


@given(problems(), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_a_chain_is_one_composed_kernel_where_nothing_is_cut_off(problem, seed):
    array, first = problem
    second = np.random.default_rng(seed).integers(-3, 4, (2, 3)).astype(float)
    options = {"border": "constant", "padding": "full", "method": "direct"}  # exact for whole numbers
    composed = imgconv.convolve(first, second, **options)
    chain = imgconv.convolve(imgconv.convolve(array, first, **options), second, **options)
    np.testing.assert_array_equal(chain, imgconv.convolve(array, composed, **options))


@pytest.mark.parametrize("kernel", ["identity", "0 0 0; 0 1 0; 0 0 0", "gaussian:sigma=0.01"])
@pytest.mark.parametrize(
    "options", [{}, {"border": "constant:7"}, {"border": "keep"}, {"alpha": "premultiply"}, {"linear": True},
                {"mask": "radial:inner=0.2"}, {"mode": "convolve"}, {"like": "opencv"}, {"like": "imagemagick"}],
    ids=str,
)  # fmt: skip
def test_the_identity_changes_nothing_not_even_colours_that_cannot_be_seen(kernel, options):
    for channels in (2, 4):
        array = pixels(noise("LA" if channels == 2 else "RGBA", (8, 9))).copy()
        array[::2, ::2, -1] = 0
        image = Image.fromarray(array)
        assert np.array_equal(pixels(imgconv.apply(image, kernel, **options)), array)


def test_portable_powers_are_those_of_the_definition():
    getcontext().prec = 40
    values = np.concatenate([np.random.default_rng(0).random(300) * 2 + 1e-3, [0.0031309, 1, 16, 1e9]])
    for found, power in ((_power_2_4(values), Decimal(12) / 5), (_root_2_4(values), Decimal(5) / 12)):
        wanted = [Decimal(value) ** power for value in values.tolist()]
        assert max(abs(Decimal(one) / other - 1) for one, other in zip(found.tolist(), wanted, strict=True)) < 5e-16
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(_power_2_4(np.array([1.0, np.inf, np.nan])), [1, np.inf, np.nan])


def test_portable_light_is_light_up_to_roundings():
    values = np.random.default_rng(0).random((50, 60, 3)).astype(np.float32)
    for convert in (to_linear, from_linear):
        np.testing.assert_allclose(convert(values, portable=True), convert(values), rtol=0, atol=3e-7)
        assert convert(values, portable=True).dtype == np.float32
