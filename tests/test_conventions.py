"""--like TOOL against the tool itself: every element, odd and even kernels, pictures larger and smaller than them."""

import functools
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from makers import imgconv as run_command
from PIL import Image, ImageFilter

import imgconv
from imgconv.conventions import LIKES
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.settings import settle

SIZES = [(9, 11), (3, 4), (1, 1), (2, 7)]
SHAPES = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (3, 2), (2, 3), (4, 3), (4, 4), (1, 6), (5, 5), (6, 5)]
MODES = ["correlate", "convolve"]


def cases(seed, dtype):
    """(picture, asymmetric weights in eighths, which every sum type holds exactly and which make many ties)."""
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    for size in SIZES:
        for shape in SHAPES:
            if kind.kind == "f":
                array = rng.standard_normal(size).astype(dtype)
            else:
                array = rng.integers(max(-2000, np.iinfo(dtype).min), min(60000, np.iinfo(dtype).max), size).astype(
                    dtype
                )
            weights = rng.integers(-3, 6, shape) / 8
            weights.flat[0] = 1 / 8  # none is symmetric by chance
            yield array, weights


def slide(mode, array, kernel, **options):
    return getattr(imgconv, mode)(array, kernel, **options)


def assert_same(ours, theirs, what):
    __tracebackhide__ = True
    assert ours.shape == theirs.shape, what
    assert ours.dtype == theirs.dtype, what
    if ours.dtype.kind == "f":
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 if ours.dtype == np.float32 else 1e-12, err_msg=what)
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=what)


def test_every_tool_is_tested_here_or_in_test_keras():
    """By a test of its name, which runs the tool itself."""
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    for like in LIKES:
        here = any(name == like or name.startswith(f"{like}_") or f"{like}s_" in name for name in tests)
        assert here or Path(__file__).with_name(f"test_{like}.py").exists(), like


def test_pillow():
    rng = np.random.default_rng(0)
    for mode, channels in [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)]:
        for rows, columns in [*SIZES, (40, 50)]:
            image = Image.frombytes(mode, (columns, rows), rng.bytes(rows * columns * channels))
            for size in (3, 5):
                weights = rng.integers(-3, 6, (size, size)).astype(float)
                kernel = imgconv.Kernel(weights, scale=float(rng.integers(1, 20)), offset=float(rng.integers(-9, 9)))
                theirs = image.filter(
                    ImageFilter.Kernel((size, size), weights.ravel().tolist(), kernel.scale, kernel.offset)
                )
                assert imgconv.apply(image, kernel, like="pillow").tobytes() == theirs.tobytes()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float64"])
def test_scipy(dtype, mode):
    signal = pytest.importorskip("scipy.signal")
    theirs = {"correlate": signal.correlate2d, "convolve": signal.convolve2d}[mode]
    for array, weights in cases(1, dtype):
        for padding in ("same", "full"):
            ours = slide(mode, array, weights, like="scipy", padding=padding)
            assert_same(ours, theirs(array, weights, mode=padding), f"{array.shape} {weights.shape} {padding}")
        if all(a >= k for a, k in zip(array.shape, weights.shape, strict=True)):
            ours = slide(mode, array, weights, like="scipy", padding="valid")
            assert_same(ours, theirs(array, weights, mode="valid"), f"{array.shape} {weights.shape} valid")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("boundary", "border"), [("symm", "symmetric"), ("wrap", "wrap")])
def test_scipys_other_boundaries(boundary, border, mode):
    signal = pytest.importorskip("scipy.signal")
    theirs = {"correlate": signal.correlate2d, "convolve": signal.convolve2d}[mode]
    for array, weights in cases(2, "uint8"):
        ours = slide(mode, array, weights, like="scipy", border=border)
        assert_same(ours, theirs(array, weights, mode="same", boundary=boundary), f"{array.shape} {weights.shape}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int8", "int16", "int32", "float32", "float64"])
