import copy
import doctest
import io
import pickle
from dataclasses import asdict

import numpy as np
import pytest
from cases import PILLOW
from makers import imgconv as imgconv_command
from PIL import Image, ImageFilter

import imgconv
from imgconv import api, pillow
from imgconv.kernels import spec

MODES = {
    "L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4, "YCbCr": 3, "HSV": 3, "LAB": 3, "RGBX": 4, "RGBa": 4, "La": 2,
}  # fmt: skip
scipy_signal = pytest.importorskip("scipy.signal")
ndimage = pytest.importorskip("scipy.ndimage")


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


@pytest.mark.parametrize("kernel", ["blur", "gaussian:sigma=1", "find_edges", "sobel_x", "identity"])
@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "RGB", "RGBX", "RGBA", "RGBa", "PA", "CMYK", "YCbCr", "LAB", "HSV", "I", "F",
             "I;16", "I;16B", "I;16L", "I;16N"],
)  # fmt: skip
def test_an_image_comes_back_in_its_mode(mode, kernel):
    before = Image.frombytes(
        mode, (16, 8), np.arange(512, dtype=np.float32).tobytes()[: 16 * 8 * Image.getmodebands(mode) * 4]
    )
    after = imgconv.apply(before, kernel)
    assert (after.mode, after.size) == (mode, (16, 8))
    if kernel == "identity" and mode == "PA":  # with a new palette
        before, after = before.convert("RGBA"), after.convert("RGBA")
    if kernel == "identity" and mode != "F":
        assert after.tobytes() == before.tobytes()


def test_the_colours_of_a_palette_become_samples():
    before = image(np.random.default_rng(6), "L", 20, 20)
    assert imgconv.apply(before.convert("P"), "blur").mode == "RGB"


def test_bilevel_images_are_rounded_to_black_and_white():
    grey = image(np.random.default_rng(6), "L", 20, 20).point([0] * 128 + [255] * 128)
    after = imgconv.apply(grey.convert("1"), "gaussian:sigma=1")
    assert np.array_equal(np.asarray(after), np.asarray(imgconv.apply(grey, "gaussian:sigma=1")) >= 128)


@pytest.mark.parametrize("order", ["I;16B", "I;16L", "I;16N"])
def test_sixteen_bits_keep_their_order(order):
    array = np.random.default_rng(6).integers(0, 65536, (9, 8)).astype(np.uint16)
    before = Image.frombytes(order, (8, 9), array.astype(">u2" if order == "I;16B" else "<u2").tobytes())
    after = imgconv.apply(before, "gaussian:sigma=1")
    assert np.array_equal(np.asarray(after), imgconv.correlate(array, "gaussian:sigma=1"))


def test_premultiplied_colours_are_filtered_as_they_are():
    before = image(np.random.default_rng(6), "RGBA", 20, 20).convert("RGBa")
    after = np.asarray(imgconv.apply(before, "gaussian:sigma=1")).astype(int)
    assert np.abs(after - imgconv.correlate(np.asarray(before), "gaussian:sigma=1")).max() <= 1
    kept = imgconv.apply(before, "sobel_x")  # no mean: alpha stays
    assert kept.getchannel("a").tobytes() == before.getchannel("a").tobytes()


def signed(before, kernel, **options):
    """LAB filtered as it is meant: lightness from 0 to 255, a and b from -128 to 127."""
    light = np.asarray(before)[:, :, 0]
    colours = np.asarray(before)[:, :, 1:].view(np.int8)
    filtered = [imgconv.correlate(light, kernel, **options), *(
        imgconv.correlate(np.ascontiguousarray(colours[:, :, c]), kernel, **options) for c in (0, 1)
    )]  # fmt: skip
    return np.stack([plane.view(np.uint8) for plane in filtered], axis=2)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [("gaussian:sigma=1", {}), ("box:radius=1", {"border": "constant:0"}), ("sobel_x", {}), ("2", {}),
     ("sobel_x", {"after": "abs"}), ("laplacian", {"border": "wrap"}), ("gaussian:sigma=2", {"stride": 2}),
     ("box:radius=1", {"padding": "full", "border": "constant:7"}), ("sharpen", {"like": "opencv"})],
)  # fmt: skip
def test_lab_has_signed_colours(kernel, options):
    before = image(np.random.default_rng(9), "LAB", 21, 20)
    after = np.asarray(imgconv.apply(before, kernel, **options))
    assert np.array_equal(after, signed(before, kernel, **options))


