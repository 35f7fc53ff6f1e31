"""Directories of tags (TIFF 6.0, section 2; BigTIFF; EXIF data): read, and laid out anew. Samples are Pillow's."""

from __future__ import annotations

import contextlib
import io
import re
import struct
from collections.abc import Collection, Mapping
from typing import Any, BinaryIO, NamedTuple

# bytes of each type
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
BYTE, SHORT, LONG = 1, 3, 4
WHOLE = {BYTE: "B", SHORT: "H", LONG: "I"}  # types of whole numbers without a sign, as `struct` has them
HEADERS = {"<": b"II*\0", ">": b"MM\0*"}  # what a classic TIFF of either byte order begins with
LARGEST = 2**26  # bytes of all tags


class Tag:
    """Numbers of tags."""

    SUBFILE, WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, DESCRIPTION = 254, 256, 257, 258, 259, 262, 270
    OFFSETS, ORIENTATION, SAMPLES, STRIP_ROWS, COUNTS, PLANES = 273, 274, 277, 278, 279, 284
    PREDICTOR, TILE_WIDTH, TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT = 317, 322, 324, 325, 338, 339
    NESTED, JPEG, JPEG_BYTES = 330, 513, 514
    XMP, EXIF, GPS, INTEROPERABILITY = 700, 34665, 34853, 40965


BLACK_IS_0, RGB = 1, 2  # photometric interpretations
UNSIGNED, FLOAT = 1, 3  # sample formats
NESTED = (Tag.EXIF, Tag.GPS, Tag.INTEROPERABILITY)  # tags that point to a directory
XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


class Field(NamedTuple):
    """A tag as it stands in a directory: the type of its values, how many there are, and where they are."""

    tag: int
    kind: int
    values: int
    place: int  # of the field itself
    at: int  # of the values
    pointer: int  # where they are if they are not in the field

    @property
    def length(self) -> int:
        return SIZES.get(self.kind, 0) * self.values


class Entry(NamedTuple):
    """A tag that is to be written: the type of its values, how many there are, and their bytes."""

    kind: int
    values: int
    data: bytes


