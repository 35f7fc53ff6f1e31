"""The thumbnail in EXIF data, made again from the result while that is written."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.exif import Edited, Place
from imgconv.formats.picture import Picture
from imgconv.formats.place import put
from imgconv.formats.sink import Sink

FINER = 4  # samples taken across one of the thumbnail's
QUALITIES = (90, 75, 60, 40, 20, 5)  # until it is no longer than the one before


class ThumbnailSink(Sink):
    """Writes a picture by another sink, and a thumbnail of its rows in the place of the one before.

    The EXIF data keeps its length, so that what stands in front of the pixels can be written anew behind them.
    """

    def __init__(self, about: Picture, sink_of: Callable[[Picture], Sink]) -> None:
        self.about, self.sink_of, self.inner = about, sink_of, sink_of(about)
        self.step, self.notes = self.inner.step, self.inner.notes
        self.place: Place = about.info["thumbnail"]
        rows, columns = about.array.shape[:2]
        self.every = max(1, max(rows, columns) // (FINER * max(self.place.size)))
        self.row = 0
        self.parts: list[Array] = []

    def begin(self, file: BinaryIO) -> None:
        self.file = file
        self.inner.begin(file)

    def write(self, rows: Array) -> None:
        """As any sink; some of the samples are put aside."""
        self.parts.append(rows[-self.row % self.every :: self.every, :: self.every].copy())
        self.row += len(rows)
        if self.step is None:
            self.inner = self._with_thumbnail()
            self.inner.begin(self.file)
        self.inner.write(rows)

    def end(self) -> None:
        """As any sink; then writes what stands in front of the pixels again."""
        if self.step is not None:
            made = self._with_thumbnail()
            self.inner.ending = made.ending
            self.inner.end()
            self.file.seek(0)
            put(self.file, made.start)
            self.file.seek(0, io.SEEK_END)
        else:
            self.inner.end()
        self.notes = tuple(dict.fromkeys((*self.notes, *self.inner.notes)))

    def _with_thumbnail(self) -> Sink:
        exif = with_thumbnail(self.about.info["exif"], self.place, np.concatenate(self.parts))
        return self.sink_of(replace(self.about, info=self.about.info | {"exif": exif}))


def with_thumbnail(exif: bytes, place: Place, samples: Array) -> bytes:
    """EXIF data with a thumbnail of a picture's samples at `place`; without one where none is small enough."""
    edited = Edited(exif)
    data = thumbnail(samples, place)
    if not data:
        edited.unlink_thumbnail()
    else:
        edited.set_thumbnail(place, data)
    return bytes(edited.data)


def thumbnail(samples: Array, place: Place) -> bytes:
    """A JPEG of the samples that fits into the size, and the length, of `place`; nothing where none does."""
    from PIL import Image

    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2:] == (1,) else samples)
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    image = image if image.mode == "L" else image.convert("RGB")
    image.thumbnail((max(place.size),) * 2, Image.Resampling.BOX)
    for quality in QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality)
        if file.tell() <= place.length:
            return file.getvalue()
    return b""
