"""The pages of a TIFF, each of a size and mode of its own: those after the first are read as files of one page."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import Any, BinaryIO

from imgconv.errors import PictureError
from imgconv.formats import exif, pillow
from imgconv.formats.decode import decode
from imgconv.formats.limits import Limits
from imgconv.formats.picture import Frame, wanted_of
from imgconv.formats.tiff import strips
from imgconv.formats.tiff.tags import LONG, WHOLE, Entry, Tag, Tags, file_of

SMALLER, MASK = 1, 4  # bits of a page's kind: another page in lower resolution, or where that is transparent
SEGMENTS = ((Tag.OFFSETS, Tag.COUNTS), (Tag.TILE_OFFSETS, Tag.TILE_COUNTS), (Tag.JPEG, Tag.JPEG_BYTES))


def frames_of(file: BinaryIO, size: int, limits: Limits, wanted: Sequence[int] | None = None) -> Iterator[Frame]:
    """The pages in a file that are wanted. Raises PictureError when one is broken, as far as its tags show."""
    try:
        tags = Tags(file, size)
        pages, others = pages_of(tags, wanted)
    except ValueError:
        pages, others = [0], 0  # which Pillow may still make sense of
    for number in wanted_of(wanted, len(pages)):
        if number == 1:
            frame = _frame_of(file, size, limits)
        else:
            try:
                data = alone(tags, pages[number - 1])
            except (ValueError, struct.error) as problem:
                raise PictureError(f"is broken: its page {number} {problem}") from None
            frame = _frame_of(io.BytesIO(data), len(data), limits)
        frame.about = replace(frame.about, frames=len(pages), number=number, others=others)
        yield frame


def _frame_of(file: BinaryIO, size: int, limits: Limits) -> Frame:
    frame = strips.frame_of(file, size, limits)
    if frame is None:
        file.seek(0)
        frame = pillow.frame_of(partial(decode, file.read(), limits))
    return frame


def pages_of(tags: Tags, wanted: Sequence[int] | None) -> tuple[list[int], int]:
    """Where the directory of each page is, and how many pages more only go with others: smaller versions, masks.

    Raises PictureError where the last one points to what is none, unless only the first is wanted.
    """
    pages, others, seen, at = [tags.first], 0, {0}, tags.first
    try:
        while at not in seen:
            seen.add(at)
            fields, end = tags.directory(at)
            if at != tags.first and Tag.SUBFILE in fields and tags.value(fields[Tag.SUBFILE]) & (SMALLER | MASK):
                others += 1
            elif at != tags.first:
                pages.append(at)
            at = tags.unpacked(end, tags.word)
    except ValueError:
        if at == tags.first:
            raise
        if wanted is None or max(wanted) > 1:
            found = f"behind page {len(seen) - 2} there is none, but what points to one"
            raise PictureError(f"is broken: {found}; --frames first takes the first") from None
    return pages, others


def alone(tags: Tags, at: int) -> bytes:
    """A classic TIFF file of the page whose directory is at `at`. Raises ValueError or struct.error."""
    moved = [tag for pair in SEGMENTS for tag in pair]
    entries: dict[int, Any] = exif.tree_of(tags, tags.order, at, (*moved, Tag.NESTED))
    segments = exif.tree_of(tags, tags.order, at, tags.directory(at)[0].keys() - moved)
    bodies: list[bytes] = []
    for pair in SEGMENTS:
        if pair[0] not in segments:
            continue
        if not all(tag in segments and segments[tag].kind in WHOLE for tag in pair):
            raise ValueError("does not say where its pixels are")
        starts, counts = (
            struct.unpack(f"{tags.order}{entry.values}{WHOLE[entry.kind]}", entry.data)
            for entry in (segments[tag] for tag in pair)
        )
        if sum(counts) > tags.size:
            raise ValueError("claims more bytes than there are")
        places = list(accumulate(counts, initial=8 + sum(map(len, bodies))))[:-1]
        bodies += [tags.taken(start, count) for start, count in zip(starts, counts, strict=True)]
        for tag, numbers in zip(pair, (places, counts), strict=True):
            entries[tag] = Entry(LONG, len(numbers), struct.pack(f"{tags.order}{len(numbers)}I", *numbers))
    return file_of(tags.order, entries, b"".join(bodies))