class Tags:
    """The directories of a TIFF file, BigTIFF included, or of EXIF data.

    `order` is the byte order as `struct` has it, `first` the place of the first directory. Places are counted from
    `start`, `size` bytes are there. Raises ValueError, as every method does, when they make no sense.
    """

    def __init__(self, file: BinaryIO, size: int, start: int = 0) -> None:
        self.file, self.size, self.start = file, size, start
        mark = self.taken(0, 8)
        self.order = {b"II": "<", b"MM": ">"}.get(mark[:2], "")
        if not self.order or mark[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
            raise ValueError("is no TIFF")
        self.big = b"+" in mark[2:4]
        self.word = "Q" if self.big else "I"
        self.layout = struct.Struct(f"{self.order}HH{self.word}{self.word}")  # of a field
        self.first = self.unpacked(8 if self.big else 4, self.word)

    def taken(self, at: int, length: int) -> bytes:
        if at + length > self.size:
            raise ValueError("points out of the data")
        self.file.seek(self.start + at)
        data = self.file.read(length)
        if len(data) < length:
            raise ValueError("points out of the data")
        return data

    def unpacked(self, at: int, kind: str) -> int:
        """A number of one of `struct`'s types."""
        number: int = struct.unpack(self.order + kind, self.taken(at, struct.calcsize(kind)))[0]
        return number

    def value(self, field: Field, index: int = 0) -> int:
        """One of the values of a field of whole numbers."""
        kind = "H" if field.kind == SHORT else "Q" if SIZES.get(field.kind) == 8 else "I"
        return self.unpacked(field.at + index * struct.calcsize(kind), kind)

    def listed(self, at: int) -> tuple[list[Field], int]:
        """The fields of a directory, as far as they are there, and where the pointer to the next directory stands."""
        start = at + (8 if self.big else 2)
        step, inside = self.layout.size, 8 if self.big else 4
        end = start + step * self.unpacked(at, "Q" if self.big else "H")
        block = self.taken(start, min(end, self.size) - start)
        fields = []
        unpacked = self.layout.iter_unpack(block[: len(block) // step * step])
        for place, (tag, kind, values, pointer) in zip(range(start, end, step), unpacked, strict=False):
            fits = SIZES.get(kind, 0) * values <= inside
            fields.append(Field(tag, kind, values, place, place + step - inside if fits else pointer, pointer))
        return fields, end

    def directory(self, at: int) -> tuple[dict[int, Field], int]:
        """The fields by their tags, and where the pointer to the next directory stands."""
        fields, end = self.listed(at)
        if end > self.size:
            raise ValueError("points out of the data")
        # the first of several counts: tifffile puts a description of its own behind another
        return {field.tag: field for field in reversed(fields)}, end


class Directory(Tags):
    """The tags of the first picture in a classic TIFF file, each of which is there once.

    `raw` has each field as it stands in the file; `next` is the pointer to the directory of the next picture.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__(file, size)
        fields, end = self.listed(self.first)
        self.next = self.taken(end, 4)
        if self.big or len({field.tag for field in fields}) < len(fields):
            raise ValueError("is no classic TIFF, or has a tag twice")
        if sum(field.length for field in fields) > min(size, LARGEST):
            raise ValueError("claims more bytes than there are")
        self.entries = {f.tag: Entry(f.kind, f.values, self.taken(f.at, f.length)) for f in fields}
        self.raw = {f.tag: self.layout.pack(f.tag, f.kind, f.values, f.pointer) for f in fields}

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """The values of a tag of whole numbers."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in WHOLE:
            return default
        return struct.unpack(f"{self.order}{entry.values}{WHOLE[entry.kind]}", entry.data)

    def number(self, tag: int, default: int = 0) -> int:
        """The first value of a tag of whole numbers."""
        return next(iter(self.numbers(tag)), default)

    @property
    def orientation(self) -> int:
        """How Pillow will turn the pixels; it also heeds the word of XMP."""
        xmp = self.entries.get(Tag.XMP)
        in_xmp = XMP_ORIENTATION.search(xmp.data) if xmp and Tag.ORIENTATION not in self.entries else None
        return self.number(Tag.ORIENTATION, int(in_xmp[1]) if in_xmp else 1)

    @property
    def strips(self) -> list[tuple[int, int]]:
        """Where each strip begins, and its bytes."""
        return list(zip(self.numbers(Tag.OFFSETS), self.numbers(Tag.COUNTS), strict=False))

    def whole(self, *tags: int, lists: Collection[int] = ()) -> bool:
        """Whether tags, as far as they are there, are one whole number each, or several; Pillow takes others."""
        there = [(tag, self.entries[tag]) for tag in tags if tag in self.entries]
        return all(entry.kind in WHOLE and (entry.values == 1 or tag in lists) for tag, entry in there)

    def changed(self, data: bytes, entries: Mapping[int, Entry], without: Collection[int] = ()) -> bytes:
        """The file, which is `data`, with other tags."""
        kept = {tag: field for tag, field in self.raw.items() if tag not in without}
        return file_of(self.order, {**kept, **entries}, data[8:], self.next)

    def entry(self, *values: int, kind: int = SHORT) -> Entry:
        """An entry of whole numbers."""
        return Entry(kind, len(values), struct.pack(f"{self.order}{len(values)}{WHOLE[kind]}", *values))


def directory_of(data: bytes) -> Directory:
    """The directory of a file in memory."""
    return Directory(io.BytesIO(data), len(data))


def claim_more(data: bytes, most: int) -> bool:
    """Whether all tags of a TIFF file, or of EXIF data, have more bytes than `most`; those that several share count."""
    try:
        tags = Tags(io.BytesIO(data), len(data))
    except ValueError:
        return False
    seen = {0}  # which means that there is no more
    waiting = [tags.first]
    while waiting and most >= 0:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        with contextlib.suppress(ValueError):
            fields, end = tags.listed(at)
            for field in fields:
                outside = field.at == field.pointer and field.at + field.length <= len(data)
                most -= tags.layout.size + (field.length if outside else 0)
                if field.tag in NESTED:
                    waiting.append(field.pointer)
            waiting.append(tags.unpacked(end, tags.word))
    return most < 0


def table_of(order: str, entries: Mapping[int, Any], at: int, following: bytes = bytes(4)) -> bytes:
    """A directory to stand at `at`, and behind it the values that do not fit into it.

    Entries that are bytes are taken as they stand; a mapping becomes the directory that its tag points to. `following`
    is the pointer to the next directory.
    """
    start = at + 2 + 12 * len(entries) + 4
    table, values = struct.pack(order + "H", len(entries)), b""
    for tag, entry in sorted(entries.items()):
        if isinstance(entry, bytes):
            table += entry
            continue
        here = start + len(values)
        kind, count, data = (LONG, 1, table_of(order, entry, here)) if isinstance(entry, dict) else entry
        table += struct.pack(order + "HHI", tag, kind, count)
        if len(data) <= 4:
            table += data.ljust(4, b"\0")
        else:
            table += struct.pack(order + "I", here)
            values += data + bytes(len(data) % 2)
    return table + following + values


def file_of(order: str, entries: Mapping[int, Any], body: bytes = b"", following: bytes = bytes(4)) -> bytes:
    """A TIFF file: `body` from byte 8 on, behind it a directory as `table_of` takes it."""
    gap = bytes(len(body) % 2)
    at = 8 + len(body) + len(gap)
    return b"".join([HEADERS[order], struct.pack(order + "I", at), body, gap, table_of(order, entries, at, following)])
