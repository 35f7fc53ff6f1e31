"""What a file says beside its pixels: in the result, whatever its format, or named as left out."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import tifffile
from click.testing import CliRunner
from makers import ENDINGS, chunk, exif, noise, opened, png, saved, smooth
from PIL import Image, ImageOps

from imgconv.cli import cli
from imgconv.conventions import METADATA
from imgconv.formats.boxes import info_of
from imgconv.formats.metadata import KEYS
from imgconv.formats.photoshop import changed, iptc_of, resource, resources, with_iptc
from imgconv.formats.read import parse
from imgconv.formats.xmp import RDF

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
needs_exiftool = pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not installed")
HEADLINE, LONG_TEXT = b"a headline", b"text " * 8000  # the latter has a length of more than two bytes
IPTC = b"\x1c\2\0\0\2\0\4" + b"\x1c\2\x69" + struct.pack(">H", len(HEADLINE)) + HEADLINE
IPTC += b"\x1c\2\x78" + struct.pack(">HI", 0x8004, len(LONG_TEXT)) + LONG_TEXT
PLAIN = saved(Image.fromarray(smooth(16, 24)), "JPEG")
XMP = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">{{}}</rdf:RDF></x:xmpmeta>'


def apply(folder: Path, source: bytes, form: str, target: str, *options: str) -> tuple[bytes, list[str]]:
    """The file that the command makes, and the notes in its line of JSON."""
    before, after = folder / f"a{ENDINGS[form]}", folder / f"b{ENDINGS[target]}"
    before.write_bytes(source)
    words = ["apply", str(before), "-k", "identity", "-o", str(after), "--overwrite", "--json", *options]
    done = CliRunner().invoke(cli, words, standalone_mode=False, catch_exceptions=False)
    line = json.loads(done.stdout)
    assert not done.return_value, line
    assert [told.split(f"{before}: ")[1] for told in done.stderr.splitlines()] == line["notes"]
    return after.read_bytes(), line["notes"]


def exiftool(data: bytes) -> dict[str, str]:
    """Every tag that exiftool finds, by its group and name."""
    done = subprocess.run(["exiftool", "-j", "-G1", "-a", "-b", "-"], input=data, capture_output=True, check=False)
    return json.loads(done.stdout)[0]


def segmented(*segments: tuple[int, bytes], data: bytes = PLAIN) -> bytes:
    """A JPEG file with more segments in front."""
    parts = (bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    return data[:2] + b"".join(parts) + data[2:]


def photoshop(data: bytes) -> list[tuple[int, bytes]]:
    """Segments of Photoshop's resources."""
    return [(0xED, b"Photoshop 3.0\0" + data[at : at + 65000]) for at in range(0, len(data), 65000)]


def extended(more: bytes, digest: str = "") -> list[tuple[int, bytes]]:
    """Segments of XMP that is longer than one of them: the digest of the rest, its length, and where each part is."""
    digest = digest or hashlib.md5(more).hexdigest().upper()
    about = f'<rdf:Description xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{digest}"/>'
    head = b"http://ns.adobe.com/xmp/extension/\0" + digest.encode() + struct.pack(">I", len(more))
    parts = [(0xE1, head + struct.pack(">I", at) + more[at : at + 40000]) for at in range(0, len(more), 40000)]
    return [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP.format(about).encode()), *reversed(parts)]


def test_words_are_those_of_the_command():
    assert tuple(KEYS) == METADATA


def test_resources_are_taken_apart_and_put_together():
    named = b"8BIM\3\xf2\4name\0" + struct.pack(">I", 3) + b"abc\0"
    data = named + resource(0x0404, b"iptc!") + b"MeSa\7\xd0\0\0\0\0\0\0"
    assert [(number, value) for number, _, value in resources(data)] == [
        (0x03F2, b"abc"), (0x0404, b"iptc!"), (0x07D0, b""),
    ]  # fmt: skip
    assert changed(data, lambda _, value: value) == data
    assert iptc_of(changed(data, lambda number, value: value[:4] if number == 0x0404 else value)) == b"iptc"
    for size in range(len(data)):
        assert len(list(resources(data[:size]))) < 3


