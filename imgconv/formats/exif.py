"""EXIF data (CIPA DC-008): directories of a TIFF in a block of bytes, which are changed in place.

So what is not changed stays as it was, byte for byte: text of any encoding, and the notes of a camera's maker, which
point to bytes of the block. Only between EXIF data and the tags of a TIFF file are directories laid out anew.
"""

from __future__ import annotations

import contextlib
import io
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from imgconv.formats.photoshop import changed, iptc_of, with_iptc
from imgconv.formats.picture import EXIF_MARK, Picture
from imgconv.formats.png.chunks import metadata_in
from imgconv.formats.tiff.tags import BYTE, LARGEST, LONG, SHORT, SIZES, Entry, Field, Tag, Tags, directory_of, file_of
from imgconv.formats.xmp import without_recipe

SUBFILES, IPTC, PHOTOSHOP, LAYERS = 330, 33723, 34377, 37724
SIZE_TAGS = ((256, 257), (40962, 40963))  # columns and rows, in the first directory and in the EXIF directory
THUMBNAIL = ((513, 514), (273, 279))  # where its bytes are, and how many
RESOLUTION = (282, 283, 296)
# tags that describe how a TIFF file is laid out, not the picture, or that stand elsewhere in `Picture.info`
LAYOUT = frozenset(
    [254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, SUBFILES,
     332, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 700, IPTC, PHOTOSHOP, 34675, LAYERS]
)  # fmt: skip
NUMBER_BYTES = {3: 2, 4: 4, 5: 4, 8: 2, 9: 4, 10: 4, 11: 4, 12: 8, 13: 4}  # of types whose bytes have an order
SHORTER = {16: LONG, 17: 9, 18: 13}  # types that only BigTIFF has, and what they are elsewhere
XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|>)\s*)[2-8]""")
# EXIF orientation: how the stored rows and columns become the upright picture (transpose, then flip rows, columns)
UPRIGHT = {
    2: (False, False, True), 3: (False, True, True), 4: (False, True, False),
    5: (True, False, False), 6: (True, False, True), 7: (True, True, True), 8: (True, True, False),
}  # fmt: skip
JPEG_SIZE = re.compile(rb"\xff\xd8\xff.*?\xff[\xc0-\xc2]\0.\x08(.{4})", re.DOTALL)
JPEG_START, JPEG_END = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]"), b"\xff\xd9"
XMP_THUMBNAIL = re.compile(rb"""<(x\w*GImg:image)\b[^>]*>[^<]*</\1\s*>|\bx\w*GImg:image\s*=\s*(?:"[^"]*"|'[^']*')""")
PHOTOSHOP_SHOWS = re.compile(rb"8BIM\x04[\x09\x0c]|\xff\xd8\xff|GImg:image")  # its thumbnails, or others inside
PHOTOSHOP_THUMBNAILS = (0x0409, 0x040C)
SHAPE = re.compile(rb'\s*(?:\{"shape": *\[([\d, ]*)\]|shape=\(([\d, ]*)\))')  # as tifffile writes it


def tags_of(exif: bytes) -> Tags:
    """The tags of EXIF data. Raises ValueError."""
    start = len(EXIF_MARK) if exif.startswith(EXIF_MARK) else 0
    return Tags(io.BytesIO(exif), len(exif) - start, start)


def tree_of(
    tags: Tags, order: str, at: int | None = None, without: Collection[int] = LAYOUT, lost: list[int] | None = None
) -> dict[int, Any]:
    """The first directory, or that at `at`, without some tags, and those under it, as `table_of` takes them.

    Numbers are in the byte order `order`; into `lost` go tags that make no sense. Raises ValueError when the directory
    makes none.
    """
    start = tags.first if at is None else at
    return _directory(tags, order, start, (Tag.EXIF, Tag.GPS), without, [] if lost is None else lost, [LARGEST])


def _directory(
    tags: Tags, order: str, at: int, nested: tuple[int, ...], without: Collection[int], lost: list[int],
    left: list[int],
) -> dict[int, Any]:  # fmt: skip
    """What `tree_of` gives; `left` has one number: how many bytes all directories may still take."""
    entries: dict[int, Any] = {}
    for tag, field in tags.directory(at)[0].items():
        left[0] -= field.length + 12
        if field.length == 0 or tag in without:
            continue
        try:  # one tag that makes no sense is no reason to lose the others
            if left[0] < 0:
                raise ValueError
            if tag in nested:
                under = (Tag.INTEROPERABILITY,) if tag == Tag.EXIF else ()
                entries[tag] = _directory(tags, order, tags.value(field), under, (), lost, left)
            else:
                entries[tag] = _entry(tags, field, order)
        except ValueError:
            lost.append(tag)
    return entries