@pytest.mark.parametrize("kernel", ["gaussian:sigma=1", "sobel_x"])
def test_lab_has_signed_colours_in_files_too(kernel, tmp_path):
    before = image(np.random.default_rng(9), "LAB", 40, 500)
    before.save(tmp_path / "a.tif")
    assert imgconv_command("apply", tmp_path / "a.tif", "-k", kernel, "-o", tmp_path / "b.tif").returncode == 0
    with Image.open(tmp_path / "b.tif") as after:
        assert np.array_equal(np.asarray(after), signed(before, kernel))


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
            "kernel_names": imgconv.kernel_names,
            "match_convention": imgconv.match_convention,
        }
        assert doctest.testmod(module, extraglobs=names).failed == 0


def test_pictures_are_arrays_images_and_paths_alike(tmp_path):
    before = image(np.random.default_rng(10), "RGB", 40, 30)
    after = before.filter(ImageFilter.EMBOSS)
    before.save(tmp_path / "a.png")
    after.save(tmp_path / "b.png")
    weights = "-1 0 0; 0 1 0; 0 0 0"
    for first, second in [
        (before, after),
        (np.asarray(before), np.asarray(after)),
        (tmp_path / "a.png", str(tmp_path / "b.png")),
    ]:
        best = imgconv.match_convention(first, weights, second).best
        assert (best.fit, best.flip, best.border, best.offset) == ("exact", "vertical", "keep", 128)
        found = imgconv.fit_kernel(first, second, 3)
        assert (found.explains, found.kernel) == (True, imgconv.kernel("emboss"))
        for peer in ("scipy", "opencv"):
            compared = imgconv.compare_with(peer, first, ["emboss", weights], rounds=1, border="edge")
            assert compared.impossible or compared.equal
    assert imgconv.compare_with("pillow", before, "emboss", 1).equal
    assert imgconv.compare_with("pillow", np.asarray(before), "emboss", 1).impossible


def test_what_match_finds_gives_the_result_again():
    before = image(np.random.default_rng(11), "L", 30, 20)
    after = imgconv.apply(before, "sobel_x", like="opencv", mode="convolve", stride=2)
    best = imgconv.match_convention(before, "sobel_x", after).best
    assert imgconv.apply(before, best.matrix or "sobel_x", **asdict(best.options)) == after


def test_every_kernel_name_means_a_kernel():
    names = imgconv.kernel_names()
    assert {*PILLOW, "gaussian", "box"} <= set(names)
    assert all(imgconv.kernel(name).about for name in names)


def test_every_public_name_is_there_and_documented():
    for name in imgconv.__all__:
        if not name.startswith("__"):
            assert getattr(imgconv, name).__doc__
    assert set(dir(imgconv)) == set(imgconv.__all__)
    with pytest.raises(AttributeError, match="nothing"):
        imgconv.nothing  # noqa: B018


