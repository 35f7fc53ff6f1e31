"""TIFFs of 16 bits in colour or with alpha, which Pillow would cut to 8: as files of 16-bit grey it keeps them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imgconv.errors import PictureError
from imgconv.formats import pillow
from imgconv.formats.limits import Limits
from imgconv.formats.picture import UPRIGHT, Frame, Picture, say_upright, turned
from imgconv.formats.table import MODES
from imgconv.formats.tiff.tags import (
    BITS,
    BLACK_IS_0,
    COMPRESSION,
    COUNTS,
    DIFFERENCES,
    EXTRA,
    FORMAT,
    LONG,
    MEANING,
    NO_MEANING,
    OFFSETS,
    ONE_BY_ONE,
    ORIENTATION,
    PLANES,
    PREDICTED,
    PREDICTOR,
    PREMULTIPLIED,
    RGB,
    SAMPLES,
    STRAIGHT,
    TILE_COUNTS,
    TILE_OFFSETS,
    TILE_WIDTH,
    UNSIGNED,
    WIDTH,
    Directory,
    directory_of,
)


class Deep(NamedTuple):
    """A picture of 16 bits in colour, or with alpha, as files of 16-bit grey, which Pillow reads as they are.

    In `files` each sample is a pixel; they are one with all, or one of each channel.
    `span` is how many columns the differences that are stored begin anew after, 0 where none are.
    """

    files: list[bytes]
    columns: int
    samples: int
    colours: int
    extra: int
    span: int
    orientation: int


def deep_of(d: Directory) -> Deep:
    """The picture in a file that is `deep`. Raises PictureError where it is too wide."""
    d.file.seek(0)
    data = d.file.read()
    samples = d.number(SAMPLES)
    one, grey = d.entry(1), d.entry(BLACK_IS_0)
    changed = {BITS: d.entry(16), SAMPLES: one, MEANING: grey, PLANES: one, ORIENTATION: one}
    planes = d.number(PLANES, 1) == ONE_BY_ONE
    columns, tile = d.number(WIDTH), d.number(TILE_WIDTH)
    if max(columns, tile) * samples >= 2**31:
        raise PictureError(f"is broken: it claims {max(columns, tile):,} columns")
    span = 0
    if planes:
        offsets, counts = (TILE_OFFSETS, TILE_COUNTS) if tile else (OFFSETS, COUNTS)
        step = len(d.numbers(offsets)) // samples
        parts = [
            {tag: d.entry(*d.numbers(tag)[step * plane :][:step], kind=LONG) for tag in (offsets, counts)}
            for plane in range(samples)
        ]
    else:
        parts = [{WIDTH: d.entry(columns * samples, kind=LONG)}]
        if tile:
            parts[0][TILE_WIDTH] = d.entry(tile * samples, kind=LONG)
        if d.number(PREDICTOR, 1) == DIFFERENCES and d.number(COMPRESSION, 1) in PREDICTED:
            span = tile or columns
    without = (EXTRA, FORMAT, *(() if planes else (PREDICTOR,)))
    files = [d.changed(data, changed | part, without) for part in parts]
    colours = 3 if d.number(MEANING) == RGB else 1
    return Deep(files, columns, samples, colours, d.number(EXTRA, STRAIGHT), span, d.orientation)


def deepened(data: bytes, columns: int, samples: int) -> bytes:
    """A file of 16-bit grey, made without a predictor, as one of `samples` per pixel, the last of 2 or 4 alpha."""
    d = directory_of(data)
    entries = {
        WIDTH: d.entry(columns, kind=LONG),
        BITS: d.entry(*[16] * samples),
        FORMAT: d.entry(*[UNSIGNED] * samples),
        SAMPLES: d.entry(samples),
        MEANING: d.entry(RGB if samples > 2 else BLACK_IS_0),
    }
    return d.changed(data, entries | ({EXTRA: d.entry(STRAIGHT)} if samples in (2, 4) else {}))


def frame_of(directory: Directory, limits: Limits) -> Frame:
    """The picture in a file that is `deep`. Raises PictureError where it is broken."""
    deep = deep_of(directory)
    limits = limits._replace(pixels=limits.pixels * deep.samples, working=limits.working + 3)  # a sample is a pixel
    parts = [pillow.decoded(file, limits) for file in deep.files]
    info, notes = parts[0].info, parts[0].notes
    wanted = deep.columns * deep.samples // len(parts)
    if any(part.mode != "I;16" or part.array.shape[1] != wanted for part in parts):
        raise PictureError("is broken: its samples are not as it says")
    if len(parts) > 1:
        array = np.stack([part.array for part in parts], axis=2)
    else:
        array = parts[0].array.reshape(-1, deep.columns, deep.samples)
    if deep.span:
        array = np.concatenate(
            [
                np.add.accumulate(array[:, start : start + deep.span], axis=1, dtype=np.uint16)
                for start in range(0, array.shape[1], deep.span)
            ],
            axis=1,
        )
    if deep.samples > deep.colours and deep.extra == NO_MEANING:
        array, notes = array[:, :, :-1], (*notes, "its last channel, which has no stated meaning, is left out")
    elif deep.samples > deep.colours and deep.extra == PREMULTIPLIED:
        alpha = array[:, :, -1:]
        straight = (array[:, :, :-1] * np.uint64(65535) + alpha // 2) // np.maximum(alpha, 1)
        array = np.concatenate([np.minimum(straight, 65535).astype(np.uint16), alpha], axis=2)
    if deep.orientation in UPRIGHT:  # as Pillow turns other TIFFs
        array = turned(array, *UPRIGHT[deep.orientation])
        say_upright(info)
        if "exif" in info:
            from imgconv.formats.exif import upright  # here, because it imports this package

            info["exif"] = upright(info["exif"], array.shape[1], array.shape[0])
    array = np.ascontiguousarray(array if array.shape[2] > 1 else array[:, :, 0])
    channels = array.shape[2] if array.ndim == 3 else 1
    return Frame(Picture(array, MODES["uint16", channels], "TIFF", info, parts[0].frames, notes), directory.size)
