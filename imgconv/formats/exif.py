"""EXIF data (CIPA DC-008): directories of a TIFF in a block of bytes, which are changed in place.

So what is not changed stays as it was, byte for byte: text of any encoding, and the notes of a camera's maker, which
point to bytes of the block. Only between EXIF data and the tags of a TIFF file are directories laid out anew.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from imgconv.formats.png.chunks import meaning
from imgconv.formats.tiff.tags import LONG, ORIENTATION, SHORT, SIZES, WIDTH, XMP, Entry, directory_of

BYTE = 1
MARK = b"Exif\0\0"
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965  # tags that point to a directory
NESTED = (EXIF, GPS, INTEROPERABILITY)
DESCRIPTION, LAYERS = 270, 37724
SIZE_TAGS = ((256, 257), (40962, 40963))  # columns and rows, in the first directory and in the EXIF directory
THUMBNAIL = ((513, 514), (273, 279))  # where its bytes are, and how many
RESOLUTION = (282, 283, 296)
# tags that describe how a TIFF file is laid out, not the picture, or that stand elsewhere in `Picture.info`
LAYOUT = frozenset(
    [254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 330,
     332, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 700, 33723, 34377, 34675, LAYERS, *RESOLUTION]
)  # fmt: skip
NUMBER_BYTES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}  # of types whose bytes have an order
SHORTER = {16: LONG, 17: 9, 18: 13}  # types that only BigTIFF has, and what they are elsewhere
LARGEST = 2**26  # bytes of all tags
JPEG_START, JPEG_END = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]"), b"\xff\xd9"
XMP_THUMBNAIL = re.compile(rb"""<(x\w*GImg:image)\b[^>]*>[^<]*</\1\s*>|\bx\w*GImg:image\s*=\s*(?:"[^"]*"|'[^']*')""")
PHOTOSHOP_SHOWS = re.compile(rb"8BIM\x04[\x09\x0c]|\xff\xd8\xff|GImg:image")  # its thumbnails, or others inside
SHAPE = re.compile(rb'\s*(?:\{"shape": *\[([\d, ]*)\]|shape=\(([\d, ]*)\))')  # as tifffile writes it


class Field(NamedTuple):
    """A tag: where it stands, the type of its values, how many there are, and where they are."""

    place: int
    kind: int
    values: int
    at: int

    @property
    def length(self) -> int:
        """Bytes of all values."""
        return SIZES.get(self.kind, 0) * self.values


Tree = dict[int, Any]  # entries, and trees of more