def _entry(tags: Tags, field: Field, order: str) -> Entry:
    """A tag as classic TIFF has it, with numbers in a byte order. Raises ValueError."""
    data, kind = tags.taken(field.at, field.length), field.kind
    if kind in SHORTER:
        long = np.frombuffer(data, tags.order + "i8" if kind == 17 else tags.order + "u8")
        kind = SHORTER[kind]
        short = long.astype(order + ("i4" if kind == 9 else "u4"))
        if (short != long).any():
            raise ValueError("does not fit into EXIF data")
        data = short.tobytes()
    elif kind in NUMBER_BYTES and order != tags.order:
        data = np.frombuffer(data, f"u{NUMBER_BYTES[kind]}").byteswap().tobytes()
    return Entry(kind, field.values, data)


def of_tiff(file: BinaryIO, columns: int, rows: int) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the tags of a TIFF file say beside its layout, as `Picture.info` has it, most as EXIF data; and a note.

    `columns` and `rows` are those of its pixels upright, as Pillow has turned them.
    """
    info: dict[str, Any] = {}
    lost: list[int] = []
    try:
        tags = Tags(file, file.seek(0, io.SEEK_END))
        entries = tree_of(tags, tags.order, lost=lost)
        fields = tags.directory(tags.first)[0]
        turned = Tag.WIDTH in fields and tags.value(fields[Tag.WIDTH]) != columns
        with contextlib.suppress(ValueError):  # Photoshop's word for IPTC data and the one of TIFF
            resources, iptc = (
                tags.taken(fields[tag].at, fields[tag].length) if tag in fields else b"" for tag in (PHOTOSHOP, IPTC)
            )
            if resources or iptc:
                info["photoshop"] = with_iptc(resources, iptc) if iptc else resources
    except ValueError:
        return {}, ()
    for tag in RESOLUTION:
        entries.pop(tag, None)
    if Tag.ORIENTATION in entries:
        entries[Tag.ORIENTATION] = Entry(SHORT, 1, struct.pack(tags.order + "H", 1))
    if entries:
        exif = EXIF_MARK + file_of(tags.order, entries)
        info["exif"] = upright(exif, columns, rows) if turned else exif
    names = [("exif", f"tag {tag}") for tag in lost] + [("other", "pictures within (SubIFDs)")] * (SUBFILES in fields)
    if names:
        info["lost"] = tuple(names)
    layers = "its layers in Photoshop's form, which show the picture before, are left out"
    return info, (layers,) if LAYERS in fields else ()


def into_tiff(data: bytes, exif: bytes, xmp: bytes, photoshop: bytes) -> bytes:
    """A TIFF file by Pillow, which is `data`, with the tags of EXIF data, XMP and Photoshop's resources."""
    directory = directory_of(data)
    entries: dict[int, Any] = {}
    with contextlib.suppress(ValueError):
        entries = tree_of(tags_of(exif), directory.order)
    iptc = iptc_of(photoshop)
    iptc += bytes(-len(iptc) % 4)  # readers want whole words
    for tag, kind, value in ((Tag.XMP, BYTE, xmp), (PHOTOSHOP, BYTE, photoshop), (IPTC, LONG, iptc)):
        if value:
            entries[tag] = Entry(kind, len(value) // SIZES[kind], value)
    return file_of(directory.order, entries | directory.raw, data[8:])


class Place(NamedTuple):
    """Where a thumbnail is: a JPEG in the second directory."""

    at: int
    length: int
    size: tuple[int, int]  # columns and rows


class Edited:
    """EXIF data that is being changed in place. Raises ValueError when it makes no sense."""

    def __init__(self, exif: bytes) -> None:
        self.data = bytearray(exif)
        self.tags = tags_of(exif)
        self.first, self.next = self.tags.directory(self.tags.first)
        self.blanked: list[tuple[int, int]] = []  # from where, and to where
        nested = self.first.get(Tag.EXIF)
        self.nested = self.tags.directory(self.tags.value(nested))[0] if nested else {}

    def put(self, at: int, kind: str, *values: int) -> None:
        place = self.tags.start + at
        data = struct.pack(self.tags.order + kind, *values)
        self.data[place : place + len(data)] = data

    @property
    def orientation(self) -> int:
        field = self.first.get(Tag.ORIENTATION)
        return self.tags.value(field) if field and field.values == 1 and field.kind in (SHORT, LONG) else 1

    def set_upright(self) -> None:
        if field := self.first.get(Tag.ORIENTATION):
            self.put(field.at, "H" if field.kind == SHORT else "I", 1)

    def set_size(self, columns: int, rows: int) -> None:
        """Writes the size of the picture wherever it stands."""
        for fields, tags in zip((self.first, self.nested), SIZE_TAGS, strict=True):
            self.put_size(fields, tags, columns, rows)

    def put_size(self, fields: Mapping[int, Field], tags: tuple[int, int], columns: int, rows: int) -> None:
        """Writes a size into two tags of a directory, as far as they are there."""
        for tag, value in zip(tags, (columns, rows), strict=True):
            field = fields.get(tag)
            if field and field.values == 1 and field.kind in (SHORT, LONG):
                short = value < 2**16
                self.put(field.place + 2, "HI", SHORT if short else LONG, 1)
                self.put(field.at, *(("HH", value, 0) if short else ("I", value)))

    def drop(self, field: Field) -> None:
        """Takes a tag out of the first directory."""
        start = self.tags.start
        end = start + self.next + 4
        self.blank(field.at, field.length)
        self.data[start + field.place : end] = self.data[start + field.place + 12 : end] + bytes(12)
        self.put(self.tags.first, "H", len(self.first) - 1)

    def blank(self, at: int, length: int) -> None:
        place = self.tags.start + at
        if place <= len(self.data) - length:
            self.data[place : place + length] = bytes(length)
            self.blanked.append((place, place + length))

    def thumbnail(self) -> Place | None:
        """The thumbnail, where it is a JPEG."""
        at = self.tags.unpacked(self.next, "I")
        fields = self.tags.directory(at)[0] if at else {}
        start, length = (fields.get(tag) for tag in THUMBNAIL[0])
        if not (start and length and start.kind == length.kind == LONG and start.values == length.values == 1):
            return None
        place, size = self.tags.value(start), self.tags.value(length)
        found = JPEG_SIZE.match(self.tags.taken(place, size))
        return Place(place, size, struct.unpack(">HH", found[1])[::-1]) if found else None

    def set_thumbnail(self, place: Place, data: bytes) -> None:
        """Puts another JPEG there, which may be shorter, and lies as the picture does."""
        begin = self.tags.start + place.at
        self.data[begin : begin + place.length] = data.ljust(place.length, b"\0")
        fields = self.tags.directory(self.tags.unpacked(self.next, "I"))[0]
        self.put(fields[THUMBNAIL[0][1]].at, "I", len(data))
        if size := JPEG_SIZE.match(data):
            self.put_size(fields, SIZE_TAGS[0], *struct.unpack(">HH", size[1])[::-1])
        turned = fields.get(Tag.ORIENTATION)
        if turned and turned.values == 1 and turned.kind == SHORT:
            self.put(turned.at, "H", self.orientation)

    def unlink_thumbnail(self) -> bool:
        """Takes out the second directory, and the picture that it points to."""
        at = self.tags.unpacked(self.next, "I")
        if not at:
            return False
        self.put(self.next, "I", 0)
        fields, end = self.tags.directory(at)
        for tags in THUMBNAIL:
            if set(tags) <= set(fields):
                places, lengths = (fields[tag] for tag in tags)
                for index in range(min(places.values, lengths.values, 2**16)):
                    self.blank(self.tags.value(places, index), self.tags.value(lengths, index))
        self.blank(at, end + 4 - at)
        return True


def orientation_of(exif: bytes) -> int:
    """The orientation that EXIF data states; 1 where it states none. Raises ValueError."""
    return Edited(exif).orientation


def upright(exif: bytes, columns: int, rows: int) -> bytes:
    """EXIF data for the picture turned upright."""
    edited = Edited(exif)
    edited.set_upright()
    edited.set_size(columns, rows)
    return bytes(edited.data)


def turned_upright(picture: Picture, orientation: int) -> Picture:
    """The picture with its pixels turned as an EXIF orientation says, and metadata that says that it is upright."""
    if orientation not in UPRIGHT:
        return picture
    transpose, flip_rows, flip_columns = UPRIGHT[orientation]
    array = picture.array.swapaxes(0, 1) if transpose else picture.array
    array = np.ascontiguousarray(array[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1])
    info = dict(picture.info)
    if "xmp" in info:
        info["xmp"] = XMP_ORIENTATION.sub(rb"\g<1>1", info["xmp"])
    if "exif" in info:
        info["exif"] = upright(info["exif"], array.shape[1], array.shape[0])
    return replace(picture, array=array, info=info)


def for_result(
    info: Mapping[str, Any], before: tuple[int, ...], after: tuple[int, ...], frames: int, *, remade: bool = False
) -> tuple[dict[str, Any], list[str]]:
    """What metadata in `info` says as it holds for the filtered picture, and what was left out.

    `before` and `after` are the shapes of the samples. What shows the picture before is left out; where `remade`, the
    thumbnail in EXIF data only blanked, and its place is under `thumbnail`.
    """
    result = dict(info)
    notes: list[str] = []
    if "exif" in info:
        result["exif"], place, notes = _exif_for_result(info["exif"], before, after, frames, remade)
        if place:
            result["thumbnail"] = place
    if "xmp" in info:
        result["xmp"] = XMP_THUMBNAIL.sub(b"", info["xmp"])
        if result["xmp"] != info["xmp"]:
            notes.append("the thumbnail in its XMP, which shows the picture before, is left out")
        if (bare := without_recipe(result["xmp"])) != result["xmp"]:
            result["xmp"] = bare
            notes.append("the recipe in its XMP, which made the picture before, is left out")
    if PHOTOSHOP_SHOWS.search(info.get("photoshop", b"")):
        result["photoshop"] = changed(info["photoshop"], _unless_it_shows)
        notes.append("what shows the picture before in its Photoshop data is left out")
    if "chunks" in info:  # of which several may say the same
        kept = []
        for chunk in info["chunks"]:
            metadata = metadata_in(chunk)
            still_true, left_out = for_result(metadata, before, after, frames, remade=remade)
            kept += [chunk] if still_true == metadata else []
            notes += left_out
        result["chunks"] = tuple(kept)
    return result, list(dict.fromkeys(notes))


def _unless_it_shows(number: int, value: bytes) -> bytes | None:
    """One of Photoshop's resources, or None where it shows the picture before."""
    return None if number in PHOTOSHOP_THUMBNAILS or PHOTOSHOP_SHOWS.search(value) else value


def states_resolution(exif: bytes) -> bool:
    """Whether EXIF data has a resolution of its own."""
    try:
        return set(RESOLUTION[:2]) <= set(Edited(exif).first)
    except ValueError:
        return False


def _exif_for_result(
    exif: bytes, before: tuple[int, ...], after: tuple[int, ...], frames: int, remade: bool
) -> tuple[bytes, Place | None, list[str]]:
    notes = []
    data, gone, blanked, place = bytearray(exif), False, [], None
    with contextlib.suppress(ValueError):
        edited = Edited(exif)
        data, blanked = edited.data, edited.blanked
        if before[:2] != after[:2]:
            edited.set_size(after[1], after[0])
        try:
            place = edited.thumbnail() if remade else None
            if place:
                edited.set_thumbnail(place, b"")
            else:
                gone = edited.unlink_thumbnail()
        except ValueError:  # the second directory points out of the data
            gone = bool(blanked)
        field = edited.first.get(Tag.DESCRIPTION)
        at = edited.tags.start + field.at if field else 0
        if field and _is_stale(bytes(data[at : at + field.length]), before, after, frames):
            edited.drop(field)
            notes.append("its description is of another shape and left out")
    at = 0
    while match := JPEG_START.search(data, at):  # the thumbnail, if nothing pointed to it; previews of makers
        end = data.find(JPEG_END, match.end())
        at = len(data) if end < 0 else end + 2
        data[match.start() : at] = bytes(at - match.start())
        blanked.append((match.start(), at))
        gone = True
    if gone:
        notes.append("its thumbnail, which shows the picture before, is left out")
        for start, stop in sorted(blanked, key=lambda span: -span[1]):
            if stop >= len(data) - 1:  # one more byte makes lengths even
                del data[start:]
    return bytes(data), place, notes


def _is_stale(description: bytes, before: tuple[int, ...], after: tuple[int, ...], frames: int) -> bool:
    """Whether a description that speaks of the shape, as tifffile, ImageJ and OME have it, is no longer true."""
    if shape_words := SHAPE.match(description):
        shape = [int(number) for number in re.findall(rb"\d+", shape_words[1] or shape_words[2] or b"")]
        return [size for size in shape if size != 1] != [size for size in after if size != 1]
    return (description.startswith(b"ImageJ=") or b"<OME" in description) and (before != after or frames > 1)
