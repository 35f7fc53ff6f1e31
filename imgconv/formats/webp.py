"""Animated WebP: frames as Pillow writes them one by one, put together (RFC 9649), so that each is there only once.

Frames are drawn in place of what was in their box, so that transparent pixels keep their colours.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import WriteError
from imgconv.formats.animation import AnimationSink, Box, box_of
from imgconv.formats.picture import EXIF_MARK, Picture
from imgconv.formats.place import put
from imgconv.formats.timing import riff_chunks

PROFILE, ALPHA, EXIF, XMP, ANIMATION = 0x20, 0x10, 0x08, 0x04, 0x02  # flags: what the file has
IN_PLACE = 0x02  # of a frame: it is not blended
PIXELS = (b"ALPH", b"VP8 ", b"VP8L")
LONGEST, MOST_PLAYS = 2**24 - 1, 65535  # milliseconds
LARGEST = 2**32 - 2  # bytes of a file


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
