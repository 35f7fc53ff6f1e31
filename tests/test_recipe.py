import numpy as np
import oracle
import pytest

import imgconv
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.spec import kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe.layout import samples_of
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.settings import correlation

CORNER = Kernel(np.arange(6, dtype=float).reshape(2, 3), scale=3, offset=1)


def test_correlation_slides_the_weights_as_they_are():
    c = correlation(CORNER, Options())
    assert c.weights.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert (c.anchor, c.border, c.scale, c.offset) == ((0, 1), "edge", 3, 1)
    assert correlation(CORNER, Options(anchor="high")).anchor == (1, 1)


def test_convolution_turns_them_and_mirrors_the_anchor():
    c = correlation(CORNER, Options(mode="convolve"))
    assert c.weights.tolist() == [[5, 4, 3], [2, 1, 0]]
    assert c.anchor == (1, 1)
    assert correlation(CORNER, Options(mode="convolve", anchor=(0, 0))).anchor == (1, 2)


def test_the_command_line_wins_over_the_kernel():
    own = Kernel(np.ones((3, 3)), border="wrap", anchor=(0, 0))
    assert correlation(own, Options()).border == "wrap"
    c = correlation(own, Options(border="constant:9", anchor=(2, 2), scale=5.0, offset=2.0))
    assert (c.border, c.outside, c.anchor, c.scale, c.offset) == ("constant", 9, (2, 2), 5, 2)


def test_a_kernel_in_pillows_convention_keeps_the_frame():
    assert correlation(kernel("emboss"), Options()).border == "keep"
    assert correlation(kernel("emboss"), Options(padding="full")).border == "edge"
    assert correlation(kernel("emboss"), Options()).weights.tolist() == kernel("emboss").weights[::-1].tolist()


def test_pillows_convention_flips_rows_and_the_anchor_with_them():
    made = Kernel(np.arange(6).reshape(3, 2), like="pillow", anchor=(0, 1))
    c = correlation(made, Options())
    assert c.weights.tolist() == [[4, 5], [2, 3], [0, 1]]
    assert c.anchor == (2, 1)
    assert correlation(made, Options(anchor=(0, 1))).anchor == (0, 1)


def test_scales_in_words():
    assert correlation(CORNER, Options(scale="sum")).scale == 15
    assert correlation(kernel("laplacian"), Options(scale="abs-sum")).scale == 8
    assert correlation(CORNER, Options(scale="none")).scale == 1
    with pytest.raises(KernelError, match="sum to 0"):
        correlation(kernel("laplacian"), Options(scale="sum"))


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "slide"}, {"border": "mirror"}, {"border": "edge:2"}, {"anchor": "middle"}, {"scale": "mean"},
        {"scale": 0.0}, {"scale": float("nan")}, {"offset": float("inf")}, {"threads": 0},
    ],
)  # fmt: skip
def test_options_are_checked_when_they_are_made(options):
    with pytest.raises(UsageError):
        Options(**options)


def test_an_anchor_outside_the_kernel_is_found_before_any_work():
    with pytest.raises(UsageError, match="anchor 2,0"):
        Recipe((CORNER,), Options(anchor=(2, 0)))


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int16", "uint32", "int64", "uint64", "float16", ">u2", ">i4", ">f8", "uint8", "uint16"]
)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_every_real_type_comes_back_as_itself(dtype, channels):
    rng = np.random.default_rng(0)
    shape = (9, 12) if channels is None else (9, 12, channels)
    array = rng.integers(0, 2, shape).astype(dtype) if dtype == "bool" else rng.integers(0, 100, shape).astype(dtype)
    weights = np.array([[1.0, -2, 1], [2, 0, -3]])
    result, _, report = Recipe((Kernel(weights, offset=10),)).apply(array)
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    assert result.shape == shape
    wide = array.reshape(9, 12, -1).astype(np.float64)
    exact = oracle.correlate(wide, weights, offset=10).reshape(shape)
    if result.dtype.kind in "iub":
        low, high = (0, 1) if dtype == "bool" else (np.iinfo(result.dtype).min, np.iinfo(result.dtype).max)
        assert report.clipped == np.count_nonzero((exact < low) | (exact > high))
        exact = np.clip(exact, low, high)
    np.testing.assert_array_equal(result.astype(float), exact)


@pytest.mark.parametrize(
    "array",
    [np.zeros(3), np.zeros((1, 1, 1, 1)), np.zeros((0, 4)), np.zeros((2, 2), complex), np.array([["a"]])],
)
def test_what_is_no_picture_is_refused(array):
    with pytest.raises(PictureError):
        Recipe((CORNER,)).apply(array)


def test_whole_numbers_that_float64_cannot_hold_are_refused():
    with pytest.raises(PictureError, match="exactly"):
        Recipe((CORNER,)).apply(np.array([[2**60]], np.int64))


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
def test_whole_numbers_that_float64_can_hold_are_not_rounded_away(dtype):
    array = np.array([[2**52 - 1, 2**52, 2**52 + 1, 2**53 - 1]], dtype)
    signs = (1, -1) if dtype == "int64" else (1,)
    for sign in signs:
        assert (imgconv.correlate(sign * array, [[1.0]]) == sign * array).all()
    assert imgconv.correlate(array[:, :1] // 2, [[0.5]]).item() == 2**50  # half up


def test_a_chain_rounds_between_its_kernels():
    rng = np.random.default_rng(1)
    src = rng.integers(0, 256, (20, 30, 3), np.uint8)
    first, second = kernel("smooth"), kernel("0 -1 0; -1 5 -1; 0 -1 0")
    chained, _, report = Recipe((first, second)).apply(src)
    step, _, _ = Recipe((first,)).apply(src)
    expected, _, _ = Recipe((second,)).apply(step)
    np.testing.assert_array_equal(chained, expected)
    assert len(report.plans) == 2


def test_views_and_strides_are_taken_as_they_are_seen():
    rng = np.random.default_rng(2)
    big = rng.integers(0, 256, (40, 30, 4), np.uint8)
    view = big[::2, ::-3, :3]
    np.testing.assert_array_equal(Recipe((CORNER,)).apply(view)[0], Recipe((CORNER,)).apply(view.copy())[0])
    frozen = view.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(Recipe((CORNER,)).apply(frozen)[0], Recipe((CORNER,)).apply(view)[0])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("size", [3, 11])
def test_what_the_last_kernel_lies_on_is_what_the_chain_has_there(dtype, size):
    """Also at ties, which the kernels before the last round as they do in the chain, whatever comes after the last."""
    rng = np.random.default_rng(3)
    limits = np.iinfo(dtype)
    array = rng.integers(limits.min, limits.max, (160, 160), dtype, endpoint=True)
    weights = rng.integers(1, 100, (size, size)).astype(float)
    first = Kernel(weights, scale=float(weights.sum()))
    for options in (Options(), Options(after="offset128"), Options(after="relu"), Options(channels="l", bias=3.0)):
        chain = Recipe((first, kernel("identity")), options)
        samples, layout = chain.before_last(*samples_of(array, ""))
        last = Recipe(chain.kernels[1:], options).apply(layout.finished(samples, False))[0]
        np.testing.assert_array_equal(last[:, :, 0], chain.apply(array)[0])