class Tags:
    """The directories of a TIFF file, BigTIFF included, or of EXIF data.

    Raises
    ------
    ValueError
        Here, and from every method, when they make no sense.
    """

    def __init__(self, file: BinaryIO, size: int, start: int = 0) -> None:
        self.file, self.size, self.start = file, size, start
        mark = self.taken(0, 8)
        self.order = {b"II": "<", b"MM": ">"}.get(mark[:2], "")
        if not self.order or mark[2:4] not in (b"*\0", b"\0*", b"+\0", b"\0+"):
            raise ValueError("is no EXIF data")
        self.big = b"+" in mark[2:4]
        self.first = self.number(8, "Q") if self.big else self.number(4, "I")

    def taken(self, at: int, length: int) -> bytes:
        """Some bytes; places are counted from the start of the data."""
        if length > self.size:
            raise ValueError("points out of the data")
        self.file.seek(self.start + at)
        data = self.file.read(length)
        if len(data) < length:
            raise ValueError("points out of the data")
        return data

    def number(self, at: int, kind: str) -> int:
        found: int = struct.unpack(self.order + kind, self.taken(at, struct.calcsize(kind)))[0]
        return found

    def directory(self, at: int) -> tuple[dict[int, Field], int]:
        """The tags of a directory, and where the pointer to the next one stands."""
        count, head, step, inline = (self.number(at, "Q"), 8, 20, 8) if self.big else (self.number(at, "H"), 2, 12, 4)
        if count * step > self.size:
            raise ValueError("points out of the data")
        fields: dict[int, Field] = {}
        for place in range(at + head, at + head + step * count, step):
            tag, kind, values = struct.unpack(
                self.order + ("HHQ" if self.big else "HHI"), self.taken(place, step - inline)
            )
            field = Field(place, kind, values, place + step - inline)
            if field.length > inline:
                field = field._replace(at=self.number(field.at, "Q" if self.big else "I"))
            fields.setdefault(tag, field)  # tifffile puts one of its own behind a description
        return fields, at + head + step * count

    def tree(self, order: str) -> Tree:
        """Everything in the first directory, and in those under it, with numbers in a byte order; not the layout."""
        budget = LARGEST

        def taken(at: int, nested: tuple[int, ...]) -> Tree:
            nonlocal budget
            found: Tree = {}
            for tag, field in self.directory(at)[0].items():
                budget -= field.length + 12
                if field.length == 0 or budget < 0 or (nested == NESTED[:2] and tag in LAYOUT - set(RESOLUTION)):
                    continue
                try:
                    if tag in nested:
                        pointer = self.number(field.at, "Q" if field.length == 8 else "I")
                        found[tag] = taken(pointer, (INTEROPERABILITY,) if tag == EXIF else ())
                    else:
                        found[tag] = self.entry(field, order)
                except ValueError:  # one tag that makes no sense is no reason to lose the others
                    continue
            return found

        return taken(self.first, NESTED[:2])

    def entry(self, field: Field, order: str) -> Entry:
        """The values of a tag, with numbers in a byte order."""
        data, kind = self.taken(field.at, field.length), field.kind
        if kind in SHORTER:
            long = np.frombuffer(data, self.order + "i8" if kind == 17 else self.order + "u8")
            kind = SHORTER[kind]
            short = long.astype(order + ("i4" if kind == 9 else "u4"))
            if (short != long).any():
                raise ValueError("does not fit into EXIF data")
            data = short.tobytes()
        elif kind in NUMBER_BYTES and order != self.order:
            data = np.frombuffer(data, f"u{NUMBER_BYTES[kind]}").byteswap().tobytes()
        return Entry(kind, field.values, data)


def tags_of(exif: bytes) -> Tags:
    """The tags of EXIF data. Raises ValueError."""
    return Tags(io.BytesIO(exif), len(exif), len(MARK) if exif.startswith(MARK) else 0)


def of_tiff(file: BinaryIO, columns: int, rows: int) -> tuple[bytes | None, tuple[str, ...]]:
    """What the tags of a TIFF file say beside its layout, as EXIF data; and a note.

    `columns` and `rows` are those of its pixels upright, as Pillow has turned them.
    """
    try:
        tags = Tags(file, file.seek(0, io.SEEK_END))
        tree = tags.tree(tags.order)
        fields = tags.directory(tags.first)[0]
        turned = (
            WIDTH in fields and tags.number(fields[WIDTH].at, "H" if fields[WIDTH].kind == SHORT else "I") != columns
        )
    except (ValueError, struct.error):
        return None, ()
    found = {tag: entry for tag, entry in tree.items() if tag not in RESOLUTION}
    if ORIENTATION in found:
        found[ORIENTATION] = Entry(SHORT, 1, struct.pack(tags.order + "H", 1))
    mark = b"II*\0" if tags.order == "<" else b"MM\0*"
    exif = MARK + mark + struct.pack(tags.order + "I", 8) + laid_out(tags.order, found, 8) if found else None
    if exif and turned:
        exif = upright(exif, columns, rows)
    layers = "its layers in Photoshop's form, which show the picture before, are left out"
    return exif, (layers,) if LAYERS in fields else ()


def into_tiff(data: bytes, exif: bytes, xmp: bytes) -> bytes:
    """A TIFF file by Pillow, which is `data`, with the tags of EXIF data, and XMP."""
    directory = directory_of(data)
    tree: Tree = {}
    with contextlib.suppress(ValueError, struct.error):
        tree = tags_of(exif).tree(directory.order)
    if xmp:
        tree[XMP] = Entry(BYTE, len(xmp), xmp)
    at = len(data) + len(data) % 2
    table = laid_out(directory.order, {**tree, **directory.fields}, at)
    return b"".join([data[:4], struct.pack(directory.order + "I", at), data[8:], bytes(len(data) % 2), table])