def test_iptc_data_of_tiff_ends_where_its_last_record_ends():
    assert iptc_of(with_iptc(b"", IPTC + bytes(3))) == IPTC
    assert iptc_of(with_iptc(resource(0x0404, b"old") + resource(0x03F2, b""), IPTC)) == IPTC
    assert with_iptc(b"", b"\0\0\0\0") == b""


def with_iptc_in(form: str) -> bytes:
    """A file of the format with IPTC data."""
    if form == "JPEG":
        return segmented(*photoshop(resource(0x0404, IPTC) + resource(0x040B, b"http://a/")))
    if form == "TIFF":
        file = io.BytesIO()
        tag = (33723, 4, len(IPTC) // 4 + 1, IPTC + bytes(4 - len(IPTC) % 4), True)
        tifffile.imwrite(file, smooth(16, 24), photometric="rgb", extratags=[tag], metadata=None)
        return file.getvalue()
    text = b"\niptc\n%8d\n" % len(resource(0x0404, IPTC)) + resource(0x0404, IPTC).hex().encode()
    rows = b"".join(b"\0" + row.tobytes() for row in smooth(16, 24))
    return png(24, 16, 8, 2, rows, chunk(b"tEXt", b"Raw profile type iptc\0" + text))


@needs_exiftool
@pytest.mark.parametrize("target", ["JPEG", "TIFF", "PNG"])
@pytest.mark.parametrize("form", ["JPEG", "TIFF", "PNG"])
def test_iptc_data_travels(form, target, tmp_path):
    """RawTherapee#4464 and #3645 lose it."""
    source = with_iptc_in(form)
    before = exiftool(source)
    assert (before["IPTC:Headline"], before["IPTC:Caption-Abstract"]) == (HEADLINE.decode(), LONG_TEXT.decode())
    data, notes = apply(tmp_path, source, form, target)
    after = exiftool(data)
    assert {key: after.get(key) for key in before if key.startswith(("IPTC", "Photoshop:URL"))} == {
        key: value for key, value in before.items() if key.startswith(("IPTC", "Photoshop:URL"))
    }
    assert notes == []
    assert not [key for key in after if "Warning" in key]
    bare = exiftool(apply(tmp_path, source, form, target, "--metadata", "exif,xmp,icc,dpi,text,other")[0])
    assert not [key for key in bare if key.startswith("IPTC")]


@pytest.mark.parametrize("target", ["WEBP", "GIF", "PPM", "BMP"])
def test_what_a_format_cannot_hold_is_named(target, tmp_path):
    source = segmented(*photoshop(resource(0x0404, IPTC)), (0xFE, b"a comment"))
    source = segmented((0xE1, exif().tobytes()), data=source)
    _, notes = apply(tmp_path, source, "JPEG", target)
    named = {"WEBP": "comment and IPTC data"} | dict.fromkeys(("GIF", "PPM"), "EXIF data and IPTC data")
    assert notes[:1] == [f"{target} cannot hold its {named.get(target, 'EXIF data, comment and IPTC data')}: left out"]
    assert len(apply(tmp_path, source, "JPEG", target, "--metadata", "none")[1]) == (target == "GIF")  # its colours


def test_the_thumbnails_of_photoshop_go_and_its_other_resources_stay(tmp_path):
    shown = resource(0x040C, bytes(28) + PLAIN)
    data, notes = apply(tmp_path, segmented(*photoshop(resource(0x0404, IPTC) + shown)), "JPEG", "JPEG")
    assert notes == ["what shows the picture before in its Photoshop data is left out"]
    assert iptc_of(parse(data, "a").info["photoshop"]) == IPTC
    assert shown not in data


@needs_exiftool
@pytest.mark.parametrize("target", ["JPEG", "TIFF", "PNG", "WEBP"])
def test_xmp_that_is_longer_than_a_segment_travels(target, tmp_path):
    more = XMP.format(
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>'
        + "long " * 20_000 + "</dc:source></rdf:Description>"
    ).encode()  # fmt: skip
    source = segmented(*extended(more))
    assert len(exiftool(source)["XMP-dc:Source"]) >= 99_999
    data, notes = apply(tmp_path, source, "JPEG", target)
    assert exiftool(data)["XMP-dc:Source"] == exiftool(source)["XMP-dc:Source"]
    assert notes == []
    assert (b"HasExtendedXMP" in data) is (target == "JPEG")
    if target != "JPEG":
        back, notes = apply(tmp_path, data, target, "JPEG")
        assert exiftool(back)["XMP-dc:Source"] == exiftool(source)["XMP-dc:Source"]


@pytest.mark.parametrize("broken", ["another digest", "no XML", "no end", "a document type"])
def test_xmp_whose_parts_do_not_fit_together_is_named(broken, tmp_path):
    more = {"no XML": XMP.format("<a>"), "no end": "<rdf:RDF>", "a document type": "<!DOCTYPE a>" + XMP.format("")}
    segments = extended(more.get(broken, XMP).encode(), "0" * 32 if broken == "another digest" else "")
    data, notes = apply(tmp_path, segmented(*segments), "JPEG", "JPEG")
    assert notes == ["its extended XMP cannot travel: left out"]
    assert opened(data).info["xmp"]


def test_segments_that_do_not_travel_are_named(tmp_path):
    source = segmented(
        (0xE0, b"JFXX\0\x10" + PLAIN), (0xE1, b"FLIR\0\1"), (0xE1, b"FLIR\0\2"), (0xE2, b"MPF\0II*\0"),
        (0xE2, b"ICC_PROFILE\0\1\2half"), (0xEB, b"JP\0\1jumb"), (0xEC, b"Ducky\0\1"), (0xE5, b"\0\1"),
    )  # fmt: skip
    _, notes = apply(tmp_path, source, "JPEG", "PNG")
    assert notes == [
        "its segment APP0 (JFXX), segment APP1 (FLIR), segment APP2 (MPF), segment APP11 (JP), segment APP12 (Ducky),"
        " segment APP5 and damaged ICC profile cannot travel: left out"
    ]
    assert apply(tmp_path, source, "JPEG", "JPEG", "--metadata", "icc")[1] == [
        "its damaged ICC profile cannot travel: left out"
    ]


GAIN_MAP = XMP.format(
    '<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0" xmlns:GCamera="a"'
    ' GCamera:MotionPhoto="1" xmlns:dc="b" dc:source="stays"><hdrgm:GainMapMax>1</hdrgm:GainMapMax>'
    '<Container:Directory xmlns:Container="c"><rdf:Seq/></Container:Directory></rdf:Description>'
)


@pytest.mark.parametrize(
    ("behind", "named"), [(PLAIN, "another picture"), (b"\0\0\0\x18ftypmp42" + bytes(12), "a video"), (b"xyz", "")]
)
def test_what_stands_behind_the_picture_is_named(behind, named, tmp_path):
    """A gain map, a motion photo: Pillow#8036 and mozjpeg#451 lose them without a word.

    Nor does the result's XMP say that they are there.
    """
    source = saved(Image.fromarray(smooth(16, 24)), "JPEG", xmp=GAIN_MAP.encode()) + behind
    data, notes = apply(tmp_path, source, "JPEG", "JPEG")
    kind = f" ({named})" if named else ""
    assert notes == [f"its {len(behind):,} bytes behind its pixels{kind} cannot travel: left out"]
    assert data.endswith(b"\xff\xd9")
    packet = opened(data).info["xmp"]
    assert b'dc:source="stays"' in packet
    assert not [word for word in (b"hdrgm:Version=", b"GainMapMax", b"MotionPhoto", b"<Container") if word in packet]
    for end in (b"", b"\0\0", b"\r\n"):  # filling
        assert apply(tmp_path, PLAIN + end, "JPEG", "JPEG")[1] == []


@pytest.mark.parametrize("target", ["JPEG", "GIF"])
def test_what_a_png_says_that_others_cannot_is_named(target, tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in smooth(16, 24))
    chunks = [
        chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"cICP", bytes([9, 16, 0, 1])), chunk(b"sBIT", b"\5\6\5"),
        chunk(b"tEXt", b"Title\0a"), chunk(b"tEXt", b"Author\0b"), chunk(b"tIME", bytes([7, 208, 1, 1, 0, 0, 0])),
        chunk(b"pHYs", struct.pack(">IIB", 1, 2, 0)), chunk(b"prVa", b"private"), chunk(b"caBX", b"signed"),
    ]  # fmt: skip
    source = png(24, 16, 8, 2, rows, *chunks)
    _, notes = apply(tmp_path, source, "PNG", target)
    assert notes[:2] == [
        f"{target} cannot hold its text (Title, Author), time, cICP, gamma of 1, pixel aspect ratio 2:1 and"
        " chunk prVa: left out",
        "its chunk sBIT and chunk caBX cannot travel: left out",
    ]
    data, notes = apply(tmp_path, source, "PNG", "PNG")
    assert notes == ["its chunk sBIT and chunk caBX cannot travel: left out"]
    assert all(part in data for part in chunks if part[4:8] not in (b"sBIT", b"caBX"))


