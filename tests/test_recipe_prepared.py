"""Small calls, which look up what was settled before: the same bytes as the long way, and the same refusals."""

import threading
import tracemalloc

import numpy as np
import pytest
from cases import PILLOW
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

import imgconv
from imgconv import pillow
from imgconv.errors import PictureError, UsageError
from imgconv.recipe import prepared
from imgconv.recipe.recipe import recipe_from

DTYPES = ("uint8", "uint16", "int32", "float32", "float64", "int16", "bool", ">f4")
BORDERS = ("edge", "reflect", "symmetric", "wrap", "wrap-x", "constant:7", "keep", "renormalize")


@pytest.fixture(autouse=True)
def _nothing_kept():
    prepared._kept.clear()
    pillow._kept.clear()


def long_way(array, kernel, options=(), function="correlate"):
    """The result without looking anything up."""
    return recipe_from("apply", kernel, dict(options) | {"mode": function}).apply(np.asarray(array))[0]


def random_array(rng, shape, dtype):
    kind = np.dtype(dtype)
    if kind.kind == "f":
        return rng.normal(size=shape).astype(kind)
    return rng.integers(0, 2 if kind.kind == "b" else 120, shape).astype(kind)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_small_calls_give_the_bytes_of_the_long_way(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    shape = data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))
    if channels := data.draw(st.integers(0, 4)):
        shape += (channels,)
    array = random_array(rng, shape, data.draw(st.sampled_from(DTYPES)))
    taps = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    weights = rng.integers(-3, 9, taps) if data.draw(st.booleans()) else rng.normal(size=taps)
    weights[0, 0] += 40  # so that they do not sum to 0
    kernels = [weights, imgconv.Kernel(weights, 3, 1), "edge_enhance", "gaussian:1", "3 1; 2 -9"]
    kernel = data.draw(st.sampled_from(kernels))
    border = data.draw(st.sampled_from(BORDERS))
    paddings = ("same", "valid") if border == "keep" else ("same", "valid", "full", "tf-same")
    options = {
        "border": border,
        "padding": data.draw(st.sampled_from(paddings)),
        "threads": data.draw(st.integers(1, 2)),
    }
    function = data.draw(st.sampled_from(["correlate", "convolve"]))
    try:
        expected = long_way(array, kernel, options.items(), function)
    except PictureError:  # padding valid leaves nothing
        return
    for out in (None, None, np.full(expected.shape, 99, expected.dtype)):
        got = getattr(imgconv, function)(array, kernel, out=out, **options)
        assert out is None or got is out
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


def test_the_second_call_looks_everything_up():
    array = np.arange(75, dtype=np.float64).reshape(5, 5, 3)
    for kernel in ("blur", imgconv.kernel("sharpen"), np.ones((3, 3))):
        imgconv.correlate(array, kernel, border="wrap")
        key = prepared.key_of("correlate", kernel, {"border": "wrap"})
        assert prepared.find(key, array).shape == (5, 5, 3)
    assert prepared.find(key, array[:, ::2]) is None


def test_what_looks_alike_is_told_apart():
    array = np.arange(25, dtype=np.float64).reshape(5, 5)
    imgconv.correlate(array, "blur", stride=1, linear=False)
    with pytest.raises(UsageError, match="stride must be one or two whole numbers"):
        imgconv.correlate(array, "blur", stride=1.0, linear=False)
    with pytest.raises(UsageError, match="boarder"):
        imgconv.correlate(array, "blur", boarder="wrap")
    one, other = imgconv.Kernel([[0, 1, 2]]), imgconv.Kernel([[0, 2, 1]])
    for kernel in (one, other, one, other, [[0, 1, 2]], [[0, 2, 1]]):
        np.testing.assert_array_equal(imgconv.correlate(array, kernel), long_way(array, kernel))
    for dtype in ("f4", "f8", ">f8", "u1"):
        assert imgconv.correlate(array.astype(dtype), one).dtype == np.dtype(dtype).newbyteorder("=")


def test_a_kernel_in_a_file_is_read_again(tmp_path):
    path = tmp_path / "k.txt"
    array, image = np.full((4, 4), 5.0), Image.new("L", (64, 64), 5)
    for factor in (1, 2, 3):
        path.write_text(f"{factor}\n")
        assert imgconv.correlate(array, str(path))[0, 0] == 5 * factor
        assert imgconv.apply(image, str(path)).getpixel((0, 0)) == 5 * factor
        assert image.filter(imgconv.PillowFilter(str(path))).getpixel((0, 0)) == 5 * factor


