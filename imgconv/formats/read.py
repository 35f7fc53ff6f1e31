"""Reads pictures and bare arrays; whatever is wrong with a file becomes a PictureError of one line."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from imgconv.arrayfile import Array, opened
from imgconv.errors import PictureError, reason
from imgconv.formats.decode import decode
from imgconv.formats.limits import DEFAULT, Limits, check_image
from imgconv.formats.picture import FIRST, Frame, Picture, wanted_of
from imgconv.formats.table import format_of, name_for

if TYPE_CHECKING:
    from imgconv.formats.decode import Begun
    from imgconv.formats.raw import Raw

LARGEST_FILE = 16 * 2**30  # bytes that are read at once
NUMBERS = re.compile(rb"\s*(#|[-+.]*\d)")  # what a matrix begins with
START_BYTES = 2**16
ANIMATED_WEBP = re.compile(rb"RIFF....WEBPVP8X....[%s]" % re.escape(bytes(n for n in range(256) if n & 2)), re.DOTALL)
TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(path: Path, *, auto_orient: bool = False, limits: Limits = DEFAULT) -> Picture:
    """The picture (its first frame) or array in a regular file, upright where that is asked for.

    Its ending tells arrays (.npy, .txt, .csv); pictures are recognised by their content. Raises PictureError when the
    file cannot be read, is no picture, is broken, or would lose detail by being read.
    """
    file, size = opened(path, PictureError, buffering=0)
    with file, named(str(path)):
        frames = frames_of(file, size, str(path), path.suffix, wanted=FIRST, auto_orient=auto_orient, limits=limits)
        return next(frames).whole(limits)


def parse(data: bytes, name: str, ending: str = "", *, auto_orient: bool = False, limits: Limits = DEFAULT) -> Picture:
    """The picture or array in `data`; `name` is what messages call it. Raises PictureError as `read` does."""
    with named(name):
        file = io.BytesIO(data)
        frames = frames_of(file, len(data), name, ending, wanted=FIRST, auto_orient=auto_orient, limits=limits)
        return next(frames).whole(limits)


def frames_of(
    file: BinaryIO,  # with random access, but for raw frames
    size: int,  # in bytes; 0 where it is seen at the end
    name: str,  # what messages call it
    ending: str = "",  # of its name
    *,
    wanted: Sequence[int] | None = None,  # the numbers of those that are to be given, counted from 1; all by default
    auto_orient: bool = False,  # turn pixels upright as the EXIF orientation says, and reset that
    limits: Limits = DEFAULT,
    threads: int | None = None,  # PNG is read by two, unless it is 1
    begun: Begun | None = None,  # the same file, where decoding it has begun
    raw: Raw | None = None,  # what its frames are, where it holds nothing else
) -> Iterator[Frame]:
    """The frames in a file without a buffer, one after the other: each is done with when the next one is asked for.

    Raises PictureError when it is broken, as far as can be seen without reading its pixels. `read` of a frame raises
    it, too.
    """
    if raw is not None:
        from imgconv.formats.raw import frames_of as raw_frames

        frames = raw_frames(file, size, raw, limits, wanted)
    else:
        frames = _frames_of(file, size, ending, wanted, limits, threads, begun)
    while True:
        with named(name):
            frame = next(frames, None)
            if frame is None:
                return
            if auto_orient:
                frame = _upright(frame, limits)
        if frame.read is not None:
            only = (frame.about.number,)
            again = partial(frames_of, file, size, name, ending, wanted=only, limits=limits, threads=threads)
            frame.read, frame.again = partial(_read_named, name, frame.read), lambda again=again: next(again())
        yield frame


def _read_named(name: str, read: Callable[[Array], None], target: Array) -> None:
    with named(name):
        read(target)


def _frames_of(
    file: BinaryIO, size: int, ending: str, wanted: Sequence[int] | None, limits: Limits, threads: int | None,
    begun: Begun | None,
) -> Iterator[Frame]:  # fmt: skip
    """The frames by the module of their format, or by Pillow. What few files need is imported for them."""
    loaded = begun.take() if begun is not None else None
    if loaded is not None:
        from imgconv.formats import pillow

        check_image(loaded.image, loaded.data, loaded.size, limits)
        yield from pillow.frames_of(lambda: loaded, wanted, limits)
        return
    if not size:
        raise PictureError("is empty")
    file.seek(0)
    start = file.read(START_BYTES)
    if len(start) == size:  # all of it is there, and need not be asked for again and again
        file = io.BytesIO(start)
    file.seek(0)
    kind = name_for(ending)
    if kind is None and start.startswith(b"\x93NUMPY"):
        kind = "NPY"
    elif not ending and NUMBERS.match(start) and format_of(start) is None:  # a PSD begins with a number, too
        kind = "TEXT"
    elif kind == "RAW" and format_of(start) is None:
        raise PictureError("is raw by its name; --raw WxH:rgb24 says how large its frames are")
    frames = _own_frames_of(file, size, start, kind, wanted, limits, threads)
    if frames is not None:
        yield from frames
        return
    from imgconv.formats import pillow

    if start.startswith(b"GIF8") and isinstance(file, io.FileIO):  # what is elsewhere would be fetched three times
        with open(file.fileno(), "rb", closefd=False) as buffered:
            yield from pillow.frames_of(partial(decode, start, limits, ending, (buffered, size)), wanted, limits)
        return
    if size > LARGEST_FILE:
        raise PictureError(f"{size:,} bytes, more than the {LARGEST_FILE:,} allowed here")
    file.seek(0)
    yield from pillow.frames_of(partial(decode, file.read(), limits, ending, threads=threads), wanted, limits)


def _own_frames_of(
    file: BinaryIO, size: int, start: bytes, kind: str | None, wanted: Sequence[int] | None, limits: Limits,
    threads: int | None,
) -> Iterator[Frame] | None:  # fmt: skip
    """The frames by a module of their format's own; None where Pillow reads them."""
    frame = None
    if kind in ("NPY", "TEXT", "CSV"):
        from imgconv.formats import arrays

        frame = arrays.frame_of(file, size, kind, limits)
    elif start.startswith(b"\x89PNG"):
        from imgconv.formats.png import codec

        if b"acTL" in start:
            from imgconv.formats.png import animation

            if (frames := animation.frames_of(file, size, limits, threads, wanted)) is not None:
                return frames
            file.seek(0)
        frame = codec.frame_of(file, size, limits, threads)
    elif start[:2] in (b"P5", b"P6", b"Pf", b"PF"):
        from imgconv.formats import ppm

        frame = ppm.frame_of(file, size)
    elif start[:4] in TIFF_STARTS:
        from imgconv.formats.tiff import pages

        return pages.frames_of(file, size, limits, wanted)
    elif start[4:8] == b"ftyp" and (form := format_of(start[:32])) and form.name == "HEIF":
        from imgconv.formats import heif

        return heif.frames_of(file.read(), limits, wanted)
    elif kind == "MPO" and start.startswith(b"\xff\xd8\xff"):
        from imgconv.formats import mpo

        return mpo.frames_of(file, size, limits, wanted, threads)
    elif ANIMATED_WEBP.match(start):
        from imgconv.formats import webp

        return webp.frames_of(file, size, limits, wanted)
    if frame is None:
        return None
    wanted_of(wanted, 1)
    return iter([frame])


@contextlib.contextmanager
def named(name: str) -> Iterator[None]:
    """Errors in the block say which file is meant."""
    try:
        yield
    except MemoryError:
        raise PictureError(f"{name}: is too large for the memory of this machine") from None
    except OSError as problem:
        raise PictureError(f"{name}: {reason(problem)}") from None
    except (PictureError, ValueError) as problem:
        raise PictureError(str(problem) if str(problem).startswith(name) else f"{name}: {problem}") from None


def _upright(frame: Frame, limits: Limits) -> Frame:
    """The picture turned as its EXIF data says, which is reset."""
    about = frame.about
    if "exif" not in about.info:
        return frame
    from imgconv.formats import exif

    try:
        orientation = exif.orientation_of(about.info["exif"])
    except ValueError:
        frame.about = replace(about, notes=(*about.notes, "its EXIF data is damaged: how to turn it is not known"))
        return frame
    if orientation not in exif.UPRIGHT:
        return frame
    picture = exif.turned_upright(frame.whole(limits), orientation)
    if orientation >= 5 and "dpi" in picture.info:  # rows have become columns
        picture.info["dpi"] = picture.info["dpi"][::-1]
    return Frame(picture, frame.size)
