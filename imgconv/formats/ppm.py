"""Binary PGM and PPM (P5, P6): the header, and 16 bits in colour, which Pillow does not read or write."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from imgconv.errors import PictureError
from imgconv.formats.limits import Limits, check_whole
from imgconv.formats.picture import Picture

LONGEST_HEADER = 4096  # bytes, remarks included
GAP = rb"(?:\s|#[^\n]*\n)+"
HEADER = re.compile(rb"P([56])" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,9})" + GAP + rb"(\d{1,5})\s")


class Header(NamedTuple):
    """What a file begins with."""

    channels: int
    columns: int
    rows: int
    maximum: int
    bytes: int  # of the header itself

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.rows, self.columns, 3) if self.channels == 3 else (self.rows, self.columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype("uint8" if self.maximum < 256 else ">u2")

    @property
    def mode(self) -> str:
        name = "RGB" if self.channels == 3 else "I" if self.maximum > 255 else "L"
        return name + ";16" * (self.maximum > 255)


def header_of(start: bytes) -> Header | None:
    """The header that a file begins with, or None where it is another or makes no sense."""
    found = HEADER.match(start[:LONGEST_HEADER])
    if found is None:
        return None
    kind, columns, rows, maximum = map(int, found.groups())
    if not (columns * rows > 0 and 0 < maximum < 65536):
        return None
    return Header(3 if kind == 6 else 1, columns, rows, maximum, found.end())


def start_of(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """What a file of such an array begins with."""
    kind, top = "6" if shape[2:] == (3,) else "5", 65535 if dtype.itemsize == 2 else 255
    return f"P{kind}\n{shape[1]} {shape[0]}\n{top}\n".encode()


def decode_16_bits(data: bytes, limits: Limits) -> Picture | None:
    """The picture in a P6 of 16 bits, its range widened to all of them; None for other files.

    Raises
    ------
    PictureError
        When the file is cut short.
    """
    header = header_of(data)
    if header is None or header.mode != "RGB;16":
        return None
    count = header.rows * header.columns * 3
    if len(data) < header.bytes + 2 * count:
        raise PictureError("is broken: it is cut short")
    check_whole(len(data), header.columns, header.rows, 6, 6, limits)
    array = np.frombuffer(data, ">u2", count, header.bytes).reshape(header.shape).astype(np.uint16)
    if header.maximum != 65535:  # as Pillow widens grey
        levels = np.rint(np.arange(65536) / header.maximum * 65535)
        array = np.minimum(levels, 65535).astype(np.uint16)[array]
    return Picture(array, header.mode, "PPM")