def test_ndimage(dtype, mode):
    # SciPy 1.17 casts double to the type of the array: cut toward zero; what lies outside is left to C, and taken
    # modulo the range on x86. Elsewhere only sums inside the range are certain.
    ndimage = pytest.importorskip("scipy.ndimage")
    for array, weights in cases(3, dtype):
        if platform.machine().lower() not in ("x86_64", "amd64"):
            weights = np.abs(weights) / np.abs(weights).sum()
        what = f"{array.shape} {weights.shape}"
        assert_same(slide(mode, array, weights, like="ndimage"), getattr(ndimage, mode)(array, weights), what)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("nearest", "edge"), ("mirror", "reflect"), ("wrap", "wrap"), ("constant", "constant:7")],
)
def test_ndimages_other_borders(theirs, ours):
    ndimage = pytest.importorskip("scipy.ndimage")
    for array, weights in cases(4, "float64"):
        expected = ndimage.correlate(array, weights, mode=theirs, cval=7)
        assert_same(imgconv.correlate(array, weights, like="ndimage", border=ours), expected, f"{weights.shape}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_opencv(dtype, mode):
    # For kernels of 11×11 and more OpenCV goes through a Fourier transform, whose ties fall either way.
    cv2 = pytest.importorskip("cv2")
    for array, weights in cases(5, dtype):
        rows, columns = weights.shape
        if mode == "correlate":
            theirs = cv2.filter2D(array, -1, weights)
        else:  # its documentation: flip the kernel, and set the anchor to (columns - x - 1, rows - y - 1)
            x, y = columns - columns // 2 - 1, rows - rows // 2 - 1
            theirs = cv2.filter2D(array, -1, cv2.flip(weights, -1), anchor=(x, y))
        assert_same(slide(mode, array, weights, like="opencv"), theirs.reshape(array.shape), f"{weights.shape}")


@pytest.mark.parametrize("channels", [3, 4])
def test_opencv_with_scale_offset_anchor_and_channels(channels):
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(6)
    array = rng.integers(0, 256, (13, 17, channels), np.uint8)
    weights = rng.integers(-3, 6, (4, 3)).astype(float)
    kernel = imgconv.Kernel(weights, scale=4, offset=10.5, anchor=(3, 0))
    theirs = cv2.filter2D(array, -1, weights / 4, anchor=(0, 3), delta=10.5)
    np.testing.assert_array_equal(imgconv.correlate(array, kernel, like="opencv"), theirs)
    # colours and alpha alike, for pictures too
    mode = "RGB" if channels == 3 else "RGBA"
    np.testing.assert_array_equal(Recipe((kernel,), Options(like="opencv")).apply(array, mode)[0], theirs)


@functools.cache
def imagemagick():
    """The program, if one of these really is ImageMagick."""
    for name in ("magick", "convert-im6.q16", "convert"):
        path = shutil.which(name)
        if path:
            told = subprocess.run([path, "-version"], capture_output=True, check=False).stdout
            if b"ImageMagick" in told and b"Q16" in told:
                return path
    return None


def magick(array, *arguments):
    """An array of 16 bits through ImageMagick, which computes in 16 bits: nothing is lost on the way."""
    program = imagemagick()
    if program is None:
        pytest.skip("ImageMagick (Q16) is not installed")
    form = {1: "gray:-", 3: "rgb:-", 4: "rgba:-"}[array.shape[2] if array.ndim == 3 else 1]
    samples = ["-depth", "16", "-endian", "LSB"]
    size = f"{array.shape[1]}x{array.shape[0]}"
    done = subprocess.run(
        [program, "-size", size, *samples, form, *arguments, *samples, form],
        input=array.astype("<u2").tobytes(), capture_output=True, check=True,
    )  # fmt: skip
    return np.frombuffer(done.stdout, "<u2").reshape(array.shape).astype(np.uint16)


def spelt(weights):
    """ImageMagick's string for a kernel."""
    numbers = ",".join(repr(float(weight)) for weight in weights.ravel())
    return f"{weights.shape[1]}x{weights.shape[0]}:{numbers}"


@pytest.mark.parametrize("shape", [(1, 1), (2, 2), (3, 3), (4, 4), (9, 9)])
def test_imagemagicks_convolve_correlates_and_divides_by_the_sum(shape):
    rng = np.random.default_rng(7)
    array = rng.integers(0, 65536, (7, 8)).astype(np.uint16)
    weights = rng.integers(-1, 5, shape).astype(float)
    weights.flat[0] += 16 - weights.sum()  # a power of two: its reciprocal, by which ImageMagick multiplies, is exact
    theirs = magick(array, "-convolve", ",".join(map(str, weights.ravel())))
    assert_same(imgconv.correlate(array, weights, like="imagemagick"), theirs, f"{shape}")
    kernel = imgconv.Kernel(weights, scale=3)  # it knows of no other scale
    assert_same(imgconv.correlate(array, kernel, like="imagemagick"), theirs, f"{shape}")


def test_imagemagicks_convolve_leaves_weights_alone_that_sum_to_0():
    array = np.random.default_rng(8).integers(0, 65536, (9, 8)).astype(np.uint16)
    theirs = magick(array, "-convolve", "-1,0,1,-2,0,2,-1,0,1")
    assert_same(imgconv.correlate(array, "sobel_x", like="imagemagick"), theirs, "sobel_x")


@pytest.mark.parametrize("size", [(7, 9), (2, 3)])
@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (4, 4), (4, 3), (3, 2), (1, 6), (6, 1), (5, 5)])
def test_imagemagicks_morphology(shape, size):
    rng = np.random.default_rng(9)
    array = rng.integers(0, 30000, size).astype(np.uint16)
    weights = rng.integers(-2, 4, shape) / 8
    weights.flat[0] = 1
    theirs = magick(array, "-morphology", "Convolve", spelt(weights))
    assert_same(imgconv.convolve(array, weights, like="imagemagick"), theirs, f"{shape}")
    theirs = magick(array, "-morphology", "Correlate", spelt(weights))
    assert_same(imgconv.correlate(array, weights, like="imagemagick", scale="none"), theirs, f"{shape}")