ARRAY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: imgconv.correlate(ARRAY, "blur", boarder="wrap"), "unknown option 'boarder'; did you mean border?"),
        (lambda: imgconv.apply(Image.new("L", (3, 3)), "blur", qqq=1), "apply() got an unknown option 'qqq'; it takes"),
        (lambda: imgconv.apply(ARRAY, "blur"), "takes a Pillow image, not ndarray; correlate() and"),
        (lambda: imgconv.correlate(ARRAY, "blur", mode="same"), "correlate() takes no mode; padding='same' says"),
        (lambda: imgconv.convolve(ARRAY, "blur", mode="correlate"), "convolve() takes no mode; correlate() and"),
        (lambda: imgconv.correlate(ARRAY, ["blur", "sharpen"]), "correlate() takes one kernel; call it for each"),
        (lambda: imgconv.correlate([[1, 2], [3]], "blur"), "correlate() takes an array of numbers"),
        (lambda: imgconv.correlate("photo.png", "blur"), "an array of 0 dimensions is no picture"),
        (lambda: imgconv.correlate(ARRAY, [[1j]]), "weights must be real numbers, not complex"),
        (lambda: imgconv.correlate(ARRAY, [[np.nan]]), "weights must be finite numbers"),
        (lambda: imgconv.correlate(ARRAY, [[1, 10**400]]), "weights must be finite numbers"),
        (lambda: imgconv.correlate(ARRAY, [[1, 2], [3]]), "weights must be rows of numbers, all rows equally long"),
        (lambda: imgconv.correlate(ARRAY, 5j), "weights must be real numbers"),
        (lambda: imgconv.correlate(ARRAY, {"weights": 1}), "weights must be rows of numbers"),
        (lambda: imgconv.correlate(ARRAY), "there is no kernel"),
        (lambda: imgconv.correlate(ARRAY, "blur", border=0), "border 0 is not one of edge, reflect"),
        (lambda: imgconv.correlate(ARRAY, "blur", border="constant:"), "constant:"),
        (lambda: imgconv.correlate(ARRAY, "blur", padding=2), "padding 2 is not one of same, valid"),
        (lambda: imgconv.correlate(ARRAY, "blur", like=["pillow"]), "like ['pillow'] is not one of pillow"),
        (lambda: imgconv.correlate(ARRAY, "blur", anchor=np.array([1, 1])), "anchor array([1, 1]) is neither low"),
        (lambda: imgconv.correlate(ARRAY, "blur", scale=[2]), "scale must be a finite number other than 0, not [2]"),
        (lambda: imgconv.correlate(ARRAY, "blur", scale=1j), "scale must be a finite number other than 0, not 1j"),
        (lambda: imgconv.correlate(ARRAY, "blur", scale=10**400), "scale must be a finite number other than 0, not 1"),
        (lambda: imgconv.correlate(ARRAY, "blur", offset="2"), "offset must be a finite number, not '2'"),
        (lambda: imgconv.correlate(ARRAY, "blur", bias=1j), "bias must be finite numbers"),
        (lambda: imgconv.correlate(ARRAY, "blur", bias="12"), "bias must be finite numbers"),
        (lambda: imgconv.correlate(ARRAY, "blur", stride=0), "stride must be one or two whole numbers"),
        (lambda: imgconv.correlate(ARRAY, "blur", channels=1), "channels 1 is neither each nor sum nor letters"),
        (lambda: imgconv.correlate(ARRAY, "blur", threads="2"), "threads must be a whole number from 1 up, not '2'"),
        (lambda: imgconv.correlate(ARRAY, "blur", threads=0), "threads must be a whole number from 1 up, not 0"),
        (lambda: imgconv.correlate(ARRAY, "blur", threads=1.5), "threads must be a whole number from 1 up, not 1.5"),
        (lambda: imgconv.correlate(ARRAY, "blur", linear="no"), "linear must be True or False, not 'no'"),
        (lambda: imgconv.correlate(ARRAY, "blur", mask="photo.png"), "mask 'photo.png' is not a shape"),
        (lambda: imgconv.correlate(ARRAY, "blur", mask=5), "mask"),
        (lambda: imgconv.correlate(ARRAY, vary=5, mask="radial"), "vary must be a formula with a range"),
        (lambda: imgconv.Kernel([[1]], scale="2"), "scale must be a finite number other than 0, not '2'"),
        (lambda: imgconv.Kernel([[1]], offset=None), "offset must be a finite number, not None"),
        (lambda: imgconv.Kernel([[1]], anchor=1), "anchor 1 is not two whole numbers"),
        (lambda: imgconv.Kernel([[1]], border=0), "border 0 is not one of"),
        (lambda: imgconv.Kernel([[1]], like=["pillow"]), "like = ['pillow'] is not one of"),
        (lambda: imgconv.kernel(None), "weights"),
        (lambda: imgconv.match_convention([1, 2], "blur", ARRAY), "an array of 1 dimensions is no picture"),
        (lambda: imgconv.match_convention([[1, 2], [3]], "blur", ARRAY), "a picture is a path, a Pillow image or an"),
        (lambda: imgconv.match_convention(ARRAY, "blurr", ARRAY), "no kernel named 'blurr'; did you mean blur"),
        (lambda: imgconv.fit_kernel("none.png", ARRAY), "none.png: no such file"),
        (lambda: imgconv.fit_kernel(ARRAY, ARRAY, "3"), "size must be one or two whole numbers from 1 up, not '3'"),
        (lambda: imgconv.fit_kernel(ARRAY, ARRAY, (0, 3)), "size must be one or two whole numbers from 1 up, not (0"),
        (lambda: imgconv.compare_with("gimp", ARRAY, "blur"), "peer 'gimp' is not one of pillow, scipy, opencv"),
        (lambda: imgconv.compare_with("scipy", ARRAY, "blur", 0), "rounds must be a whole number from 1 up, not 0"),
        (lambda: imgconv.compare_with("scipy", ARRAY, "blur", boarder="wrap"), "compare_with() got an unknown option"),
    ],
)  # fmt: skip
def test_errors_speak_of_the_arguments(call, words):
    with pytest.raises(imgconv.ImgconvError) as caught:
        call()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "--" not in str(caught.value)


