"""Animated GIF: each frame with a palette of its own; the pixels are compressed by Pillow, a frame as a small file."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.animation import AnimationSink, Box, box_of, differing
from imgconv.formats.image import from_array
from imgconv.formats.picture import Picture
from imgconv.formats.pillow import encoded
from imgconv.formats.place import put

COLOURS = 256
VISIBLE = 128  # alpha from which a pixel is opaque: GIF knows no half
KEEP, CLEAR = 1, 2  # disposals: what becomes of a frame's box before the next is drawn
LONGEST = 65535  # of a duration, in hundredths of a second; and plays
SAMPLE, ROUNDS = 256, 3  # about so many rows and columns decide how a palette moves, so many times
CORNER = 1.5  # Pillow takes a pixel for the lower corner of a cube of four levels, which is so far from its middle


class GifSink(AnimationSink):
    """Writes each frame when the next is known, which may need some of its pixels cleared."""

    def __init__(self, about: Picture, *, dither: bool = False) -> None:
        super().__init__("GIF", about)
        rows, columns = about.array.shape[:2]
        self.dither = dither
        self.start = b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0x70, 0, 0)  # no palette for all
        plays, comment = about.info.get("plays", 0), about.info.get("comment", b"")
        if plays != 1:
            self.start += b"!\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, min(max(plays - 1, 0), LONGEST), 0)
        if comment:
            pieces = [comment[at : at + 255] for at in range(0, len(comment), 255)]
            self.start += b"!\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"
        self.ending = b";"
        self.canvas: Array | None = None  # before the frame that waits
        self.waiting: tuple[Array, float] | None = None  # RGBA that is opaque or nothing, and its duration
        self.lost: dict[str, None] = {}

    def write(self, rows: Array) -> None:
        frame = self._flat(rows)
        self._put_waiting(frame)
        self.waiting = frame, self.about.info.get("duration", 0)

    def end(self) -> None:
        self._put_waiting(None)
        self.notes += tuple(self.lost)
        super().end()

    def _flat(self, rows: Array) -> Array:
        """A frame as RGBA, in which alpha is full or none, and black where it is none."""
        image = from_array(rows, self.about.mode)
        frame = np.array(image.convert("RGBA"))
        alpha = frame[:, :, 3]
        if "A" in self.about.mode:
            visible = alpha >= VISIBLE
            if (alpha[visible] != 255).any() or alpha[~visible].any():
                self.lost["GIF knows no half-transparent pixels; they are now opaque or gone"] = None
            frame[visible, 3] = 255
            frame[~visible] = 0
        return frame

    def _put_waiting(self, following: Array | None) -> None:
        if self.waiting is None:
            return
        frame, duration = self.waiting
        changed = differing(self.canvas, frame) if self.canvas is not None else np.ones(frame.shape[:2], bool)
        cleared = (frame[:, :, 3] > following[:, :, 3]) if following is not None else np.zeros((1, 1), bool)
        clears = bool(cleared.any())
        box = box_of(changed | cleared if clears else changed)
        put(self.file, self._drawn(box.of(frame), box, CLEAR if clears else KEEP, duration))
        self.canvas = frame
        if clears:
            self.canvas = frame.copy()
            box.of(self.canvas)[...] = 0

    def _drawn(self, part: Array, box: Box, disposal: int, duration: float) -> bytes:
        hundredths = round(duration / 10)
        if abs(hundredths * 10 - duration) > 1e-6:
            self.lost["GIF counts in hundredths of a second; durations are rounded"] = None
        indices, palette, clear = self._quantised(part, clears=disposal == CLEAR)
        table = max(1, (len(palette) // 3 - 1).bit_length())
        data = _compressed(indices)
        flags = disposal << 2 | (clear is not None)
        control = b"!\xf9\x04" + struct.pack("<BHBB", flags, min(hundredths, LONGEST), clear or 0, 0)
        place = b"," + struct.pack("<HHHHB", box.left, box.top, *box.size, 0x80 | table - 1)
        return control + place + palette.ljust(3 << table, b"\0") + data

    def _quantised(self, part: Array, *, clears: bool) -> tuple[Array, bytes, int | None]:
        """Indices into a palette, the palette, and the index of pixels that are not drawn, if there are some.

        Some readers clear a box by that, too.
        """
        drawn = part[:, :, 3] > 0
        whole = bool(drawn.all()) and not clears
        colours = np.ascontiguousarray(part[:, :, :3])
        if not whole and drawn.any():
            colours[~drawn] = colours[drawn][0]  # which no colour is to be spent on
        indices, palette, exact = quantised(colours, COLOURS - (not whole), dither=self.dither)
        if not exact:
            self.lost[f"GIF holds {COLOURS} colours; the others were replaced by near ones"] = None
        clear = None
        if not whole:
            clear = len(palette) // 3
            indices = np.where(drawn, indices, np.uint8(clear))
            palette += bytes(3)
        return indices, palette, clear


def quantised(colours: Array, most: int, *, dither: bool) -> tuple[Array, bytes, bool]:
    """RGB as indices into a palette of at most so many colours, which are all there are, or near to them.

    The palette begins with Pillow's octree, and moves to the means of what falls to each colour (Lloyd, "Least squares
    quantization in PCM", 1982) in a sample of the pixels: a decibel nearer than median cut, in a twentieth of the time.
    """
    from PIL import Image

    image = from_array(colours, "RGB")
    if image.getcolors(most) is not None:
        exact = image.quantize(most, Image.Quantize.MEDIANCUT)
        return np.asarray(exact), bytes(exact.getpalette("RGB") or ()), True
    octree = bytes(image.quantize(most, Image.Quantize.FASTOCTREE).getpalette("RGB") or ())[: 3 * most]
    palette = np.zeros((most, 3))
    palette[: len(octree) // 3] = np.frombuffer(octree, np.uint8).reshape(-1, 3)
    step = max(1, math.isqrt(colours.size // 3) // SAMPLE)
    sample = np.ascontiguousarray(colours[::step, ::step])
    few, flat = from_array(sample, "RGB"), sample.reshape(-1, 3)
    for _ in range(ROUNDS):
        nearest = np.asarray(few.quantize(palette=_with(palette - CORNER), dither=Image.Dither.NONE)).reshape(-1)
        counts = np.bincount(nearest, minlength=most)
        sums = np.stack([np.bincount(nearest, flat[:, channel], most) for channel in range(3)], axis=1)
        palette[counts > 0] = sums[counts > 0] / counts[counts > 0, None]
    if dither:
        near = image.quantize(palette=_with(palette), dither=Image.Dither.FLOYDSTEINBERG)
    else:
        near = image.quantize(palette=_with(palette - CORNER), dither=Image.Dither.NONE)
    return np.asarray(near), _bytes(palette), False


def _bytes(palette: Array) -> bytes:
    return np.rint(palette).clip(0, 255).astype(np.uint8).tobytes()


def _with(palette: Array) -> Any:
    from PIL import Image

    image = Image.new("P", (1, 1))
    image.putpalette(_bytes(palette))
    return image


def _compressed(indices: Array) -> bytes:
    """The data of a frame's pixels, as they stand behind its palette: taken out of a file by Pillow."""
    data = encoded(indices, "GIF", "L", {"interlace": False, "optimize": False})[1]
    return data[data.index(b",", 13 + 3 * COLOURS) + 10 : -1]  # behind the header, 256 greys and the frame's place
