"""EXIF data, and the like of it: its bytes travel as they were, but for what would be untrue of the new picture."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from makers import ENDINGS, chunk, encode_png, exif, imgconv, noise, opened, png, saved, smooth
from PIL import ExifTags, Image

from imgconv.cli import cli

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
ARTIST, ORIENTATION, DESCRIPTION, MAKER_NOTE, COLUMNS, ROWS = 315, 274, 270, 37500, 40962, 40963
NAME = "José Müller".encode()
CARRIERS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF")
FACE = saved(Image.fromarray(noise(16, 16, 3)), "JPEG")
CODED = FACE[-100:-10]  # its pixels


def exif_data(
    endian: str = "<", thumbnail: bytes = b"", size: tuple[int, int] = (24, 16), **more: bytes | int
) -> bytes:
    """EXIF data as a camera writes it; in its second directory there may be a thumbnail."""
    made = Image.Exif()
    made.endian = endian
    made[ARTIST] = NAME
    for name, value in more.items():
        made[{"orientation": ORIENTATION, "description": DESCRIPTION}[name]] = value
    inner = made.get_ifd(ExifTags.IFD.Exif)
    inner[COLUMNS], inner[ROWS], inner[MAKER_NOTE] = *size, b"Maker\0\1\2" + NAME
    data = bytearray(made.tobytes())
    if thumbnail:
        order, start = endian, 6
        (first,) = struct.unpack_from(order + "I", data, start + 4)
        (count,) = struct.unpack_from(order + "H", data, start + first)
        data += bytes(len(data) % 2)
        at = len(data) - start
        struct.pack_into(order + "I", data, start + first + 2 + 12 * count, at)
        fields = [(259, 3, 1, 6), (513, 4, 1, at + 42), (514, 4, 1, len(thumbnail))]
        data += struct.pack(order + "H", 3)
        data += b"".join(struct.pack(order + ("HHIHxx" if kind == 3 else "HHII"), tag, kind, n, value)
                         for tag, kind, n, value in fields)  # fmt: skip
        data += bytes(4) + thumbnail
    return bytes(data)


AVIF = {"AVIF": ".avif"}


def apply(
    folder: Path, source: bytes, form: str, target: str, *options: str, kernel: str = "blur"
) -> tuple[bytes, str]:
    """The file that the command makes, and what it says."""
    before, after = (folder / f"{stem}{(ENDINGS | AVIF)[of]}" for stem, of in (("a", form), ("b", target)))
    before.write_bytes(source)
    words = ["apply", str(before), "-k", kernel, "-o", str(after), "--overwrite", *options]
    done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    assert not done.return_value, done.output
    return after.read_bytes(), done.stderr


def photo(form: str, exif: bytes) -> bytes:
    return saved(Image.fromarray(smooth(16, 24)), form, exif=exif)


def held(data: bytes) -> bytes:
    """The EXIF data in a file, without the mark that some formats put before it."""
    return opened(data).info["exif"].removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("target", CARRIERS)
@pytest.mark.parametrize("form", CARRIERS)
def test_its_bytes_travel(form, target, endian, tmp_path):
    given = exif_data(endian)
    data, told = apply(tmp_path, photo(form, given), form, target)
    assert told == ""
    assert NAME + b"\0" in data
    assert b"Maker\0\1\2" + NAME in data
    if "TIFF" not in (form, target):
        assert held(data) == given[6:]
    with Image.open(io.BytesIO(data)) as image:
        inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
        assert (inner[COLUMNS], inner[ROWS]) == (24, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_in_avif_its_bytes_are_as_they_were_whatever_the_orientation(orientation, tmp_path):
    given = exif_data(orientation=orientation)
    data, told = apply(tmp_path, photo("JPEG", given), "JPEG", "AVIF")
    assert (held(data), told) == (given[6:], "")
    assert apply(tmp_path, data, "AVIF", "JPEG")[0].find(given[6:]) > 0


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_picture_turned_upright_changes_but_its_orientation_and_size(form, endian, tmp_path):
    given = exif_data(endian, orientation=6)
    data, _ = apply(tmp_path, photo(form, given), form, form, "--auto-orient")
    image = opened(data)
    assert image.size == (16, 24)
    assert image.getexif()[ORIENTATION] == 1
    inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert (inner[COLUMNS], inner[ROWS]) == (16, 24)
    assert len(held(data)) == len(given[6:])
    assert sum(a != b for a, b in zip(held(data), given[6:], strict=True)) == 3


@pytest.mark.parametrize(("options", "size"), [(("--padding", "valid"), (20, 12)), (("--stride", "2"), (12, 8))])
@pytest.mark.parametrize("form", CARRIERS)
def test_its_size_is_that_of_the_result(form, options, size, tmp_path):
    data, _ = apply(tmp_path, photo(form, exif_data()), form, form, *options, kernel="box:radius=2")
    image = opened(data)
    inner = image.getexif().get_ifd(ExifTags.IFD.Exif)
    assert image.size == (inner[COLUMNS], inner[ROWS]) == size


def test_a_size_of_more_than_two_bytes_is_written_as_four(tmp_path):
    before = Image.new("L", (65535, 1))
    data, _ = apply(tmp_path, saved(before, "PNG", exif=exif_data(size=(65535, 1))), "PNG", "PNG", "--padding", "full",
                    kernel="box:radius=1")  # fmt: skip
    inner = opened(data).getexif().get_ifd(ExifTags.IFD.Exif)
    assert (inner[COLUMNS], inner[ROWS]) == (65537, 3)


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("target", CARRIERS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_its_thumbnail_shows_nobody_the_picture_before(form, target, endian, tmp_path):
    given = exif_data(endian, FACE)
    source = photo(form, given)
    assert opened(source).getexif().get_ifd(ExifTags.IFD.IFD1)
    data, told = apply(tmp_path, source, form, target)
    assert CODED not in data
    assert NAME in data
    assert ("thumbnail" in told) is (target == "TIFF")
    assert bool(opened(data).getexif().get_ifd(ExifTags.IFD.IFD1)) is (target != "TIFF")


def thumbnail(data: bytes) -> Image.Image:
    """The one in a file, as readers find it."""
    fields = opened(data).getexif().get_ifd(ExifTags.IFD.IFD1)
    return opened(held(data)[fields[513] :][: fields[514]])


@pytest.mark.parametrize("size", [(40, 64), (1040, 1024)])  # the latter is written in strips
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP"])
def test_its_thumbnail_is_made_again_from_the_result(target, size, tmp_path):
    face = saved(Image.fromarray(noise(48, 64, 3)), "JPEG", quality=95)
    given = exif_data("<", face)
    source = saved(Image.fromarray(smooth(*size)), "JPEG", exif=given, quality=95)
    data, told = apply(tmp_path, source, "JPEG", target, "--mode", "convolve", kernel="0 0 0; 0 -1 0; 0 0 0")
    assert told == "" or "clipped" in told
    data, told = apply(tmp_path, source, "JPEG", target, "--offset", "255", kernel="-1")
    made = thumbnail(data)
    assert max(made.size) == min(64, max(size))
    expected = opened(data).convert("RGB").resize(made.size, Image.Resampling.BOX)
    assert np.abs(np.asarray(made).astype(int) - np.asarray(expected)).mean() < 6
    at = given.index(face) - 6
    assert held(data)[: at - 12] == given[6:][: at - 12]  # but for the length of the thumbnail
    assert len(held(data)) == len(given) - 6
    again, _ = apply(tmp_path, source, "JPEG", target, "--offset", "255", "-t", "1", kernel="-1")
    assert again == data


@pytest.mark.parametrize("endian", ["<", ">"])
def test_a_thumbnails_own_words_are_true_of_it(endian, tmp_path):
    face = saved(Image.fromarray(noise(48, 64, 3)), "JPEG", quality=95)
    given = bytearray(exif_data(endian, face, orientation=6))
    at = given.index(face)
    given[at:at] = b"".join(  # more fields behind the three that are there
        struct.pack(endian + "HHIHxx", tag, 3, 1, value) for tag, value in ((256, 64), (257, 48), (ORIENTATION, 6))
    )
    second = at - 42  # its directory
    struct.pack_into(endian + "H", given, second, 6)
    fields = [bytes(given[second + 2 + 12 * n :][:12]) for n in range(3)] + [
        bytes(given[at + 12 * n :][:12]) for n in range(3)
    ]
    fields[1] = struct.pack(endian + "HHII", 513, 4, 1, at + 36 - 6)
    ordered = sorted(fields, key=lambda field: struct.unpack(endian + "H", field[:2]))
    given[second + 2 : at + 36] = b"".join(ordered) + bytes(4)
    data, _ = apply(tmp_path, photo("JPEG", bytes(given)), "JPEG", "JPEG", "--auto-orient")
    words = opened(data).getexif().get_ifd(ExifTags.IFD.IFD1)
    assert thumbnail(data).size == (words[256], words[257]) == (16, 24)
    assert words[ORIENTATION] == opened(data).getexif()[ORIENTATION] == 1


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_its_thumbnail_is_made_of_any_samples(channels, dtype, tmp_path):
    array = noise(32, 48, channels, dtype=dtype)
    source = encode_png(array[:, :, 0] if channels == 1 else array, {"exif": exif_data(thumbnail=FACE)})
    data, told = apply(tmp_path, source, "PNG", "PNG", "--padding", "valid")
    made = thumbnail(data)
    assert (made.mode, made.size, told) == ("L" if channels == 1 else "RGB", (16, 10), "")
    if channels in (2, 4):
        array[..., -1] = 0
        data, _ = apply(tmp_path, encode_png(array, {"exif": exif_data(thumbnail=FACE)}), "PNG", "PNG")
        assert np.asarray(thumbnail(data)).min() > 250  # what cannot be seen cannot be seen


def test_a_thumbnail_for_which_there_is_no_room_goes(tmp_path):
    tiny = saved(Image.new("L", (160, 120), 9), "JPEG", quality=1)
    source = saved(Image.fromarray(noise(160, 160, 3)), "JPEG", exif=exif_data(thumbnail=tiny[:330] + b"\xff\xd9"))
    data, _ = apply(tmp_path, source, "JPEG", "JPEG")
    assert not opened(data).getexif().get_ifd(ExifTags.IFD.IFD1)
    assert opened(data).size == (160, 160)


def test_a_preview_in_the_notes_of_the_maker_goes_and_the_notes_stay(tmp_path):
    made = Image.Exif()
    made.get_ifd(ExifTags.IFD.Exif)[MAKER_NOTE] = b"before" + FACE + b"behind"
    data, told = apply(tmp_path, photo("JPEG", made.tobytes()), "JPEG", "JPEG")
    assert CODED not in data
    assert b"before\0\0" in data
    assert b"\0\0behind" in data
    assert "thumbnail" in told


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_a_thumbnail_in_xmp_goes(form, tmp_path):
    xmp = b'<x:xmpmeta><rdf:li xmpGImg:image="/9j/AAAA" a="1"/><xmpGImg:image>/9j/BBBB</xmpGImg:image></x:xmpmeta>'
    data, told = apply(tmp_path, saved(Image.fromarray(smooth(16, 24)), form, xmp=xmp), form, "PNG")
    assert b"/9j/" not in data
    assert b'<rdf:li  a="1"/></x:xmpmeta>' in data
    assert "thumbnail" in told


def png_with(*texts: tuple[bytes, str, bytes]) -> bytes:
    """A PNG with texts of a chunk's name, a keyword, and bytes in digits, as ImageMagick writes them."""
    bodies = []
    for name, kind, raw in texts:
        text = f"\n{kind}\n{len(raw):8}\n".encode() + raw.hex().encode()
        text = {b"tEXt": text, b"zTXt": b"\0" + zlib.compress(text), b"iTXt": bytes(4) + text}[name]
        bodies.append(chunk(name, f"Raw profile type {kind}\0".encode() + text))
    return png(24, 16, 8, 2, b"".join(b"\0" + row.tobytes() for row in smooth(16, 24)), *bodies)


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
@pytest.mark.parametrize("kind", ["8bim", "iptc", "exif", "APP1"])
def test_raw_profiles_of_a_png_show_nobody_the_picture_before(kind, name, tmp_path):
    resource = b"8BIM\4\x0c\0\0" + struct.pack(">I", 28 + len(FACE)) + bytes(28) + FACE
    raw = resource if kind in ("8bim", "iptc") else exif_data(thumbnail=FACE)
    clean = (b"tEXt", "exif", exif_data())  # which comes first
    for texts in ([(name, kind, raw)], [clean, (name, kind, raw)]):
        data, told = apply(tmp_path, png_with(*texts), "PNG", "PNG")
        texts_of = opened(data).text
        assert CODED.hex() not in str(texts_of)
        assert CODED not in data
        assert ("shows the picture before" in told) is (kind in ("8bim", "iptc"))
        if clean in texts or kind in ("exif", "APP1"):
            assert opened(data).getexif()[ARTIST].encode("latin-1", "replace") in (
                NAME,
                NAME.decode().encode("latin-1"),
            )


