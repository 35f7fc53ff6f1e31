"""What a PNG file says beside its pixels, from file to file; Pillow and pngcheck are the judges."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from makers import chunk, exif, noise, opened, png, saved, smooth
from PIL import Image, PngImagePlugin

from imgconv.batch.job import Handling, Work
from imgconv.batch.targets import Targets, make_jobs
from imgconv.conventions import METADATA
from imgconv.errors import PictureError
from imgconv.formats.metadata import select
from imgconv.formats.picture import Picture
from imgconv.formats.png.chunks import LARGEST_TEXT, Chunk, metadata_of, split
from imgconv.formats.read import parse
from imgconv.formats.table import by_name
from imgconv.formats.write import encode, lost_in
from imgconv.kernels.spec import kernel
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
EXIF = exif(orientation=6).tobytes().removeprefix(b"Exif\0\0")
ICC = bytes(16) + b"RGB " + b"profile " * 20
D50 = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
# name, body: what any reader can still rely on, in an order that the specification allows
TRUE = [
    (b"cHRM", D50),
    (b"gAMA", struct.pack(">I", 45455)),
    (b"iCCP", b"my profile\0\0" + zlib.compress(ICC)),
    (b"cICP", bytes([9, 16, 0, 1])),
    (b"mDCV", bytes(24)),
    (b"cLLI", bytes(8)),
    (b"bKGD", struct.pack(">3H", 1, 2, 3)),
    (b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
    (b"eXIf", EXIF),
    (b"oFFs", struct.pack(">iiB", 3, 4, 0)),
    (b"tIME", bytes([7, 208, 1, 1, 0, 0, 0])),
    (b"tEXt", b"Title\0a title"),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"a comment")),
    (b"iTXt", b"Author\0\0\0de\0Autor\0" + "ä".encode()),
    (b"tEXt", b"Raw profile type 8bim\0\n8bim\n      12\n" + b"8BIM\x03\xf2\0\0\0\0\0\0".hex().encode()),
    (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    (b"prVa", b"private, safe to copy"),
]
STALE = [
    (b"sBIT", b"\5\5\5"),
    (b"sPLT", b"p\0\x08"),
    (b"hIST", b"\0\1"),
    (b"sTER", b"\0"),
    (b"prVA", b"private, about these pixels"),
]
BEHIND = [(b"tEXt", b"Software\0behind the pixels"), (b"xxXx", b"behind, safe to copy"), (b"xxXX", b"behind, not safe")]


def made(*before: tuple[bytes, bytes], behind: tuple = (), array: np.ndarray | None = None) -> bytes:
    array = noise(6, 5, 3) if array is None else array
    rows, columns = array.shape[:2]
    lines = b"".join(b"\0" + line.tobytes() for line in array)
    data = png(columns, rows, 8, {2: 0, 3: 2}[array.ndim], lines, *(chunk(*pair) for pair in before))
    return data[:-12] + b"".join(chunk(*pair) for pair in behind) + data[-12:]


def parts(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, pixels = split(io.BytesIO(data), len(data))
    held = [Chunk(b"IDAT", data[start : start + length]) for start, length in pixels]
    found = [chunk for chunk in chunks if not chunk.behind] + held + [chunk for chunk in chunks if chunk.behind]
    return [(chunk.name, chunk.body) for chunk in found]


def again(data: bytes, words: object = METADATA) -> bytes:
    """The file after a way through imgconv."""
    picture = parse(data, "a")
    return encode(replace(picture, info=select(picture.info, words)), "PNG")[0]


def test_what_stays_true_travels_as_it_is_in_its_place():
    found = parts(again(made(*STALE, *TRUE, behind=tuple(BEHIND))))
    pixels = found.index(next(pair for pair in found if pair[0] == b"IDAT"))
    assert found[1:pixels] == TRUE
    assert found[pixels + 1 :] == BEHIND[:2]


@pytest.mark.skipif(shutil.which("pngcheck") is None, reason="pngcheck is not installed")
def test_pngcheck_and_pillow_find_nothing_wrong(tmp_path):
    known = [pair for pair in TRUE if pair[0] not in (b"mDCV", b"cLLI", b"cICP", b"prVa")]  # it does not know those
    data = again(made(*known, behind=tuple(BEHIND[:1])))
    (tmp_path / "a.png").write_bytes(data)
    done = subprocess.run(["pngcheck", "-q", tmp_path / "a.png"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    image = opened(data)
    assert image.getexif()[271] == "maker"
    assert (image.info["icc_profile"], image.info["gamma"]) == (ICC, 0.45455)
    assert image.info["chromaticity"] == (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
    assert image.text["Comment"] == "a comment"
    assert (image.text["Author"], image.text["Author"].lang, image.text["Author"].tkey) == ("ä", "de", "Autor")
    assert image.text["Software"] == "behind the pixels"
    assert image.info["xmp"] == XMP


def test_other_formats_are_told_what_pillow_finds():
    data = made(*TRUE)
    info, image = parse(data, "a").info, opened(data)
    for key in ("icc_profile", "xmp", "dpi"):
        assert info[key] == image.info[key]
    assert info["exif"] == b"Exif\0\0" + image.info["exif"].removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "WEBP"])
def test_xmp_goes_to_and_fro(form):
    there = encode(parse(made(*TRUE), "a"), form)[0]
    # Pillow turns a TIFF upright as it opens it, and then leaves this out
    expected = XMP.replace(b'tiff:Orientation="6"', b"") if form == "TIFF" else XMP
    assert opened(there).info["xmp"].rstrip(b"\0") == expected
    assert opened(there).getexif()[271] == "maker"
    back = opened(encode(parse(there, "a"), "PNG")[0])
    assert back.info["xmp"].rstrip(b"\0") == expected


def test_xmp_that_jpeg_cannot_hold_is_left_out_with_a_word():
    for size, left_out in ((65504, False), (65505, True)):
        data, notes = encode(Picture(smooth(8, 8), "RGB", "PNG", {"xmp": b"x" * size}), "JPEG")
        assert bool(notes) == left_out == ("xmp" not in opened(data).info)


@pytest.mark.parametrize(
    "words", [(), ("exif",), ("icc", "dpi"), ("xmp", "text"), ("colour", "time"), ("iptc",), ("other",)]
)
def test_words_choose_what_travels(words):
    belong = {b"cHRM": "colour", b"gAMA": "colour", b"iCCP": "icc", b"cICP": "colour", b"mDCV": "colour"}
    belong |= {
        b"tIME": "time",
        b"cLLI": "colour",
        b"pHYs": "dpi",
        b"eXIf": "exif",
        b"tEXt": "text",
        b"zTXt": "text",
        b"iTXt": "text",
    }
    expected = [
        (name, body)
        for name, body in TRUE
        if ("iptc" if b"8bim" in body else "xmp" if b"adobe" in body else belong.get(name, "other")) in words
    ]
    assert [pair for pair in parts(again(made(*TRUE), words)) if pair[0] not in (b"IHDR", b"IDAT")] == expected


def raw_profile(kind: str, body: bytes, name: bytes) -> tuple[bytes, bytes]:
    """As ImageMagick writes it."""
    text = f"\n{kind}\n{len(body):8}\n".encode() + b"\n".join(
        body.hex().encode()[i : i + 72] for i in range(0, 999, 72)
    )
    return name, f"Raw profile type {kind}\0".encode() + (b"\0" + zlib.compress(text) if name == b"zTXt" else text)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt"])
def test_raw_profiles_are_understood_and_stay(name):
    given = [raw_profile("exif", b"Exif\0\0" + EXIF, name), raw_profile("xmp", XMP, name)]
    data = made(*given)
    info = parse(data, "a").info
    assert info["exif"] == b"Exif\0\0" + EXIF
    assert opened(data).getexif()[271] == "maker"
    assert info["xmp"] == XMP
    assert [pair for pair in parts(again(data)) if pair[0] == name] == given
    assert not [pair for pair in parts(again(data, ("icc",))) if pair[0] == name]


def test_a_turned_picture_says_so_everywhere():
    for given in (TRUE, [raw_profile("exif", EXIF, b"zTXt"), *TRUE[9:]]):
        picture = parse(made(*given), "a", auto_orient=True)
        image = opened(encode(picture, "PNG")[0])
        assert image.size == (6, 5)
        assert image.getexif()[274] == 1
        assert image.info["xmp"] == XMP.replace(b'"6"', b'"1"')
        assert b"Raw profile type exif" not in encode(picture, "PNG")[0]
        if given is TRUE:
            assert [round(number) for number in image.info["dpi"]] == [150, 300]
            assert [chunk.name for chunk in picture.info["chunks"]] == [name for name, _ in TRUE]


def test_pixels_that_are_not_square_stay_so():
    pair = (b"pHYs", struct.pack(">IIB", 2, 1, 0))
    data = made(pair)
    assert "dpi" not in parse(data, "a").info
    assert pair in parts(again(data))
    assert pair not in parts(again(data, ("exif",)))


@pytest.mark.parametrize(
    ("depth", "colour", "before", "body", "expected"),
    [
        (1, 0, (), b"\0\1", (255,)),
        (2, 0, (), b"\0\2", (170,)),
        (4, 0, (), b"\0\3", (51,)),
        (8, 0, (), b"\0\3", (3,)),
        (16, 0, (), b"\1\3", (259,)),
        (8, 2, (), b"\0\1\0\2\0\3", (1, 2, 3)),
        (8, 3, (chunk(b"PLTE", bytes(range(9))),), b"\2", (6, 7, 8)),
        (4, 3, (chunk(b"PLTE", bytes(range(9))),), b"\1", (3, 4, 5)),
    ],
)
def test_the_background_is_that_of_the_samples_that_are_written(depth, colour, before, body, expected):
    line = b"\0" * (1 + (3 if colour == 2 else 1) * depth // 8 + (depth < 8))
    data = png(1, 1, depth, colour, line, *before, chunk(b"bKGD", body))
    assert dict(parts(again(data)))[b"bKGD"] == struct.pack(f">{len(expected)}H", *expected)


@pytest.mark.parametrize(
    ("depth", "colour", "body"), [(8, 0, b""), (8, 2, b"\0\1"), (8, 3, b"\3"), (8, 3, b""), (8, 0, b"\0\1\0")]
)
def test_a_background_that_makes_no_sense_is_left_out(depth, colour, body):
    line = b"\0" * (4 if colour == 2 else 2)
    picture = parse(png(1, 1, depth, colour, line, chunk(b"PLTE", bytes(9)), chunk(b"bKGD", body)), "a")
    assert picture.notes == ("its bKGD is damaged and left out",)
    assert "chunks" not in picture.info


def test_a_background_goes_when_channels_do():
    picture = parse(made((b"bKGD", bytes(6))), "a")
    grey = replace(picture, array=picture.array[:, :, 0], mode="L")
    assert b"bKGD" not in encode(grey, "PNG")[0]
    assert b"bKGD" in encode(picture, "PNG")[0]


def test_a_profile_for_colours_goes_when_they_are_summed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.png").write_bytes(made(*TRUE))
    for channels, stays in (("each", True), ("sum", False)):
        recipe, targets = Recipe((kernel("1 2 1"),), Options(channels=channels)), Targets("b.png", overwrite=True)
        (job,) = make_jobs([("a.png", "")], "blur", targets)[0]
        outcome = Work(recipe, targets, Handling())(job)
        assert (b"iCCP" in Path("b.png").read_bytes()) == stays
        assert bool(outcome.notes) != stays


def test_every_picture_of_png_keeps_its_chunks():
    """Also those that Pillow reads."""
    meta = PngImagePlugin.PngInfo()
    meta.add_text("Title", "a title")
    array = smooth(8, 8)
    images = [Image.fromarray(array).quantize(16), Image.new("1", (8, 8)), Image.fromarray(array[:, :, 0])]
    for image in images:
        data = saved(image, "PNG", pnginfo=meta, exif=EXIF, dpi=(300, 300), icc_profile=ICC)
        expected = [pair for pair in parts(data) if pair[0] not in (b"IHDR", b"PLTE", b"IDAT")]
        assert len(expected) == 4
        assert [pair for pair in parts(again(data)) if pair[0] not in (b"IHDR", b"IDAT")] == expected


@pytest.mark.parametrize(
    "pair",
    [
        (b"pHYs", b"\0"),
        (b"iCCP", b"no end"),
        (b"iCCP", b"name\0\0no zlib"),
        (b"iCCP", b"name\0\0" + zlib.compress(ICC)[:-9]),
        (b"iTXt", b"XML:com.adobe.xmp\0"),
        (b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"),
        (b"tEXt", b"Raw profile type exif\0\nexif\n 4\nno digits"),
        (b"zTXt", b"Raw profile type exif\0\0no zlib"),
        (b"zTXt", b"Title\0\1another method"),
        (b"tEXt", b"no end of the keyword"),
        (b"tEXt", b"k" * 80 + b"\0too long"),
        (b"iTXt", b"Title\0\0\0de\0no text"),
        (b"iTXt", b"Title\0\2\0de\0\0text"),
        (b"eXIf", b"no TIFF"),
        (b"gAMA", b"\0\0\0\0"),
        (b"gAMA", b"\0\0\1"),
        (b"cHRM", bytes(31)),
        (b"sRGB", b""),
    ],
)
def test_what_is_damaged_is_left_out_with_a_word(pair):
    picture = parse(made(pair), "a")
    assert picture.notes == (f"its {pair[0].decode()} is damaged and left out",)
    assert picture.info == {}
    assert np.array_equal(picture.array, noise(6, 5, 3))


def test_what_is_too_long_is_left_out_with_a_word():
    data = made((b"iCCP", b"name\0\0" + zlib.compress(bytes(LARGEST_TEXT + 1))))
    assert parse(data, "a").notes == ("its iCCP is too long and left out",)


def test_of_what_may_stand_once_the_first_counts():
    pairs = [(b"gAMA", b"\0\0\0\1"), (b"gAMA", b"\0\0\0\2"), (b"pHYs", bytes(8) + b"\1"), (b"pHYs", bytes(9))]
    assert parts(again(made(*pairs)))[1:3] == pairs[::2]


def test_what_stands_behind_the_pixels_but_must_not_is_left_out():
    found = parts(again(made(behind=(*TRUE[:8], (b"eXIf", EXIF)))))
    assert [name for name, _ in found] == [b"IHDR", b"IDAT", b"eXIf"]


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_header_that_is_not_first_is_refused(place):
    """Pillow takes the last one, and would cut 16 bits to 8 without a word."""
    data = png(1, 1, 16, 2, b"\0" * 7)
    header, pixels, end = data[8:33], data[33:-12], data[-12:]
    order = [b"", header, pixels, end]
    order[place] = chunk(b"tEXt", b"a\0b") if place == 0 else header + order[place]
    with pytest.raises(PictureError, match="header"):
        parse(data[:8] + b"".join(order), "a")


def test_damage_of_a_checksum():
    data = bytearray(made((b"tEXt", b"a\0b"), behind=((b"tEXt", b"c\0d"),)))
    data[data.index(b"c\0d")] ^= 1
    assert [chunk.body for chunk in parse(bytes(data), "a").info["chunks"]] == [b"a\0b"]
    data[data.index(b"a\0b")] ^= 1
    with pytest.raises(PictureError, match="checksum"):
        parse(bytes(data), "a")


def test_many_chunks_take_no_longer_than_they_must():
    info, _ = metadata_of([Chunk(b"IHDR", bytes(13))] + [Chunk(b"gAMA", b"\0\0\0\1")] * 200_000)
    assert len(info["chunks"]) == 1


def test_other_formats_get_no_chunks():
    for form in ("JPEG", "TIFF", "WEBP", "BMP", "PPM", "GIF"):
        assert "chunks" not in by_name(form).keeps
        Image.open(io.BytesIO(encode(parse(made(*TRUE), "a"), form)[0])).load()


def test_words_of_chunks_are_words_of_the_command():
    assert {Chunk(*pair).word for pair in TRUE} == set(METADATA)


def test_what_pillow_would_refuse_the_file_for_is_left_out_with_a_word():
    long = np.random.default_rng(1).bytes(LARGEST_TEXT + 1)
    for info, name in (
        ({"icc_profile": long, "dpi": (72.5, 72.5)}, "ICC profile"),
        ({"photoshop": b"8BIM\x04\x04\0\0" + struct.pack(">I", 600_000) + long[:600_000]}, "Photoshop data"),
    ):
        picture = Picture(noise(6, 5, 3), "RGB", "JPEG", info)
        data, notes = encode(picture, "PNG")
        assert notes == (f"its {name} is longer than readers of PNG take and left out",)
        assert lost_in(picture, "PNG") == list(notes)
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            assert image.info.get("dpi") is None or image.info["dpi"] == pytest.approx((72.5, 72.5), abs=0.01)
