"""Depth, background, palettes and colour spaces, changed on the way into a file: held against plain arithmetic."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from makers import applied, noise, opened, png16, smooth
from PIL import Image, ImageCms
from rare import of_mode

from imgconv.cli import cli
from imgconv.errors import WriteError
from imgconv.formats import convert
from imgconv.formats.convert import whole
from imgconv.formats.picture import Picture
from imgconv.formats.read import read
from imgconv.formats.table import FLOAT_MODES, FORMATS, KINDS, Changes, name_for
from imgconv.formats.write import encode

pytestmark = pytest.mark.usefixtures("here", "quick_disk")
IDENTITY = ("-k", "identity", "--alpha", "straight")
BAYER = np.array([[0]])
for _ in range(3):
    BAYER = np.block([[4 * BAYER, 4 * BAYER + 2], [4 * BAYER + 3, 4 * BAYER + 1]])


def put(name, array):
    array = np.asarray(array)
    if name.endswith(".npy"):
        np.save(name, array)
    elif name.endswith(".tif"):
        tifffile.imwrite(name, array, photometric="rgb" if array.ndim == 3 else "minisblack")
    elif array.dtype == np.uint16:
        Path(name).write_bytes(png16(array))
    else:
        Image.fromarray(array).save(name)
    return name


def seen(name):
    return opened(Path(name).read_bytes())


def dithered(array, top, levels):
    rows, columns = array.shape[:2]
    threshold = (np.tile(BAYER, (rows // 8 + 1, columns // 8 + 1))[:rows, :columns] + 0.5) / 64
    threshold = threshold[..., None] if array.ndim == 3 else threshold
    return np.floor(array.astype(float) * levels / top + threshold)


@pytest.mark.parametrize("channels", [(), (2,), (3,), (4,)])
def test_16_bits_become_8_by_ordered_dithering(channels):
    array = noise(33, 21, *channels, dtype="uint16")
    applied(put("a.png", array), *IDENTITY, "--depth", "8", "-o", "b.png")
    found = np.asarray(seen("b.png"))
    assert found.dtype == np.uint8
    assert np.array_equal(found, dithered(array, 65535, 255))
    assert abs(found.astype(float).mean() - array.mean() / 257) < 0.05  # nothing is lost on the whole
    applied(put("c.png", noise(9, 8, *channels).astype(np.uint16) * 257), *IDENTITY, "--depth", "8", "-o", "d.png")
    assert np.array_equal(np.asarray(seen("d.png")), noise(9, 8, *channels))  # what was 8 bits is so again


def test_dithering_does_not_depend_on_strips_and_threads():
    put("a.tif", noise(900, 700, 3, dtype="uint16"))  # some strips
    results = []
    for threads in ("1", "2"):
        applied("a.tif", "-k", "blur", "--depth", "8", "-o", "b.png", "-t", threads)
        results.append(Path("b.png").read_bytes())
    assert results[0] == results[1]
    applied("a.tif", "-k", "blur", "-o", "c.tif")
    whole = tifffile.imread("c.tif")
    assert np.array_equal(np.asarray(seen("b.png")), dithered(whole, 65535, 255))


def test_what_becomes_deeper_is_as_fine_as_asked_for():
    array = noise(20, 30, 3)
    applied(put("a.png", array), "-k", "1 1", "--scale", "3", "--border", "wrap", "--depth", "16", "-o", "b.png")
    wide = array.astype(float)
    exact = np.clip((wide + np.roll(wide, -1, axis=1)) / 3 * 257, 0, 65535)
    assert abs(read(Path("b.png")).array - exact).max() <= 0.51
    applied("a.png", *IDENTITY, "--depth", "16", "-o", "c.png")
    assert np.array_equal(read(Path("c.png")).array, array.astype(np.uint16) * 257)
    line = json.loads(applied("a.png", "-k", "3", "--depth", "16", "-o", "c.png", "--json"))
    assert line["clipped"] == int((array > 85).sum())


@pytest.mark.parametrize(("depth", "dtype", "top"), [("float", "float32", 1), ("32", "int32", 2**31 - 1)])
def test_floating_and_whole_numbers_of_32_bits(depth, dtype, top):
    grey = noise(7, 9)
    applied(put("a.png", grey), *IDENTITY, "--depth", depth, "-o", "b.tif")
    found = tifffile.imread("b.tif")
    assert found.dtype == dtype
    assert np.allclose(found, grey / 255 * top, rtol=1e-6)
    applied("b.tif", *IDENTITY, "--depth", "8", "-o", "c.png")
    assert abs(np.asarray(seen("c.png")).astype(int) - grey).max() <= (depth == "32")


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_floating_colours_in_tiff(channels):
    array = np.random.default_rng(1).random((9, 11, channels), np.float32)
    extra = {"extrasamples": ["unassalpha"]} if channels in (2, 4) else {}
    tifffile.imwrite(
        "a.tif", array, photometric="rgb" if channels > 2 else "minisblack", planarconfig="contig", **extra
    )
    applied("a.tif", *IDENTITY, "-o", "b.tif")
    assert np.array_equal(tifffile.imread("b.tif"), array)
    applied("a.tif", "-k", "blur", "-o", "c.tif", "--co", "compression=deflate", "--alpha", "straight")
    applied("a.tif", "-k", "blur", "-o", "c.npy", "--alpha", "straight")
    assert np.array_equal(tifffile.imread("c.tif"), np.load("c.npy"))


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pfm_goes_from_the_bottom_up(channels, order):
    import cv2

    array = np.random.default_rng(2).random((5, 4, *channels)).astype(np.float32) * 9 - 4
    start = f"P{'F' if channels else 'f'}\n4 5\n{'-' if order == '<' else ''}1.0\n".encode()
    Path("a.pfm").write_bytes(start + array[::-1].astype(order + "f4").tobytes())
    applied("a.pfm", *IDENTITY, "-o", "b.pfm")
    assert np.array_equal(read(Path("b.pfm")).array, array)
    outside = cv2.imread("b.pfm", cv2.IMREAD_UNCHANGED)
    assert np.array_equal(outside[..., ::-1] if channels else outside, array)
    applied("a.pfm", "-k", "blur")
    assert Path("a.blur.pfm").exists()
    large = np.random.default_rng(3).random((1500, 1200)).astype(np.float32)  # some strips
    Path("c.pfm").write_bytes(b"Pf\n1200 1500\n-1\n" + large[::-1].tobytes())
    applied("c.pfm", "-k", "blur", "-o", "d.pfm")
    applied("c.pfm", "-k", "blur", "-o", "d.npy")
    assert np.array_equal(cv2.imread("d.pfm", cv2.IMREAD_UNCHANGED), np.load("d.npy"))
    for broken in (b"Pf\n4 5\n0\n" + bytes(80), b"Pf\n4 5\n1\n" + bytes(79), b"Pf\n0 5\n1\n"):
        Path("e.pfm").write_bytes(broken)
        assert "is broken" in applied("e.pfm", *IDENTITY, status=1)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "ppm", "pbm", "pcx", "tga", "ico", "im", "msp", "xbm"])
@pytest.mark.filterwarnings("ignore:IM image format")
def test_one_bit(ending):
    bits = noise(11, 13) > 127
    Image.fromarray(bits).save("a.png")
    applied("a.png", *IDENTITY, "--depth", "1", "-o", f"b.{ending}")
    found = seen(f"b.{ending}")
    assert found.mode == "1"
    assert np.array_equal(np.asarray(found), bits)
    applied(put("c.png", noise(11, 13, 3)), *IDENTITY, "--depth", "1", "-o", f"b.{ending}")
    grey = np.floor(noise(11, 13, 3) @ [0.299, 0.587, 0.114] + 0.5)
    assert (np.asarray(seen(f"b.{ending}")) == dithered(grey, 255, 1)).mean() > 0.98


def test_floating_greys_are_added_in_one_order():
    """On every CPU: Python's own sums, never fused, say in which."""
    colours = np.random.default_rng(5).random((23, 31, 3))
    sums = [[red * 0.299 + green * 0.587 + blue * 0.114 for red, green, blue in row] for row in colours.tolist()]
    assert convert._greys(colours, 0).tolist() == sums


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("bits", [10, 12])
def test_ten_and_twelve_bits_in_ppm(bits, channels):
    array = noise(9, 8, *channels, dtype="uint16")
    applied(put("a.png", array), *IDENTITY, "--depth", bits, "-o", "b.ppm")
    top, data = 2**bits - 1, Path("b.ppm").read_bytes()
    assert data.startswith(f"P{6 if channels else 5}\n8 9\n{top}\n".encode())
    stored = np.frombuffer(data[-array.nbytes :], ">u2").reshape(array.shape)
    assert np.array_equal(stored, np.floor(array * (top / 65535) + 0.5))
    assert np.array_equal(read(Path("b.ppm")).array, np.floor(stored * (65535 / top) + 0.5))


