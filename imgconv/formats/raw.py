"""Raw video: the samples of frames one after the other, as ffmpeg's rawvideo has them, so that it can stand around."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError, UsageError
from imgconv.formats.animation import AnimationSink
from imgconv.formats.arrays import filled
from imgconv.formats.limits import Limits, check_whole
from imgconv.formats.picture import UNCOUNTED, Frame, Picture, unread, wanted_of
from imgconv.formats.place import put
from imgconv.memory import Samples, SampleType, empty

# by ffmpeg's names: mode, type in the file, channels
PIXELS = {
    "gray": ("L", "u1", 1), "ya8": ("LA", "u1", 2), "rgb24": ("RGB", "u1", 3), "rgba": ("RGBA", "u1", 4),
    "gray16le": ("I;16", "<u2", 1), "ya16le": ("LA;16", "<u2", 2), "rgb48le": ("RGB;16", "<u2", 3),
    "rgba64le": ("RGBA;16", "<u2", 4), "grayf32le": ("F", "<f4", 1),
}  # fmt: skip
DURATION_MS = 40  # 25 frames a second, as ffmpeg takes them where nothing is said


class Raw(NamedTuple):
    """What the frames are."""

    columns: int
    rows: int
    pixels: str  # of PIXELS


def parse(text: str) -> Raw:
    """What words such as 1920x1080:rgb24 say. Raises UsageError."""
    words = re.fullmatch(r"([1-9]\d{0,6})x([1-9]\d{0,6}):(\w+)", text.strip(), re.ASCII)
    if words is None or words[3] not in PIXELS:
        raise UsageError(f"--raw {text!r} is not WxH and one of {', '.join(PIXELS)}, such as 1920x1080:rgb24")
    return Raw(int(words[1]), int(words[2]), words[3])


def frames_of(file: BinaryIO, size: int, raw: Raw, limits: Limits, wanted: Sequence[int] | None) -> Iterator[Frame]:
    """The frames that are wanted, as they come; `size` is that of the file, 0 where it is known when it ends.

    Raises PictureError where it ends within a frame.
    """
    mode, kind, channels = PIXELS[raw.pixels]
    stored: Any = SampleType("uint8") if kind == "u1" else np.dtype(kind)
    shape = (raw.rows, raw.columns, channels) if channels > 1 else (raw.rows, raw.columns)
    blank = unread(shape, stored)
    check_whole(blank.nbytes, raw.columns, raw.rows, channels * stored.itemsize, channels * stored.itemsize, limits)
    about = Picture(blank, mode, "RAW", frames=-(-size // blank.nbytes) if size else UNCOUNTED)
    numbers = wanted_of(wanted, about.frames)
    for number in range(1, numbers[-1] + 1):
        array = empty(shape, stored)
        there = filled(file, array)
        if not there:
            return
        if there < array.nbytes:
            raise PictureError(f"ends within frame {number}: {there:,} of its {array.nbytes:,} bytes are there")
        if number in numbers:
            info = {"duration": DURATION_MS, "plays": 0}
            array = array if kind == "u1" else np.asarray(array, stored.newbyteorder("="))
            yield Frame(Picture(array, mode, "RAW", info, about.frames, number), array.nbytes)


class RawSink(AnimationSink):
    """Writes samples as they are."""

    step = 1

    def write(self, rows: Array) -> None:
        if not isinstance(rows, Samples):
            rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        put(self.file, rows.data)