@pytest.mark.parametrize("size", [(9, 12), (900, 1200)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16"])
@pytest.mark.parametrize("border", ["edge", "wrap", "renormalize"])
def test_a_result_goes_where_it_is_asked_for(size, dtype, border):
    array = random_array(np.random.default_rng(1), size, dtype)
    expected = long_way(array, "smooth", {"border": border}.items())
    out = np.zeros_like(expected)
    for _ in range(2):
        assert imgconv.correlate(array, "smooth", border=border, out=out) is out
        np.testing.assert_array_equal(out, expected)
    assert imgconv.correlate(array, "smooth", border=border, out=array) is array  # in place
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("size", [(100, 100), (1500, 2000)])
def test_with_out_nothing_is_allocated(size):
    array = np.ones((*size, 3), np.float32)
    out = np.empty_like(array)
    imgconv.correlate(array, "blur", out=out)
    tracemalloc.start()
    try:
        imgconv.correlate(array, "blur", out=out)
        assert tracemalloc.get_traced_memory()[1] < min(array.nbytes / 2, 2**21)
    finally:
        tracemalloc.stop()


def test_an_array_that_does_not_take_the_result_is_refused():
    array = np.zeros((6, 8), np.uint8)
    locked = np.zeros((6, 8), np.uint8)
    locked.flags.writeable = False
    for _ in range(2):
        for out, why in (
            (np.zeros((6, 8)), "out must be an array of uint8 of shape"),
            (np.zeros((8, 6), np.uint8), "out must be an array of uint8 of shape"),
            (np.zeros((6, 8, 1), np.uint8), "out must be an array of uint8 of shape"),
            (np.zeros((8, 6), np.uint8).T, "C-contiguous"),
            (locked, "can be written"),
            ([[0] * 8] * 6, "a NumPy array"),
        ):
            with pytest.raises(UsageError, match=why):
                imgconv.correlate(array, "blur", out=out)
        imgconv.correlate(array, "blur")


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int16"])
@pytest.mark.parametrize(
    "options", [{}, {"border": "wrap", "threads": 1}, {"stride": 2}, {"channels": "sum", "border": "edge"}]
)
def test_a_batch_is_its_pictures(dtype, options):
    batch = random_array(np.random.default_rng(2), (7, 9, 11, 3), dtype)
    expected = np.stack([long_way(array, "blur", options.items()) for array in batch])
    got = imgconv.correlate(batch, "blur", **options)
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(got, expected)
    out = np.zeros_like(expected)
    assert imgconv.correlate(batch, "blur", out=out, **options) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(
        imgconv.correlate(batch[:, :, ::-1], "blur", **options)[3], long_way(batch[3, :, ::-1], "blur", options.items())
    )
    if out.shape == batch.shape:
        assert imgconv.correlate(batch, "blur", out=batch, **options) is batch
        np.testing.assert_array_equal(batch, expected)


def test_a_list_of_arrays_gives_a_list():
    rng = np.random.default_rng(3)
    arrays = [random_array(rng, shape, "float32") for shape in ((5, 5), (400, 700, 3), (5, 5), (1, 9), (30, 20, 4))]
    for given_arrays in (arrays, tuple(arrays), [array[::-1] for array in arrays]):
        for options in ({}, {"stride": 2}):
            got = imgconv.convolve(given_arrays, "sharpen", **options)
            assert isinstance(got, list)
            for result, array in zip(got, given_arrays, strict=True):
                np.testing.assert_array_equal(result, long_way(array, "sharpen", options.items(), "convolve"))
    rows = [np.arange(4.0), np.arange(4.0)]  # arrays of one dimension are the rows of one
    np.testing.assert_array_equal(imgconv.correlate(rows, "blur"), long_way(np.array(rows), "blur"))


def test_batches_that_make_no_sense_are_refused():
    with pytest.raises(PictureError, match="a batch of no pictures"):
        imgconv.correlate(np.zeros((0, 4, 4, 3)), "blur")
    with pytest.raises(PictureError, match="no pixels"):
        imgconv.correlate([np.zeros((4, 4)), np.zeros((0, 4))], "blur")
    with pytest.raises(PictureError, match="5 dimensions"):
        imgconv.correlate(np.zeros((2, 2, 4, 4, 3)), "blur")
    with pytest.raises(UsageError, match="out must be an array of float64 of shape"):
        imgconv.correlate(np.zeros((2, 4, 4, 3)), "blur", out=np.zeros((4, 4, 3)))
    with pytest.raises(UsageError, match="a list of arrays gives a list"):
        imgconv.correlate([np.zeros((4, 4))], "blur", out=np.zeros((4, 4)))


MODES = ("L", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "1", "P", "I;16", "F", "LAB", "RGBX", "RGBa")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(1, 1), (5, 4), (64, 64), (70, 31), (200, 130)])
def test_small_images_give_the_bytes_of_the_long_way(mode, size):
    noise = np.random.default_rng(4).bytes(4 * size[0] * size[1])
    if mode in ("LA", "RGBA", "RGBa"):
        image = Image.frombytes("RGBA", size, noise).convert(mode)
    elif mode == "I;16":
        image = Image.frombytes(mode, size, noise[: len(noise) // 2])
    else:
        image = Image.frombytes("RGBX", size, noise).convert("RGB").convert(mode)
    image.info["dpi"] = (72, 72)
    for kernel, options in (
        ("blur", {}), ("edge_enhance", {}), ("1 2 1; 2 4 2; 1 2 1", {"scale": 16}), ("sharpen", {"like": "pillow"}),
        ("0 1 0; 1 -4 1; 0 1 0", {"border": "wrap"}), ("blur", {"padding": "valid"}), (["blur", "sharpen"], {}),
        ("smooth", {"alpha": "straight", "threads": 1}),
    ):  # fmt: skip
        try:
            first = imgconv.apply(image, kernel, **options)
        except imgconv.PictureError:
            continue
        for _ in range(2):
            again = imgconv.apply(image, kernel, **options)
            by_pillow = image.filter(imgconv.PillowFilter(kernel, **options))
            for result in (again, by_pillow):
                assert (result.mode, result.size) == (first.mode, first.size)
                assert result.tobytes() == first.tobytes(), (kernel, options)
            assert again.info == first.info


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("size", [(3, 3), (20, 30), (64, 64), (150, 90)])
def test_pillows_own_filters_by_every_way(mode, size):
    rng = np.random.default_rng(5)
    image = Image.frombytes(mode, size, rng.bytes(size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands())))
    for name in PILLOW:
        expected = image.filter(getattr(ImageFilter, name.upper())).tobytes()
        quick = imgconv.PillowFilter(name)
        for _ in range(3):
            assert image.filter(quick).tobytes() == imgconv.apply(image, name).tobytes() == expected, name
    for spec, theirs in (
        ("gaussian:2", ImageFilter.GaussianBlur(2)), ("box:radius=1.5", ImageFilter.BoxBlur(1.5)),
        ("unsharp:radius=2,percent=150,threshold=3", ImageFilter.UnsharpMask(2, 150, 3)),
    ):  # fmt: skip
        quick = imgconv.PillowFilter(spec)
        for _ in range(3):
            got = image.filter(quick), imgconv.apply(image, spec, like="pillow")
            assert [result.tobytes() for result in got] == 2 * [image.filter(theirs).tobytes()], spec


def test_a_transparent_colour_still_becomes_alpha():
    image = Image.new("RGB", (80, 80), "red")
    assert imgconv.apply(image, "blur").mode == "RGB"
    assert imgconv.apply(image, "blur").mode == "RGB"
    image.info["transparency"] = (255, 0, 0)
    assert imgconv.apply(image, "blur").mode == "RGBA"


def test_sixteen_threads_at_once_give_what_one_gives():
    rng = np.random.default_rng(6)
    arrays = [random_array(rng, shape, dtype) for shape in ((5, 5), (64, 64, 3)) for dtype in ("uint8", "float64")]
    images = [Image.fromarray(array) for array in arrays if array.dtype == np.uint8]
    expected = [imgconv.correlate(array, "blur") for array in arrays]
    expected_images = [imgconv.apply(image, "sharpen").tobytes() for image in images]
    wrong = []

    def work():
        for _ in range(300):
            got = [imgconv.correlate(array, "blur") for array in arrays]
            if any((one != other).any() for one, other in zip(got, expected, strict=True)):
                wrong.append("array")
            if [imgconv.apply(image, "sharpen").tobytes() for image in images] != expected_images:
                wrong.append("image")

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_is_kept_does_not_grow():
    for size in range(1, 3 * prepared.MOST_KEPT):
        imgconv.correlate(np.zeros((2, size)), "blur")
        imgconv.apply(Image.new("L", (size, 2)), "blur")
    assert len(prepared._kept) <= prepared.MOST_KEPT
    assert len(pillow._kept) <= prepared.MOST_KEPT