def laid_out(order: str, entries: Mapping[int, Any], at: int) -> bytes:
    """A directory to stand at `at`, then what it points to. Entries that are bytes are taken as they stand."""
    start = at + 2 + 12 * len(entries) + 4
    table, values = struct.pack(order + "H", len(entries)), b""
    for tag, entry in sorted(entries.items(), key=lambda item: item[0]):
        if isinstance(entry, bytes):
            table += entry
            continue
        here = start + len(values)
        if isinstance(entry, dict):
            kind, count, data = LONG, 1, laid_out(order, entry, here)
        else:
            kind, count, data = entry
        inside = len(data) <= 4 and not isinstance(entry, dict)
        table += struct.pack(order + "HHI", tag, kind, count)
        table += data.ljust(4, b"\0") if inside else struct.pack(order + "I", here)
        if not inside:
            values += data + bytes(len(data) % 2)
    return table + bytes(4) + values


class Edited:
    """EXIF data that is being changed in place. Raises ValueError when it makes no sense."""

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(exif)
        self.tags = tags_of(exif)
        self.first, self.next = self.tags.directory(self.tags.first)
        self.nested: dict[int, Field] = {}
        self.blanked: list[tuple[int, int]] = []  # from where, and to where
        if EXIF in self.first:
            self.nested = self.tags.directory(self.tags.number(self.first[EXIF].at, "I"))[0]

    def put(self, at: int, kind: str, *values: int) -> None:
        place = self.tags.start + at
        data = struct.pack(self.tags.order + kind, *values)
        self.data[place : place + len(data)] = data

    @property
    def orientation(self) -> int:
        field = self.first.get(ORIENTATION)
        if field is None or (field.kind, field.values) not in ((SHORT, 1), (LONG, 1)):
            return 1
        return self.tags.number(field.at, "H" if field.kind == SHORT else "I")

    def set_upright(self) -> None:
        if field := self.first.get(ORIENTATION):
            self.put(field.at, "H" if field.kind == SHORT else "I", 1)

    def set_size(self, columns: int, rows: int) -> None:
        """Writes the size of the picture wherever it stands."""
        for fields, tags in zip((self.first, self.nested), SIZE_TAGS, strict=True):
            for tag, value in zip(tags, (columns, rows), strict=True):
                field = fields.get(tag)
                if field is not None and field.values == 1 and field.kind in (SHORT, LONG):
                    kind = SHORT if value < 2**16 else LONG
                    self.put(field.place + 2, "HI", kind, 1)
                    self.put(field.at, *(("HH", value, 0) if kind == SHORT else ("I", value)))

    def description(self) -> bytes:
        field = self.first.get(DESCRIPTION)
        return bytes(self.data[self.tags.start + field.at :][: field.length]) if field else b""

    def drop(self, tag: int) -> None:
        """Takes a tag out of the first directory."""
        field, start = self.first[tag], self.tags.start
        end = start + self.next + 4
        self.blank(field.at, field.length)
        self.data[start + field.place : end] = self.data[start + field.place + 12 : end] + bytes(12)
        self.put(self.tags.first, "H", len(self.first) - 1)

    def blank(self, at: int, length: int) -> None:
        place = self.tags.start + at
        if 0 <= place <= len(self.data) - length:
            self.data[place : place + length] = bytes(length)
            self.blanked.append((place, place + length))

    def unlink_thumbnail(self) -> bool:
        """Takes out the second directory, and the picture that it points to."""
        at = self.tags.number(self.next, "I")
        if not at:
            return False
        self.put(self.next, "I", 0)
        fields, behind = self.tags.directory(at)
        for place, length in THUMBNAIL:
            if place in fields and length in fields:
                kinds = ["H" if fields[tag].kind == SHORT else "I" for tag in (place, length)]
                for index in range(min(fields[place].values, fields[length].values, 2**16)):
                    where, size = (
                        self.tags.number(fields[tag].at + index * struct.calcsize(kind), kind)
                        for tag, kind in zip((place, length), kinds, strict=True)
                    )
                    self.blank(where, size)
        self.blank(at, behind + 4 - at)
        return True


