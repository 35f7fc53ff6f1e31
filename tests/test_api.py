import doctest

import numpy as np
import pytest
from cases import PILLOW
from PIL import Image, ImageFilter

import imgconv
from imgconv import api, pillow
from imgconv.kernels import spec

MODES = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3}
scipy_signal = pytest.importorskip("scipy.signal")


def image(rng, mode, columns, rows):
    channels = MODES[mode]
    array = rng.integers(0, 256, (rows, columns, channels), np.uint8)
    array[rng.random((rows, columns)) < 0.2] = rng.integers(0, 256)  # flat spots: there the ties are
    return Image.frombytes(mode, (columns, rows), array.tobytes())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PILLOW)
def test_pillows_ten_come_out_byte_for_byte(name, mode):
    rng = np.random.default_rng(0)
    for columns, rows in [(1, 1), (2, 2), (4, 3), (5, 5), (3, 9), (6, 1), (67, 45), (640, 203)]:
        before = image(rng, mode, columns, rows)
        theirs = before.filter(getattr(ImageFilter, name.upper()))
        ours = imgconv.apply(before, name)
        assert (ours.mode, ours.size) == (theirs.mode, theirs.size)
        assert ours.tobytes() == theirs.tobytes(), (columns, rows)


def test_pillows_ten_come_out_byte_for_byte_at_twelve_megapixels():
    before = image(np.random.default_rng(1), "RGB", 4000, 3000)
    for number, name in enumerate(PILLOW):
        theirs = before.filter(getattr(ImageFilter, name.upper()))
        assert imgconv.apply(before, name, threads=1 + number % 3).tobytes() == theirs.tobytes(), name


def test_any_kernel_that_pillow_can_take_gives_its_bytes():
    rng = np.random.default_rng(2)
    before = image(rng, "RGB", 80, 60)
    for size in (3, 5):
        for _ in range(20):
            weights = rng.integers(-20, 40, (size, size)).astype(float)
            scale, offset = float(rng.integers(1, 60)), float(rng.integers(-20, 60))
            theirs = before.filter(ImageFilter.Kernel((size, size), weights.ravel().tolist(), scale, offset))
            mine = imgconv.Kernel(weights, scale=scale, offset=offset, like="pillow")
            assert imgconv.apply(before, mine).tobytes() == theirs.tobytes()


def test_scipys_two_operations():
    rng = np.random.default_rng(3)
    for shape in [(3, 3), (2, 2), (4, 3), (1, 6)]:
        array, weights = rng.standard_normal((12, 15)), rng.standard_normal(shape)
        for padding in ("same", "valid", "full"):
            np.testing.assert_allclose(
                imgconv.correlate(array, weights, border="constant", padding=padding),
                scipy_signal.correlate2d(array, weights, mode=padding), atol=1e-12)  # fmt: skip
            np.testing.assert_allclose(
                imgconv.convolve(array, weights, border="constant", padding=padding),
                scipy_signal.convolve2d(array, weights, mode=padding), atol=1e-12)  # fmt: skip


def test_correlation_is_convolution_with_the_kernel_turned():
    rng = np.random.default_rng(4)
    array, weights = rng.standard_normal((9, 9, 2)), rng.standard_normal((4, 3))
    np.testing.assert_array_equal(
        imgconv.correlate(array, weights, anchor="low"), imgconv.convolve(array, weights[::-1, ::-1], anchor="high")
    )


def test_a_chain_of_images():
    before = image(np.random.default_rng(5), "RGB", 30, 20)
    chained = imgconv.apply(before, ["blur", "sharpen"])
    assert chained.tobytes() == before.filter(ImageFilter.BLUR).filter(ImageFilter.SHARPEN).tobytes()
    weights = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    assert imgconv.apply(before, weights, scale=5.0) == imgconv.apply(before, imgconv.kernel(weights), scale=5.0)


def test_palettes_and_bilevel_images_become_plain_first():
    before = image(np.random.default_rng(6), "L", 20, 20)
    assert imgconv.apply(before.convert("1"), "blur").mode == "L"
    assert imgconv.apply(before.convert("P"), "blur").mode == "RGB"


def test_the_image_keeps_what_it_knows():
    before = image(np.random.default_rng(7), "RGB", 9, 9)
    before.info["dpi"] = (300, 300)
    assert imgconv.apply(before, "blur").info["dpi"] == (300, 300)


def test_it_is_a_filter_wherever_pillow_takes_one():
    before = image(np.random.default_rng(8), "RGBA", 30, 20)
    mine = imgconv.PillowFilter("sharpen")
    assert before.filter(mine).tobytes() == before.filter(ImageFilter.SHARPEN).tobytes()
    kernel = imgconv.PillowFilter("motion:length=15,angle=30", alpha="straight", border="reflect")
    assert before.filter(kernel) == imgconv.apply(before, kernel.kernel, alpha="straight", border="reflect")
    assert Image.new("L", (9, 9), 7).filter(imgconv.PillowFilter(["blur", "sharpen"])).getpixel((4, 4)) == 7


def test_the_documented_examples_are_true():
    for module in (api, pillow, spec):
        names = {
            "correlate": imgconv.correlate,
            "convolve": imgconv.convolve,
            "kernel": imgconv.kernel,
            "PillowFilter": imgconv.PillowFilter,
        }
        assert doctest.testmod(module, extraglobs=names).failed == 0


def test_every_public_name_is_there_and_documented():
    for name in imgconv.__all__:
        if not name.startswith("__"):
            assert getattr(imgconv, name).__doc__
    assert set(dir(imgconv)) == set(imgconv.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        imgconv.nothing  # noqa: B018