def test_a_kernel_that_was_copied_or_unpickled_stays_read_only():
    mine = imgconv.Kernel([[1, 2], [3, 4]], scale=3, anchor=(1, 0), border="wrap", name="mine")
    for copied in (pickle.loads(pickle.dumps(mine)), copy.copy(mine), copy.deepcopy(mine)):
        assert copied == mine
        with pytest.raises(ValueError, match="read-only"):
            copied.weights[0, 0] = 7


def test_numpys_own_numbers_are_numbers():
    plain = imgconv.correlate(ARRAY, "1 2 1", scale=4.0, stride=2, threads=1, bias=(1.0,), linear=False)
    options = dict(scale=np.float32(4), stride=np.int64(2), threads=np.int32(1), bias=np.ones(1), linear=np.False_)
    np.testing.assert_array_equal(imgconv.correlate(ARRAY, "1 2 1", **options), plain)


def test_truth_has_several_types():
    lit = imgconv.correlate(ARRAY, "1 2 1", linear=True)
    for yes in (1, 1.0, np.True_, np.array(1)):  # another border: what is kept by options is not found again
        found = imgconv.correlate(ARRAY, "1 2 1", linear=yes, border="wrap")
        np.testing.assert_array_equal(found[:, 1:-1], lit[:, 1:-1])
    for no in (2, "yes", np.ones(2), np.ones(1)):
        with pytest.raises(imgconv.UsageError, match="linear must be True or False"):
            imgconv.correlate(ARRAY, "1 2 1", linear=no)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float32", "float64"])
def test_samples_may_begin_between_their_own_addresses(dtype):
    def between(like, offset):
        return np.ndarray(like.shape, like.dtype, np.zeros(like.nbytes + 8, np.uint8).data, offset)

    array = np.random.default_rng(3).integers(0, 300, (90, 300, 2)).astype(dtype)
    for matrix in (np.arange(9).reshape(3, 3), np.outer([1, 2, 1], [1, 0, 3])):
        wanted = ndimage.correlate(array, matrix[:, :, None], mode="nearest")
        for offset in (1, 2, 4):
            odd = between(array, offset)
            odd[:] = array
            found = [imgconv.correlate(odd, matrix, out=between(array, offset)), *imgconv.correlate([odd, odd], matrix)]
            found += [imgconv.correlate(odd[None], matrix)[0], imgconv.correlate(odd, matrix, out=odd)]
            for each in found:
                np.testing.assert_allclose(each, wanted, rtol=1e-6)
        odd[:] = array
        for _ in range(3):  # small ones are kept ready
            np.testing.assert_allclose(imgconv.correlate(odd[:5], matrix)[:4], wanted[:4], rtol=1e-6)