def test_a_format_of_bits_says_what_to_do():
    put("a.png", noise(5, 6))
    assert "give --depth 1" in applied("a.png", *IDENTITY, "-o", "b.msp", status=1)
    assert "give --depth 8" in applied(put("c.png", noise(5, 6, 3, dtype="uint16")), *IDENTITY, "-o", "b.jpg", status=1)
    assert "give --depth float" in applied("a.png", *IDENTITY, "-o", "b.spi", status=1)
    applied("a.png", *IDENTITY, "--depth", "float", "-o", "b.spi")
    assert "PNG does not hold 10 bits" in applied("a.png", *IDENTITY, "--depth", "10", "-o", "b.png", status=1)
    assert "no colour" in applied("a.png", *IDENTITY, "--background", "x", "-o", "b.png", status=2)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_laid_on_a_background(dtype, channels):
    array = noise(9, 10, channels, dtype=dtype)
    put("a.png", array)
    top = np.iinfo(dtype).max
    ending = "ppm"
    assert "give --background COLOUR" in applied("a.png", *IDENTITY, "-o", f"b.{ending}", status=1)
    applied("a.png", *IDENTITY, "--background", "#ff8000", "-o", f"b.{ending}")
    cover = array[:, :, -1:] / top
    behind = np.array([1, 128 / 255, 0]) * top
    expected = array[:, :, :-1] * cover + behind * (1 - cover)
    assert abs(read(Path(f"b.{ending}")).array - expected).max() <= 0.51
    applied("a.png", *IDENTITY, "--background", "white", "-o", "c.png")  # which holds alpha
    assert np.array_equal(read(Path("c.png")).array, array)


