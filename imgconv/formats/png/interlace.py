"""PNGs of 16 bits that are interlaced, have a transparent colour, or move: Pillow cuts colours in them to 8 bits."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFLATE, Limits, check_whole, refuse_ratio
from imgconv.formats.picture import Frame, Picture
from imgconv.formats.png.chunks import UNDERSTOOD, split, told
from imgconv.formats.png.codec import CHANNELS, SLACK, UNFILTER, inflated
from imgconv.formats.table import MODES
from imgconv.native import kept

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

# Adam7: first row and column of each pass, and the steps from one to the next
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
WHOLE = ((0, 0, 1, 1),)


def frame_of(data: bytes, limits: Limits) -> Frame | None:
    """The first frame of a PNG of 16 bits whose signature was seen, or None where Pillow should read it.

    The transparent colour becomes an alpha channel.

    Raises
    ------
    PictureError
        When the file is cut short or damaged.
    """
    if data[8:16] != b"\0\0\0\x0dIHDR" or len(data) < 33:
        raise PictureError("is broken: it does not begin with its header")
    columns, rows, depth, colour, *rest = struct.unpack_from(">IIBBBBB", data, 16)
    if depth != 16 or colour not in CHANNELS or rest not in ([0, 0, 0], [0, 0, 1]):
        return None
    if not columns * rows:
        return None
    file = io.BytesIO(data)
    chunks, places = split(file, len(data))
    if any(name[:1].isupper() and name not in UNDERSTOOD for name, _, _ in chunks):
        return None
    pixel = 2 * CHANNELS[colour]
    passes = [
        (slice(row, None, down), slice(column, None, across), -((row - rows) // down), -((column - columns) // across))
        for row, column, down, across in (PASSES if rest[2] else WHOLE)
        if row < rows and column < columns
    ]
    size = sum(count * (width * pixel + 1) for _, _, count, width in passes)
    if size > DEFLATE * min(len(data), sum(length for _, length in places)):
        refuse_ratio(len(data), columns, rows)
    check_whole(len(data), columns, rows, pixel + 2, 3 * pixel, limits)
    lines = np.frombuffer(b"".join([*inflated(file, places, size), bytes(SLACK)]), np.uint8)
    array = np.empty((rows, columns, CHANNELS[colour]), np.uint16)
    done = 0
    for down, across, count, width in passes:
        array[down, across] = _unfiltered(lines[done:], count, width, pixel)
        done += count * (width * pixel + 1)
    bodies = {name: body for name, body, _ in reversed(chunks)}  # the first of several counts
    if b"tRNS" in bodies and colour in (0, 2):
        array = _with_alpha(array, bodies[b"tRNS"])
    channels = array.shape[2]
    info, notes = told(chunks)
    frames = int.from_bytes(bodies[b"acTL"][:4], "big") if b"acTL" in bodies else 1
    array = array if channels > 1 else array[:, :, 0]
    return Frame(Picture(array, MODES["uint16", channels], "PNG", info, max(1, frames), notes), len(data))


def _unfiltered(lines: Array, rows: int, columns: int, pixel: int) -> Array:
    """The samples of a pass, shape (rows, columns, channels)."""
    row_bytes = columns * pixel
    samples = np.empty(rows * row_bytes + SLACK, np.uint8)
    above = np.zeros(row_bytes + SLACK, np.uint8)
    loop = kept.loop(UNFILTER)
    if loop.call(samples.ctypes.data, lines.ctypes.data, above.ctypes.data, rows, row_bytes, pixel) != rows:
        raise PictureError("is broken: a row has a filter that PNG does not know")
    return samples[: rows * row_bytes].view(">u2").reshape(rows, columns, pixel // 2)


def _with_alpha(array: Array, key: bytes) -> Array:
    channels = array.shape[2]
    if len(key) != 2 * channels:
        raise PictureError("is broken: its tRNS has a wrong length")
    opaque = (array != np.frombuffer(key, ">u2")).any(axis=2)
    return np.concatenate([array, np.where(opaque, np.uint16(65535), np.uint16(0))[:, :, None]], axis=2)
