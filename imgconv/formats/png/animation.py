"""Animated PNG (third edition, 12 and 13): composited here, so that 16 bits and half-transparent pixels are kept.

Each frame is read and written as a PNG file of its own.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.formats import pillow
from imgconv.formats.animation import AnimationSink, Box, box_of
from imgconv.formats.decode import decode
from imgconv.formats.limits import Limits, check_whole
from imgconv.formats.picture import FIRST, Frame, Picture, wanted_of
from imgconv.formats.place import put
from imgconv.formats.png import codec
from imgconv.formats.png.chunks import SIGNATURE, Chunk, metadata_of, split
from imgconv.formats.table import MODES

NONE, BACKGROUND, PREVIOUS = 0, 1, 2  # what becomes of a frame's box before the next is drawn
SOURCE, OVER = 0, 1  # how a frame is drawn
CONTROL = struct.Struct(">IIIIHHBB")  # columns, rows, left, top, duration as a fraction, disposal, blend
HEADER_END = len(SIGNATURE) + 25
LARGEST_PART = 65535  # of a fraction


class _Part(NamedTuple):
    """A frame in a file: what its control chunk says, and where its compressed pixels are."""

    box: Box
    duration: Fraction  # milliseconds
    disposal: int
    blend: int
    places: list[tuple[int, int]]


class _File(NamedTuple):
    """An animation taken apart."""

    chunks: list[Chunk]
    parts: list[_Part]
    still: _Part | None  # the default image, where that is no part of the animation
    plays: int

    @property
    def clears(self) -> bool:
        """Whether some frame may have pixels that no one has drawn, or that were cleared."""
        undone = any(part.disposal == BACKGROUND for part in self.parts[:-1])
        return undone or self.still is not None or self.parts[0].disposal == PREVIOUS


def frames_of(
    file: BinaryIO, size: int, limits: Limits, threads: int | None = None, wanted: Sequence[int] | None = None
) -> Iterator[Frame] | None:
    """The frames that are wanted, each as it is seen; the first may be a default image. None for no animation.

    Raises PictureError where it is broken, as far as its chunks show.
    """
    whole = _taken_apart(file, size, wanted)
    return _composited(whole, file, size, limits, threads, wanted) if whole.parts else None


def _composited(
    whole: _File, file: BinaryIO, size: int, limits: Limits, threads: int | None, wanted: Sequence[int] | None
) -> Iterator[Frame]:
    parts = [*([whole.still] if whole.still else []), *whole.parts]
    numbers = wanted_of(wanted, len(parts))
    info, notes = metadata_of(whole.chunks)
    info["plays"] = whole.plays
    columns, rows = struct.unpack(">II", whole.chunks[0].body[:8])
    check_whole(size, columns, rows, 8, 16, limits, held=0)
    canvas: Array = np.zeros(0)
    for number, part in enumerate(parts[: max(numbers)], 1):
        picture = _picture(file, whole, part, limits, threads)
        pixels = picture.array.reshape(*picture.array.shape[:2], -1)
        if part is whole.still or not canvas.size:
            canvas = np.zeros((rows, columns, pixels.shape[2]), pixels.dtype)
        under = part.box.of(canvas)
        before = under.copy()
        _draw(pixels, under, part.blend, alpha="A" in picture.mode)
        if number in numbers:
            array = canvas.copy() if canvas.shape[2] > 1 else canvas[:, :, 0].copy()
            timing: dict[str, Any] = {"duration": part.duration}
            if part is whole.still:
                timing["default_image"] = True
            found = Picture(array, picture.mode, "PNG", info | timing, len(parts), number, notes=notes)
            yield Frame(found, size)
        if part.disposal == PREVIOUS and number > 1:
            under[...] = before
        elif part.disposal != NONE or part is whole.still:
            under[...] = 0


def _taken_apart(file: BinaryIO, size: int, wanted: Sequence[int] | None) -> _File:
    places: list[tuple[bytes, int, int]] = []
    chunks, _ = split(file, size, places)
    names = [name for name, _, _ in places]
    if names.count(b"acTL") != 1 or b"IDAT" in names[: names.index(b"acTL")]:  # which is no animation to any reader
        return _File(chunks, [], None, 0)
    plays = frames = sequence = 0
    parts: list[_Part] = []
    columns, rows = struct.unpack(">II", chunks[0].body[:8])
    all_of_it = Box(0, 0, rows, columns)
    still = _Part(all_of_it, Fraction(0), NONE, SOURCE, [])
    for name, at, length in places:
        file.seek(at)
        if name == b"acTL":
            frames, plays = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
        elif name == b"IDAT":
            (parts[-1] if parts else still).places.append((at, length))
        elif name in (b"fcTL", b"fdAT"):
            if int.from_bytes(file.read(4), "big") != sequence or length < (4 if name == b"fdAT" else 26):
                raise PictureError(f"is broken: its frames are out of order at frame {len(parts)}")
            sequence += 1
            if name == b"fcTL":
                wide, high, left, top, over, under, disposal, blend = CONTROL.unpack(file.read(CONTROL.size))
                box = Box(top, left, top + high, left + wide)
                if not wide * high or box.bottom > rows or box.right > columns or disposal > PREVIOUS or blend > OVER:
                    raise PictureError(f"is broken: its frame {len(parts) + 1} makes no sense")
                parts.append(_Part(box, Fraction(1000 * over, under or 100), disposal, blend, []))
            elif parts:
                parts[-1].places.append((at + 4, length - 4))
    if parts and not still.places and parts[0].box != all_of_it:
        raise PictureError("is broken: its first frame is smaller than the picture")
    if parts and wanted != FIRST and (len(parts) != frames or not all(part.places for part in parts)):
        there = sum(bool(part.places) for part in parts)
        raise PictureError(f"is broken: it says {frames} frames and holds {there}; --frames first takes the first")
    return _File(chunks, parts, still if still.places else None, plays)


def _picture(file: BinaryIO, whole: _File, part: _Part, limits: Limits, threads: int | None) -> Picture:
    """The pixels of a frame, read as those of a file with nothing else; with alpha where some may be cleared."""
    header, *others = whole.chunks
    columns, rows = part.box.size
    chunks = [Chunk(b"IHDR", struct.pack(">II", columns, rows) + header.body[8:])]
    chunks += [chunk for chunk in others if chunk.name in (b"PLTE", b"tRNS")]
    for start, length in part.places:
        file.seek(start)
        chunks.append(Chunk(b"IDAT", file.read(length)))
    data = SIGNATURE + b"".join(map(bytes, [*chunks, Chunk(b"IEND", b"")]))
    frame = codec.frame_of(io.BytesIO(data), len(data), limits, threads)
    picture = (frame or pillow.frame_of(partial(decode, data, limits))).whole(limits)
    if not whole.clears or "A" in picture.mode:
        return picture
    array = picture.array.reshape(*picture.array.shape[:2], -1)
    full = np.full((*array.shape[:2], 1), np.iinfo(array.dtype).max, array.dtype)
    array = np.concatenate([array, full], axis=2)
    return replace(picture, array=array, mode=MODES[array.dtype.name, array.shape[2]])


def _draw(pixels: Array, under: Array, blend: int, *, alpha: bool) -> None:
    """Draws pixels over those of the canvas, or in their place."""
    if blend == SOURCE or not alpha:
        under[...] = pixels
        return
    top = int(np.iinfo(pixels.dtype).max)
    share = pixels[:, :, -1]
    full, part = share == top, (share > 0) & (share < top)
    under[full] = pixels[full]
    over, below = pixels[part].astype(np.int64), under[part].astype(np.int64)
    mine, theirs = over[:, -1:] * top, (top - over[:, -1:]) * below[:, -1:]
    both = mine + theirs
    colours = (over[:, :-1] * mine + below[:, :-1] * theirs + both // 2) // both
    under[part] = np.concatenate([colours, (both + top // 2) // top], axis=1)


class ApngSink(AnimationSink):
    """Writes frames; `plain` makes the sink of a PNG with some metadata, or none, for pixels of a shape."""

    def __init__(self, about: Picture, plain: Callable[[tuple[int, ...], Mapping[str, Any]], codec.PngSink]) -> None:
        super().__init__("PNG", about)
        self.plain = plain
        whole = plain(about.array.shape, about.info)
        self.head, self.start, self.ending = whole.start[HEADER_END:], whole.start[:HEADER_END], whole.ending
        self.plays = about.info.get("plays", 0)
        self.start += self._control(0) + self.head
        self.frames = self.sequence = 0
        self.before: Array | None = None

    def _control(self, frames: int) -> bytes:
        return bytes(Chunk(b"acTL", struct.pack(">II", frames, self.plays)))

    def write(self, rows: Array) -> None:
        if "default_image" in self.about.info:
            put(self.file, self._pixels(rows))
            return
        box = Box(0, 0, *rows.shape[:2]) if self.before is None else box_of(self.before != rows)
        seconds = Fraction(self.about.info.get("duration", 0)) / 1000
        seconds = seconds.limit_denominator(max(1, int(LARGEST_PART / max(seconds, Fraction(1)))))
        over, under = min(seconds.numerator, LARGEST_PART), seconds.denominator
        numbers = (*box.size, box.left, box.top, over, under, NONE, SOURCE)
        put(self.file, bytes(Chunk(b"fcTL", self._numbered(CONTROL.pack(*numbers)))))
        data = self._pixels(box.of(rows))
        if self.number:
            bodies = split(io.BytesIO(SIGNATURE + data), len(data) + len(SIGNATURE))[1]
            parts = (data[at - len(SIGNATURE) :][:length] for at, length in bodies)
            data = b"".join(bytes(Chunk(b"fdAT", self._numbered(part))) for part in parts)
        put(self.file, data)
        self.before = rows
        self.frames += 1

    def _pixels(self, array: Array) -> bytes:
        sink, file = self.plain(array.shape, {}), io.BytesIO()
        sink.begin(file)
        sink.write(array)
        return file.getvalue()[len(sink.start) :]

    def _numbered(self, body: bytes) -> bytes:
        self.sequence += 1
        return struct.pack(">I", self.sequence - 1) + body

    def end(self) -> None:
        super().end()
        self.file.seek(HEADER_END)  # how many frames there were
        put(self.file, self._control(self.frames))
        self.file.seek(0, io.SEEK_END)