def test_a_palette_goes_back_to_a_palette():
    image = Image.fromarray(smooth(40, 50)).quantize(32)
    for ending in ("png", "tif", "bmp", "pcx", "tga"):
        image.save(f"a.{ending}")
        applied(f"a.{ending}", *IDENTITY, "--requantize", "-o", f"b.{ending}")
        found = seen(f"b.{ending}")
        assert found.mode == "P", ending
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(image.convert("RGB")))
        applied(f"a.{ending}", *IDENTITY, "-o", f"c.{ending}")
        assert seen(f"c.{ending}").mode == "RGB"
    said = applied("a.png", "-k", "gaussian:sigma=2", "--requantize", "-o", "b.png")
    found, exact = seen("b.png"), read(Path("b.png")).array.astype(float)
    applied("a.png", "-k", "gaussian:sigma=2", "-o", "c.png")
    assert found.mode == "P"
    assert "a palette holds 256 of its" in said
    assert np.sqrt(((exact - read(Path("c.png")).array) ** 2).mean()) < 4
    put("d.png", noise(30, 30, 3))
    applied("d.png", *IDENTITY, "--requantize", "-o", "e.png")  # had none
    assert seen("e.png").mode == "RGB"


def test_each_page_has_a_palette_of_its_own():
    pages = [Image.fromarray(noise(9, 8, 3, seed=number)).quantize(20) for number in range(3)]
    pages[0].save("a.tif", save_all=True, append_images=pages[1:])
    applied("a.tif", *IDENTITY, "--requantize", "-o", "b.tif")
    with Image.open("b.tif") as found:
        for number, page in enumerate(pages):
            found.seek(number)
            assert found.mode == "P"
            assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(page.convert("RGB")))


