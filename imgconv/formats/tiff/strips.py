"""A TIFF strip by strip: some strips of a large file as a small one for Pillow, and small ones put together.

Samples are Pillow's business; only the tags are read and laid out here.
"""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import accumulate
from typing import Any, BinaryIO, NamedTuple

from imgconv.arrayfile import Array
from imgconv.errors import WriteError
from imgconv.formats import pillow
from imgconv.formats.limits import DEFAULT, Limits
from imgconv.formats.picture import Frame, Picture, reader_of, unread
from imgconv.formats.place import put
from imgconv.formats.sink import Sink
from imgconv.formats.tiff.tags import (
    BLACK_IS_0,
    FLOAT,
    LONG,
    RGB,
    UNSIGNED,
    Directory,
    Tag,
    directory_of,
    file_of,
    table_of,
)

# tags that the samples of a strip depend on: how they are compressed, what they mean, and tables for that
DECODING = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339, 347, 529, 530, 531, 532)
UNCOMPRESSED, OLD_JPEG = 1, 6  # compressions
YCBCR = 6  # a photometric interpretation
BYTES = (1, 7)  # types
LISTS = (Tag.BITS, Tag.OFFSETS, Tag.COUNTS)
LAYOUT = (
    *LISTS, Tag.WIDTH, Tag.LENGTH, Tag.COMPRESSION, Tag.PHOTOMETRIC, Tag.SAMPLES, Tag.STRIP_ROWS, Tag.PLANES,
    Tag.ORIENTATION,
)  # fmt: skip
PART_BYTES = 2**16  # an uncompressed strip is taken apart into some of about so many
LARGEST_STRIP = 2**26  # bytes of samples
AT_ONCE_BYTES = 2**20  # of samples that Pillow decodes or encodes in one go
LARGEST_FILE = 2**32 - 1  # bytes where offsets have 32 bits


