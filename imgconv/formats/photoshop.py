"""Photoshop's image resources, one of which is IPTC data: in a segment of JPEG, in tags of TIFF, in a text of PNG."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from imgconv.formats.picture import marked, sound_dpi

IPTC, EXIF, XMP, PROFILE, RESOLUTION = 0x0404, (0x0422, 0x0423), 0x0424, 0x040F, 0x03ED  # numbers of resources
SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")


def resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """The number of each resource, its bytes, and what is in it, as far as they make sense."""
    at = 0
    while data[at : at + 4] in SIGNATURES and at + 12 <= len(data):
        value = at + 6 + (data[at + 6] // 2 + 1) * 2 + 4  # the name and its length take an even number of bytes
        size = int.from_bytes(data[value - 4 : value], "big")
        if value + size > len(data):
            return
        end = value + size + size % 2
        yield int.from_bytes(data[at + 4 : at + 6], "big"), data[at:end], data[value : value + size]
        at = end


def resource(number: int, value: bytes) -> bytes:
    """A resource without a name."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(value)) + value + bytes(len(value) % 2)


def changed(data: bytes, change: Callable[[int, bytes], bytes | None]) -> bytes:
    """The resources with what `change` makes of each one's number and value; without those of which it makes None."""
    parts = []
    for number, part, value in resources(data):
        new = change(number, value)
        if new is not None:
            parts.append(part if new == value else resource(number, new))
    return b"".join(parts)


def info_of(values: Mapping[int, bytes]) -> dict[str, Any]:
    """What the resources of a PSD say, as `Picture.info` has it: what others keep elsewhere is there."""
    info: dict[str, Any] = {}
    if values.get(EXIF[0]):
        info["exif"] = marked(values[EXIF[0]])
    if values.get(XMP):
        info["xmp"] = values[XMP]
    if dpi := sound_dpi([int.from_bytes(values.get(RESOLUTION, b"")[at : at + 4], "big") / 65536 for at in (0, 8)]):
        info["dpi"] = dpi
    rest = b"".join(
        resource(number, value) for number, value in values.items() if number not in (*EXIF, XMP, PROFILE, RESOLUTION)
    )
    return info | ({"photoshop": rest} if rest else {})


def iptc_of(data: bytes) -> bytes:
    """The IPTC data among the resources."""
    return next((value for number, _, value in resources(data) if number == IPTC), b"")


def with_iptc(data: bytes, iptc: bytes) -> bytes:
    """The resources with IPTC data as TIFF has it, in whole words: filled up with zeros."""
    at = 0
    while iptc[at : at + 1] == b"\x1c" and at + 5 <= len(iptc):
        size = int.from_bytes(iptc[at + 3 : at + 5], "big")
        if size & 0x8000:  # the number of bytes that have the size
            more = size & 0x7FFF
            size = more + int.from_bytes(iptc[at + 5 : at + 5 + more], "big")
        at += 5 + size
    rest = changed(data, lambda number, value: None if number == IPTC else value)
    return resource(IPTC, iptc[:at]) + rest if at else rest