def test_what_says_that_a_png_is_as_any_other_picture_is_not_named(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in smooth(16, 24))
    primaries = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    for chunks in (
        [(b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455)), (b"cHRM", primaries)],
        [(b"gAMA", struct.pack(">I", 45000)), (b"cHRM", primaries)],
        [(b"sBIT", b"\x08\x08\x08"), (b"iDOT", b"apple")],
    ):
        source = png(24, 16, 8, 2, rows, *(chunk(*pair) for pair in chunks))
        assert apply(tmp_path, source, "PNG", "JPEG")[1] == []


@pytest.mark.parametrize(("dpi", "named"), [((300, 300), True), ((72, 72), False)])
def test_a_resolution_is_named_where_somebody_chose_it(dpi, named, tmp_path):
    image = Image.fromarray(noise(16, 24, 3))
    source = saved(image, "JPEG", dpi=dpi)
    assert bool(apply(tmp_path, source, "JPEG", "WEBP")[1]) is named
    made = exif()
    made[282], made[283] = dpi
    data, notes = apply(tmp_path, saved(image, "JPEG", dpi=dpi, exif=made), "JPEG", "WEBP")
    assert notes == []
    assert opened(data).getexif()[282] == dpi[0]


@pytest.mark.parametrize("target", ["TIFF", "PNG", "JPEG", "WEBP"])
def test_private_tags_of_a_tiff_travel_and_what_cannot_is_named(target, tmp_path):
    file = io.BytesIO()
    private = [(42112, 2, None, b"<GDALMetadata/>", True), (33550, 12, 3, (1.0, 2.0, 0.0), True)]
    with tifffile.TiffWriter(file) as writer:
        writer.write(smooth(16, 24), photometric="rgb", subifds=1, extratags=private, metadata=None)
        writer.write(smooth(8, 12), photometric="rgb", metadata=None)
    data, notes = apply(tmp_path, file.getvalue(), "TIFF", target)
    found = opened(data).getexif()
    assert (found[42112], found[33550]) == ("<GDALMetadata/>", (1.0, 2.0, 0.0))
    assert notes == ["its pictures within (SubIFDs) cannot travel: left out"]


