"""Takes the place where a picture was made out of its metadata, and changes nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from imgconv.formats.exif import Edited
from imgconv.formats.photoshop import EXIF, XMP, changed
from imgconv.formats.picture import EXIF_MARK
from imgconv.formats.png.chunks import metadata_in
from imgconv.formats.tiff.tags import Tag
from imgconv.formats.xmp import is_xml

# properties of XMP: exif:GPSLatitude, drone-dji:GpsLatitude …, as an attribute, and as an element with what is in it
ATTRIBUTE = re.compile(rb"""\s[\w.-]+:(?i:gps)[\w.-]*\s*=\s*(?:"[^"]*"|'[^']*')""")
ELEMENT = re.compile(rb"<([\w.-]+:(?i:gps)[\w.-]*)(?:\s[^<>]*)?(/?)>")
KEYWORD = re.compile(rb"[^\0]*gps", re.IGNORECASE)  # of PNG's texts: exif:GPSLatitude, as ImageMagick has it


def without_gps(info: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The metadata in `info` without places, and a note where there was no way to take one out."""
    result, notes = dict(info), []
    if "exif" in info:
        try:
            result["exif"] = exif_without_gps(info["exif"])
        except ValueError:
            del result["exif"]
            notes.append("its EXIF data makes no sense, so that no place can be taken out of it: left out")
    if "xmp" in info:
        result["xmp"] = xmp_without_gps(info["xmp"])
        if not result["xmp"]:
            notes.append("its XMP makes no sense, so that no place can be taken out of it: left out")
    if "photoshop" in info:
        result["photoshop"] = changed(info["photoshop"], _resource)
    if "chunks" in info:
        kept = []
        for chunk in info["chunks"]:
            said = metadata_in(chunk)
            if without_gps(said)[0] == said and not (chunk.kind == "text" and KEYWORD.match(chunk.body)):
                kept.append(chunk)
        result["chunks"] = tuple(kept)
    return result, notes


def exif_without_gps(exif: bytes) -> bytes:
    """EXIF data of the same length without its GPS directory. Raises ValueError where it makes no sense."""
    edited = Edited(exif)
    gps = edited.first.get(Tag.GPS)
    if gps is None:
        return exif
    at = edited.tags.value(gps)
    fields, end = edited.tags.directory(at)
    others = [field for tag, field in edited.first.items() if tag != Tag.GPS] + list(edited.nested.values())
    kept = [(field.at, field.at + field.length) for field in others if field.at == field.pointer]
    for start, length in ((at, end + 4 - at), *((field.at, field.length) for field in fields.values())):
        # of damaged data it may be a place where other data are
        if not any(start < stop and begin < start + length for begin, stop in kept):
            edited.blank(start, length)
    edited.drop(gps)
    return bytes(edited.data)


def xmp_without_gps(packet: bytes) -> bytes:
    """The packet without properties whose names begin with GPS; nothing where it makes no sense."""
    if b"gps" not in packet.lower():
        return packet
    if not is_xml(packet):
        return b""
    packet, parts, at = ATTRIBUTE.sub(b"", packet), [], 0
    while element := ELEMENT.search(packet, at):
        parts.append(packet[at : element.start()])
        at = element.end()
        if not element[2]:
            at = packet.index(b">", packet.index(b"</" + element[1], at)) + 1
    return b"".join([*parts, packet[at:]])


def _resource(number: int, value: bytes) -> bytes | None:
    """One of Photoshop's resources without places; None where there is no way to take one out."""
    try:
        if number in EXIF:
            return exif_without_gps(value) if value.startswith((b"II*\0", b"MM\0*", EXIF_MARK)) else None
    except ValueError:
        return None
    return xmp_without_gps(value) if number == XMP else value
