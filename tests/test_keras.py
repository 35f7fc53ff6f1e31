"""Conv2D and DepthwiseConv2D: against a plain loop, against numbers that Keras gave, and against PyTorch and Keras."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

import imgconv
from imgconv.errors import PictureError, UsageError
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

# From keras.ops.conv, Keras 3.15.1 (jax 0.10.2), along one axis: (padding, stride, kernel) -> for 5 to 9 pixels the
# number of results, the first and the last. Pixels are 1, 2, 3, …, weights 1, 10, 100, …: the digits of a result, read
# from the right, are the pixels under the window, 0 being padding.
AXIS = {
    ("same", 1, 2): [(5, 21, 5), (6, 21, 6), (7, 21, 7), (8, 21, 8), (9, 21, 9)],
    ("same", 1, 3): [(5, 210, 54), (6, 210, 65), (7, 210, 76), (8, 210, 87), (9, 210, 98)],
    ("same", 1, 4): [(5, 3210, 54), (6, 3210, 65), (7, 3210, 76), (8, 3210, 87), (9, 3210, 98)],
    ("same", 1, 5): [(5, 32100, 543), (6, 32100, 654), (7, 32100, 765), (8, 32100, 876), (9, 32100, 987)],
    ("same", 2, 2): [(3, 21, 5), (3, 21, 65), (4, 21, 7), (4, 21, 87), (5, 21, 9)],
    ("same", 2, 3): [(3, 210, 54), (3, 321, 65), (4, 210, 76), (4, 321, 87), (5, 210, 98)],
    ("same", 2, 4): [(3, 3210, 54), (3, 3210, 654), (4, 3210, 76), (4, 3210, 876), (5, 3210, 98)],
    ("same", 2, 5): [(3, 32100, 543), (3, 43210, 654), (4, 32100, 765), (4, 43210, 876), (5, 32100, 987)],
    ("same", 3, 2): [(2, 21, 54), (2, 21, 54), (3, 21, 7), (3, 21, 87), (3, 21, 87)],
    ("same", 3, 3): [(2, 321, 54), (2, 321, 654), (3, 210, 76), (3, 321, 87), (3, 321, 987)],
    ("same", 3, 4): [(2, 3210, 543), (2, 4321, 654), (3, 3210, 76), (3, 3210, 876), (3, 4321, 987)],
    ("same", 3, 5): [(2, 43210, 543), (2, 43210, 6543), (3, 32100, 765), (3, 43210, 876), (3, 43210, 9876)],
    ("valid", 1, 2): [(4, 21, 54), (5, 21, 65), (6, 21, 76), (7, 21, 87), (8, 21, 98)],
    ("valid", 1, 3): [(3, 321, 543), (4, 321, 654), (5, 321, 765), (6, 321, 876), (7, 321, 987)],
    ("valid", 1, 4): [(2, 4321, 5432), (3, 4321, 6543), (4, 4321, 7654), (5, 4321, 8765), (6, 4321, 9876)],
    ("valid", 1, 5): [(1, 54321, 54321), (2, 54321, 65432), (3, 54321, 76543), (4, 54321, 87654), (5, 54321, 98765)],
    ("valid", 2, 2): [(2, 21, 43), (3, 21, 65), (3, 21, 65), (4, 21, 87), (4, 21, 87)],
    ("valid", 2, 3): [(2, 321, 543), (2, 321, 543), (3, 321, 765), (3, 321, 765), (4, 321, 987)],
    ("valid", 2, 4): [(1, 4321, 4321), (2, 4321, 6543), (2, 4321, 6543), (3, 4321, 8765), (3, 4321, 8765)],
    ("valid", 2, 5): [(1, 54321, 54321), (1, 54321, 54321), (2, 54321, 76543), (2, 54321, 76543), (3, 54321, 98765)],
    ("valid", 3, 2): [(2, 21, 54), (2, 21, 54), (2, 21, 54), (3, 21, 87), (3, 21, 87)],
    ("valid", 3, 3): [(1, 321, 321), (2, 321, 654), (2, 321, 654), (2, 321, 654), (3, 321, 987)],
    ("valid", 3, 4): [(1, 4321, 4321), (1, 4321, 4321), (2, 4321, 7654), (2, 4321, 7654), (2, 4321, 7654)],
    ("valid", 3, 5): [(1, 54321, 54321), (1, 54321, 54321), (1, 54321, 54321), (2, 54321, 87654), (2, 54321, 87654)],
}

# From keras.layers, Keras 3.15.1 (jax 0.10.2), for PICTURE and WEIGHTS: the shape, the first and the last pixel, and
# the sum of each channel.
PICTURE = (np.arange(5 * 6 * 3).reshape(5, 6, 3) * 7 % 11).astype(np.float32)
WEIGHTS = np.arange(2 * 3 * 3 * 2).reshape(2, 3, 3, 2) * 5 % 7 - 3.0
CONV2D = [  # Conv2D(2, (2, 3), …), bias 10 and -20
    ({"padding": "same"}, (5, 6, 2), [-30, -12], [1, 5], [-47, -732]),
    ({"padding": "same", "strides": 2}, (3, 3, 2), [36, -42], [1, 5], [5, -267]),
    ({"padding": "valid"}, (4, 4, 2), [36, -42], [13, -22], [51, -512]),
    ({"padding": "same", "dilation_rate": 2}, (5, 6, 2), [1, -4], [17, -54], [-55, -595]),
    ({"padding": "valid", "strides": 3}, (2, 2, 2), [36, -42], [13, -22], [43, -128]),
]
DEPTHWISE = [  # DepthwiseConv2D((2, 3), …) of the first channel out, bias 1, 2, 3
    ({"padding": "same"}, (5, 6, 3), [1, -1, -34], [-18, 2, 13], [-338, 290, -119]),
    ({"padding": "same", "strides": 2}, (3, 3, 3), [7, 28, -3], [-18, 2, 13], [-190, 125, 34]),
    ({"padding": "valid"}, (4, 4, 3), [7, 28, -3], [16, -3, -4], [-124, 200, -89]),
    ({"padding": "same", "dilation_rate": 2}, (5, 6, 3), [-9, 33, -27], [-12, 14, 11], [-244, 314, -245]),
]


def options(strides=1, dilation_rate=1, padding="same"):
    """Keras' words as imgconv's; its "same" is what like="keras" means anyway."""
    return {"like": "keras", "stride": strides, "dilation": dilation_rate} | (
        {"padding": "valid"} if padding == "valid" else {}
    )


def conv2d(picture, weights, bias=0.0, stride=(1, 1), dilation=(1, 1), padding="same"):
    """Conv2D as its documentation has it, one multiplication after the other; tf.nn's rule for the padding."""
    rows, columns, channels_in, channels_out = weights.shape
    window = [(k - 1) * d + 1 for k, d in zip((rows, columns), dilation, strict=True)]
    if padding == "same":
        shape = [math.ceil(n / s) for n, s in zip(picture.shape, stride, strict=False)]
        before = [
            max((out - 1) * s + w - n, 0) // 2
            for out, s, w, n in zip(shape, stride, window, picture.shape, strict=False)
        ]
    else:
        shape = [math.ceil((n - w + 1) / s) for n, w, s in zip(picture.shape, window, stride, strict=False)]
        before = [0, 0]
    result = np.zeros((*shape, channels_out)) + bias
    for y, x in np.ndindex(*shape):
        for i, j in np.ndindex(rows, columns):
            v = y * stride[0] - before[0] + i * dilation[0]
            u = x * stride[1] - before[1] + j * dilation[1]
            if 0 <= v < picture.shape[0] and 0 <= u < picture.shape[1]:
                for c in range(channels_in):
                    result[y, x] += float(picture[v, u, c]) * weights[i, j, c]
    return result


