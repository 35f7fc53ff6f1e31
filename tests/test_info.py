"""imgconv info: what other readers find, without decoding a pixel."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from makers import adam7, chunk, exif, noise, opened, png, png16, saved, smooth
from PIL import Image, ImageCms
from test_formats_metadata import segmented

from imgconv.cli import cli
from imgconv.errors import PictureError
from imgconv.formats.timing import COMMENT, END, IMAGE, blocks, durations_of, extensions_of
from imgconv.info import describe, profile_name

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FRAMES = [Image.fromarray(noise(12, 17, 3, seed=number)) for number in range(3)]
DURATIONS = [40, 70, 200]


def told(folder: Path, data: bytes, name: str, form: str | None = None):
    (folder / name).write_bytes(data)
    return describe(folder / name, form)


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(cli, ["info", *map(str, words)], standalone_mode=False)
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.return_value or 0, done.stdout, done.stderr


STILL = {
    "a.png": (png16(noise(6, 5, 3, dtype="uint16")), "RGB;16", "16"),
    "b.png": (adam7(noise(6, 5, 3, dtype="uint16")), "RGB;16", "16"),
    "c.png": (saved(Image.fromarray(noise(6, 5)).convert("1"), "PNG"), "1", "1"),
    "d.png": (saved(Image.fromarray(noise(6, 5)).convert("P"), "PNG"), "P", "8"),
    "e.jpg": (saved(Image.fromarray(noise(6, 5)), "JPEG"), "L", "8"),
    "f.jpg": (saved(Image.fromarray(noise(6, 5, 4), "CMYK"), "JPEG"), "CMYK", "8"),
    "g.tif": (saved(Image.fromarray(noise(6, 5, dtype="float32")), "TIFF"), "F", "32"),
    "h.webp": (saved(Image.fromarray(noise(6, 5, 4)), "WEBP"), "RGBA", "8"),
    "i.avif": (saved(Image.fromarray(noise(6, 5, 3)), "AVIF"), "RGB", "8"),
    "j.ppm": (b"P6 5 6 65535\n" + noise(6, 5, 3, dtype="uint16").tobytes(), "RGB;16", "16"),
    "k.bmp": (saved(Image.fromarray(noise(6, 5, 3)), "BMP"), "RGB", "8"),
    "l.qoi": (saved(Image.fromarray(noise(6, 5, 3)), "QOI"), "RGB", "8"),
}


@pytest.mark.parametrize("name", STILL)
def test_size_mode_and_depth_are_those_of_the_file(name, tmp_path):
    data, mode, depth = STILL[name]
    found = told(tmp_path, data, name)
    assert (found.size, found.mode, found.depth, found.frames) == ((5, 6), mode, depth, 1)
    assert (found.format, found.bytes) == (opened(data).format, len(data))
    assert found.memory > 2**26


def test_a_tiff_of_16_bits_in_colour_has_its_pages(tmp_path):
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for subfile in (0, 0, 1):  # the last is a smaller version
            writer.write(noise(6, 5, 3, dtype="uint16"), photometric="rgb", subfiletype=subfile, metadata=None)
    found = told(tmp_path, file.getvalue(), "a.tif")
    assert (found.mode, found.depth, found.frames, found.others) == ("RGB;16", "16", 2, 1)


@pytest.mark.parametrize(("name", "array"), [("a.npy", noise(6, 5, 2, dtype="float32")), ("a.txt", noise(6, 5))])
def test_an_array_has_its_type(name, array, tmp_path):
    if name == "a.npy":
        np.save(tmp_path / name, array)
    else:
        np.savetxt(tmp_path / name, array, fmt="%d")
    found = describe(tmp_path / name)
    assert (found.size, found.mode, found.format) == ((5, 6), "", {"a.npy": "NPY", "a.txt": "TEXT"}[name])
    assert found.depth in (array.dtype.name, "int64", "float64")


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "AVIF"])
def test_durations_are_those_that_pillow_finds(form, tmp_path):
    data = saved(FRAMES[0], form, save_all=True, append_images=FRAMES[1:], duration=DURATIONS)
    found = told(tmp_path, data, f"a.{form.lower()}")
    assert found.frames == 3
    image, expected = opened(data), []
    for number in range(3):
        image.seek(number)
        image.load()
        expected.append(float(image.info["duration"]))
    assert list(found.durations) == pytest.approx(expected)
    single = told(tmp_path, saved(FRAMES[0], form), f"b.{form.lower()}")
    assert (single.frames, single.durations) == (1, ())
    for size in range(0, len(data), 7):  # broken as it may be, it ends
        durations_of(form, io.BytesIO(data[:size]))


def test_what_stands_between_the_frames_of_a_gif():
    data = saved(FRAMES[0], "GIF", comment=b"first")
    xmp = b"<x:xmpmeta/>"
    packet = b"!\xff\x0bXMP DataXMP" + xmp + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    profile = b"!\xff\x0bICCRGBG1012\4abcd\2ef\0"
    other = b"!\xff\x0bMyOwnAppl01\3xyz\0!\xfe\6second\0"
    file = io.BytesIO(data[:-1] + packet + profile + other + b";")
    found = extensions_of(file)
    assert found == {
        "comment": b"first\nsecond", "xmp": xmp, "icc_profile": b"abcdef",
        "lost": (("other", "application extension MyOwnAppl01"),),
    }  # fmt: skip
    assert [kind for kind, _ in blocks(io.BytesIO(data))] == [COMMENT, IMAGE, END]


def test_the_profile_has_its_name(tmp_path):
    found = told(tmp_path, saved(FRAMES[0], "PNG", icc_profile=SRGB), "a.png")
    assert found.profile == ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(SRGB))).strip()
    text = b"desc\0\0\0\0" + struct.pack(">I", 6) + b"Plain\0"
    old = bytes(128) + struct.pack(">I4sII", 1, b"desc", 144, len(text)) + text
    assert profile_name(old) == "Plain"
    assert profile_name(b"") is None
    assert all(isinstance(profile_name(SRGB[:size]), str) for size in range(1, len(SRGB), 5))


def test_metadata_is_named_by_the_words_of_apply(tmp_path):
    data = saved(FRAMES[0], "JPEG", exif=exif(), dpi=(300, 300), comment=b"a", xmp=b"<x/>", icc_profile=SRGB)
    assert told(tmp_path, data, "a.jpg").metadata == ("exif", "xmp", "icc", "dpi", "text")
    rows = b"".join(b"\0" + row.tobytes() for row in smooth(16, 24))
    data = png(24, 16, 8, 2, rows, chunk(b"gAMA", b"\0\0\1\0"), chunk(b"tIME", bytes([7, 208, 1, 1, 0, 0, 0])))
    assert told(tmp_path, data, "a.png").metadata == ("colour", "time")


LOSSES = [
    ("a.png", saved(Image.fromarray(noise(6, 5, 4)), "PNG"), "JPEG", ["JPEG cannot hold an alpha channel"]),
    ("a.png", saved(Image.fromarray(noise(6, 5)).convert("P"), "PNG"), "TIFF", []),
    ("a.png", saved(FRAMES[0], "PNG"), "JPEG", ["JPEG loses detail of its pixels"]),
    ("a.jpg", saved(FRAMES[0], "JPEG", comment=b"a"), "WEBP", ["WEBP cannot hold its comment: left out"]),
    ("a.jpg", segmented((0xEC, b"Ducky\0\1")), "JPEG", ["its segment APP12 (Ducky) cannot travel: left out"]),
    (
        "a.gif",
        saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
        "JPEG",
        ["loses", "one of its 3 frames"],
    ),
]


@pytest.mark.parametrize(("name", "data", "form", "says"), LOSSES, ids=range(len(LOSSES)))
def test_what_would_be_lost_is_said(name, data, form, says, tmp_path):
    lost = told(tmp_path, data, name, form).lost
    assert len(lost) == len(says)
    assert all(word in text for word, text in zip(says, lost, strict=True))


@pytest.mark.parametrize(
    "data", [b"", b"8BPS", b"GIF89a", b"\xff\xd8\xff\xe0", b"II*\0\x08\0\0\0", b"RIFF\0\0\0\0WEBP"]
)
def test_a_broken_file_is_an_error(data, tmp_path):
    with pytest.raises(PictureError, match=r"a\.any: is"):
        told(tmp_path, data, "a.any")


def test_what_is_behind_a_jpeg_is_found_without_reading_all_of_it(tmp_path):
    plain = saved(Image.fromarray(noise(300, 400, 3)), "JPEG", quality=95)
    assert told(tmp_path, plain, "a.jpg", "JPEG").lost == ()
    assert "400 bytes behind" in told(tmp_path, plain + b"x" * 400, "a.jpg", "JPEG").lost[0]
    long = segmented(*[(0xFE, bytes(65000))] * 3, data=plain)  # pixels begin late
    assert told(tmp_path, long, "a.jpg").metadata == ("text",)


def test_lines_a_table_and_json(tmp_path):
    (tmp_path / "a\tb.jpg").write_bytes(saved(FRAMES[0], "JPEG", icc_profile=SRGB))
    (tmp_path / "c.gif").write_bytes(
        saved(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:], duration=DURATIONS)
    )
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    files = sorted(tmp_path.iterdir())
    status, out, err = run(*files)
    assert (status, err.count("\n")) == (1, 1)
    assert "d.png: is not a picture" in err
    lines = [line.split("\t") for line in out.splitlines()]
    assert [line[1:6] for line in lines] == [
        ["JPEG", "17×12", "RGB", "8", "1"], ["GIF", "17×12", lines[1][3], "8", "3 of 40, 70, 200 ms, 0.31 s"],
    ]  # fmt: skip
    assert lines[0][0].endswith("a\\tb.jpg")
    status, out, err = run(*files, "--json", "--format", ".png")
    objects = [json.loads(line) for line in out.splitlines()]
    assert [(each["size"], each["frames"], each["lost"]) for each in objects[:2]] == [
        ([17, 12], 1, []), ([17, 12], 3, objects[1]["lost"]),
    ]  # fmt: skip
    assert set(objects[2]) == {"file", "error"}
    done = CliRunner().invoke(cli, ["--color", "always", "info", *map(str, files[:2]), "--format", "webp"], color=True)
    assert "\x1b[" in done.output
    assert "profile" in done.output


def test_a_format_that_cannot_be_written_is_refused(tmp_path):
    done = CliRunner().invoke(cli, ["info", "a.png", "--format", "xyz"], standalone_mode=False)
    assert "--format xyz: is not one of .png, .jpg" in str(done.exception)
    status, out, err = run(tmp_path / "none.png")
    assert (status, out) == (1, "")
    assert "none.png" in err


def test_a_header_may_claim_anything(tmp_path):
    """What it would take is told; nothing is taken."""
    header = struct.pack(">IIBBBBB", 2**32 - 1, 2**32 - 1, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(10))), chunk(b"IEND", b"")
    (tmp_path / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    told = describe(tmp_path / "huge.png")
    assert told.size == (2**32 - 1, 2**32 - 1)
    assert told.memory > 2**64
