"""The boxes of a JPEG 2000 file (ISO 15444-1, annex I) beside its pixels, which Pillow passes over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imgconv.formats.picture import marked

HEADER, COLOUR, UUID = b"jp2h", b"colr", b"uuid"
EXIF, XMP = b"JpgTiffExif->JP2", bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # what a UUID box begins with
KNOWN = (b"jP  ", b"ftyp", b"jp2c", b"rreq", HEADER)
PROFILE = 2  # how a colour is told


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The name of each box, and where what is in it begins and ends."""
    while at + 8 <= end:
        size, start = int.from_bytes(data[at : at + 4], "big"), at + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), at + 16
        stop = at + size if size else end
        if stop < start:
            return
        yield data[at + 4 : at + 8], start, min(stop, end)
        at = stop


def info_of(data: bytes) -> dict[str, Any]:
    """What the boxes say, as `Picture.info` has it; `lost` is what does not travel."""
    info: dict[str, Any] = {}
    lost: dict[tuple[str, str], None] = {}
    if data[4:8] != b"jP  ":  # a codestream alone
        return info
    for name, start, end in boxes(data, 0, len(data)):
        body = data[start:end] if name == UUID else b""
        if body.startswith(EXIF):
            info["exif"] = marked(body[len(EXIF) :])
        elif body.startswith(XMP):
            info["xmp"] = body[len(XMP) :]
        elif name == HEADER:
            for inner, first, last in boxes(data, start, end):
                if inner == COLOUR and data[first : first + 1] == bytes([PROFILE]):
                    info["icc_profile"] = data[first + 3 : last]
        elif name not in KNOWN:
            lost["other", f"box {name.decode('latin-1').strip()}"] = None
    return info | ({"lost": tuple(lost)} if lost else {})