@pytest.mark.parametrize("size", [(7, 9), (2, 3), (5, 6, 3)])
@pytest.mark.parametrize("shape", [(3, 3), (4, 3), (1, 6), (6, 1), (5, 9)])
def test_imagemagicks_horizontal_tile_edge_is_border_wrap_x(shape, size):
    rng = np.random.default_rng(9)
    array = rng.integers(0, 30000, size).astype(np.uint16)
    weights = rng.integers(-2, 4, shape) / 8
    weights.flat[0] = 1
    theirs = magick(array, "-virtual-pixel", "HorizontalTileEdge", "-morphology", "Convolve", spelt(weights))
    assert_same(imgconv.convolve(array, weights, like="imagemagick", border="wrap-x"), theirs, f"{shape}")


@pytest.mark.parametrize("mode", MODES)
def test_wrap_x_is_numpys_wrap_beside_and_edge_above_and_below(mode):
    from scipy import signal

    for array, weights in cases(5, "float64"):
        rows, columns = weights.shape
        for padding in ("same", "full"):
            (up, left), (down, right) = ((rows - 1, columns - 1),) * 2
            if padding == "same":  # the anchor of a convolution is the mirrored one
                up, left = ((k - 1) // 2 if mode == "correlate" else k // 2 for k in weights.shape)
                down, right = rows - 1 - up, columns - 1 - left
            around = np.pad(np.pad(array, ((0, 0), (left, right)), "wrap"), ((up, down), (0, 0)), "edge")
            theirs = (signal.correlate2d if mode == "correlate" else signal.convolve2d)(around, weights, "valid")
            ours = slide(mode, array, weights, border="wrap-x", padding=padding)
            assert_same(ours, theirs, f"{array.shape} {weights.shape} {padding}")


def test_imagemagick_rounds_8_bits_half_up():
    # through PGM; the PNG writer of 6.9.11-60 cuts instead
    array = np.random.default_rng(10).integers(0, 256, (30, 40), np.uint8)
    program = imagemagick()
    if program is None:
        pytest.skip("ImageMagick (Q16) is not installed")
    data = b"P5 40 30 255\n" + array.tobytes()
    for weights in ("1,2,3,2", "1,1,1,1,1,1,1,1,1"):
        done = subprocess.run(
            [program, "-", "-convolve", weights, "pgm:-"], input=data, capture_output=True, check=True
        )
        theirs = np.frombuffer(done.stdout[-1200:], np.uint8).reshape(30, 40)
        side = int(len(weights.split(",")) ** 0.5)
        kernel = np.array(weights.split(","), float).reshape(side, side)
        assert_same(imgconv.correlate(array, kernel, like="imagemagick"), theirs, weights)


@pytest.mark.parametrize(
    "weights", [np.ones((3, 3)), np.array([[1.0, 2], [4, 1]]), np.array([[0.0, -1, 0], [-1, 8, -1], [0, -1, 0]])]
)
def test_imagemagick_weighs_colours_by_alpha(weights):
    array = np.random.default_rng(11).integers(0, 65536, (9, 8, 4)).astype(np.uint16)
    array[:4, :4, 3] = 0
    array[5:, 3:, 3] = 65535
    theirs = magick(array, "-convolve", ",".join(map(str, weights.ravel()))).astype(int)
    ours, mode, _ = Recipe((imgconv.kernel(weights),), Options(like="imagemagick")).apply(array, "RGBA;16")
    assert mode == "RGBA;16"
    assert np.abs(ours - theirs).max() <= 1  # it rounds a reciprocal, and carries transparency instead of alpha
    assert np.count_nonzero(ours != theirs) <= 0.02 * ours.size


@pytest.mark.parametrize(
    "weights",
    [np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 8, np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 32,
     np.array([[1.0, 2, 3], [2, -4, 2], [1, -8, 1]]) / 32, np.array([[2.0]])],
)  # fmt: skip
def test_imagemagicks_colours_are_a_mean_whatever_the_weights_sum_to(weights):
    array = np.random.default_rng(11).integers(1, 65536, (9, 8, 4)).astype(np.uint16)
    array[:4, :4, 3] = 0
    array[5:, 3:, 3] = 65535
    theirs = magick(array, "-morphology", "Correlate", spelt(weights)).astype(int)
    options = Options(like="imagemagick", scale="none")
    ours, _, _ = Recipe((imgconv.kernel(weights),), options).apply(array, "RGBA;16")
    assert np.abs(ours - theirs).max() <= 1
    assert np.count_nonzero(ours != theirs) <= 0.05 * ours.size


def test_imagemagicks_edges_of_opaque_colours():
    array = np.random.default_rng(11).integers(1, 65536, (9, 8, 4)).astype(np.uint16)
    theirs = magick(array, "-convolve", "-1,0,1,-2,0,2,-1,0,1").astype(int)
    ours, _, _ = Recipe((imgconv.kernel("sobel_x"),), Options(like="imagemagick")).apply(array, "RGBA;16")
    assert np.abs(ours - theirs).max() <= 1


def test_an_option_wins_over_like_and_like_over_the_kernel():
    kernel = imgconv.Kernel(np.ones((2, 2)), scale=3, offset=5, border="wrap")
    assert settle(kernel, Options(), picture=False).border == "wrap"
    s = settle(kernel, Options(like="opencv"), picture=False)
    assert (s.border, s.anchor, s.rounding, s.scale, s.offset) == ("reflect", "high", "half-even", 3, 5)
    s = settle(kernel, Options(like="opencv", border="edge", anchor="low", scale=7.0, offset=1.0), picture=False)
    assert (s.border, s.anchor, s.rounding, s.scale, s.offset) == ("edge", "low", "half-even", 7, 1)
    assert settle(imgconv.Kernel(np.ones((2, 2)), anchor=(0, 1)), Options(like="opencv"), picture=False).anchor == (
        0,
        1,
    )


def test_the_convention_in_which_weights_were_written_says_nothing_about_rounding():
    s = settle(imgconv.Kernel(np.ones((2, 2)), like="ndimage"), Options(), picture=False)
    assert (s.border, s.anchor, s.rounding, s.sums) == ("symmetric", "high", "half-up", "float32")
    s = settle(imgconv.Kernel(np.ones((2, 2)), scale=4, like="imagemagick"), Options(), picture=False)
    assert s.scale == 4


@pytest.mark.parametrize("like", ["scipy", "keras"])
def test_floating_results_are_clipped_to_samples_in_pictures_only(like):
    array = np.random.default_rng(12).integers(0, 256, (9, 8), np.uint8)
    floating = imgconv.correlate(array, "sobel_x", like=like)
    assert floating.dtype == (np.float64 if like == "scipy" else np.float32)
    assert floating.min() < 0
    image = imgconv.apply(Image.fromarray(array), "sobel_x", like=like)
    assert image.mode == "L"
    np.testing.assert_array_equal(np.asarray(image), np.clip(floating, 0, 255))
    kept = imgconv.apply(Image.fromarray(array), "sobel_x", like=like, after="float")
    assert kept.mode == "F"


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "uint32"])
def test_sums_beyond_all_integers_wrap_as_scipys_without_a_warning(dtype):
    ndimage = pytest.importorskip("scipy.ndimage")
    array, weights = np.array([[99, 3]], dtype), np.array([[1e30]])
    with np.errstate(all="ignore"):
        theirs = ndimage.correlate(array, weights)
    np.testing.assert_array_equal(imgconv.correlate(array, weights, like="ndimage"), theirs)


