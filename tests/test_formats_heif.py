"""HEIC: what pillow-heif makes and sees, of 8, 10 and 12 bits."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from makers import applied, exif, noise, png16, saved, smooth
from PIL import Image

from imgconv.formats.header import header_of
from imgconv.formats.heif import frames_of
from imgconv.formats.limits import BASE, DEFAULT, ENCODING
from imgconv.formats.read import read

pillow_heif = pytest.importorskip("pillow_heif")
pytestmark = pytest.mark.usefixtures("here", "quick_disk")
IDENTITY = ("-k", "identity", "--alpha", "straight")
LOSSLESS = {"quality": -1, "chroma": 444, "matrix_coefficients": 0}
SHAPES = {"L": (), "RGB": (3,), "RGBA": (4,), "I;16": (), "RGB;16": (3,), "RGBA;16": (4,)}


def encode(mode, array, monkeypatch, bits=8, **options):
    monkeypatch.setattr(pillow_heif.options, "SAVE_HDR_TO_12_BIT", bits == 12)
    file = io.BytesIO()
    data = (array << (16 - bits) if bits > 8 else array).tobytes()
    pillow_heif.encode(mode, array.shape[1::-1], data, file, **LOSSLESS, **options)
    return file.getvalue()


@pytest.mark.parametrize("mode", SHAPES)
@pytest.mark.parametrize("bits", [8, 10, 12])
def test_every_depth_comes_through(monkeypatch, mode, bits):
    if (bits > 8) != mode.endswith("16"):
        return
    array = (noise(20, 24, *SHAPES[mode], dtype="uint16") >> (16 - bits)).astype("uint16" if bits > 8 else "uint8")
    Path("a.heic").write_bytes(encode(mode, array, monkeypatch, bits))
    wide = np.floor(array * (65535 / (2**bits - 1)) + 0.5) if bits > 8 else array
    found = read(Path("a.heic"))
    assert (found.mode, found.format) == (mode, "HEIF")
    assert np.array_equal(found.array, wide)
    applied("a.heic", *IDENTITY, "--co", "lossless=true")
    seen = pillow_heif.open_heif("a.identity.heic", convert_hdr_to_8bit=False)
    assert seen.info["bit_depth"] == bits
    assert np.array_equal(np.asarray(seen) >> (16 - bits if bits > 8 else 0), array)
    applied("a.heic", *IDENTITY, "-o", "b.png")
    assert np.array_equal(read(Path("b.png")).array, wide)
    about, seen_as, depth, _ = header_of(io.BytesIO(Path("a.heic").read_bytes()), 0, ".heic")
    assert (about.array.shape, seen_as, depth) == (array.shape, mode, str(bits))


def test_depth_is_chosen_or_said():
    array = noise(20, 24, 3, dtype="uint16")
    Path("a.png").write_bytes(png16(array))
    for bits in (10, 12):
        applied("a.png", *IDENTITY, "--depth", bits, "--co", "lossless=true", "-o", "b.heic")
        seen = pillow_heif.open_heif("b.heic", convert_hdr_to_8bit=False)
        assert seen.info["bit_depth"] == bits
        expected = np.floor(array * ((2**bits - 1) / 65535) + 0.5)
        assert np.array_equal(np.asarray(seen) >> (16 - bits), expected)
    assert "its 16 bits per channel became 12" in applied("a.png", *IDENTITY, "-o", "b.heic")
    Image.fromarray(smooth(40, 60)).save("c.png")
    applied("c.png", *IDENTITY, "-o", "d.heic")
    assert abs(np.asarray(pillow_heif.open_heif("d.heic")).astype(int) - smooth(40, 60)).max() < 12


def test_metadata_stays_and_pixels_are_turned_once():
    block, profile = exif(orientation=6), bytes(range(256))
    Image.fromarray(smooth(30, 40)).save("a.jpg", exif=block, icc_profile=profile, quality=95)
    applied("a.jpg", *IDENTITY, "-o", "b.heic")
    found = read(Path("b.heic"))
    assert found.info["icc_profile"] == profile
    with Image.open("a.jpg") as image:
        turned = image.transpose(Image.Transpose.ROTATE_270)
    assert found.array.shape == (40, 30, 3)
    assert abs(found.array.astype(int) - np.asarray(turned)).mean() < 4
    from imgconv.formats.exif import orientation_of

    assert orientation_of(found.info["exif"]) == 1


def test_without_pillow_heif_it_is_named(monkeypatch):
    Image.fromarray(smooth(8, 8)).save("a.png")
    applied("a.png", *IDENTITY, "-o", "a.heic")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert "pip install 'imgconv[heif]'" in applied("a.heic", *IDENTITY, "-o", "b.png", status=1)
    assert "pip install 'imgconv[heif]'" in applied("a.png", *IDENTITY, "-o", "b.heic", status=1)


def test_what_is_broken_or_too_large_is_refused():
    Image.fromarray(smooth(64, 64)).save("a.png")
    applied("a.png", *IDENTITY, "-o", "a.heic")
    data = Path("a.heic").read_bytes()
    for number, length in enumerate(range(20, len(data), 97)):
        Path("b.heic").write_bytes(data[:length])
        said = applied("b.heic", *IDENTITY, "-o", f"{number}.png", status=1)
        assert said.startswith("imgconv: b.heic: is ")
    assert "--max-pixels" in applied("a.heic", *IDENTITY, "--max-pixels", "100", "-o", "c.png", status=1)
    assert DEFAULT.pixels > 100
    assert saved(Image.fromarray(smooth(8, 8)), "PNG")


def test_a_picture_asks_for_the_memory_of_its_own_samples(monkeypatch):
    data, asked = encode("RGB", smooth(100, 120), monkeypatch), []
    frame = next(frames_of(data, DEFAULT._replace(ask=asked.append, encoding=ENCODING["HEIF"]), None))
    assert asked == [BASE + len(data) + frame.about.array.nbytes * (1 + ENCODING["HEIF"])]