def orientation_of(exif: bytes) -> int:
    """The orientation that EXIF data states; 1 where it states none. Raises ValueError."""
    return _guarded(exif).orientation


def upright(exif: bytes, columns: int, rows: int) -> bytes:
    """EXIF data for the picture turned upright."""
    edited = Edited(exif)
    edited.set_upright()
    edited.set_size(columns, rows)
    return bytes(edited.data)


def for_result(
    info: Mapping[str, Any], before: tuple[int, ...], after: tuple[int, ...], frames: int
) -> tuple[dict[str, Any], list[str]]:
    """What metadata in `info` says as it holds for the filtered picture, and what was left out.

    `before` and `after` are the shapes of the samples. What shows the picture before does not travel.
    """
    found = dict(info)
    notes: list[str] = []
    if "exif" in info:
        found["exif"], notes = _for_result(info["exif"], before, after, frames)
    if "xmp" in info:
        found["xmp"] = XMP_THUMBNAIL.sub(b"", info["xmp"])
        if found["xmp"] != info["xmp"]:
            notes.append("the thumbnail in its XMP, which shows the picture before, is left out")
    if PHOTOSHOP_SHOWS.search(info.get("photoshop", b"")):
        del found["photoshop"]
        notes.append("its Photoshop data, which shows the picture before, is left out")
    if "chunks" in info:  # of which several may say the same
        kept = []
        for chunk in info["chunks"]:
            said = meaning(chunk)
            still_true, left_out = for_result(said, before, after, frames)
            kept += [chunk] if still_true == said else []
            notes += left_out
        found["chunks"] = tuple(kept)
    return found, list(dict.fromkeys(notes))


def _for_result(exif: bytes, before: tuple[int, ...], after: tuple[int, ...], frames: int) -> tuple[bytes, list[str]]:
    notes = []
    try:
        edited = _guarded(exif)
    except ValueError:
        data, gone, blanked = bytearray(exif), False, []
    else:
        if before[:2] != after[:2]:
            edited.set_size(after[1], after[0])
        try:
            gone = edited.unlink_thumbnail()
        except ValueError:  # the second directory points out of the data
            gone = bool(edited.blanked)
        if _is_stale(edited.description(), before, after, frames):
            edited.drop(DESCRIPTION)
            notes.append("its description is of another shape and left out")
        data, blanked = edited.data, edited.blanked
    at = 0
    while found := JPEG_START.search(data, at):  # the thumbnail, if nothing pointed to it; previews of makers
        end = data.find(JPEG_END, found.end())
        at = len(data) if end < 0 else end + 2
        data[found.start() : at] = bytes(at - found.start())
        blanked.append((found.start(), at))
        gone = True
    if gone:
        notes.append("its thumbnail, which shows the picture before, is left out")
        for start, stop in sorted(blanked, key=lambda span: -span[1]):
            if stop >= len(data) - 1:  # one more byte makes lengths even
                del data[start:]
    return bytes(data), notes


def _guarded(exif: bytes) -> Edited:
    try:
        return Edited(exif)
    except (struct.error, OverflowError) as problem:
        raise ValueError(str(problem)) from None


def _is_stale(description: bytes, before: tuple[int, ...], after: tuple[int, ...], frames: int) -> bool:
    """Whether a description that speaks of the shape, as tifffile, ImageJ and OME have it, is no longer true."""
    if found := SHAPE.match(description):
        shape = [int(number) for number in re.findall(rb"\d+", found[1] or found[2] or b"")]
        return [size for size in shape if size != 1] != [size for size in after if size != 1]
    return (description.startswith(b"ImageJ=") or b"<OME" in description) and (before != after or frames > 1)