def test_nothing_is_left_open_when_settings_are_settled():
    s = settle(imgconv.kernel("blur"), Options(like="scipy"), picture=True)
    assert (s.border, s.outside, s.after, s.anchor, s.alpha) == ("constant", 0.0, "clip", "low", "straight")


WHOLE = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
X86 = platform.machine().lower() in ("x86_64", "amd64")  # elsewhere C casts what lies outside in another way


@pytest.mark.skipif(not X86, reason="C leaves it open what becomes of sums outside the range")
@pytest.mark.parametrize("dtype", WHOLE)
def test_ndimage_casts_sums_as_c_does(dtype):
    ndimage = pytest.importorskip("scipy.ndimage")
    edges = [0.5, 1, *(2.0**n + d for n in (7, 8, 15, 16, 31, 32) for d in (-1.5, -1, 0, 1, 5.5)), 1e10, 2.0**52 + 1]
    edges += [2.0**63 - 1024, 2.0**63, 2.0**63 + 4096, 2.0**64 - 2048, 2.0**64, 1e19, 1e20, 1e30]
    one = np.ones((1, 1), dtype)
    for sum in [*edges, *(-edge for edge in edges)]:
        theirs = ndimage.correlate(one, [[sum]])
        assert_same(imgconv.correlate(one, [[sum]], like="ndimage"), theirs, f"{sum!r}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [*WHOLE, "float32", "float64"])
@pytest.mark.parametrize("size", [(40, 50), (7, 3, 3), (2, 5)])
def test_ndimage_adds_in_its_own_order(dtype, mode, size):
    # what is cut shows the last bit of a sum: thirds and ninths of whole numbers lie on the edge
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(13)
    array = rng.integers(0, 2 if dtype == "bool" else 100, size).astype(dtype)
    for weights in (np.full((3, 3), 1 / 9), rng.integers(0, 9, (4, 3)) / 21, rng.random((5, 2)) / 5, [[1e-17, 0.3]]):
        for theirs, ours in (("reflect", None), ("constant", "constant:7")):
            taps = np.reshape(weights, (*np.shape(weights), *[1] * (len(size) - 2)))
            expected = getattr(ndimage, mode)(array, taps, mode=theirs, cval=7)
            got = slide(mode, array, weights, like="ndimage", **({"border": ours} if ours else {}))
            np.testing.assert_array_equal(got, expected, err_msg=f"{np.shape(weights)} {theirs}")


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_ndimage_byte_for_byte(data):
    ndimage = pytest.importorskip("scipy.ndimage")
    dtype = data.draw(st.sampled_from(WHOLE))
    if not X86:
        dtype = data.draw(st.sampled_from(["int32", "int64"]))
    most = 1 if dtype == "bool" else min(np.iinfo(dtype).max, 2**53)
    array = data.draw(arrays(dtype, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.integers(0, most)))
    sizes = st.tuples(st.integers(1, 4), st.integers(1, 4))
    weights = data.draw(arrays("float64", sizes, elements=st.floats(-3, 3) | st.sampled_from([1 / 9, 0.1, 1e-16])))
    mode = data.draw(st.sampled_from(MODES))
    theirs = getattr(ndimage, mode)(array, weights)
    assert_same(slide(mode, array, weights, like="ndimage"), theirs, f"{dtype} {mode}")


def test_a_box_of_ndimage_is_not_a_level_below():
    ndimage = pytest.importorskip("scipy.ndimage")
    array = np.random.default_rng(14).integers(0, 256, (200, 300), np.uint8)
    theirs = ndimage.correlate(array, np.full((3, 3), 1 / 9))
    assert_same(imgconv.correlate(array, "box:size=3", like="ndimage"), theirs, "box")


@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_ndimages_order_holds_for_wide_kernels_and_in_strips(tmp_path, mode):
    # a faster method takes them, but rows in which a sum comes near a whole number are added in order
    ndimage = pytest.importorskip("scipy.ndimage")
    kernel = imgconv.kernel("gaussian:sigma=3")
    array = np.random.default_rng(15).integers(0, 256, (500, 700, len(mode)), np.uint8).squeeze()
    array[200:260, 100:300] = 255
    Image.fromarray(array).save(tmp_path / "in.png")
    taps = (kernel.weights / kernel.scale).reshape(*kernel.shape, *[1] * (array.ndim - 2))
    theirs = ndimage.correlate(array, taps)
    assert_same(imgconv.correlate(array, kernel, like="ndimage"), theirs, "array")
    words = ["apply", "in.png", "-k", "gaussian:sigma=3", "--like", "ndimage", "-o", "out.png"]
    assert run_command(*words, cwd=tmp_path).returncode == 0
    assert_same(np.asarray(Image.open(tmp_path / "out.png")), theirs, "strips")