@pytest.mark.parametrize(("padding", "stride", "size"), AXIS)
def test_padding_and_stride_along_an_axis(padding, stride, size):
    for pixels, (count, first, last) in zip(range(5, 10), AXIS[padding, stride, size], strict=True):
        line = np.arange(1.0, pixels + 1)
        weights = 10.0 ** np.arange(size)
        words = options(stride, padding=padding)
        for picture, kernel in ((line[:, None], weights[:, None]), (line[None], weights[None])):
            result = imgconv.correlate(picture, kernel, **words).ravel()
            assert (len(result), result[0], result[-1]) == (count, first, last), pixels


@pytest.mark.parametrize(("words", "shape", "first", "last", "sums"), CONV2D)
def test_conv2d_gives_keras_numbers(words, shape, first, last, sums):
    result = imgconv.correlate(PICTURE, WEIGHTS, bias=(10, -20), **options(**words))
    assert result.shape == shape
    assert (result[0, 0].tolist(), result[-1, -1].tolist(), result.sum(axis=(0, 1)).tolist()) == (first, last, sums)


@pytest.mark.parametrize(("words", "shape", "first", "last", "sums"), DEPTHWISE)
def test_depthwise_conv2d_gives_keras_numbers(words, shape, first, last, sums):
    result = imgconv.correlate(PICTURE, WEIGHTS[:, :, :, 0], bias=(1, 2, 3), **options(**words))
    assert result.shape == shape
    assert (result[0, 0].tolist(), result[-1, -1].tolist(), result.sum(axis=(0, 1)).tolist()) == (first, last, sums)


