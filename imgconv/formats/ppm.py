"""Binary PGM and PPM (P5, P6) of 8 and 16 bits, of which Pillow knows none in colour; PFM, of which it knows grey."""

from __future__ import annotations

import io
import re
from typing import BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.formats.arrays import take
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.place import put
from imgconv.formats.sink import PlainSink, Sink

LONGEST_HEADER = 4096  # bytes, remarks included
GAP = rb"(?:\s|#[^\n]*\n)+"
PFM = re.compile(rb"P([fF])\s+(\d{1,9})\s+(\d{1,9})\s+([-+]?\d{1,9}\.?\d{0,9})\s")
HEADER = re.compile(rb"P([56])" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,5})\s")


def frame_of(file: BinaryIO, size: int) -> Frame | None:
    """The picture in a file, or None where Pillow should read it: text, bits, grey of another range.

    Raises PictureError when the file is cut short.
    """
    start = file.read(LONGEST_HEADER)
    if header := PFM.match(start):
        return _floating(file, size, header)
    header = HEADER.match(start)
    if header is None:
        return None
    colour, columns, rows, maximum = header[1] == b"6", *map(int, header.groups()[1:])
    if not columns * rows or (maximum not in (255, 65535) and not (colour and 255 < maximum < 65535)):
        return None
    stored = np.dtype(">u2" if maximum > 255 else "uint8")
    blank = unread((rows, columns, 3) if colour else (rows, columns), stored.newbyteorder("="))
    if header.end() + blank.nbytes > size:
        raise PictureError("is broken: it is cut short")
    file.seek(header.end())

    def read(target: Array) -> None:
        take(file, target, stored)
        if maximum not in (255, 65535):  # as Pillow widens grey
            levels = np.rint(np.arange(65536) / maximum * 65535)
            target[...] = np.minimum(levels, 65535).astype(np.uint16)[target]

    mode = ("RGB" if colour else "I" if maximum > 255 else "L") + ";16" * (maximum > 255)
    return Frame(Picture(blank, mode, "PPM"), size, read)


def _floating(file: BinaryIO, size: int, header: re.Match[bytes]) -> Frame:
    """A PFM, whose rows go from the bottom up; the sign of a number says in which order bytes are."""
    columns, rows = int(header[2]), int(header[3])
    shape = (rows, columns, 3) if header[1] == b"F" else (rows, columns)
    blank = unread(shape, np.dtype(np.float32))
    if not blank.size or float(header[4]) == 0:
        raise PictureError("is broken: its header makes no sense")
    if header.end() + blank.nbytes > size:
        raise PictureError("is broken: it is cut short")
    stored, left = np.dtype("<f4" if header[4].startswith(b"-") else ">f4"), rows

    def read(target: Array) -> None:
        nonlocal left
        left -= len(target)
        file.seek(header.end() + left * blank[0].nbytes)
        take(file, target, stored)
        target[...] = target[::-1].copy()

    return Frame(Picture(blank, "RGB;F" if len(shape) == 3 else "F", "PFM"), size, read)


class PfmSink(Sink):
    """Writes floating samples, from the bottom up."""

    def __init__(self, about: Picture) -> None:
        rows, columns = about.array.shape[:2]
        kind = "F" if about.channels == 3 else "f"
        self.start = f"P{kind}\n{columns} {rows}\n-1.0\n".encode()
        self.row_bytes, self.left = 4 * columns * about.channels, rows

    def write(self, rows: Array) -> None:
        self.left -= len(rows)
        self.file.seek(len(self.start) + self.left * self.row_bytes)
        put(self.file, np.ascontiguousarray(rows[::-1], "<f4").reshape(-1).view(np.uint8).data)

    def end(self) -> None:
        self.file.seek(0, io.SEEK_END)


def sink_of(about: Picture) -> Sink:
    """What writes a picture in a mode that PPM or PFM holds, but for bits."""
    if about.array.dtype.kind == "f":
        return PfmSink(about)
    rows, columns = about.array.shape[:2]
    kind, top = 6 if about.channels == 3 else 5, about.info.get("maximum", 65535 if about.array.itemsize == 2 else 255)
    start = f"P{kind}\n{columns} {rows}\n{top}\n".encode()
    return (PlainSink if top in (255, 65535) else ScaledSink)(start, about.array.dtype.newbyteorder(">"))


class ScaledSink(PlainSink):
    """Samples of 16 bits in a narrower range, which stands in the header."""

    def write(self, rows: Array) -> None:
        top = np.uint32(int(self.start.split()[-1]))
        super().write((rows.astype(np.uint32) * top + np.uint32(32767)) // np.uint32(65535))
