"""Linear light by a picture's own curves: held against their formulas, and against LittleCMS."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from makers import applied, chunk, noise, png, png16
from PIL import Image, ImageCms

import imgconv
from imgconv.batch.job import Handling
from imgconv.batch.look import section_of
from imgconv.batch.targets import Job
from imgconv.formats.profile import light_of
from imgconv.formats.read import read
from imgconv.page.section import histogram
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

pytestmark = pytest.mark.usefixtures("here", "quick_disk")
GAMMA_18 = struct.pack(">4s4xIH", b"curv", 1, int(1.8 * 256))
IDENTITY = struct.pack(">4s4xI", b"curv", 0)
TABLE = struct.pack(">4s4xI9H", b"curv", 9, *(round(65535 * (n / 8) ** 3) for n in range(9)))
ROMM = struct.pack(">4s4xHxx5i", b"para", 3, *(round(65536 * n) for n in (1.8, 1, 0, 1 / 16, 1 / 32)))
SEVEN = struct.pack(">4s4xHxx7i", b"para", 4, *(round(65536 * n) for n in (2.2, 0.9, 0.1, 0.2, 0.05, 0, 0)))
BASED = struct.pack(">4s4xHxx4i", b"para", 2, *(round(65536 * n) for n in (2, 0.9, 0.1, 0)))
SRGB = struct.pack(
    ">4s4xHxx5i", b"para", 3, *(round(65536 * n) for n in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)
CURVES = {
    "gamma": (GAMMA_18, lambda x: x ** (int(1.8 * 256) / 256)),
    "identity": (IDENTITY, lambda x: x),
    "table": (TABLE, lambda x: np.interp(x, np.arange(9) / 8, (np.arange(9) / 8) ** 3)),
    "romm": (ROMM, lambda x: np.where(x >= 1 / 32, x**1.8, x / 16)),
    "seven": (SEVEN, lambda x: np.where(x >= 0.05, (0.9 * x + 0.1) ** 2.2, 0.2 * x)),
    "based": (BASED, lambda x: (0.9 * x + 0.1) ** 2),
}


def profile(curve: bytes, space: bytes = b"RGB ") -> bytes:
    """A profile of primaries of sRGB, or of grey, with one curve."""

    def xyz(*numbers):
        return struct.pack(">4s4x3i", b"XYZ ", *(round(65536 * number) for number in numbers))

    tags = {
        b"wtpt": xyz(0.9642, 1, 0.8249),
        b"cprt": b"text\0\0\0\0\0",
        b"desc": struct.pack(">4s4xI13x67x", b"desc", 1),
    }
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
        tags |= {b"rXYZ": xyz(0.4361, 0.2225, 0.0139), b"gXYZ": xyz(0.3851, 0.7169, 0.0971)}
        tags |= {b"bXYZ": xyz(0.1431, 0.0606, 0.7141)}
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table, body = table + struct.pack(">4sII", name, at + len(body), len(data)), body + data
    header = struct.pack(
        ">I4sI4s4s4s12x4s28x3i48x",
        at + len(body),
        b"",
        0x02400000,
        b"mntr",
        space,
        b"XYZ ",
        b"acsp",
        63190,
        65536,
        54061,
    )
    assert len(header) == 128
    return header + struct.pack(">I", len(tags)) + table + body


def mean_of_two(array, to_light, top):
    """Two neighbours in a row, their mean taken in light; by a table for the way back."""
    levels = np.linspace(0, 1, 400_001)
    wide = to_light(array.astype(float) / top)
    return np.interp((wide + np.roll(wide, -1, axis=1)) / 2, to_light(levels), levels) * top


@pytest.mark.parametrize("name", sorted(CURVES))
@pytest.mark.parametrize("bits", [8, 16])
def test_light_is_by_the_curves_of_the_profile(name, bits):
    tag, to_light = CURVES[name]
    dtype, top = f"uint{bits}", 2**bits - 1
    for space, channels in ((b"RGB ", (3,)), (b"GRAY", ()), (b"RGB ", (4,))):
        array = noise(9, 11, *channels, dtype=dtype)
        array[..., 3:] = top
        data = profile(tag, space)
        written = png16(array) if bits == 16 else None
        if written:
            body = b"icc\0\0" + zlib.compress(data)
            Path("a.png").write_bytes(written[:33] + chunk(b"iCCP", body) + written[33:])
        else:
            Image.fromarray(array).save("a.png", icc_profile=data)
        applied("a.png", "-k", "1 1", "--scale", "2", "--border", "wrap", "--linear", "-o", "b.png")
        found = read(Path("b.png"))
        expected = mean_of_two(array, to_light, top)
        assert abs(found.array - expected).max() <= (0.51 if bits == 8 else 1.5)
        assert found.info["icc_profile"] == data
        applied("a.png", "-k", "identity", "--linear", "-o", "b.png")
        assert np.array_equal(read(Path("b.png")).array, array)


@pytest.mark.parametrize("name", sorted(set(CURVES) - {"based"}))
def test_curves_are_those_that_littlecms_sees(name):
    levels = np.arange(256, dtype=np.uint8)[None]
    image = Image.fromarray(np.repeat(levels[:, :, None], 3, axis=2))
    own, linear = (ImageCms.ImageCmsProfile(io.BytesIO(profile(tag))) for tag in (CURVES[name][0], IDENTITY))
    seen = ImageCms.profileToProfile(image, own, linear, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    light, note = light_of({"icc_profile": profile(CURVES[name][0])}, "rgb")
    assert light is not None
    assert not note
    ours = light.to_linear(np.asarray(image) / 255) * 255
    assert abs(ours - np.asarray(seen)).max() <= 1


def test_profiles_of_srgb_leave_the_bytes_as_they_were():
    array = noise(20, 20, 3)
    for data in (ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), profile(SRGB)):
        Image.fromarray(array).save("a.png", icc_profile=data)
        Image.fromarray(array).save("b.png")
        for name in ("a", "b"):
            applied(f"{name}.png", "-k", "gaussian:sigma=2", "--linear", "-o", f"{name}.npy")
        assert np.array_equal(np.load("a.npy"), np.load("b.npy"))


def test_the_gamma_of_a_png_counts_where_nothing_else_does():
    array = noise(8, 9)
    raw = b"".join(b"\0" + row.tobytes() for row in array)
    gamma = chunk(b"gAMA", struct.pack(">I", 100000))
    Path("a.png").write_bytes(png(9, 8, 8, 0, raw, gamma))
    applied("a.png", "-k", "1 1", "--scale", "2", "--border", "wrap", "--linear", "-o", "b.png")
    assert abs(read(Path("b.png")).array - mean_of_two(array, lambda x: x, 255)).max() <= 0.51
    Path("a.png").write_bytes(png(9, 8, 8, 0, raw, gamma, chunk(b"sRGB", b"\0")))
    Path("c.png").write_bytes(png(9, 8, 8, 0, raw))
    for name in ("a", "c"):
        applied(f"{name}.png", "-k", "blur", "--linear", "-o", f"{name}.npy")
    assert np.array_equal(np.load("a.npy"), np.load("c.npy"))


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (b"no profile", "its ICC profile is for nothing"),
        (profile(GAMMA_18, b"GRAY"), "its ICC profile is for GRAY"),
        (profile(GAMMA_18).replace(b"rTRC", b"A2B0"), "its ICC profile has no curves, but tables"),
        (profile(GAMMA_18).replace(b"curv", b"xxxx"), "its ICC profile is damaged"),
        (profile(GAMMA_18)[:300], "its ICC profile is damaged"),
    ],
)
def test_what_a_profile_does_not_say_is_said(data, note):
    Image.fromarray(noise(8, 9, 3)).save("a.png", icc_profile=data)
    assert f"{note}; --linear takes its samples as sRGB" in applied("a.png", "-k", "blur", "--linear", "-o", "b.png")
    assert note not in applied("a.png", "-k", "blur", "-o", "b.png")


def test_results_and_strips_and_masks_are_in_the_same_light():
    array = noise(1400, 1100, 3)
    Image.fromarray(array).save("a.tif", icc_profile=profile(GAMMA_18))
    applied("a.tif", "-k", "1 1", "--scale", "2", "--border", "wrap", "--linear", "-o", "b.tif")
    expected = mean_of_two(array, CURVES["gamma"][1], 255)
    assert abs(read(Path("b.tif")).array - expected).max() <= 0.51
    applied("a.tif", "-k", "1 1", "--scale", "2", "--linear", "--mask", "radial:invert", "-o", "c.tif")
    assert "sRGB cannot be embedded" in applied("a.tif", "-k", "blur", "--linear", "--embed", "-o", "d.tif", status=1)


def test_a_report_shows_the_result_in_the_same_light():
    Image.fromarray(noise(40, 50, 3)).save("a.png", icc_profile=profile(GAMMA_18))
    applied("a.png", "-k", "gaussian:2", "--linear", "-o", "b.png")
    recipe = Recipe((imgconv.kernel("gaussian:2"),), Options(linear=True))
    shown = section_of(Job(Path("a.png"), Path("b.png"), "PNG"), recipe, Handling(), small=True)
    assert shown["histograms"][1] == histogram(read(Path("b.png")).array, 0, 255)


def test_an_image_of_pillow_is_filtered_by_its_profile():
    image = Image.fromarray(noise(12, 13, 3))
    plain = imgconv.apply(image, "1 1; 1 1", scale=4, linear=True)
    image.info["icc_profile"] = profile(GAMMA_18)
    own = imgconv.apply(image, "1 1", scale=2, border="wrap", linear=True)
    expected = mean_of_two(noise(12, 13, 3), CURVES["gamma"][1], 255)
    assert abs(np.asarray(own) - expected).max() <= 0.51
    assert plain.size == own.size
