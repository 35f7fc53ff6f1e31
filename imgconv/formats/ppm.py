"""Binary PGM and PPM (P5, P6) of 8 and 16 bits, of which Pillow knows none in colour; PFM, of which it knows grey.

And bits (P4), which Pillow reads, and the comments of all.
"""

from __future__ import annotations

import io
import re
from typing import Any, BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.formats.arrays import take
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.place import put
from imgconv.formats.sink import PlainSink, Sink

LONGEST_HEADER, LONGEST_COMMENT = 2**17, 2**16  # bytes
GAP = rb"(?:\s|#[^\n]*\n)+"
PFM = re.compile(rb"P([fF])" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,9})" + GAP + rb"([-+]?\d{1,9}\.?\d{0,9})\s")
HEADER = re.compile(rb"P([56])" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,5})\s")


NUMBER = GAP + rb"[-+.\d]+"
TWO, THREE = 2 * NUMBER, 3 * NUMBER
START = re.compile(rb"P(?:1%s%s|[23]%s%s|4%s|[56Ff]%s)" % (TWO, GAP, THREE, GAP, TWO, THREE))
COMMENT = re.compile(rb"# ?([^\r\n]*)")


def comment_of(start: bytes) -> dict[str, bytes]:
    """The comments in a header, as `Picture.info` has them."""
    header = START.match(start[:LONGEST_HEADER])
    lines = COMMENT.findall(header[0]) if header else []
    return {"comment": b"\n".join(lines)} if any(lines) else {}


def frame_of(file: BinaryIO, size: int) -> Frame | None:
    """The picture in a file, or None where Pillow should read it: text, bits, grey of another range.

    Raises PictureError when the file is cut short.
    """
    start = file.read(LONGEST_HEADER)
    info = comment_of(start)
    if header := PFM.match(start):
        return _floating(file, size, header, info)
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
    return Frame(Picture(blank, mode, "PPM", info), size, read)


def _floating(file: BinaryIO, size: int, header: re.Match[bytes], info: dict[str, Any]) -> Frame:
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

    return Frame(Picture(blank, "RGB;F" if len(shape) == 3 else "F", "PFM", info), size, read)


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


def sink_of(about: Picture, mode: str) -> Sink:
    """What writes a picture in a mode that PPM or PFM holds."""
    if about.array.dtype.kind == "f":
        return PfmSink(about)
    comment = about.info.get("comment", b"")
    too_long = len(comment) > LONGEST_COMMENT
    if too_long:
        comment = b""
    lines = b"".join(b"# " + line + b"\n" for line in comment.splitlines())
    size = b"%d %d\n" % about.array.shape[1::-1]
    if mode == "1":
        sink: Sink = BitSink(b"P4\n" + lines + size, about.array.dtype)
    else:
        kind = b"P6\n" if about.channels == 3 else b"P5\n"
        top = about.info.get("maximum", 65535 if about.array.itemsize == 2 else 255)
        make = PlainSink if top in (255, 65535) else ScaledSink
        sink = make(kind + lines + size + b"%d\n" % top, about.array.dtype.newbyteorder(">"))
    sink.notes = ("its comment is longer than PPM is given one and left out",) * too_long
    return sink


class BitSink(PlainSink):
    """Black and white: a bit for each pixel, rows in whole bytes."""

    def write(self, rows: Array) -> None:
        super().write(np.packbits(rows <= 127, axis=1))


class ScaledSink(PlainSink):
    """Samples of 16 bits in a narrower range, which stands in the header."""

    def write(self, rows: Array) -> None:
        top = np.uint32(int(self.start.split()[-1]))
        super().write((rows.astype(np.uint32) * top + np.uint32(32767)) // np.uint32(65535))
