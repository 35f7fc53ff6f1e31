"""What becomes of a result on its way into a file: another depth, no alpha, other colours, a palette."""

from __future__ import annotations

import io
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import WriteError
from imgconv.formats.image import PILLOW_ERRORS, from_array, to_array
from imgconv.formats.palette import palette_of
from imgconv.formats.picture import Picture, unread
from imgconv.formats.table import ARRAYS, DEPTHS, GREY_MODES, TOO_FINE, Changes, by_name, mode_of

BITS_OF = {"10": 10, "12": 12}  # kept in samples of 16
SPACES = ("CMYK", "LAB", "YCbCr", "HSV")
SIDE = 8  # of the square of thresholds by which the bits that go are spread: Bayer's, as ordered dithering has it
PIECE_SAMPLES = 2**20  # made at once
Step = Callable[[Array, int], Array]  # rows, the number of the first one, and what becomes of them


def _thresholds() -> Array:
    square = np.zeros((1, 1), np.int64)
    while len(square) < SIDE:
        square = np.block([[4 * square, 4 * square + 2], [4 * square + 3, 4 * square + 1]])
    return 2 * square + 1  # of 2 * SIDE ** 2


THRESHOLDS = _thresholds()


class Converted(NamedTuple):
    """What is to be written instead, and how rows become it."""

    about: Picture  # its pixels are not there
    steps: tuple[Step, ...]
    clipped: list[int]  # samples that lay outside the new range, added as rows come
    palette: bool = False  # one is to be made, from all rows
    notes: tuple[str, ...] = ()

    def rows(self, array: Array, first: int = 0) -> Array:
        """Rows, of which the first has a number, as they are to be written."""
        if not self.steps:
            return array
        target = np.empty((len(array), *self.about.array.shape[1:]), self.about.array.dtype)
        at_once = max(1, PIECE_SAMPLES // array[0].size)
        for start in range(0, len(array), at_once):
            part = array[start : start + at_once]
            for step in self.steps:
                part = step(part, first + start)
            target[start : start + len(part)] = part
        return target

    def strips(self, strips: Generator[Array]) -> Generator[Array]:
        first = 0
        with closing(strips):
            for strip in strips:
                yield self.rows(strip, first)
                first += len(strip)

    def with_palette(self, strips: Generator[Array]) -> Picture:
        """All rows, which the steps have made, as indices."""
        with closing(strips):
            indices, colours, alphas, note = palette_of(np.concatenate(list(strips)))
        info = self.about.info | {"colours": colours, "alphas": alphas}
        return replace(self.about, array=indices, mode="P", info=info, notes=(note,) if note else ())


def converted(about: Picture, form: str, changes: Changes, top: float | None = None) -> Converted | None:
    """How a picture becomes what a format holds, and what was asked for; None where it stays as it is.

    Only shape, type, mode and metadata of the picture are looked at; a bare array becomes the picture that it may be.
    `top` is that of the range of floating samples that were whole numbers before they were filtered; 1 when not given.
    Raises WriteError when it cannot be done as asked.
    """
    depth, array = changes.depth, about.array[:1, :1]
    bare = not about.mode
    if depth is None and (form in ARRAYS or (bare and array.dtype.name in TOO_FINE)):
        return None
    mode = about.mode or mode_of(array.dtype, about.channels)
    modes = (mode,) if form in ARRAYS else by_name(form).modes
    steps, info, notes = list[Step](), dict(about.info), list[str]()
    clipped: list[int] = []

    def add(step: Step, new: str) -> None:
        nonlocal array, mode
        array, mode = step(array, 0), new
        steps.append(step)

    if mode in SPACES and mode not in modes and "RGB" in modes:
        step, note = _to_rgb(mode, info.pop("icc_profile", None))
        notes.append(note)
        add(step, "RGB")
    if mode.partition(";")[0] in ("LA", "RGBA"):
        if changes.background is not None and (
            depth == "1" or not any("A" in held and held != "LAB" for held in modes)
        ):
            grey = mode.startswith("L") and len(set(changes.background)) == 1
            background = changes.background[:1] if grey else changes.background
            flat = partial(_flat, background=background, top=_top(array.dtype, top))
            add(flat, mode_of(array.dtype, len(background)))
        elif depth == "1":
            opaque = mode.replace("A", "")
            raise WriteError(f"bits hold no alpha: --depth 1 takes {opaque} pictures, or --background COLOUR")
    if depth == "1":
        if mode.partition(";")[0] == "RGB":
            notes.append("bits hold no colours: its greys were taken (ITU-R BT.601)")
            add(_greys, mode_of(array.dtype, 1))
        if mode not in GREY_MODES:
            raise WriteError(f"--depth 1 takes grey and RGB pictures, not {mode or array.dtype}")
        add(partial(_deep, dtype=np.dtype(np.uint8), levels=1, top=_top(array.dtype, top), clipped=clipped), "1")
    elif depth is not None and mode in SPACES:
        if depth != "8":
            raise WriteError(f"--depth {depth} takes grey and RGB pictures, not {mode}")
    elif depth is not None:
        dtype = np.dtype(DEPTHS[depth])
        info.pop("bits", None)
        if depth in BITS_OF:
            info["maximum" if form == "PPM" else "bits"] = 2 ** BITS_OF[depth] - 1 if form == "PPM" else BITS_OF[depth]
            if form not in ("HEIF", "PPM"):
                raise WriteError(f"{form} does not hold {depth} bits; --depth 16 keeps all of them")
        levels = None if dtype.kind == "f" else np.iinfo(dtype).max
        if (dtype, levels) != (array.dtype, _top(array.dtype, top)):
            deep = partial(_deep, dtype=dtype, levels=levels, top=_top(array.dtype, top), clipped=clipped)
            channels = array.shape[2] if array.ndim == 3 else 1
            add(deep, mode_of(dtype, channels) or f"{channels} channels of {dtype}")
    if mode not in modes and (wider := {"L": "RGB", "LA": "RGBA"}.get(mode)) in modes:
        add(_colours, wider)
        if info.pop("icc_profile", None):
            notes.append("its ICC profile is for greys and left out")
    has_palette = "P" in modes and mode in ("L", "RGB", *(["RGBA"] if form == "PNG" else ()))
    palette = has_palette and (mode not in modes or (changes.requantize and bool(info.get("palette"))))
    if not steps and not palette and info == about.info:
        return None
    shape = about.array.shape[:2] + array.shape[2:]
    mode = "" if bare and form in ARRAYS else mode
    new = replace(about, array=unread(shape, array.dtype), mode=mode, info=info, notes=())
    clipped.clear()  # of the pixel that was tried
    return Converted(new, tuple(steps), clipped, palette, tuple(notes))


def whole(picture: Picture, form: str, changes: Changes, top: float | None = None) -> Picture:
    """The picture, whose pixels are there, as the format holds it, and as was asked for."""
    change = converted(picture, form, changes, top)
    if change is None:
        return picture
    strips = change.strips(part for part in (picture.array,))
    return change.with_palette(strips) if change.palette else replace(change.about, array=next(strips))


def colour_of(text: str) -> tuple[int, int, int]:
    """A colour as CSS has it: white, #fff, rgb(255,255,255). Raises ValueError."""
    from PIL import ImageColor

    return ImageColor.getrgb(text)[:3]


def _top(dtype: np.dtype[Any], top: float | None) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else top or 1.0


def _deep(
    rows: Array, first: int, *, dtype: np.dtype[Any], levels: float | None, top: float, clipped: list[int]
) -> Array:
    """Samples from 0 to `top` as samples of another type, from 0 to `levels`, or to 1 where that is None.

    What lies between two levels becomes one or the other by a threshold that hangs on the pixel's place alone.
    """
    if levels is None:
        return np.asarray(rows / top, dtype)
    down = np.arange(first, first + len(rows)) % SIDE
    spread = THRESHOLDS[down[:, None], np.arange(rows.shape[1]) % SIDE]
    spread = spread[..., None] if rows.ndim == 3 else spread
    if rows.dtype.kind in "iu" and top * levels < 2**48:  # exact
        parts = 2 * SIDE**2 if top > levels else 2
        spread = spread if top > levels else np.int64(1)
        found = (rows.astype(np.int64) * int(levels) * parts + spread * int(top)) // (int(top) * parts)
    else:
        with np.errstate(invalid="ignore"):
            values = np.nan_to_num(rows.astype(np.float64)) * (levels / top)
        # rounded where there are levels enough
        found = np.floor(values + (spread / (2 * SIDE**2) if levels < 2**15 else 0.5))
    inside = found.clip(0, levels)
    clipped.append(int(np.count_nonzero(inside != found)))
    return np.asarray(inside * (255 if levels == 1 else 1), dtype)


def _flat(rows: Array, first: int, *, background: tuple[int, ...], top: float) -> Array:
    """Straight colours over a background of 8 bits."""
    colour, alpha = rows[:, :, :-1], rows[:, :, -1:]
    if rows.dtype.kind == "f":
        behind = np.asarray(background, rows.dtype) * (top / 255)
        return _bare(np.asarray(behind + (colour - behind) * (alpha / top), rows.dtype))
    full, cover = int(top), alpha.astype(np.int64)
    mixed = colour * cover + np.asarray(background, np.int64) * (full // 255) * (full - cover)
    return _bare(np.asarray((mixed + full // 2) // full, rows.dtype))


def _bare(rows: Array) -> Array:
    return np.ascontiguousarray(rows[:, :, 0] if rows.shape[2] == 1 else rows)


def _greys(rows: Array, first: int) -> Array:
    if rows.dtype.kind == "f":
        # no product of matrices, in which BLAS adds and fuses as suits the CPU
        return np.asarray((rows * np.asarray([0.299, 0.587, 0.114], rows.dtype)).sum(axis=2))
    return np.asarray((rows.astype(np.int64) @ [299, 587, 114] + 500) // 1000, rows.dtype)


def _colours(rows: Array, first: int) -> Array:
    """Grey as colours that are all the same."""
    if rows.ndim == 2:
        return np.repeat(rows[:, :, None], 3, axis=2)
    return np.ascontiguousarray(rows[:, :, [0, 0, 0, 1]])


def _to_rgb(mode: str, profile: bytes | None) -> tuple[Step, str]:
    """What makes sRGB of another space, by its profile if it has one that makes sense; and a note."""
    from PIL import ImageCms

    transform: Any = None
    own: Any = ImageCms.createProfile("LAB") if mode == "LAB" else None
    try:
        if mode == "CMYK" and profile:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own is not None:
            rgb = ImageCms.createProfile("sRGB")
            transform = ImageCms.buildTransform(own, rgb, mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC)
    except (ImageCms.PyCMSError, *PILLOW_ERRORS):
        pass
    how = "by its definition" if mode != "CMYK" else "by its profile" if transform else "by the plain formula, for it"
    how += " has no sound profile" if mode == "CMYK" and not transform else ""

    def step(rows: Array, first: int) -> Array:
        image = from_array(rows, mode)
        return to_array(transform.apply(image) if transform else image.convert("RGB"))

    return step, f"its {mode} became sRGB {how}"
