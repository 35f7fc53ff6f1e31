"""Binary PGM and PPM (P5, P6) of 8 and 16 bits; Pillow knows no 16 bits in colour."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.formats.arrays import take
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.sink import PlainSink

LONGEST_HEADER = 4096  # bytes, remarks included
GAP = rb"(?:\s|#[^\n]*\n)+"
HEADER = re.compile(rb"P([56])" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,5})\s")


def frame_of(file: BinaryIO, size: int) -> Frame | None:
    """The picture in a file, or None where Pillow should read it: text, bits, grey of another range.

    Raises PictureError when the file is cut short.
    """
    header = HEADER.match(file.read(LONGEST_HEADER))
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


def sink_of(about: Picture) -> PlainSink:
    """What writes a picture in a mode that PPM holds."""
    rows, columns = about.array.shape[:2]
    kind, top = 6 if about.channels == 3 else 5, 65535 if about.array.itemsize == 2 else 255
    return PlainSink(f"P{kind}\n{columns} {rows}\n{top}\n".encode(), about.array.dtype.newbyteorder(">"))
