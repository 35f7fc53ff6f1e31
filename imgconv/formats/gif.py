"""GIF, animated or with alpha: each frame with a palette of its own, compressed by Pillow as a small file."""

from __future__ import annotations

import math
import struct
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.formats.animation import AnimationSink, Box, box_of
from imgconv.formats.image import from_array
from imgconv.formats.palette import COLOURS, means, octree
from imgconv.formats.picture import Picture
from imgconv.formats.pillow import encoded
from imgconv.formats.place import put

VISIBLE = 128  # alpha from which a pixel is opaque: GIF knows no half
KEEP, CLEAR = 1, 2  # disposals: what becomes of a frame's box before the next is drawn
LONGEST = 65535  # of a duration, in hundredths of a second; and plays
SAMPLE, ROUNDS = 256, 3  # about so many rows and columns decide how a palette moves, so many times
CORNER = 1.5  # Pillow takes a pixel for the lower corner of a cube of four levels, which is so far from its middle


class _Shown(NamedTuple):
    """What is seen: RGB, and where."""

    colours: Array
    visible: Array


class GifSink(AnimationSink):
    """Writes each frame when the next is known, which may need some of its pixels cleared."""

    def __init__(self, about: Picture, *, dither: bool = False) -> None:
        super().__init__("GIF", about)
        rows, columns = about.array.shape[:2]
        self.dither = dither
        self.start = b"GIF89a" + struct.pack("<HHBBB", columns, rows, 0x70, 0, 0)  # no palette for all
        plays, comment = about.info.get("plays", 0), about.info.get("comment", b"")
        if about.frames > 1 and plays != 1:
            self.start += b"!\xff\x0bNETSCAPE2.0" + struct.pack("<BBHB", 3, 1, min(max(plays - 1, 0), LONGEST), 0)
        if comment:
            pieces = [comment[at : at + 255] for at in range(0, len(comment), 255)]
            self.start += b"!\xfe" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"
        self.ending = b";"
        self.canvas: _Shown | None = None  # before the frame that waits
        self.waiting: tuple[_Shown, float] | None = None  # and its duration
        self.lost: dict[str, None] = {}

    def write(self, rows: Array) -> None:
        frame = self._flat(rows)
        self._put_waiting(frame)
        self.waiting = frame, self.about.info.get("duration", 0)

    def end(self) -> None:
        self._put_waiting(None)
        self.notes += tuple(self.lost)
        super().end()

    def _flat(self, rows: Array) -> _Shown:
        """A frame as RGB, black where nothing is seen, and where something is."""
        rows = rows.reshape(*rows.shape[:2], -1)
        shades = rows[:, :, : rows.shape[2] - ("A" in self.about.mode)]
        colours = np.repeat(shades, 3, axis=2) if shades.shape[2] == 1 else np.array(shades)
        if "A" not in self.about.mode:
            return _Shown(colours, np.ones(rows.shape[:2], bool))
        visible = rows[:, :, -1] >= VISIBLE
        if (rows[:, :, -1] != np.where(visible, 255, 0)).any():
            self.lost["GIF knows no half-transparent pixels; they are now opaque or gone"] = None
        colours[~visible] = 0
        return _Shown(colours, visible)

    def _put_waiting(self, following: _Shown | None) -> None:
        if self.waiting is None:
            return
        (colours, visible), duration = self.waiting
        cleared = visible & ~following.visible if following is not None else np.zeros((1, 1), bool)
        clears = bool(cleared.any())
        box = Box(0, 0, *colours.shape[:2])
        if self.canvas is not None:
            changed = [self.canvas.colours != colours, self.canvas.visible != visible]
            box = box_of(*changed, *([cleared] if clears else []))
        part = _Shown(np.array(box.of(colours), order="C"), box.of(visible))
        put(self.file, self._drawn(part, box, CLEAR if clears else KEEP, duration))
        self.canvas = self.waiting[0]
        if clears:
            self.canvas = _Shown(colours.copy(), visible.copy())
            for array in self.canvas:
                box.of(array)[...] = 0

    def _drawn(self, part: _Shown, box: Box, disposal: int, duration: float) -> bytes:
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

    def _quantised(self, part: _Shown, *, clears: bool) -> tuple[Array, bytes, int | None]:
        """Indices into a palette, the palette, and the index of pixels that are not drawn, if there are some.

        Some readers clear a box by that, too.
        """
        colours, drawn = part
        whole = not clears and bool(drawn.all())
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

    The palette is found as `palette.palette_of` finds one, but which colour is the nearest is Pillow's guess, which
    takes a tenth of the time.
    """
    from PIL import Image

    image = from_array(colours, "RGB")
    if (few := image.getcolors(most)) is not None:
        return *_exact(colours, np.array([colour for _, colour in few], np.uint8)), True
    step = max(1, math.isqrt(colours.size // 3) // SAMPLE)
    palette = octree(image if step < 2 else from_array(colours[::2, ::2], "RGB"), most)
    sample = np.ascontiguousarray(colours[::step, ::step])
    part, flat = from_array(sample, "RGB"), sample.reshape(-1, 3)
    for _ in range(ROUNDS):
        nearest = np.asarray(part.quantize(palette=_with(palette - CORNER), dither=Image.Dither.NONE)).reshape(-1)
        palette = means(palette, flat, nearest)
    if dither:
        near = image.quantize(palette=_with(palette), dither=Image.Dither.FLOYDSTEINBERG)
    else:
        near = image.quantize(palette=_with(palette - CORNER), dither=Image.Dither.NONE)
    return np.asarray(near), _bytes(palette), False


def _exact(colours: Array, palette: Array) -> tuple[Array, bytes]:
    """Indices into a palette that has all colours."""
    where = np.empty(2**24, np.uint8)  # of which only the pages of these colours are ever touched
    keys = (
        each[..., 0] | each[..., 1].astype(np.uint32) << 8 | each[..., 2].astype(np.uint32) << 16
        for each in (palette, colours)
    )
    where[next(keys)] = np.arange(len(palette))
    return where[next(keys)], palette.tobytes()


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
