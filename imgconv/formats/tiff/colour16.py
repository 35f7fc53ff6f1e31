"""TIFFs of 16 bits or floating samples in colour or with alpha, which Pillow cuts or refuses: as grey it keeps them."""

from __future__ import annotations

import numpy as np

from imgconv.errors import PictureError
from imgconv.formats import pillow
from imgconv.formats.exif import turned_upright
from imgconv.formats.limits import Limits
from imgconv.formats.picture import Frame, Picture
from imgconv.formats.table import FLOAT_MODES, MODES
from imgconv.formats.tiff.tags import BLACK_IS_0, LONG, RGB, UNSIGNED, Directory, Tag, directory_of

PREDICTED = (5, 8, 32946, 34925, 50000)  # compressions that heed the predictor: LZW, deflate, LZMA, Zstandard
ONE_BY_ONE = 2  # planes
DIFFERENCES = 2  # the predictor that wants sums along a row
NO_MEANING, PREMULTIPLIED, STRAIGHT = 0, 1, 2  # of an extra sample


def as_grey(d: Directory) -> tuple[list[bytes], int]:
    """Files in which each sample is a pixel of grey: one with all samples, or one for each channel.

    And how many columns the stored differences begin anew after; 0 where none are. Raises PictureError where the
    picture is too wide.
    """
    d.file.seek(0)
    data = d.file.read()
    samples, columns, tile = d.number(Tag.SAMPLES), d.number(Tag.WIDTH), d.number(Tag.TILE_WIDTH)
    one, grey = d.entry(1), d.entry(BLACK_IS_0)
    bits, kind = d.number(Tag.BITS), d.entry(d.number(Tag.FORMAT, UNSIGNED))
    entries = {
        Tag.BITS: d.entry(bits),
        Tag.FORMAT: kind,
        Tag.SAMPLES: one,
        Tag.PHOTOMETRIC: grey,
        Tag.PLANES: one,
        Tag.ORIENTATION: one,
    }
    if max(columns, tile) * samples >= 2**31:
        raise PictureError(f"is broken: it claims {max(columns, tile):,} columns")
    if d.number(Tag.PLANES, 1) == ONE_BY_ONE:
        tags = (Tag.TILE_OFFSETS, Tag.TILE_COUNTS) if tile else (Tag.OFFSETS, Tag.COUNTS)
        step = len(d.numbers(tags[0])) // samples
        planes = [
            {tag: d.entry(*d.numbers(tag)[step * plane :][:step], kind=LONG) for tag in tags}
            for plane in range(samples)
        ]
        return [d.changed(data, entries | plane, (Tag.EXTRA,)) for plane in planes], 0
    entries[Tag.WIDTH] = d.entry(columns * samples, kind=LONG)
    if tile:
        entries[Tag.TILE_WIDTH] = d.entry(tile * samples, kind=LONG)
    differences = d.number(Tag.PREDICTOR, 1) == DIFFERENCES and d.number(Tag.COMPRESSION, 1) in PREDICTED
    span = (tile or columns) if differences else 0
    return [d.changed(data, entries, (Tag.EXTRA, Tag.PREDICTOR))], span


def as_colour(data: bytes, columns: int, samples: int) -> bytes:
    """A file of grey, made without a predictor, as one of `samples` per pixel, the last of 2 or 4 alpha."""
    d = directory_of(data)
    entries = {
        Tag.WIDTH: d.entry(columns, kind=LONG),
        Tag.BITS: d.entry(*[d.number(Tag.BITS)] * samples),
        Tag.FORMAT: d.entry(*[d.number(Tag.FORMAT, UNSIGNED)] * samples),
        Tag.SAMPLES: d.entry(samples),
        Tag.PHOTOMETRIC: d.entry(RGB if samples > 2 else BLACK_IS_0),
    }
    return d.changed(data, entries | ({Tag.EXTRA: d.entry(STRAIGHT)} if samples in (2, 4) else {}))


def frame_of(d: Directory, limits: Limits) -> Frame:
    """The picture in a file with such samples. Raises PictureError where it is broken."""
    files, span = as_grey(d)
    samples, columns = d.number(Tag.SAMPLES), d.number(Tag.WIDTH)
    limits = limits._replace(pixels=limits.pixels * samples, working=limits.working + 3)  # a sample is a pixel
    parts = [pillow.decoded(file, limits) for file in files]
    info, notes = parts[0].info, parts[0].notes
    if any(part.mode not in ("I;16", "F") or part.array.shape[1] != columns * samples // len(parts) for part in parts):
        raise PictureError("is broken: its samples are not as it says")
    if len(parts) > 1:
        array = np.stack([part.array for part in parts], axis=2)
    else:
        array = parts[0].array.reshape(-1, columns, samples)
    if span:
        pieces = [array[:, start : start + span] for start in range(0, columns, span)]
        array = np.concatenate([np.add.accumulate(piece, axis=1, dtype=np.uint16) for piece in pieces], axis=1)
    colours = 3 if d.number(Tag.PHOTOMETRIC) == RGB else 1
    extra = d.number(Tag.EXTRA, STRAIGHT) if samples > colours else STRAIGHT
    if extra == NO_MEANING:
        array, notes = array[:, :, :-1], (*notes, "its last channel, which has no stated meaning, is left out")
    elif extra == PREMULTIPLIED:
        alpha = array[:, :, -1:]
        if array.dtype.kind == "f":
            straight = np.divide(array[:, :, :-1], alpha, out=np.zeros_like(array[:, :, :-1]), where=alpha != 0)
        else:
            whole = (array[:, :, :-1] * np.uint64(65535) + alpha // 2) // np.maximum(alpha, 1)
            straight = np.minimum(whole, 65535).astype(np.uint16)
        array = np.concatenate([straight, alpha], axis=2)
    array = np.ascontiguousarray(array if array.shape[2] > 1 else array[:, :, 0])
    channels = array.shape[2] if array.ndim == 3 else 1
    mode = FLOAT_MODES[channels - 1] if array.dtype.kind == "f" else MODES["uint16", channels]
    picture = Picture(array, mode, "TIFF", info, notes=notes)
    return Frame(turned_upright(picture, d.orientation), d.size)  # as Pillow turns other TIFFs