def test_raw_profiles_that_show_nothing_stay(tmp_path):
    texts = ((b"tEXt", "8bim", b"8BIM\4\4\0\0\0\0\0\4\x1c\2\0\0"), (b"zTXt", "exif", exif_data()))
    source = png_with(*texts)
    data, told = apply(tmp_path, source, "PNG", "PNG")
    assert opened(data).text == opened(source).text
    assert told == ""


def test_xmp_in_a_raw_profile_app1_is_no_exif_data(tmp_path):
    xmp = b'<x:xmpmeta a="1"/>'
    data, told = apply(tmp_path, png_with((b"zTXt", "APP1", b"http://ns.adobe.com/xap/1.0/\0" + xmp)), "PNG", "JPEG")
    assert (opened(data).info.get("xmp"), opened(data).info.get("exif"), told) == (xmp, None, "")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_tiff_that_is_read_upright_has_the_size_that_it_says(orientation, dtype, tmp_path):
    samples = noise(16, 24, 3, dtype=dtype).byteswap()
    raw = b"".join(b"\0" + row.tobytes() for row in samples)
    turned = png(24, 16, 8 * samples.itemsize, 2, raw, chunk(b"eXIf", exif_data(orientation=orientation)[6:]))
    source, _ = apply(tmp_path, turned, "PNG", "TIFF")
    data, _ = apply(tmp_path, source, "TIFF", "TIFF")
    kept = opened(data).getexif()
    inner = kept.get_ifd(ExifTags.IFD.Exif)
    with tifffile.TiffFile(io.BytesIO(data)) as found:
        rows, columns, _ = found.asarray().shape
    assert (inner[COLUMNS], inner[ROWS]) == (columns, rows) == ((16, 24) if orientation == 6 else (24, 16))
    assert kept.get(ORIENTATION, 1) == 1