def test_a_transparent_palette_goes_back_to_one():
    image = Image.fromarray(smooth(20, 20)).quantize(16)
    image.save("a.png", transparency=bytes([0, 128, 255]))
    applied("a.png", *IDENTITY, "--requantize", "-o", "b.png")
    found = seen("b.png")
    assert found.mode == "P"
    before, after = (np.asarray(seen(name).convert("RGBA")) for name in ("a.png", "b.png"))
    there = before[:, :, 3] > 0
    assert np.array_equal(before[there], after[there])
    assert not after[~there, 3].any()


def test_blp_holds_a_palette_and_qoi_colours():
    applied(put("a.png", noise(8, 8)), *IDENTITY, "-o", "b.blp")
    assert np.array_equal(np.asarray(seen("b.blp").convert("L")), noise(8, 8))
    applied("a.png", *IDENTITY, "-o", "b.qoi")
    assert np.array_equal(np.asarray(seen("b.qoi"))[:, :, 1], noise(8, 8))


def test_cmyk_becomes_srgb_by_its_profile_or_with_a_word():
    image = Image.fromarray(smooth(20, 30)).convert("CMYK")
    image.save("a.tif")
    assert "its CMYK became sRGB by the plain formula, for it has no sound profile" in applied(
        "a.tif", *IDENTITY, "-o", "b.png"
    )
    assert np.array_equal(np.asarray(seen("b.png")), np.asarray(image.convert("RGB")))
    image.save("a.tif", icc_profile=b"no profile")
    assert "no sound profile" in applied("a.tif", *IDENTITY, "-o", "b.png")
    profiles = [*Path("/usr/share").glob("**/*CMYK*.icc"), *Path("/usr/share").glob("**/default_cmyk.icc")]
    if profiles:
        data = profiles[0].read_bytes()
        image.save("a.tif", icc_profile=data)
        assert "its CMYK became sRGB by its profile" in applied("a.tif", *IDENTITY, "-o", "b.png")
        own, rgb = ImageCms.ImageCmsProfile(io.BytesIO(data)), ImageCms.createProfile("sRGB")
        expected = ImageCms.profileToProfile(image, own, rgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB")
        assert np.array_equal(np.asarray(seen("b.png")), np.asarray(expected))
        assert "icc_profile" not in seen("b.png").info
    image.save("c.jpg")
    applied("c.jpg", *IDENTITY, "-o", "d.tif")  # stays as it is where it can
    assert seen("d.tif").mode == "CMYK"


def test_lab_and_ycbcr_become_srgb_where_they_cannot_stay():
    rgb = Image.fromarray(smooth(12, 16))
    spaces = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    lab = ImageCms.profileToProfile(rgb, *spaces[::-1], outputMode="LAB")
    lab.save("a.tif")
    assert "its LAB became sRGB by its definition" in applied("a.tif", *IDENTITY, "-o", "b.png")
    back = ImageCms.profileToProfile(lab, *spaces, ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB")
    assert np.array_equal(np.asarray(seen("b.png")), np.asarray(back))
    applied("a.tif", *IDENTITY, "-o", "c.tif")
    assert seen("c.tif").mode == "LAB"
    of_mode("YCbCr").save("d.tif")
    assert "its YCbCr became sRGB" in applied("d.tif", *IDENTITY, "-o", "e.png")
    assert np.array_equal(np.asarray(seen("e.png")), np.asarray(of_mode("YCbCr").convert("RGB")))


def test_a_recipe_and_replay_know_the_depth():
    put("a.png", noise(20, 30, 3))
    applied("a.png", "-k", "blur", "--depth", "16", "--embed", "-o", "b.png")
    done = CliRunner().invoke(cli, ["replay", "b.png", "a.png"], standalone_mode=False)
    assert done.return_value == 0, done.output
    applied("a.png", "-k", "blur", "--depth", "16", "--background", "white", "--save-recipe", "r.toml", "-o", "b.png")
    applied("a.png", "--recipe", "r.toml", "-o", "c.png")
    assert np.array_equal(read(Path("b.png")).array, read(Path("c.png")).array)


def circle(behind):
    """A red disc, whose surroundings are transparent and of some colour that nobody sees."""
    y, x = np.mgrid[:40, :40]
    return np.where(((y - 20) ** 2 + (x - 20) ** 2 < 150)[..., None], [255, 0, 0, 255], [*behind, 0]).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "tif", "webp", "tga", "qoi", "jp2", "dds"])
