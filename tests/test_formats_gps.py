"""--strip-gps takes the place out of EXIF data and XMP, and changes nothing else."""

from __future__ import annotations

import io
import struct

import pytest
from makers import chunk, noise, opened, png, saved, smooth
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo
from test_formats_metadata import XMP, apply, exiftool, needs_exiftool, photoshop, segmented

from imgconv.formats.exif import tags_of
from imgconv.formats.gps import exif_without_gps, xmp_without_gps
from imgconv.formats.photoshop import resource

pytestmark = pytest.mark.filterwarnings("ignore:::PIL")
NOTE = b"Maker\0\1\2" + bytes(range(256))
PLACE = (48.0, 12.0, 34.5678)


def exif_data(endian: str) -> bytes:
    """EXIF data with a place in the middle of its first directory, and a maker's note."""
    made = Image.Exif()
    made.endian = endian
    made[315], made[50000] = "Artist", "a tag behind the place"
    made.get_ifd(ExifTags.IFD.Exif)[37500] = NOTE
    made.get_ifd(ExifTags.IFD.GPSInfo).update({1: "N", 2: PLACE, 3: "E", 4: PLACE, 29: "2024:01:01"})
    return made.tobytes()


PACKET = XMP.format(
    '<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:drone="a" xmlns:dc="b" rdf:about=""'
    ' exif:GPSLatitude="48,12.5N" exif:FNumber="28/10" drone:GpsLongitude=\'11.5\'>'
    "<exif:GPSLongitude>11,34.5E</exif:GPSLongitude><exif:GPSDOP/><dc:source>GPS stays</dc:source>"
    "<exif:GPSDestLatitude\n a='1'><b>48</b></exif:GPSDestLatitude></rdf:Description>"
)
CLEAN = XMP.format(
    '<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:drone="a" xmlns:dc="b" rdf:about=""'
    ' exif:FNumber="28/10"><dc:source>GPS stays</dc:source></rdf:Description>'
)


def photo(form: str, endian: str) -> bytes:
    """A picture with all this."""
    given, text = Image.Exif(), PngInfo()
    given.load(exif_data(endian))
    text.add_itxt("XML:com.adobe.xmp", PACKET)
    if form == "TIFF":
        given[700] = PACKET.encode()
        return saved(Image.fromarray(smooth(16, 24)), form, exif=given)
    options = {"pnginfo": text} if form == "PNG" else {"xmp": PACKET.encode()}
    return saved(Image.fromarray(smooth(16, 24)), form, exif=exif_data(endian), **options)


def test_a_packet_loses_its_place_and_nothing_else():
    assert xmp_without_gps(PACKET.encode()) == CLEAN.encode()
    assert xmp_without_gps(CLEAN.encode()) == CLEAN.encode()
    assert xmp_without_gps(PACKET.encode()[:-200]) == b""


@pytest.mark.parametrize("endian", ["<", ">"])
@pytest.mark.parametrize("target", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_file_loses_its_place_and_nothing_else(form, target, endian, tmp_path):
    given = exif_data(endian)
    source = photo(form, endian)
    data, notes = apply(tmp_path, source, form, target, "--strip-gps")
    kept = opened(data).getexif()
    assert (kept[315], kept[50000]) == ("Artist", "a tag behind the place")
    assert kept.get_ifd(ExifTags.IFD.Exif)[37500] == NOTE
    assert 34853 not in kept
    assert not kept.get_ifd(ExifTags.IFD.GPSInfo)
    assert opened(data).info["xmp"].rstrip(b"\0") == CLEAN.encode()
    assert notes == []
    assert b"2024:01:01" not in data
    if "TIFF" not in (form, target):
        assert opened(data).info["exif"].removeprefix(b"Exif\0\0") == exif_without_gps(given)[6:]
        assert len(exif_without_gps(given)) == len(given)


@needs_exiftool
@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_exiftool_finds_no_place_and_all_else(form, tmp_path):
    source = photo(form, "<")
    before, after = exiftool(source), exiftool(apply(tmp_path, source, form, form, "--strip-gps")[0])
    lost = {key for key in before if key not in after}
    assert {key.split(":")[1][:3] for key in lost} >= {"GPS"}
    assert all("GPS" in key.upper() for key in lost)
    assert not [key for key in after if "GPS" in key.upper()]
    assert after.get("ExifTool:Warning") == before.get("ExifTool:Warning")


def test_places_of_other_hands_go_too(tmp_path):
    rows = b"".join(b"\0" + row.tobytes() for row in smooth(16, 24))
    texts = [b"exif:GPSLatitude\x0048/1", b"Title\0about GPS"]
    source = png(24, 16, 8, 2, rows, *(chunk(b"tEXt", text) for text in texts))
    assert opened(apply(tmp_path, source, "PNG", "PNG", "--strip-gps")[0]).text == {"Title": "about GPS"}
    inside = resource(0x0422, exif_data("<")[6:]) + resource(0x0424, PACKET.encode()) + resource(0x0423, b"what?")
    data, _ = apply(tmp_path, segmented(*photoshop(inside)), "JPEG", "JPEG", "--strip-gps")
    assert resource(0x0424, CLEAN.encode()) in data
    assert resource(0x0422, exif_without_gps(exif_data("<"))[6:]) in data
    assert b"what?" not in data


def test_where_no_place_can_be_taken_out_all_goes(tmp_path):
    source = saved(Image.fromarray(noise(16, 24)), "JPEG", exif=b"Exif\0\0nothing", xmp=PACKET.encode()[:-200])
    data, notes = apply(tmp_path, source, "JPEG", "JPEG", "--strip-gps")
    assert [note.split(" makes")[0] for note in notes] == ["its EXIF data", "its XMP"]
    assert not {"exif", "xmp"} & set(opened(data).info)


def test_a_place_that_points_into_the_makers_note_leaves_it():
    data = bytearray(exif_data("<"))
    tags = tags_of(bytes(data))
    first = tags.directory(tags.first)[0]
    note = tags.directory(tags.value(first[34665]))[0][37500]
    place = tags.directory(tags.value(first[34853]))[0][2]
    struct.pack_into("<I", data, 6 + place.place + 8, note.at)
    after = exif_without_gps(bytes(data))
    assert NOTE in after
    with Image.open(io.BytesIO(saved(Image.new("L", (2, 2)), "JPEG", exif=after))) as image:
        assert 34853 not in image.getexif()
