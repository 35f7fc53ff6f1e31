"""The directory of a TIFF file (TIFF 6.0, section 2), read and laid out anew. Samples are Pillow's business."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Collection, Mapping
from typing import BinaryIO, NamedTuple

# bytes of each type
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
SHORT, LONG = 3, 4
RAW = (1, 7)  # types of bytes
WHOLE = {1: "B", SHORT: "H", LONG: "I"}  # types of whole numbers without a sign, as `struct` has them
WIDTH, LENGTH, BITS, COMPRESSION, MEANING, OFFSETS, SAMPLES = 256, 257, 258, 259, 262, 273, 277
STRIP_ROWS, COUNTS, PLANES, ORIENTATION, XMP = 278, 279, 284, 274, 700
LAYOUT = (WIDTH, LENGTH, BITS, COMPRESSION, MEANING, OFFSETS, SAMPLES, STRIP_ROWS, COUNTS, PLANES, ORIENTATION)
SEVERAL = (BITS, OFFSETS, COUNTS)
PREDICTOR, TILE_WIDTH, TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT = 317, 322, 324, 325, 338, 339
# what the samples of a strip depend on: how they are compressed, what they mean, and tables for that
DECODING = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339, 347, 529, 530, 531, 532)
UNCOMPRESSED, OLD_JPEG = 1, 6
PREDICTED = (5, 8, 32946, 34925, 50000)  # compressions that heed the predictor: LZW, deflate, LZMA, Zstandard
BLACK_IS_0, RGB, YCBCR = 1, 2, 6
ONE_BY_ONE = 2  # planes
DIFFERENCES = 2  # the predictor that wants sums along a row
UNSIGNED = 1
NO_MEANING, PREMULTIPLIED, STRAIGHT = 0, 1, 2  # of an extra sample
PART_BYTES = 2**16  # an uncompressed strip is taken apart into some of about so many
LARGEST_STRIP = 2**26  # bytes of samples
NESTED = (34665, 34853, 40965)  # tags that point to more of them: EXIF, GPS, interoperability
LARGEST_TAG = 2**26  # bytes


class Entry(NamedTuple):
    """One tag: the type of its values, how many there are, and their bytes."""

    kind: int
    values: int
    data: bytes


class Directory:
    """The tags of the first picture in a file.

    Attributes
    ----------
    order : str
        "<" or ">", as `struct` has it.
    entries : dict
    fields : dict of bytes
        Each entry as it stands in the file, where values of more than four bytes are pointed to.
    next : bytes
        Where that of the next picture is.

    Raises
    ------
    ValueError
        When there is no directory of a classic TIFF, a tag is there twice, or it points out of the file.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.file = file
        self.size = size
        start = self.taken(0, 8)
        self.order = {b"II*\0": "<", b"MM\0*": ">"}.get(start[:4], "")
        if not self.order:
            raise ValueError("is no classic TIFF")
        (at,) = struct.unpack(self.order + "I", start[4:])
        (count,) = struct.unpack(self.order + "H", self.taken(at, 2))
        self.entries: dict[int, Entry] = {}
        self.fields: dict[int, bytes] = {}
        block = self.taken(at + 2, 12 * count)
        left = size
        self.next = self.taken(at + 2 + 12 * count, 4)
        for field in (block[i : i + 12] for i in range(0, 12 * count, 12)):
            tag, kind, values, pointer = struct.unpack(self.order + "HHII", field)
            if tag in self.entries:
                raise ValueError(f"has two tags {tag}")
            length = SIZES.get(kind, 0) * values
            left -= length
            if left < 0:
                raise ValueError("claims more bytes than there are")
            self.entries[tag] = Entry(kind, values, field[8:][:length] if length <= 4 else self.taken(pointer, length))
            self.fields[tag] = field

    def taken(self, start: int, length: int) -> bytes:
        """Some bytes of the file."""
        if length > LARGEST_TAG or start + length > self.size:
            raise ValueError("points out of the file")
        self.file.seek(start)
        data = self.file.read(length)
        if len(data) < length:
            raise ValueError("points out of the file")
        return data

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
        found = re.search(rb'tiff:Orientation(?:="|>)([0-9])', self.entries[XMP].data) if XMP in self.entries else None
        return self.number(ORIENTATION, int(found[1]) if found and ORIENTATION not in self.entries else 1)

    @property
    def strips(self) -> list[tuple[int, int]]:
        """Where each strip begins, and its bytes."""
        return list(zip(self.numbers(OFFSETS), self.numbers(COUNTS), strict=False))

    def whole(self, *tags: int) -> bool:
        """Whether tags, where they are there, are of whole numbers, as many as there should be; Pillow takes others."""
        found = [(tag, self.entries[tag]) for tag in tags if tag in self.entries]
        return all(entry.kind in WHOLE and (entry.values == 1 or tag in SEVERAL) for tag, entry in found)

    @property
    def deep(self) -> bool:
        """Whether samples have 16 bits in RGB, or in grey with alpha: Pillow cuts those to 8, or refuses them."""
        colours = {BLACK_IS_0: 1, RGB: 3}.get(self.number(MEANING, -1), 0)
        samples = self.number(SAMPLES, 1)
        return (
            self.whole(WIDTH, COMPRESSION, PLANES, PREDICTOR, TILE_WIDTH)
            and set(self.numbers(BITS)) == {16}
            and set(self.numbers(FORMAT, (UNSIGNED,))) == {UNSIGNED}
            and max(2, colours) <= samples <= colours + 1
        )

    def changed(self, data: bytes, entries: dict[int, Entry], without: Collection[int] = ()) -> bytes:
        """The file, which is `data`, with other tags."""
        at = len(data) + len(data) % 2
        tags: dict[int, Entry | bytes] = {tag: field for tag, field in self.fields.items() if tag not in without}
        tags.update(entries)
        table = bytearray(written(self.order, tags, at))
        place = 2 + 12 * len(tags)
        table[place : place + 4] = self.next
        return b"".join([data[:4], struct.pack(self.order + "I", at), data[8:], bytes(len(data) % 2), table])

    def entry(self, *values: int, kind: int = SHORT) -> Entry:
        """An entry of whole numbers."""
        return Entry(kind, len(values), struct.pack(f"{self.order}{len(values)}{WHOLE[kind]}", *values))