def test_colours_that_are_transparent_do_not_bleed(ending):
    # python-pillow/Pillow#3494, SixLabors/ImageSharp#428
    results = []
    for behind in ((0, 0, 0), (0, 255, 0)):
        Image.fromarray(circle(behind)).save(f"a.{ending}", **({"lossless": True} if ending == "webp" else {}))
        applied(f"a.{ending}", "-k", "gaussian:sigma=3", "-o", f"b.{ending}")
        results.append(np.asarray(seen(f"b.{ending}")))
    there = results[0][:, :, 3] > 0
    assert np.array_equal(results[0][there], results[1][there])
    assert (results[0][there][:, :3] == [255, 0, 0]).all()
    applied(f"a.{ending}", "-k", "gaussian:sigma=3", "--background", "white", "-o", "c.ppm")
    assert (np.asarray(seen("c.ppm"))[:, :, 0] == 255).all()  # red on white: nothing dark between


@pytest.mark.parametrize("mode", ["1", "P", "I", "I;16", "F"])
def test_modes_that_pillow_does_not_filter(mode):
    # python-pillow/Pillow#6667 (I and I;16), thumbor/thumbor#1129 (P)
    image = of_mode(mode)
    image.save("a.tif")
    applied("a.tif", "-k", "1 1", "--scale", "2", "--border", "wrap", "-o", "b.tif")
    array = np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode))).astype(float)
    exact = (array + np.roll(array, -1, axis=1)) / 2
    assert abs(read(Path("b.tif")).array - exact).max() <= 0.5
    assert read(Path("b.tif")).array.dtype == {"I": "int32", "I;16": "uint16", "F": "float32"}.get(mode, "uint8")


@pytest.mark.parametrize("shape", [(30, 40), (30, 40, 3)])
def test_sixteen_bits_that_are_filtered_into_a_png_are_neither_cut_nor_black(shape):
    # libvips/libvips#344 (TIFF to PNG black after a convolution), python-pillow/Pillow#7723 (16 bits of colour)
    array = np.random.default_rng(5).integers(0, 2**16, shape).astype(np.uint16)
    applied(put("a.tif", array), "-k", "1 1", "--scale", "2", "--border", "wrap", "-o", "b.png")
    result = cv2.imread("b.png", cv2.IMREAD_UNCHANGED)
    assert result.dtype == np.uint16
    exact = (array + np.roll(array, -1, axis=1).astype(float)) / 2
    assert abs((result[:, :, ::-1] if array.ndim == 3 else result) - exact).max() <= 0.5


def test_a_new_palette_keeps_the_profile_and_is_no_more_transparent():
    # lovell/sharp#3392, lovell/sharp#3395
    image = Image.fromarray(smooth(40, 50)).quantize(200)
    image.save("a.png", icc_profile=bytes(range(200)), transparency=bytes([0, 7, 200]))
    applied("a.png", "-k", "gaussian:sigma=1", "--requantize", "-o", "b.png")
    applied("a.png", "-k", "gaussian:sigma=1", "-o", "c.png")
    found, exact = (np.asarray(seen(name).convert("RGBA")).astype(int) for name in ("b.png", "c.png"))
    assert seen("b.png").mode == "P"
    assert seen("b.png").info["icc_profile"] == bytes(range(200))
    opaque = exact[:, :, 3] == 255
    assert (found[opaque][:, 3] > 240).all()
    assert np.sqrt(((found - exact)[opaque] ** 2).mean()) < 8