def test_conv2d_against_a_plain_loop():
    rng = np.random.default_rng(0)
    for _ in range(60):
        picture = rng.integers(-9, 10, (*rng.integers(1, 9, 2), rng.integers(1, 5))).astype(float)
        weights = rng.integers(-3, 4, (*rng.integers(1, 5, 2), picture.shape[2], rng.integers(1, 4))).astype(float)
        bias = tuple(rng.integers(-9, 9, weights.shape[3]).astype(float))
        stride, dilation = tuple(rng.integers(1, 4, 2).tolist()), tuple(rng.integers(1, 3, 2).tolist())
        window = [(k - 1) * d + 1 for k, d in zip(weights.shape, dilation, strict=False)]
        for padding in ("same", "valid"):
            words = options(stride, dilation, padding) | {"bias": bias}
            if padding == "same" or all(n >= w for n, w in zip(picture.shape, window, strict=False)):
                expected = conv2d(picture, weights, bias, stride, dilation, padding)
                np.testing.assert_array_equal(imgconv.correlate(picture, weights, **words), expected)
            else:
                with pytest.raises(PictureError, match="leaves nothing"):
                    imgconv.correlate(picture, weights, **words)


def test_the_articles_sum_over_channels():
    picture = np.ones((3, 3, 3)) * (1, 100, 10000)
    assert imgconv.correlate(picture, np.ones((2, 2, 3, 1)), padding="valid").tolist() == [[[40404]] * 2] * 2
    assert imgconv.correlate(picture, np.ones((2, 2)), padding="valid", channels="sum").tolist() == [[[40404]] * 2] * 2
    assert imgconv.correlate(picture, np.ones((2, 2, 3)), padding="valid", channels="sum").max() == 40404


def test_one_by_one_mixes_channels():
    weights = np.random.default_rng(1).standard_normal((1, 1, 3, 5))
    np.testing.assert_allclose(imgconv.correlate(PICTURE, weights, like="keras"), PICTURE @ weights[0, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("stride", "dilation"), [((1, 1), (1, 1)), ((2, 1), (1, 1)), ((3, 2), (1, 2)), ((1, 1), (2, 3))]
)
def test_conv2d_against_pytorch(stride, dilation):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(2)
    picture, weights = rng.integers(-9, 9, (11, 12, 3)).astype(float), rng.integers(-9, 9, (4, 3, 3, 2)).astype(float)
    theirs = torch.nn.functional.conv2d(
        torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()),
        torch.from_numpy(weights.transpose(3, 2, 0, 1).copy()),
        torch.tensor([5.0, 7.0], dtype=torch.float64),
        stride=stride, dilation=dilation,
    )  # fmt: skip
    ours = imgconv.correlate(picture, weights, bias=(5, 7), **options(stride, dilation, "valid"))
    np.testing.assert_array_equal(ours, theirs[0].numpy().transpose(1, 2, 0))


CONV2D = [
    {"strides": strides, "padding": padding, "dilation_rate": dilation}
    for padding in ("same", "valid")
    for strides, dilation in ((1, 1), (2, 1), (3, 1), (1, 2))
]
CONV2D_ROWS = (7, 8, 9)
IN_KERAS = """
import json, os, sys
os.environ.update(KERAS_BACKEND="jax", KERAS_HOME=sys.argv[1])
try:
    import jax, keras
except ImportError:
    sys.exit(77)
import numpy as np
given = np.load(sys.argv[1] + "/given.npz")
for case, words in enumerate(json.loads(sys.argv[2])):
    for rows in map(int, sys.argv[3:]):
        found = keras.ops.conv(given[f"picture{rows}"], given["weights"], data_format="channels_last", **words)
        np.save(f"{sys.argv[1]}/{case}_{rows}.npy", np.asarray(found)[0])
"""