def claim_more(data: bytes, most: int) -> bool:
    """Whether all tags of a TIFF file, or of EXIF data, have more bytes than `most`; those that several share count."""
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return False
    many, word, large = ("Q", "Q", 8) if 43 in data[2:4] else ("H", "I", 4)
    count, field = struct.Struct(order + many), struct.Struct(f"{order}HH{word}{word}")
    met: set[int] = set()
    waiting = [(large, True)]
    while waiting and most >= 0:
        place, pointer = waiting.pop()
        try:
            (at,) = struct.unpack_from(order + word, data, place) if pointer else (place,)
            if at in met:
                continue
            met.add(at)
            (number,) = count.unpack_from(data, at)
            for start in range(at + count.size, at + count.size + number * field.size, field.size):
                tag, kind, values, where = field.unpack_from(data, start)
                length = SIZES.get(kind, 0) * values
                most -= field.size + (length if large < length <= len(data) - where else 0)
                if most < 0:
                    break
                if tag in NESTED:
                    waiting.append((where, False))
            waiting.append((at + count.size + number * field.size, True))
        except (struct.error, OverflowError):
            continue
    return most < 0


def directory_of(data: bytes) -> Directory:
    """The directory of a file in memory."""
    return Directory(io.BytesIO(data), len(data))


def written(order: str, entries: Mapping[int, Entry | bytes], at: int, behind: int | None = None) -> bytes:
    """A directory to stand at `at`, then the values that do not fit in it, which will stand at `behind` or next to it.

    Entries that are bytes are taken as they stand.
    """
    start = at + 2 + 12 * len(entries) + 4 if behind is None else behind
    table, values = struct.pack(order + "H", len(entries)), b""
    for tag, entry in sorted(entries.items(), key=lambda item: item[0]):
        if isinstance(entry, bytes):
            table += entry
            continue
        data = entry.data.ljust(4, b"\0")
        table += struct.pack(order + "HHI", tag, entry.kind, entry.values)
        table += data if len(data) == 4 else struct.pack(order + "I", start + len(values))
        if len(data) > 4:
            values += data + bytes(len(data) % 2)
    return table + bytes(4) + values
