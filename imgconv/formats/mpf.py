"""The index of an MPO (CIPA DC-007): what each picture in a file of several JPEGs is, and where."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, NamedTuple

from imgconv.formats.segments import each
from imgconv.formats.tiff.tags import LONG, Entry, Tags, file_of

MARK = b"MPF\0"
VERSION, COUNT, ENTRIES = 0xB000, 0xB001, 0xB002  # tags of the index
UNDEFINED_TYPE = 7  # of a tag's values
ENTRY = "IIIHH"  # attributes, bytes, place, and two pictures that go with it
UNKNOWN, PRIMARY, REPRESENTATIVE = 0, 0x030000, 0x20000000
OWN = {0x020001: "part of a panorama", 0x020002: "other view", 0x020003: "other angle"}  # kinds of pictures
OTHERS = dict.fromkeys(range(0x010001, 0x010006), "preview") | {0x040000: "original", 0x050000: "gain map"}
GAIN_MAPS = (b"hdrgm:", b"HDRGainMap", b"hdrgainmap", b"urn:iso:std:iso:ts:21496")  # what these have in their header
HEADER = 2**20  # bytes in which a picture says what it is
MOST = 4000  # pictures in an index, which is one segment
NO_INDEX = (ValueError, KeyError, struct.error)


class Part(NamedTuple):
    """A picture in a file."""

    at: int
    length: int
    kind: int  # as the index has it
    about: str  # what it is; "" where it is a picture of its own like the first


def parts_of(file: BinaryIO, size: int) -> list[Part]:
    """What the index of a file says that it holds; nothing where there is none, or where it makes no sense."""
    file.seek(0)
    data = file.read(HEADER)
    index = next((start + 8 for _, start, end in each(data) if data[start + 4 : end].startswith(MARK)), 0)
    if not index:
        return []
    try:
        tags = Tags(file, size - index, index)
        fields, _ = tags.directory(tags.first)
        count = tags.value(fields[COUNT])
        entries = tags.taken(fields[ENTRIES].at, struct.calcsize(ENTRY) * min(count, MOST))
    except NO_INDEX:
        return []
    parts: list[Part] = []
    for attributes, length, at, *_ in struct.iter_unpack(tags.order + ENTRY, entries):
        kind, at = attributes & 0xFFFFFF, index + at if parts else 0
        file.seek(at)
        about = _about(kind, data, file.read(HEADER)[:length]) if parts else ""
        parts.append(Part(at, length, kind, about))
    return parts


def _about(kind: int, first: bytes, data: bytes) -> str:
    """What a picture is beside the first, of which both are the beginning; "" where it is one of its own."""
    if kind in OWN:
        return ""
    if any(mark in data for mark in GAIN_MAPS):
        return "gain map"
    if kind in (UNKNOWN, PRIMARY) and _size(data) == _size(first):
        return ""
    return OTHERS.get(kind, "picture of another size")


def others_in(parts: list[Part], *, alone: bool = False) -> dict[str, Any]:
    """How many pictures of a file are no frames, and what, as a Picture has it.

    Where the first is read `alone`, as that of a JPEG is, others that are like it are none either.
    """
    others = [part.about or OWN.get(part.kind, "picture") for part in parts[1:] if alone or part.about]
    kinds = ", ".join(dict.fromkeys(others))
    if any(not part.about for part in parts[1:]) and alone:
        kinds += "; a name that ends in .mpo keeps it"
    return {"others": len(others)} | ({"other_kinds": kinds} if others else {})


def _size(data: bytes) -> bytes:
    """Rows and columns of a JPEG, as they stand in it."""
    return next((data[start + 5 : start + 9] for marker, start, _ in each(data) if 0xC0 <= marker <= 0xC3), b"")


def index(entries: list[tuple[int, ...]]) -> bytes:
    """The segment with the index."""
    body = b"".join(struct.pack("<" + ENTRY, *entry) for entry in entries)
    tags = {
        VERSION: Entry(UNDEFINED_TYPE, 4, b"0100"),
        COUNT: Entry(LONG, 1, struct.pack("<I", len(entries))),
        ENTRIES: Entry(UNDEFINED_TYPE, len(body), body),
    }
    data = MARK + file_of("<", tags)
    return b"\xff\xe2" + (len(data) + 2).to_bytes(2, "big") + data