@needs_exiftool
@pytest.mark.parametrize("target", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_profile_of_many_segments_travels(target, tmp_path):
    profile = bytearray(noise(300_000).tobytes())
    profile[:4], profile[36:40] = struct.pack(">I", len(profile)), b"acsp"
    source = saved(Image.fromarray(smooth(16, 24)), "JPEG", icc_profile=bytes(profile))
    data, notes = apply(tmp_path, source, "JPEG", target)
    assert opened(data).info["icc_profile"] == profile
    assert notes == []


SAMPLES = Path(skimage.data.__file__).parent
FILES = [
    SAMPLES / name for name in ("astronaut.png", "chelsea.png", "clock_motion.png", "phantom.png", "multipage.tif")
]
FILES += [SAMPLES / name for name in ("hubble_deep_field.jpg", "rocket.jpg", "retina.jpg", "no_time_for_that_tiny.gif")]
SAID = ("IFD", "ExifIFD", "GPS", "XMP", "ICC", "IPTC", "Photoshop", "JFIF", "PNG", "File:Comment", "GIF:Comment")
# how the old file was laid out; what exiftool makes of the pixels, and of the resolution of every file that has none
LAID_OUT = (
    "Image(Width|Height|Length|Size)|Bits?(Depth|PerSample)|ColorType|Compression|Filter|Interlace|Palette|Transparency"
    "|JFIFVersion|SignificantBits|Strip|SamplesPer|RowsPerStrip|Photometric|Planar|FillOrder|SubfileType|PageNumber"
    "|Duration|Animation|ProfileName|SRGBRendering|Gamma|WhitePoint|(Red|Green|Blue)[XY]|Resolution|PixelUnits"
    "|PixelsPerUnit|Sampling|Predictor|Orientation|ExtraSamples"
)  # fmt: skip


@needs_exiftool
@pytest.mark.parametrize("target", ["", ".png", ".tif", ".webp"])
def test_files_of_packages_lose_nothing_without_a_word(target, tmp_path):
    """imgp#33, ImageMagick#8926 and Pillow#890 lose EXIF data and profiles so."""
    words = ["-k", "identity", "-o", f"{tmp_path}/{{stem}}{target or '{ext}'}", "--json", "-q"]
    done = CliRunner().invoke(cli, ["apply", *map(str, FILES), *words], standalone_mode=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == len(FILES)
    told = subprocess.run(
        ["exiftool", "-j", "-G1", "-a", "-b", *[line[end] for line in lines for end in ("input", "output")]],
        capture_output=True, check=False,
    )  # fmt: skip
    found = {about["SourceFile"]: about for about in json.loads(told.stdout)}
    for line in lines:
        before, after = found[line["input"]], found[line["output"]]
        values = {key.split(":")[-1]: value for key, value in after.items()}
        lost = [
            key for key, value in before.items()
            if key.startswith(SAID) and values.get(key.split(":")[1]) != value and not re.search(LAID_OUT, key)
        ]  # fmt: skip
        assert not lost or any("left out" in note for note in line["notes"]), (line["input"], lost)
    assert sum(bool(line["notes"]) for line in lines) >= 1


@pytest.mark.parametrize("options", [(), ("--auto-orient",)])
@pytest.mark.parametrize("target", ["PNG", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_a_photo_is_upright_after_it_as_before(orientation, target, options, tmp_path):
    """danielgatis/rembg#13: pictures of a phone come out turned, in another format."""
    source = saved(Image.fromarray(smooth(16, 24)), "JPEG", exif=exif(orientation=orientation))
    made, notes = apply(tmp_path, source, "JPEG", target, *options)
    if target == "PPM" and not options:
        assert "PPM cannot hold its EXIF data: left out" in notes
        return
    before, after = (ImageOps.exif_transpose(opened(data)) for data in (source, made))
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before))


def test_a_chunk_of_a_webp_that_nobody_knows_is_named(tmp_path):
    source = saved(Image.fromarray(smooth(16, 24)), "WEBP", exif=exif())
    source = (
        source[:4] + struct.pack("<I", len(source) - 8 + 12) + source[8:] + b"mine" + struct.pack("<I", 3) + b"abc\0"
    )
    assert apply(tmp_path, source, "WEBP", "WEBP")[1] == ["its chunk mine cannot travel: left out"]


def test_the_profile_in_a_bmp_travels(tmp_path):
    plain = saved(Image.fromarray(smooth(16, 24)), "BMP")
    pixels, profile = plain[54:], b"a profile" * 9
    header = struct.pack("<I", 124) + plain[18:54] + bytes(16) + b"DEBM" + bytes(52)
    header += struct.pack("<II", 124 + len(pixels), len(profile)) + bytes(4)
    data = b"BM" + struct.pack("<IHHI", 138 + len(pixels) + len(profile), 0, 0, 138) + header + pixels + profile
    made, notes = apply(tmp_path, data, "BMP", "PNG")
    assert opened(made).info["icc_profile"] == profile
    assert np.array_equal(np.asarray(opened(made)), np.asarray(opened(plain)))
    assert notes == []


@needs_exiftool
def test_what_a_psd_says_travels(tmp_path):
    resources = resource(0x0404, IPTC) + resource(0x0422, exif().tobytes()[6:])
    resources += resource(0x0424, XMP.format("").encode()) + resource(
        0x03ED, struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 1, 1)
    )
    pixels = smooth(16, 24)
    data = b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 16, 24, 8, 3) + bytes(4)
    data += struct.pack(">I", len(resources)) + resources + bytes(4) + b"\0\0" + pixels.transpose(2, 0, 1).tobytes()
    (tmp_path / "a.psd").write_bytes(data)
    done = CliRunner().invoke(cli, ["apply", str(tmp_path / "a.psd"), "-k", "identity", "-o", str(tmp_path / "b.jpg")])
    assert done.exit_code == 0, done.output
    found = exiftool((tmp_path / "b.jpg").read_bytes())
    assert (found["IPTC:Headline"], found["IFD0:Make"]) == (HEADLINE.decode(), "maker")
    assert (found["JFIF:XResolution"], found["JFIF:YResolution"]) == (300, 150)
    assert opened((tmp_path / "b.jpg").read_bytes()).info["xmp"] == XMP.format("").encode()


