"""The directory of a TIFF file (TIFF 6.0, section 2): to take strips out of a file, and to put them together.

Samples are Pillow's business. This is only what must be known to make a small TIFF of some strips of a large one, and
a large one of the strips of small ones.
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import BinaryIO, NamedTuple

from imgconv.errors import PictureError

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


class Strips:
    """The strips of a picture in a file, each with the same number of rows but for the last.

    Attributes
    ----------
    rows, columns : int
    strip_rows : int
        Of an uncompressed picture, which can be parted anywhere, about `PART_BYTES`.
    """

    def __init__(self, file: BinaryIO, directory: Directory) -> None:
        self.file = file
        self.directory = directory
        self.rows = directory.number(LENGTH)
        self.columns = directory.number(WIDTH)
        self.strips = directory.strips
        self.strip_rows = max(1, min(self.rows, directory.number(STRIP_ROWS, self.rows)))
        row_bytes = self.row_bytes
        plain = directory.number(COMPRESSION, 1) == UNCOMPRESSED and directory.number(MEANING) != YCBCR
        begin = self.strips[0][0] if self.strips else 0
        strip_bytes = self.strip_rows * row_bytes
        lined_up = all(start == begin + strip_bytes * number for number, (start, _) in enumerate(self.strips))
        within = begin + self.rows * row_bytes <= directory.size
        if plain and row_bytes and within and lined_up and len(self.strips) == math.ceil(self.rows / self.strip_rows):
            self.strip_rows = min(self.rows, max(1, PART_BYTES // row_bytes))
            starts = range(0, self.rows, self.strip_rows)
            self.strips = [
                (begin + start * row_bytes, min(self.strip_rows, self.rows - start) * row_bytes) for start in starts
            ]

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of samples."""
        bits = self.directory.numbers(BITS, (1,))
        return -(-self.columns * self.directory.number(SAMPLES, 1) * max(bits) // 8)

    @property
    def usual(self) -> bool:
        """Whether the picture can be read strip by strip: no tiles, planes one by one, turned or huge strips."""
        d = self.directory
        return (
            self.rows > 0
            and self.columns > 0
            and d.whole(*LAYOUT)
            and d.number(PLANES, 1) == 1
            and (XMP not in d.entries or d.entries[XMP].kind in RAW)  # where Pillow looks for an orientation
            and d.orientation == 1
            and d.number(COMPRESSION, 1) != OLD_JPEG
            and len(self.strips) == math.ceil(self.rows / self.strip_rows)
            and d.entries[OFFSETS].values == d.entries[COUNTS].values
            and all(count and start + count <= d.size for start, count in self.strips)
            and self.strip_rows * self.row_bytes <= LARGEST_STRIP
        )

    def excerpt(self, first: int, stop: int) -> bytes:
        """A TIFF file of some strips."""
        d = self.directory
        rows = min(self.rows, stop * self.strip_rows) - first * self.strip_rows
        bodies = []
        for start, count in self.strips[first:stop]:
            self.file.seek(start)
            bodies.append(self.file.read(count))
        entries = {tag: d.entries[tag] for tag in DECODING if tag in d.entries}
        behind = 8 + 2 + 12 * (len(entries) + 5) + 4
        *starts, end = accumulate(map(len, bodies), initial=behind)
        for tag, values in (
            (WIDTH, [self.columns]),
            (LENGTH, [rows]),
            (OFFSETS, starts),
            (STRIP_ROWS, [self.strip_rows]),
            (COUNTS, [len(body) for body in bodies]),
        ):
            entries[tag] = Entry(LONG, len(values), struct.pack(f"{d.order}{len(values)}I", *values))
        table = written(d.order, entries, 8, end)
        mark = b"II*\0" if d.order == "<" else b"MM\0*"
        return b"".join([mark, struct.pack(d.order + "I", 8), table[: behind - 8], *bodies, table[behind - 8 :]])


class Deep(NamedTuple):
    """A picture of 16 bits in colour, or with alpha, as files of 16-bit grey, which Pillow reads as they are.

    In `files` each sample is a pixel; they are one with all, or one of each channel.
    `span` is how many columns the differences that are stored begin anew after, 0 where none are.
    """

    files: list[bytes]
    columns: int
    samples: int
    colours: int
    extra: int
    span: int
    orientation: int


def deep_of(data: bytes) -> Deep | None:
    """The picture in a file whose samples Pillow would cut, else None. Raises PictureError where it is too wide."""
    try:
        d = directory_of(data)
    except ValueError:
        return None
    if not d.deep:
        return None
    samples = d.number(SAMPLES)
    one, grey = d.entry(1), d.entry(BLACK_IS_0)
    changed = {BITS: d.entry(16), SAMPLES: one, MEANING: grey, PLANES: one, ORIENTATION: one}
    planes = d.number(PLANES, 1) == ONE_BY_ONE
    columns, tile = d.number(WIDTH), d.number(TILE_WIDTH)
    if max(columns, tile) * samples >= 2**31:
        raise PictureError(f"is broken: it claims {max(columns, tile):,} columns")
    span = 0
    if planes:
        offsets, counts = (TILE_OFFSETS, TILE_COUNTS) if tile else (OFFSETS, COUNTS)
        step = len(d.numbers(offsets)) // samples
        parts = [
            {tag: d.entry(*d.numbers(tag)[step * plane :][:step], kind=LONG) for tag in (offsets, counts)}
            for plane in range(samples)
        ]
    else:
        parts = [{WIDTH: d.entry(columns * samples, kind=LONG)}]
        if tile:
            parts[0][TILE_WIDTH] = d.entry(tile * samples, kind=LONG)
        if d.number(PREDICTOR, 1) == DIFFERENCES and d.number(COMPRESSION, 1) in PREDICTED:
            span = tile or columns
    without = (EXTRA, FORMAT, *(() if planes else (PREDICTOR,)))
    files = [d.changed(data, changed | part, without) for part in parts]
    colours = 3 if d.number(MEANING) == RGB else 1
    return Deep(files, columns, samples, colours, d.number(EXTRA, STRAIGHT), span, d.orientation)


def deepened(data: bytes, columns: int, samples: int) -> bytes:
    """A file of 16-bit grey, made without a predictor, as one of `samples` per pixel, the last of 2 or 4 alpha."""
    d = directory_of(data)
    entries = {
        WIDTH: d.entry(columns, kind=LONG),
        BITS: d.entry(*[16] * samples),
        FORMAT: d.entry(*[UNSIGNED] * samples),
        SAMPLES: d.entry(samples),
        MEANING: d.entry(RGB if samples > 2 else BLACK_IS_0),
    }
    return d.changed(data, entries | ({EXTRA: d.entry(STRAIGHT)} if samples in (2, 4) else {}))


def directory_of(data: bytes) -> Directory:
    """The directory of a file in memory."""
    return Directory(io.BytesIO(data), len(data))


class Joined:
    """A TIFF file put together: what one file says about itself, and the strips of others of the same layout.

    Attributes
    ----------
    start : bytes
        What the file begins with.
    """

    def __init__(self, told: bytes) -> None:
        self.start = told
        self.told = directory_of(told)
        self.layout: Directory | None = None
        self.size = len(told)
        self.rows = 0
        self.strips: list[tuple[int, int]] = []  # where each begins, and its bytes

    def add(self, data: bytes) -> list[bytes]:
        """The strips of a file with the next rows, which are to be written behind what was before."""
        directory = directory_of(data)
        self.layout = self.layout or directory
        self.rows += directory.number(LENGTH)
        bodies = [data[start : start + count] for start, count in directory.strips]
        for body in bodies:
            self.strips.append((self.size, len(body)))
            self.size += len(body)
        return bodies

    def end(self) -> tuple[bytes, int, bytes]:
        """What comes last; then a place in the file, and what is to be written there."""
        assert self.layout is not None
        order, at = self.told.order, self.size + self.size % 2
        entries = {LENGTH: Entry(LONG, 1, struct.pack(order + "I", self.rows))}
        for tag, values in zip((OFFSETS, COUNTS), zip(*self.strips, strict=True), strict=True):
            entries[tag] = Entry(LONG, len(values), struct.pack(f"{order}{len(values)}I", *values))
        table = written(order, self.told.fields | self.layout.entries | entries, at)
        return bytes(self.size % 2) + table, 4, struct.pack(order + "I", at)


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