@pytest.fixture(scope="module")
def keras_results(tmp_path_factory):
    """The folder of what Keras makes, in a process of its own: JAX has threads, and warns whoever forks beside them."""
    folder = tmp_path_factory.mktemp("keras")
    rng = np.random.default_rng(3)
    pictures = {f"picture{rows}": rng.integers(-9, 9, (1, rows, 10, 3)).astype(np.float32) for rows in CONV2D_ROWS}
    np.savez(folder / "given.npz", weights=rng.integers(-9, 9, (4, 3, 3, 2)).astype(np.float32), **pictures)
    words = [sys.executable, "-c", IN_KERAS, str(folder), json.dumps(CONV2D), *map(str, CONV2D_ROWS)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("keras and jax are not installed")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("case", range(len(CONV2D)))
def test_conv2d_against_keras(case, keras_results):
    given = np.load(keras_results / "given.npz")
    for rows in CONV2D_ROWS:
        ours = imgconv.correlate(given[f"picture{rows}"][0], given["weights"], **options(**CONV2D[case]))
        np.testing.assert_array_equal(ours, np.load(keras_results / f"{case}_{rows}.npy"))


def test_after():
    picture = np.array([[[0, 10, 250]]], np.uint8)
    twice = np.array([[1.0, 0, -1]])  # -10, -250, 10 with border constant: next minus previous, reversed
    sums = imgconv.correlate(picture[0].T[:, :, None], twice.T, border="constant", after="float")[:, 0, 0]
    assert sums.tolist() == [-10, -250, 10]

    def after(how):
        return imgconv.correlate(picture[0].T, twice.T, border="constant", after=how)[:, 0].tolist()

    assert after("clip") == [0, 0, 10]
    assert after("abs") == [10, 250, 10]
    assert after("relu") == [0, 0, 10]
    assert after("offset128") == [118, 0, 138]
    assert after("minmax") == [round(240 * 255 / 260), 0, 255]
    assert after("float") == [-10, -250, 10]


def test_after_in_floating_pictures_and_even_surfaces():
    line = np.array([[0.0, 0.25, -1.0]])
    assert imgconv.correlate(line, [[1.0]], after="offset128").tolist() == [[0.5, 0.75, -0.5]]
    assert imgconv.correlate(line, [[1.0]], after="minmax").tolist() == [[0.8, 1, 0]]
    assert imgconv.correlate(line, [[1.0]], after="relu").tolist() == [[0, 0.25, 0]]
    assert imgconv.correlate(np.full((3, 3), 7, np.uint8), [[1.0]], after="minmax").max() == 0


def test_bias():
    picture = np.zeros((2, 2, 3))
    assert imgconv.correlate(picture, [[1.0]], bias=5)[0, 0].tolist() == [5, 5, 5]
    assert imgconv.correlate(picture, [[1.0]], bias=(1, 2, 3), offset=10)[0, 0].tolist() == [11, 12, 13]
    with pytest.raises(UsageError, match="bias has 2 numbers, the result has 3 channels"):
        imgconv.correlate(picture, [[1.0]], bias=(1, 2))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_one_bias_is_that_of_every_channel_under_every_border(kind, channels):
    picture = (np.arange(5 * 6 * channels).reshape(5, 6, channels) % 25).astype(kind)
    for border in ("edge", "keep", "constant:3"):
        one = imgconv.correlate(picture, np.ones((3, 3)), border=border, bias=5)
        np.testing.assert_array_equal(
            one, imgconv.correlate(picture, np.ones((3, 3)), border=border, bias=(5,) * channels)
        )
        np.testing.assert_array_equal(one, imgconv.correlate(picture, np.ones((3, 3)), border=border) + kind(5))
    frame = imgconv.correlate(picture, np.ones((3, 3)), border="keep", offset=5)[0]
    np.testing.assert_array_equal(frame, picture[0])  # an offset belongs to the sum, and there is none in a copy


def test_weights_for_other_channels_are_refused_in_one_line():
    with pytest.raises(PictureError, match="weights are for 2 channels, the picture has 3"):
        imgconv.correlate(PICTURE, np.ones((3, 3, 2, 1)))
    with pytest.raises(PictureError, match="weights are for 2 channels, the picture has 3"):
        imgconv.correlate(PICTURE, np.ones((3, 3, 2)))
    with pytest.raises(UsageError, match="takes a kernel of 2 levels"):
        imgconv.correlate(PICTURE, np.ones((3, 3, 3)), scale="sum")
    with pytest.raises(UsageError, match="border keep"):
        Recipe((imgconv.kernel(np.ones((3, 3, 3, 1))),), Options(border="keep"))
