"""What takes the rows of a picture from the top down and writes them to a file; each format has its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from typing import Any, BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.picture import Picture
from imgconv.formats.place import put

Rows = Callable[[int | None], Generator[Array]]  # of a picture, some at a time: a multiple of so many, or all


class Sink:
    """A picture that is being written."""

    step: int | None = 1  # `write` is given a multiple of so many rows, but for the last ones; None: all at once
    start: bytes = b""  # what comes before the pixels
    ending: bytes = b""
    notes: tuple[str, ...] = ()  # what the user should know about it, when it has ended
    file: BinaryIO

    def begin(self, file: BinaryIO) -> None:
        """Writes `start` to a file without a buffer, and with random access for TIFF."""
        self.file = file
        put(file, self.start)

    def write(self, rows: Array) -> None:
        """Writes the next rows, shape (some, columns) or (some, columns, channels)."""
        raise NotImplementedError

    def following(self, about: Picture) -> None:
        """Begins with the next of several frames. Raises WriteError where it cannot follow the one before."""
        raise NotImplementedError

    def take(self, frames: Iterable[tuple[Picture, Rows]]) -> None:
        """Writes one frame, or several where the format has them, each as it comes."""
        for number, (about, rows) in enumerate(frames):
            if number:
                self.following(about)
            with closing(rows(self.step)) as strips:
                for strip in strips:
                    self.write(strip)

    def end(self) -> None:
        put(self.file, self.ending)


class PlainSink(Sink):
    """A few bytes, then samples row by row."""

    def __init__(self, start: bytes, dtype: np.dtype[Any]) -> None:
        self.start, self.dtype = start, dtype

    def write(self, rows: Array) -> None:
        put(self.file, np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data)
