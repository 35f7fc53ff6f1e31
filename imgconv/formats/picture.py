"""The Picture value: pixels, and the metadata of the file; and a Frame, which is still to be read."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace
from functools import cached_property
from typing import Any, cast

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.formats.limits import Limits, check_memory, check_whole
from imgconv.memory import Samples, SampleType, with_padding
from imgconv.record import dataclass

EXIF_MARK = b"Exif\0\0"  # in front of EXIF data in `Picture.info`, as JPEG wants it; other files may go without
HELD_BYTES = 2**27  # larger pictures are read twice where alpha must be looked at before the rest
LOOK_BYTES = 2**20  # looked at in one go
UNCOUNTED = sys.maxsize  # frames, where they are as many as come
FIRST = (1,)  # of the frames, where only that is wanted


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of one frame and the metadata that should stay with them."""

    # shape (rows, columns) or (rows, columns, channels): uint8, uint16, int32 or float32 for pictures; any real type
    # for bare arrays
    array: Array
    mode: str  # Pillow's; "LA;16", "RGB;16" and the like, which Pillow does not have; "" for a bare array
    format: str  # Pillow's name of the file format ("PNG"), or "NPY", "TEXT", "CSV"
    # for the encoder of the new file: exif, icc_profile, dpi, xmp, the chunks of a PNG, quantisation tables … Of a
    # frame of an animation also `duration` (milliseconds), `plays` (how many times all is shown, 0 for ever), and
    # `default_image` for one that is shown only where animations are not
    info: dict[str, Any] = field(default_factory=dict)
    frames: int = 1  # how many the file holds; UNCOUNTED where that is seen at its end
    number: int = 1  # which of them it is, counted from 1
    others: int = 0  # pictures in the file that are no frames, and left out
    other_kinds: str = "previews, masks, layers, planes, faces or sizes"  # what these are, or may be
    notes: tuple[str, ...] = ()  # what the user should know about reading it, such as transparency that was left out

    @property
    def size(self) -> str:
        """Columns × rows, as people give the size of a picture."""
        return f"{self.array.shape[1]}×{self.array.shape[0]}"

    @property
    def channels(self) -> int:
        """How many samples a pixel has."""
        return self.array.shape[2] if self.array.ndim == 3 else 1


class Frame:
    """A picture in a file, to be read from the top down; or one that is in memory already."""

    def __init__(
        self,
        about: Picture,  # where its pixels are not in memory, its array has their shape and type, and takes none
        size: int,  # of the file in bytes
        # fills an array of shape (some, columns, channels), C-contiguous, with the next rows; None in memory
        read: Callable[[Array], None] | None = None,
        again: Callable[[], Frame] | None = None,  # opens it anew, from the first row
    ) -> None:
        self.about, self.size, self.read, self.again = about, size, read, again

    def whole(self, limits: Limits, *, padded: bool = False, plain: bool = False) -> Picture:
        """The picture with all its pixels, without gaps unless they may be `padded` (`memory.with_padding`).

        Where `plain`, they may be `memory.Samples`.

        Raises PictureError where they are more than the limits allow.
        """
        if self.read is None:
            array = self.about.array
            if not padded and with_padding(array) is not None:
                from imgconv.formats.image import packed  # here, because only what Pillow has decoded has gaps

                array = packed(array, in_place=True)
            self.about = replace(self.about, array=array if plain else np.asarray(array))
            return self.about
        self.check_whole(limits)
        shape = self.about.array.shape
        array = np.empty((*shape, 1)[:3], self.about.array.dtype)
        self.read(array)
        return replace(self.about, array=array.reshape(shape))

    def check_whole(self, limits: Limits) -> None:
        """Raises PictureError where a picture that is still to be read cannot be in memory as a whole."""
        array, need = self.about.array, self.about.array.nbytes * (1 + limits.working)
        if not self.about.mode:  # an array is as large as its file: no bomb
            check_memory(need, need, limits)
        else:
            pixel = self.about.channels * array.itemsize
            check_whole(self.size, array.shape[1], array.shape[0], pixel, pixel, limits)

    @cached_property
    def opaque(self) -> bool:
        """Whether alpha, the last channel, is full everywhere. Reading begins with the first row after that."""
        array = self.about.array
        if self.read is None:
            return is_opaque(array)
        if self.again is None or array.nbytes <= HELD_BYTES:
            array = np.empty(array.shape, array.dtype)
            self.read(array)
            self.read = reader_of([array])
            return is_opaque(array)
        part = np.empty((max(1, LOOK_BYTES // array[0].nbytes), *array.shape[1:]), array.dtype)
        left, opaque = len(array), True
        while opaque and left:
            part = part[:left]
            self.read(part)
            opaque, left = is_opaque(part), left - len(part)
        self.read = self.again().read
        return opaque


def wanted_of(wanted: Sequence[int] | None, frames: int) -> Sequence[int]:
    """The numbers of the frames that are wanted (None: all) of so many. Raises PictureError where one is not there."""
    if wanted and max(wanted) > frames:
        raise PictureError(f"has {frames} frame{'s' * (frames > 1)}, and no number {max(wanted)}; --frames asks for it")
    return range(1, frames + 1) if wanted is None else sorted(wanted)


def reader_of(parts: Iterable[Array]) -> Callable[[Array], None]:
    """What reads rows that come some at a time from the top down, as `Frame.read` does."""
    following = iter(parts)
    waiting = np.empty(0)

    def read(target: Array) -> None:
        nonlocal waiting
        done = 0
        while done < len(target):
            if not len(waiting):
                waiting = next(following)
            part, waiting = waiting[: len(target) - done], waiting[len(target) - done :]
            target[done : done + len(part)] = part.reshape(len(part), *target.shape[1:])
            done += len(part)

    return read


def is_opaque(array: Array) -> bool:
    """Whether the last channel is full everywhere."""
    top = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    return bool((array[:, :, -1] == top).all())


def unread(shape: tuple[int, ...], dtype: np.dtype[Any] | SampleType) -> Array:
    """An array of a shape and type that takes no memory; all its samples are one 0."""
    if isinstance(dtype, SampleType):
        return cast(Array, Samples(shape, dtype))
    return np.ndarray(shape, dtype, bytes(dtype.itemsize), strides=(0,) * len(shape))


def sound_dpi(dpi: Any) -> tuple[float, float] | None:
    """A resolution that every encoder can write, or None."""
    try:
        across, down = (float(number) for number in dpi)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    sound = all(math.isfinite(number) and 0 < number < 65535 for number in (across, down))
    return (across, down) if sound else None


def marked(exif: bytes) -> bytes:
    """EXIF data with the mark in front."""
    return EXIF_MARK + exif.removeprefix(EXIF_MARK)