def frame_of(file: BinaryIO, size: int, limits: Limits) -> Frame | None:
    """The first picture in a file, or None where Pillow should read it as a whole.

    Raises PictureError when it is broken, as far as its tags and its first strip show.
    """
    try:
        directory = Directory(file, size)
    except ValueError:
        return None
    if has_deep_colour(directory):
        from imgconv.formats.tiff import colour16  # here, because few pictures need it

        return colour16.frame_of(directory, limits)
    strips = Strips(directory)
    if not strips.usual:
        return None
    about = pillow.about_tiff(file)
    first = pillow.decoded(strips.excerpt(0, 1), DEFAULT)
    blank = unread((strips.rows, *first.array.shape[1:]), first.array.dtype)
    step = max(1, AT_ONCE_BYTES // (strips.strip_rows * first.array[0].nbytes))

    def parts() -> Iterator[Array]:
        for number in range(0, len(strips.strips), step):
            yield pillow.decoded(strips.excerpt(number, number + step), DEFAULT).array

    return Frame(replace(about, array=blank, mode=first.mode), size, reader_of(parts()))


def has_deep_colour(d: Directory) -> bool:
    """Whether samples have 16 bits, or are floating, in RGB, or in grey with alpha: Pillow cuts or refuses those."""
    colours = {BLACK_IS_0: 1, RGB: 3}.get(d.number(Tag.PHOTOMETRIC, -1), 0)
    kind = set(d.numbers(Tag.BITS)), set(d.numbers(Tag.FORMAT, (UNSIGNED,)))
    return (
        d.whole(Tag.WIDTH, Tag.COMPRESSION, Tag.PLANES, Tag.PREDICTOR, Tag.TILE_WIDTH)
        and (kind == ({16}, {UNSIGNED}) or (kind == ({32}, {FLOAT}) and d.number(Tag.PREDICTOR, 1) == 1))
        and max(2, colours) <= d.number(Tag.SAMPLES, 1) <= colours + 1
    )


class Strips:
    """The strips of a picture in a file, each with `strip_rows` rows but for the last.

    An uncompressed picture can be parted anywhere: into strips of about `PART_BYTES`.
    """

    def __init__(self, directory: Directory) -> None:
        d = self.directory = directory
        self.rows, self.columns = d.number(Tag.LENGTH), d.number(Tag.WIDTH)
        self.strips = d.strips
        self.strip_rows = max(1, min(self.rows, d.number(Tag.STRIP_ROWS, self.rows)))
        self.row_bytes = -(-self.columns * d.number(Tag.SAMPLES, 1) * max(d.numbers(Tag.BITS, (1,))) // 8)
        begin = self.strips[0][0] if self.strips else 0
        strip_bytes = self.strip_rows * self.row_bytes
        if (
            d.number(Tag.COMPRESSION, 1) == UNCOMPRESSED
            and d.number(Tag.PHOTOMETRIC) != YCBCR
            and self.row_bytes
            and begin + self.rows * self.row_bytes <= d.size
            and all(start == begin + strip_bytes * number for number, (start, _) in enumerate(self.strips))
            and self.all_there
        ):
            self.strip_rows = min(self.rows, max(1, PART_BYTES // self.row_bytes))
            self.strips = [
                (begin + start * self.row_bytes, min(self.strip_rows, self.rows - start) * self.row_bytes)
                for start in range(0, self.rows, self.strip_rows)
            ]

    @property
    def all_there(self) -> bool:
        """Whether there are as many strips as the rows take."""
        return len(self.strips) == math.ceil(self.rows / self.strip_rows)

    @property
    def usual(self) -> bool:
        """Whether the picture can be read strip by strip: no tiles, planes one by one, turned or huge strips."""
        d = self.directory
        return (
            self.rows > 0
            and self.columns > 0
            and d.whole(*LAYOUT, lists=LISTS)
            and d.number(Tag.PLANES, 1) == 1
            and (Tag.XMP not in d.entries or d.entries[Tag.XMP].kind in BYTES)  # where Pillow looks for an orientation
            and d.orientation == 1
            and d.number(Tag.COMPRESSION, 1) != OLD_JPEG
            and self.all_there
            and d.entries[Tag.OFFSETS].values == d.entries[Tag.COUNTS].values
            and all(count and start + count <= d.size for start, count in self.strips)
            and self.strip_rows * self.row_bytes <= LARGEST_STRIP
        )

    def excerpt(self, first: int, stop: int) -> bytes:
        """A TIFF file of some strips."""
        d = self.directory
        bodies = [d.taken(start, count) for start, count in self.strips[first:stop]]
        layout = {
            Tag.WIDTH: [self.columns],
            Tag.LENGTH: [min(self.rows, stop * self.strip_rows) - first * self.strip_rows],
            Tag.STRIP_ROWS: [self.strip_rows],
            Tag.COUNTS: list(map(len, bodies)),
        }
        entries = {tag: d.entries[tag] for tag in DECODING if tag in d.entries}
        entries |= {tag: d.entry(*values, kind=LONG) for tag, values in layout.items()}

        def tags(begin: int) -> bytes:
            starts = accumulate(map(len, bodies[:-1]), initial=begin)
            return file_of(d.order, entries | {Tag.OFFSETS: d.entry(*starts, kind=LONG)})

        return b"".join([tags(len(tags(0))), *bodies])  # last, so that nothing stands where a strip is too short


class Page(NamedTuple):
    """How a page is written."""

    blank: bytes  # a TIFF of one pixel with all metadata
    encode: Callable[[Array], bytes]  # makes TIFFs of some rows without


def page_of(about: Array, mode: str, metadata: Mapping[str, Any], options: Mapping[str, Any]) -> Page:
    """How a picture of that shape and type is written, in a mode that TIFF holds; the options are Pillow's encoder's.

    Of the array only the first pixel is looked at.
    """

    def encode(rows: Array, options: Mapping[str, Any]) -> bytes:
        if ";" not in mode or mode == "I;16":
            return pillow.encoded(rows, "TIFF", mode, options)[1]
        from imgconv.formats.tiff.colour16 import as_colour  # here, because few pictures need it

        # Pillow is given each sample as a pixel
        grey = "F" if mode.endswith("F") else "I;16"
        return as_colour(pillow.encoded(rows.reshape(len(rows), -1), "TIFF", grey, options)[1], *rows.shape[1:])

    simple = {key: value for key, value in metadata.items() if key not in ("exif", "xmp", "photoshop")}
    blank = encode(about[:1, :1], {**simple, **options, "compression": "raw"})
    parts = [metadata.get(key) or b"" for key in ("exif", "xmp", "photoshop")]
    if any(parts):
        from imgconv.formats.exif import into_tiff

        blank = into_tiff(blank, *parts)
    return Page(blank, lambda rows: encode(rows, options))


class TiffSink(Sink):
    """Writes strips out of small files by Pillow, which has compressed them; `page_of` says how for each page."""

    step: int

    def __init__(self, about: Picture, page_of: Callable[[Picture], Page]) -> None:
        self.page_of = page_of
        self.pointer = 4  # where the place of the next directory is to be put
        self._begin_page(about)
        self.start = self.page.blank
        self.size = len(self.start)

    def _begin_page(self, about: Picture) -> None:
        self.page = self.page_of(about)
        self.rows = 0
        self.strips: list[tuple[int, int]] = []  # where each begins, and its bytes
        # Pillow makes strips of 64 KB where it compresses, else one of all rows
        row_bytes = about.array[0].nbytes
        rows = directory_of(self.page.encode(about.array[: 2**17 // row_bytes + 1])).number(Tag.STRIP_ROWS)
        self.step = max(rows, AT_ONCE_BYTES // row_bytes // rows * rows)

    def following(self, about: Picture) -> None:
        self.end()
        self._begin_page(about)

    def write(self, rows: Array) -> None:
        for first in range(0, len(rows), self.step):
            data = self.page.encode(rows[first : first + self.step])
            directory = directory_of(data)
            if not self.rows:
                self.layout = directory.entries
            self.rows += directory.number(Tag.LENGTH)
            for start, count in directory.strips:
                put(self.file, data[start : start + count])
                self.strips.append((self.size, count))
                self.size += count
            if self.size + 12 * len(self.strips) > LARGEST_FILE:
                raise WriteError("TIFF cannot hold more than 4 GB; write .png or .npy")

    def end(self) -> None:
        blank = directory_of(self.page.blank)
        metadata: dict[int, Any] = blank.raw  # of the first page: its values stand where they stood in its blank
        if self.pointer > 4:
            from imgconv.formats.exif import tree_of

            metadata = tree_of(blank, blank.order, without=())
        gap = bytes(self.size % 2)
        values = (Tag.LENGTH, [self.rows]), *zip((Tag.OFFSETS, Tag.COUNTS), zip(*self.strips, strict=True), strict=True)
        entries = {tag: blank.entry(*numbers, kind=LONG) for tag, numbers in values}
        at = self.size + len(gap)
        tags = {**metadata, **self.layout, **entries}
        table = table_of(blank.order, tags, at)
        put(self.file, gap + table)
        self.file.seek(self.pointer)
        put(self.file, struct.pack(blank.order + "I", at))
        self.file.seek(0, io.SEEK_END)
        self.size, self.pointer = at + len(table), at + 2 + 12 * len(tags)
