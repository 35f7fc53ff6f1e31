"""MPO (CIPA DC-007): several JPEGs one after the other, and in the first an index that says what each is.

Phones write such files, too, whose other pictures only go with the first: previews, gain maps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

from imgconv.errors import PictureError, WriteError
from imgconv.formats import mpf, pillow, segments
from imgconv.formats.decode import decode
from imgconv.formats.limits import Limits
from imgconv.formats.picture import Frame, Picture, wanted_of
from imgconv.formats.place import put
from imgconv.formats.sink import Rows, Sink


def frames_of(
    file: BinaryIO, size: int, limits: Limits, wanted: Sequence[int] | None = None, threads: int | None = None
) -> Iterator[Frame] | None:
    """The pictures that are wanted; None where the file holds one. Raises PictureError where one is not there."""
    parts = mpf.parts_of(file, size)
    frames = [part for part in parts if not part.about]
    return _each(file, size, frames, mpf.others_in(parts), limits, wanted, threads) if len(frames) > 1 else None


def _each(
    file: BinaryIO, size: int, frames: list[mpf.Part], others: dict[str, Any], limits: Limits,
    wanted: Sequence[int] | None, threads: int | None,
) -> Iterator[Frame]:  # fmt: skip
    for number in wanted_of(wanted, len(frames)):
        part = frames[number - 1]
        file.seek(part.at)
        data = file.read(part.length)
        if len(data) < part.length or not data.startswith(b"\xff\xd8\xff"):
            raise PictureError(f"is broken: its picture {number} is not where its index says; --frames first")
        for _, start, end in segments.each(data):
            if data[start + 4 : end].startswith(mpf.MARK):
                data = data[:start] + data[end:]
                break
        frame = pillow.frame_of(partial(decode, data, limits, threads=threads))
        about = replace(frame.about, format="MPO", frames=len(frames), number=number, **others)
        about.info["kind"] = part.kind
        yield Frame(about, size)


class MpoSink(Sink):
    """Writes pictures that `encode` makes JPEGs of, each with its own metadata."""

    step = None

    def __init__(self, about: Picture, encode: Callable[[Picture], tuple[bytes, tuple[str, ...]]]) -> None:
        if about.frames > mpf.MOST:
            raise WriteError(f"MPO holds at most {mpf.MOST} pictures, and says at its beginning how many; write .tif")
        self.encode = encode

    def take(self, frames: Iterable[tuple[Picture, Rows]]) -> None:
        entries: list[tuple[int, ...]] = []
        notes: dict[str, None] = {}
        index = end = 0
        for about, rows in frames:
            with closing(rows(None)) as strips:
                (array,) = strips
            data, told = self.encode(replace(about, array=array, format="JPEG", frames=1))
            notes |= dict.fromkeys(told)
            kind = about.info.get("kind", mpf.UNKNOWN if entries else mpf.PRIMARY)
            if not entries:
                blank = mpf.index([(0,) * 5] * about.frames)
                # behind what others look for at the beginning
                at = next(start for marker, start, _ in segments.each(data) if marker not in (0xE0, 0xE1))
                index, kind = at + 8, kind | mpf.REPRESENTATIVE
                data = data[:at] + blank + data[at:]
            entries.append((kind, len(data), end - index if entries else 0, 0, 0))
            put(self.file, data)
            end += len(data)
        self.file.seek(index - 8)
        put(self.file, mpf.index(entries))
        self.file.seek(end)
        self.notes = tuple(notes)