@pytest.mark.parametrize("name", ["float16", "bfloat16"])
@pytest.mark.parametrize(
    "options", [{}, {"border": "wrap"}, {"stride": 2}, {"after": "float"}, {"border": "renormalize"}]
)
def test_half_precision_is_summed_in_float32_and_rounded_once(name, options):
    dtype = np.dtype(getattr(pytest.importorskip("ml_dtypes"), name, name))
    array = np.random.default_rng(7).normal(size=(12, 9, 3)).astype(dtype)
    expected = imgconv.correlate(array.astype(np.float32), "gaussian:1", **options).astype(dtype)
    for given in (array, array[:, :, 0], array):
        got = imgconv.correlate(given, "gaussian:1", **options)
        assert got.dtype == dtype
        wanted = expected if given.ndim == 3 else expected[:, :, 0]
        np.testing.assert_array_equal(got.astype(np.float32), wanted.astype(np.float32))
    out = np.empty(expected.shape, dtype)
    assert imgconv.correlate(array, "gaussian:1", out=out, **options) is out
    np.testing.assert_array_equal(out.astype(np.float32), expected.astype(np.float32))


def test_complex_numbers_are_refused_with_a_word():
    with pytest.raises(imgconv.PictureError, match="complex128 cannot be filtered; convert them to a real type"):
        imgconv.correlate(np.zeros((3, 3), complex), "blur")
    with pytest.raises(imgconv.KernelError, match="weights must be real numbers, not complex"):
        imgconv.correlate(np.zeros((3, 3)), np.ones((3, 3), complex))


def test_images_that_pillow_cannot_read_are_errors_of_ours():
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)).save(file, "PNG")
    closed, keyed = Image.new("RGB", (4, 4)), Image.new("P", (4, 4))
    closed.close()
    keyed.info["transparency"] = 300
    for broken in (lambda: Image.open(io.BytesIO(file.getvalue()[:500])), lambda: closed, lambda: keyed):
        for call in (
            lambda image: imgconv.apply(image, "blur"), lambda image: imgconv.fit_kernel(image, image),
            lambda image: imgconv.match_convention(image, "blur", image),
            lambda image: imgconv.explain_pixel(image, 0, 0, "blur"),
        ):  # fmt: skip
            with pytest.raises(imgconv.PictureError, match="the image cannot be read: "):
                call(broken())
    odd = Image.new("RGB", (5, 5))
    odd.info["icc_profile"] = "a text"
    assert imgconv.apply(odd, "blur", linear=True).tobytes() == odd.tobytes()


def test_rows_and_columns_are_whole_numbers():
    assert imgconv.explain_pixel(ARRAY, np.int64(0), np.uint8(1), "blur").row == 0
    for row, column in ((1.5, 0), ("1", 0), (0, None)):
        with pytest.raises(imgconv.UsageError, match="row and column must be whole numbers, not "):
            imgconv.explain_pixel(ARRAY, row, column, "blur")


def test_samples_without_squares_are_refused_and_kernels_without_weights_are_not():
    large = np.random.default_rng(5).normal(size=(9, 11)) * 1e307
    for call in (imgconv.fit_kernel, lambda one, other: imgconv.match_convention(one, "1 2 3", other)):
        for pair in ((large, large[::-1]), (large, large / 1e307), (large / 1e307, large)):
            with pytest.raises(imgconv.PictureError, match=r"samples beyond 1e\+140; (fit|match) adds up squares"):
                call(*pair)
    assert imgconv.match_convention(np.zeros((9, 11)), np.zeros((3, 3)), np.zeros((9, 11))).best.fit