@pytest.mark.parametrize(
    "dtype", ["uint8", "uint16", "int16", "int32", "uint32", "float16", "float32", "float64", "bool"]
)
@pytest.mark.parametrize(("depth", "top"), [("8", 255), ("16", 65535), ("float", 1)])
def test_bare_arrays_become_pictures_of_the_depth_that_is_asked_for(dtype, depth, top):
    array = (noise(9, 13, 3) / 256).astype(dtype)
    if np.dtype(dtype).kind in "iu":
        array = noise(9, 13, 3, dtype="uint8").astype(dtype) * (np.iinfo(dtype).max // 255)
    applied(put("a.npy", array), *IDENTITY, "--depth", depth, "-o", "b.tif")
    applied("a.npy", *IDENTITY, "--depth", depth, "-o", "b.npy")
    found = tifffile.imread("b.tif")
    assert found.dtype == np.load("b.npy").dtype == {"8": "uint8", "16": "uint16", "float": "float32"}[depth]
    assert np.array_equal(found, np.load("b.npy"))
    full = float(np.iinfo(dtype).max) if array.dtype.kind in "iu" else 1
    assert np.abs(found - array.astype(float) / full * top).max() <= (1 if top > 1 else 1e-3)


def test_an_array_of_four_channels_is_laid_on_a_background_and_bits_are_made_of_it():
    array = noise(9, 13, 4)
    applied(put("a.npy", array), *IDENTITY, "--background", "white", "-o", "b.bmp")
    alpha = array[..., 3:].astype(int)
    assert np.abs(np.asarray(seen("b.bmp")) - (array[..., :3] * alpha + 255 * (255 - alpha)) / 255).max() <= 0.5
    applied("a.npy", *IDENTITY, "--background", "white", "--depth", "1", "-o", "b.pbm")
    assert seen("b.pbm").mode == "1"
    said = applied("a.npy", *IDENTITY, "--depth", "12", "-o", "c.npy", status=1)
    assert "NPY does not hold 12 bits; --depth 16 keeps all of them" in said
    said = applied(put("d.npy", noise(9, 13, 7)), *IDENTITY, "--depth", "1", "-o", "c.png", status=1)
    assert "--depth 1 takes grey and RGB pictures, not uint8" in said
    applied(put("e.npy", noise(9, 13)), *IDENTITY, "-o", "e.qoi")  # which has no greys
    assert np.array_equal(np.asarray(seen("e.qoi"))[..., 1], noise(9, 13))


@pytest.mark.filterwarnings("ignore:IM image format")
@pytest.mark.parametrize("mode", sorted({*KINDS, *FLOAT_MODES, "I"}))
def test_what_a_refusal_says_would_do_does(mode):
    dtype, channels = KINDS.get(mode, ("int32" if mode == "I" else "float32", len(mode.partition(";")[0])))
    array = np.ones((16, 16, channels) if channels > 1 else (16, 16), dtype)
    refused = 0
    for form in (form.name for form in FORMATS if form.modes):
        given = whole(Picture(array, mode, "TIFF"), form, Changes())
        try:
            encode(given, form)
        except WriteError as problem:
            refused += 1
            depth, background = (re.search(f"{name} (\\w+)", str(problem)) for name in ("--depth", "--background"))
            if depth or background:
                changes = Changes(depth and depth[1], background and (255, 255, 255))
                encode(whole(given, form, changes), form)
            ending = re.search(r"write (\.\w+)", str(problem))[1]
            encode(given, name_for(ending))
    assert refused > 3 or mode in ("L", "RGB")
