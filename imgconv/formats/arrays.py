"""Bare arrays: .npy files, row by row, and matrices as text."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np

from imgconv.arrayfile import Array, npy_header, npy_start, parse_npy, parse_text, text_bytes
from imgconv.errors import PictureError, WriteError
from imgconv.formats.limits import Limits
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.place import put
from imgconv.formats.sink import PlainSink, Sink
from imgconv.memory import Samples


def frame_of(file: BinaryIO, size: int, form: str, limits: Limits) -> Frame:
    """The array in a file. Raises PictureError or ValueError where it is none, or no picture's."""
    if form == "NPY":
        shape, by_column, dtype = npy_header(file, size)
        native = dtype.newbyteorder("=")
        blank = unread(shape, native)
        if not by_column:
            _check_shape(blank)
            return Frame(Picture(blank, "", "NPY"), size, lambda target: take(file, target, dtype))
    file.seek(0)
    array = parse_npy(file.read()) if form == "NPY" else parse_text(file.read())
    _check_shape(array)
    frame = Frame(Picture(array, "", form), size)
    frame.check_whole(limits)
    return frame


def _check_shape(array: Array) -> None:
    if array.ndim not in (2, 3) or array.size == 0:
        raise PictureError(f"shape {array.shape} is no picture's; it takes (rows, columns[, channels])")


def take(file: BinaryIO, target: Array, dtype: np.dtype[Any]) -> None:
    """Fills `target` with the samples that come next, which are of type `dtype` in the file."""
    own = target if dtype == target.dtype else np.empty(target.shape, dtype)
    if filled(file, own) < own.nbytes:
        raise PictureError("is cut short")
    if own is not target:
        target[...] = own


def filled(file: BinaryIO, array: Array) -> int:
    """Reads the samples of an array, and says how many bytes there were."""
    view = array.data if isinstance(array, Samples) else array.reshape(-1).view(np.uint8).data
    there = 0
    while there < len(view) and (count := file.readinto(view[there:])):  # type: ignore[attr-defined]
        there += count
    return there


class TextSink(Sink):
    """A matrix, written as one piece."""

    step = None

    def __init__(self, about: Picture, form: str) -> None:
        if about.array.ndim == 3 and about.channels > 1:
            raise WriteError(f"text holds one channel, not {about.channels}; write .npy instead")
        self.separator = " " if form == "TEXT" else ","

    def write(self, rows: Array) -> None:
        put(self.file, text_bytes(rows.reshape(rows.shape[:2]), self.separator))


def sink_of(about: Picture, form: str) -> Sink:
    """What writes an array of that shape and type."""
    return PlainSink(npy_start(about.array), about.array.dtype) if form == "NPY" else TextSink(about, form)