BAD = [b"Exif\0\0", b"Exif\0\0II*\0", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1",
       b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\x05\0\1\0\0\0\6\0\0\0" + bytes(4),
       b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\xff\xff\xff\x7f" + bytes(4), b"Exif\0\0nothing"]  # fmt: skip


@pytest.mark.parametrize("target", CARRIERS)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", BAD)
def test_what_makes_no_sense_stops_nobody(exif, form, target, tmp_path):
    if form == "PNG":
        raw = b"".join(b"\0" + row.tobytes() for row in smooth(16, 24))
        source = png(24, 16, 8, 2, raw, chunk(b"eXIf", exif[6:]))
    else:
        source = photo(form, exif)
    data, _ = apply(tmp_path, source, form, target, "--auto-orient", "--padding", "valid")
    assert opened(data).size == (20, 12)


@pytest.mark.parametrize("target", ["TIFF", "PNG", "JPEG"])
def test_the_tags_of_bigtiff_travel(target, tmp_path):
    file = io.BytesIO()
    tags = [(ARTIST, 2, None, NAME, True), (37510, 16, 1, 7, True), (37511, 16, 1, 2**40, True)]
    tifffile.imwrite(file, smooth(16, 24), bigtiff=True, description="about it", extratags=tags)
    assert file.getvalue().startswith(b"II+\0")
    data, _ = apply(tmp_path, file.getvalue(), "TIFF", target)
    kept = opened(data).getexif()
    assert (kept[DESCRIPTION], kept[37510], kept.get(37511)) == ("about it", 7, None)
    assert NAME in data
    if target == "PNG":
        assert data[data.index(b"eXIf") + 4 :].startswith(b"II*\0")


@pytest.mark.parametrize(
    ("words", "shape"), [((), (12, 17, 3)), (("--padding", "valid"), (8, 13, 3)), (("--channels", "sum"), (12, 17))]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_tiffs_description_of_its_shape_goes_with_the_shape(dtype, words, shape, tmp_path):
    file = io.BytesIO()
    tifffile.imwrite(file, noise(12, 17, 3, dtype=dtype), photometric="rgb", metadata={"note": "kept"})
    data, _ = apply(tmp_path, file.getvalue(), "TIFF", "TIFF", *words, kernel="box:radius=2")
    with tifffile.TiffFile(io.BytesIO(data)) as found:
        assert found.asarray().shape == shape
        assert ('"shape"' in found.pages[0].description) is (words == ())


def test_a_description_of_many_frames_goes(tmp_path):
    file = io.BytesIO()
    tifffile.imwrite(file, noise(3, 12, 17), imagej=True)
    data, told = apply(tmp_path, file.getvalue(), "TIFF", "TIFF")
    assert DESCRIPTION not in opened(data).getexif()
    assert "description" in told


def test_a_library_image_has_no_old_thumbnail_either():
    import imgconv

    before = opened(photo("JPEG", exif_data(thumbnail=FACE)))
    before.info["xmp"] = b'<x:xmpmeta><rdf:li xmpGImg:image="/9j/AAAA"/></x:xmpmeta>'
    after = imgconv.apply(before, "blur", padding="valid")
    inner = after.getexif().get_ifd(ExifTags.IFD.Exif)
    assert (inner[COLUMNS], inner[ROWS]) == after.size
    assert CODED not in after.info["exif"]
    assert b"/9j/" not in after.info["xmp"]
    assert np.asarray(after).shape == (12, 20, 3)


@pytest.mark.parametrize("size", [(24, 16), (1200, 1000)])
@pytest.mark.parametrize("target", ["JPEG", "GIF"])
@pytest.mark.parametrize("form", ["JPEG", "GIF"])
def test_a_comment_travels(form, target, size, tmp_path):
    source = saved(Image.new("L", size, 90), form, comment=NAME + b"\n\xff")
    assert opened(apply(tmp_path, source, form, target)[0]).info["comment"] == NAME + b"\n\xff"
    assert "comment" not in opened(apply(tmp_path, source, form, target, "--metadata", "exif")[0]).info


@pytest.mark.parametrize("comment", [NAME, b"plain", b"\xff\n\xe4"])  # UTF-8, ASCII, Latin-1
@pytest.mark.parametrize("form", ["JPEG", "GIF"])
def test_a_comment_goes_to_a_text_of_png_and_back(form, comment, tmp_path):
    source = saved(Image.new("L", (24, 16), 90), form, comment=comment)
    there, told = apply(tmp_path, source, form, "PNG")
    assert told == ""
    expected = comment.decode("latin-1" if comment[0] == 255 else "utf-8")
    assert opened(there).text == {"Comment": expected}
    assert opened(apply(tmp_path, there, "PNG", form)[0]).info["comment"] == comment
    assert opened(apply(tmp_path, there, "PNG", form, "--metadata", "icc")[0]).info.get("comment") is None
    assert opened(apply(tmp_path, source, form, "PNG", "--metadata", "icc")[0]).text == {}


def test_the_help_says_so():
    said = " ".join(CliRunner().invoke(cli, ["apply", "--help", "--metadata"]).output.split())
    assert "exif, iptc, xmp, icc, dpi, text (comments) and, from PNG to PNG, colour, time, other;" in said


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iTXt"])
def test_a_comment_of_a_png_stays_as_it_is(name, tmp_path):
    for keyword in (b"Comment", b"comment"):  # the latter is ImageMagick's
        body = keyword + b"\0" + {b"tEXt": b"a", b"zTXt": b"\0" + zlib.compress(b"a"), b"iTXt": b"\0\0de\0\0a"}[name]
        source = png(4, 1, 8, 0, bytes(5), chunk(name, body), chunk(b"tEXt", b"Comment\0another"))
        data, _ = apply(tmp_path, source, "PNG", "PNG")
        assert chunk(name, body) + chunk(b"tEXt", b"Comment\0another") in data
        assert opened(apply(tmp_path, source, "PNG", "GIF")[0]).info["comment"] == b"a"


def test_every_comment_of_a_jpeg_travels_and_one_that_is_too_long_is_named(tmp_path):
    source = saved(Image.new("L", (24, 16), 90), "JPEG", comment=b"second")
    source = source[:2] + b"\xff\xfe\0\x07first" + source[2:]
    assert opened(apply(tmp_path, source, "JPEG", "JPEG")[0]).info["comment"] == b"first\nsecond"
    long = saved(Image.new("L", (24, 16), 90), "GIF", comment=b"a" * 70_000)
    data, told = apply(tmp_path, long, "GIF", "JPEG")
    assert "comment" not in opened(data).info
    assert "comment" in told


@pytest.mark.parametrize("at", [4, 46])  # where the first directory is; where the second
def test_exif_data_that_points_out_of_itself_is_no_reason_to_refuse_a_picture(tmp_path, at):
    data = bytearray(saved(Image.fromarray(noise(4, 5, 3)), "JPEG", exif=exif(orientation=6)))
    place = data.index(b"Exif\0\0") + 6 + at
    data[place : place + 4] = b"\1\0\1\0"
    (tmp_path / "a.jpg").write_bytes(data)
    ran = imgconv("apply", "a.jpg", "-k", "blur", "-o", "b.tif", cwd=tmp_path)
    assert (ran.returncode, (tmp_path / "b.tif").exists()) == (0, True), ran.stderr
