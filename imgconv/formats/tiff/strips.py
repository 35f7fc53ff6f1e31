"""A TIFF strip by strip: some strips of a large file as a small one for Pillow, and small ones put together.

Samples are Pillow's business; only the tags are read and laid out here.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any, BinaryIO

from imgconv.errors import WriteError
from imgconv.formats import pillow
from imgconv.formats.limits import DEFAULT, Limits
from imgconv.formats.picture import Frame, unread
from imgconv.formats.place import put
from imgconv.formats.sink import Sink
from imgconv.formats.tiff.tags import (
    BITS,
    COMPRESSION,
    COUNTS,
    DECODING,
    LARGEST_STRIP,
    LAYOUT,
    LENGTH,
    LONG,
    MEANING,
    OFFSETS,
    OLD_JPEG,
    PART_BYTES,
    PLANES,
    RAW,
    SAMPLES,
    STRIP_ROWS,
    UNCOMPRESSED,
    WIDTH,
    XMP,
    YCBCR,
    Directory,
    Entry,
    directory_of,
    written,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

AT_ONCE_BYTES = 2**20  # of samples that Pillow decodes or encodes in one go
DEEP_MODES = ("LA;16", "RGB;16", "RGBA;16")
LARGEST = 2**32 - 1  # bytes in a file whose offsets have 32 bits


def frame_of(file: BinaryIO, size: int, limits: Limits) -> Frame | None:
    """The first picture in a file, or None where Pillow should read it as a whole.

    Raises
    ------
    PictureError
        When it is broken, as far as its tags and its first strip show.
    """
    try:
        directory = Directory(file, size)
    except ValueError:
        return None
    if directory.deep:
        from imgconv.formats.tiff import deep  # here, because few pictures need it

        return deep.frame_of(directory, limits)
    strips = Strips(directory)
    if not strips.usual:
        return None
    known = pillow.about_tiff(directory.file)
    first = pillow.decoded(strips.excerpt(0, 1), DEFAULT)
    shape = (strips.rows, *first.array.shape[1:])
    about = replace(known, array=unread(shape, first.array.dtype), mode=first.mode)
    at_once = max(1, AT_ONCE_BYTES // (strips.strip_rows * first.array[0].nbytes))
    waiting, number = first.array[:0], 0

    def read(target: Array) -> None:
        nonlocal waiting, number
        done = 0
        while done < len(target):
            if not len(waiting):
                waiting = pillow.decoded(strips.excerpt(number, number + at_once), DEFAULT).array
                number += at_once
            part = waiting[: len(target) - done]
            target[done : done + len(part)] = part.reshape(len(part), *target.shape[1:])
            waiting = waiting[len(part) :]
            done += len(part)

    return Frame(about, directory.size, read)


class Strips:
    """The strips of a picture in a file, each with the same number of rows but for the last.

    Attributes
    ----------
    rows, columns : int
    strip_rows : int
        Of an uncompressed picture, which can be parted anywhere, about `PART_BYTES`.
    """

    def __init__(self, directory: Directory) -> None:
        self.file = directory.file
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


def sink_of(about: Array, mode: str, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> TiffSink:
    """What writes a picture of that shape and type; of the array only the first pixel is looked at.

    Parameters
    ----------
    about : ndarray
    mode : str
        One that TIFF holds.
    metadata, options : mapping
        What the file says about itself, and as Pillow's encoder takes them.
    """

    def encode(rows: Array, options: Mapping[str, Any]) -> bytes:
        if mode not in DEEP_MODES:
            return pillow.encoded(rows, "TIFF", mode, options)[1]
        from imgconv.formats.tiff.deep import deepened  # here, because few pictures need it

        # Pillow is given each sample as a pixel
        return deepened(pillow.encoded(rows.reshape(len(rows), -1), "TIFF", "I;16", options)[1], *rows.shape[1:])

    told = {key: value for key, value in metadata.items() if key not in ("exif", "xmp")}
    blank = encode(about[:1, :1], {**told, **options, "compression": "raw"})
    exif, xmp = (metadata.get(key) or b"" for key in ("exif", "xmp"))
    if exif or xmp:
        from imgconv.formats.exif import into_tiff

        blank = into_tiff(blank, exif, xmp)
    return TiffSink(blank, lambda rows: encode(rows, options), about)


class TiffSink(Sink):
    """Writes strips out of small files by Pillow, which has compressed them.

    Parameters
    ----------
    blank : bytes
        A TIFF of one pixel that says about itself what the file should.
    encode : callable
        Makes TIFFs of some rows that say nothing about themselves.
    about : Array
        Of the shape and type of all rows.
    """

    step: int

    def __init__(self, blank: bytes, encode: Callable[[Array], bytes], about: Array) -> None:
        self.blank, self.encode = directory_of(blank), encode
        self.start, self.size = blank, len(blank)
        self.layout: Directory | None = None
        self.rows = 0
        self.strips: list[tuple[int, int]] = []  # where each begins, and its bytes
        # Pillow makes strips of 64 KB where it compresses, else one of all rows
        row_bytes = about[0].nbytes
        rows = directory_of(encode(about[: 2**17 // row_bytes + 1])).number(STRIP_ROWS)
        self.step = max(rows, AT_ONCE_BYTES // row_bytes // rows * rows)

    def begin(self, file: BinaryIO) -> None:
        super().begin(file)
        put(file, self.start)

    def write(self, rows: Array) -> None:
        for first in range(0, len(rows), self.step):
            data = self.encode(rows[first : first + self.step])
            directory = directory_of(data)
            self.layout = self.layout or directory
            self.rows += directory.number(LENGTH)
            for start, count in directory.strips:
                put(self.file, data[start : start + count])
                self.strips.append((self.size, count))
                self.size += count
            if self.size + 12 * len(self.strips) > LARGEST:
                raise WriteError("TIFF cannot hold more than 4 GB; write .png or .npy")

    def end(self) -> None:
        assert self.layout is not None
        order, at = self.blank.order, self.size + self.size % 2
        entries = {LENGTH: Entry(LONG, 1, struct.pack(order + "I", self.rows))}
        for tag, values in zip((OFFSETS, COUNTS), zip(*self.strips, strict=True), strict=True):
            entries[tag] = Entry(LONG, len(values), struct.pack(f"{order}{len(values)}I", *values))
        put(self.file, bytes(self.size % 2) + written(order, self.blank.fields | self.layout.entries | entries, at))
        self.file.seek(4)
        put(self.file, struct.pack(order + "I", at))
        self.file.seek(0, io.SEEK_END)
