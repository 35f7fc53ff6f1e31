"""Animated WebP (RFC 9649): frames that Pillow reads and writes one by one, so that each is there only once.

When written they are drawn in place of what was in their box, so that transparent pixels keep their colours; when read
they are put together in libwebp's own arithmetic.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError, WriteError
from imgconv.formats import pillow
from imgconv.formats.animation import AnimationSink, Box, box_of
from imgconv.formats.decode import decode
from imgconv.formats.limits import READING, Limits, check_whole
from imgconv.formats.picture import EXIF_MARK, Frame, Picture, wanted_of
from imgconv.formats.place import put
from imgconv.formats.timing import riff_chunks

PROFILE, ALPHA, EXIF, XMP, ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02  # flags: what the file has
IN_PLACE, CLEARED = 0x02, 0x01  # of a frame: it is not blended; its box is cleared before the next is drawn
PIXELS = (b"ALPH", b"VP8 ", b"VP8L")
LONGEST, MOST_PLAYS = 2**24 - 1, 65535  # milliseconds
LARGEST = 2**32 - 2  # bytes of a file


class _Part(NamedTuple):
    """A frame in a file: what its header says, and where its chunk is."""

    box: Box
    duration: int  # milliseconds
    flags: int
    at: int
    length: int


def frames_of(file: BinaryIO, size: int, limits: Limits, wanted: Sequence[int] | None = None) -> Iterator[Frame] | None:
    """The frames of an animation that are wanted, each as it is seen. None where there is one, or none.

    Raises PictureError where it is broken, as far as its chunks show.
    """
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    if end > size:
        raise PictureError(f"is broken: it says {end:,} bytes and has {size:,}")
    parts: list[_Part] = []
    others: list[tuple[bytes, bytes]] = []  # chunks
    done = 12
    for name, length in riff_chunks(file):
        if done >= end:
            break
        at = file.tell()
        done = at + length + length % 2
        if at + length > end or (name == b"ANMF" and length < 16):
            raise PictureError(f"is broken: it ends within {name!r}")
        if name == b"ANMF":
            body = file.read(16)
            left, top, across, down, duration = (int.from_bytes(body[n : n + 3], "little") for n in range(0, 15, 3))
            box = Box(2 * top, 2 * left, 2 * top + down + 1, 2 * left + across + 1)
            parts.append(_Part(box, duration, int.from_bytes(body[15:], "big"), at, length))
        else:
            others.append((name, file.read(length)))
    if done < end:
        raise PictureError("is broken: it ends within the name of a chunk")
    return _composited(file, size, parts, others, limits, wanted) if len(parts) > 1 else None


def _composited(
    file: BinaryIO, size: int, parts: list[_Part], others: list[tuple[bytes, bytes]], limits: Limits,
    wanted: Sequence[int] | None,
) -> Iterator[Frame]:  # fmt: skip
    """The frames as libwebp shows them (src/demux/anim_decode.c)."""
    numbers = wanted_of(wanted, len(parts))
    head = others[0][1]
    columns, rows = (1 + int.from_bytes(head[at : at + 3], "little") for at in (4, 7))
    check_whole(size, columns, rows, 4, READING["WEBP"], limits, held=0)
    file.seek(0)
    lossless = b"VP8L" in file.read(4096)[12:]
    plays = next((int.from_bytes(body[4:6], "little") for name, body in others if name == b"ANIM"), 0)

    def decoded(part: _Part, chunks: Sequence[tuple[bytes, bytes]]) -> Picture:
        """The frame in a file with such chunks and no other frame: where it is not, that is transparent."""
        file.seek(part.at)
        body = b"WEBP" + b"".join(_chunk(*chunk) for chunk in (*chunks, (b"ANMF", file.read(part.length))))
        data = b"RIFF" + struct.pack("<I", len(body)) + body
        return pillow.frame_of(partial(decode, data, Limits(limits.pixels, vouched=True))).about

    said = decoded(parts[0], others)
    with_alpha = (b"VP8X", bytes([head[0] | ALPHA]) + head[1:]), (b"ANIM", bytes(6))
    canvas = np.zeros((rows, columns, 4), np.uint8)
    before, fresh = parts[0], True  # fresh: nothing is on the canvas
    for number, part in enumerate(parts[: max(numbers)], 1):
        pixels = decoded(part, with_alpha).array
        drawn, under = part.box.of(pixels).copy(), part.box.of(canvas)
        if number > 1:
            fresh = bool(before.flags & CLEARED) and (fresh or before.box == (0, 0, rows, columns))
        if not (fresh or part.flags & IN_PLACE):
            blended = pixels[:, :, 3] < 255
            if before.flags & CLEARED:
                before.box.of(blended)[...] = False
            here = part.box.of(blended)
            drawn[here] = _over(drawn[here].astype(np.uint32), under[here].astype(np.uint32))
        under[...] = drawn
        if number in numbers:
            array = np.empty((rows, columns, len(said.mode)), np.uint8)
            for channel in range(len(said.mode)):  # in one go it takes seven times as long
                array[:, :, channel] = canvas[:, :, channel]
            timing = {"duration": part.duration, "plays": plays, "lossless": lossless}
            about = Picture(array, said.mode, "WEBP", said.info | timing, len(parts), number)
            yield Frame(about, size)
        if part.flags & CLEARED:
            part.box.of(canvas)[...] = 0
        before = part


def _over(drawn: Array, under: Array) -> Array:
    """Pixels that are drawn over others, RGBA; what is wholly transparent leaves the others."""
    over, below = drawn[:, 3:], under[:, 3:] * (256 - drawn[:, 3:]) >> 8
    alpha = over + below
    colours = (drawn[:, :3] * over + under[:, :3] * below) * (2**24 // np.maximum(alpha, 1)) >> 24
    return np.where(over, np.concatenate([colours, alpha], axis=1), under)


class WebpSink(AnimationSink):
    """Writes frames; `encode` makes a WebP file of one."""

    def __init__(self, about: Picture, encode: Callable[[Array], bytes]) -> None:
        super().__init__("WEBP", about)
        self.encode = encode
        rows, columns = about.array.shape[:2]
        info = about.info
        profile, exif, xmp = (info.get(key) or b"" for key in ("icc_profile", "exif", "xmp"))
        flags = ANIMATION | PROFILE * bool(profile) | EXIF * bool(exif) | XMP * bool(xmp) | ALPHA * ("A" in about.mode)
        size = struct.pack("<I", columns - 1)[:3] + struct.pack("<I", rows - 1)[:3]
        self.start = b"RIFF\0\0\0\0WEBP" + _chunk(b"VP8X", struct.pack("<I", flags) + size)
        if profile:
            self.start += _chunk(b"ICCP", profile)
        self.start += _chunk(b"ANIM", struct.pack("<IH", 0, min(info.get("plays", 0), MOST_PLAYS)))
        self.ending = b"".join(
            _chunk(name, body) for name, body in ((b"EXIF", exif.removeprefix(EXIF_MARK)), (b"XMP ", xmp)) if body
        )
        self.before: Array | None = None

    def write(self, rows: Array) -> None:
        box = Box(0, 0, *rows.shape[:2])
        if self.before is not None:
            box = box_of(self.before != rows, step=2)
        data = self.encode(np.ascontiguousarray(box.of(rows)))
        columns, height = box.size
        duration = round(self.about.info.get("duration", 0))
        note = "WebP counts in milliseconds; durations are rounded"
        if duration != self.about.info.get("duration", 0) and note not in self.notes:
            self.notes += (note,)
        numbers = (box.left // 2, box.top // 2, columns - 1, height - 1, min(duration, LONGEST))
        head = b"".join(struct.pack("<I", number)[:3] for number in numbers) + bytes([IN_PLACE])
        body = b"".join(_chunk(name, part) for name, part in chunks_of(io.BytesIO(data)) if name in PIXELS)
        put(self.file, _chunk(b"ANMF", head + body))
        self.before = rows

    def end(self) -> None:
        super().end()
        size = self.file.seek(0, io.SEEK_END) - 8
        if size > LARGEST:
            raise WriteError("WEBP cannot hold more than 4 GB; write .png")
        self.file.seek(4)
        put(self.file, struct.pack("<I", size))
        self.file.seek(0, io.SEEK_END)


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


def chunks_of(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a WebP file: their names and bodies."""
    return ((name, file.read(length)) for name, length in riff_chunks(file))