@needs_exiftool
def test_what_the_boxes_of_a_jpeg_2000_say_travels(tmp_path):
    source = tmp_path / "a.jp2"
    source.write_bytes(saved(Image.fromarray(smooth(16, 24)), "JPEG2000"))
    tags = ["-XMP-dc:Title=A title", "-EXIF:Artist=Somebody", "-overwrite_original", "-q"]
    subprocess.run(["exiftool", *tags, source], check=True, capture_output=True)
    own = struct.pack(">I", 28) + b"uuid" + bytes(20)
    data = source.read_bytes()
    source.write_bytes(data[:32] + own + data[32:])  # behind the first two
    done = CliRunner().invoke(cli, ["apply", str(source), "-k", "identity", "-o", str(tmp_path / "b.png"), "--json"])
    assert json.loads(done.stdout)["notes"] == ["its box uuid cannot travel: left out"]
    found = exiftool((tmp_path / "b.png").read_bytes())
    assert (found["XMP-dc:Title"], found["IFD0:Artist"]) == ("A title", "Somebody")
    header = data.index(b"jp2h")
    colour = data.index(b"colr", header)
    size = int.from_bytes(data[colour - 4 : colour], "big")
    profile = b"a profile" * 9
    told = struct.pack(">I", 11 + len(profile)) + b"colr\2\0\0" + profile
    whole = int.from_bytes(data[header - 4 : header], "big") - size + len(told)
    changed_data = data[: header - 4] + struct.pack(">I", whole) + data[header : colour - 4] + told
    assert info_of(changed_data + data[colour - 4 + size :])["icc_profile"] == profile
    for length in range(0, len(data), 3):
        info_of(data[:length])
