"""Pictures that are read and written some rows at a time, so that they need not fit into memory.

What cannot be read so (a JPEG, say, or an interlaced PNG) or written has no source or no sink: it is for `read` and
`write`, which take whole pictures. What a source gives and a sink writes is what those would, to the byte of a pixel.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imgconv.arrayfile import npy_header, npy_start
from imgconv.errors import PictureError, WriteError, reason
from imgconv.formats.picture import Picture
from imgconv.formats.png.chunks import told
from imgconv.formats.png.codec import Encoder, decoder_of
from imgconv.formats.read import parse, tiff_metadata
from imgconv.formats.table import name_for
from imgconv.formats.write import jpeg_encoder, mode_in, png_settings, put, tiff_without_pixels, tiff_without_words

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.formats import jpeg

    Array = npt.NDArray[Any]

SINKS = ("PNG", "JPEG", "PPM", "TIFF", "NPY")
HELD_BYTES = 2**27  # larger pictures are read twice where alpha must be looked at before the rest
LOOK_BYTES = 2**20  # looked at in one go
TIFF_BYTES = 2**20  # of samples that Pillow decodes or encodes in one go
TIFF_LARGEST = 2**32 - 1  # bytes in a file whose offsets have 32 bits


class RowSource:
    """A picture in a file, to be read from the top down.

    `about` is the picture without its pixels: its array has the shape and the type of them, and no memory.
    `read` fills an array of shape (some, columns, channels), C-contiguous, with the next rows.
    """

    def __init__(
        self, about: Picture, read: Callable[[Array], None], again: Callable[[], RowSource | None] | None = None
    ) -> None:
        self.about = about
        self.read = read
        self.again = again

    def is_opaque(self) -> bool:
        """Whether alpha, the last channel, is full everywhere. `read` begins with the first row after that."""
        array = self.about.array
        if array.nbytes <= HELD_BYTES or self.again is None:
            whole = np.empty(array.shape, array.dtype)
            self.read(whole)
            self.read = _reader_of(whole)
            return _is_opaque(whole)
        part = np.empty((max(1, LOOK_BYTES // array[0].nbytes), *array.shape[1:]), array.dtype)
        left, found = len(array), True
        while found and left:
            part = part[:left]
            self.read(part)
            found, left = _is_opaque(part), left - len(part)
        source = self.again()
        assert source is not None
        self.read = source.read
        return found


def _is_opaque(array: Array) -> bool:
    top = np.iinfo(array.dtype).max if array.dtype.kind in "iu" else 1
    return bool((array[:, :, -1] == top).all())


def _reader_of(array: Array) -> Callable[[Array], None]:
    """What reads an array of three dimensions from the top down."""
    done = 0

    def read(target: Array) -> None:
        nonlocal done
        target[...] = array[done : done + len(target)]
        done += len(target)

    return read


def unread(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array of a shape and type that takes no memory; all its samples are one 0."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def source_of(
    file: BinaryIO, size: int, path: Path, *, auto_orient: bool = False, threads: int | None = None
) -> RowSource | None:
    """The picture or array in a file of `size` bytes without a buffer, or None where it can only be read as a whole.

    PNG is read by two threads, unless `threads` is 1.

    Raises
    ------
    PictureError
        When it is broken, as far as can be seen without reading its pixels. `read` of the source raises it, too.
    """
    if size == 0:
        return None
    try:
        file.seek(0)
        start = file.read(16)
        file.seek(0)
        if (kind := name_for(path.suffix)) == "NPY" or (kind is None and start.startswith(b"\x93NUMPY")):
            found = _npy(file, size)
        elif kind in ("TEXT", "CSV"):
            return None
        elif start.startswith(b"\x89PNG"):
            found = _png(file, size, threads)
        elif start[:2] in (b"P5", b"P6"):
            found = _ppm(file, size)
        elif start[:4] in (b"II*\0", b"MM\0*"):
            found = _tiff(file, size, str(path))
        else:
            return None
    except (ValueError, PictureError, OSError) as problem:
        raise _named(problem, path) from None
    if found is None or (auto_orient and "exif" in found.about.info):
        return None
    about, fill = found.about, found.read

    def read(target: Array) -> None:
        try:
            fill(target)
        except (PictureError, OSError) as problem:
            raise _named(problem, path) from None

    return RowSource(about, read, lambda: source_of(file, size, path, threads=threads))


def _named(problem: Exception, path: Path) -> PictureError:
    text = reason(problem) if isinstance(problem, OSError) else str(problem)
    return PictureError(text if text.startswith(str(path)) else f"{path}: {text}")


def _npy(file: BinaryIO, size: int) -> RowSource | None:
    shape, by_column, dtype = npy_header(file, size)
    if by_column or len(shape) not in (2, 3) or 0 in shape:
        return None
    native = dtype.newbyteorder("=")
    return RowSource(Picture(unread(shape, native), "", "NPY"), lambda target: _take(file, target, dtype))


def _take(file: BinaryIO, target: Array, dtype: np.dtype[Any]) -> None:
    """Fills `target` with the samples that come next, which are of type `dtype` in the file."""
    own = target if dtype == target.dtype else np.empty(target.shape, dtype)
    view = own.reshape(-1).view(np.uint8).data
    while view:
        count = file.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise PictureError("is cut short")
        view = view[count:]
    if own is not target:
        target[...] = own


def _png(file: BinaryIO, size: int, threads: int | None) -> RowSource | None:
    decoder = decoder_of(file, size)
    if decoder is None:
        return None
    shape = (decoder.rows, decoder.columns, decoder.channels)
    about = unread(shape if decoder.channels > 1 else shape[:2], decoder.dtype)
    info, notes = told(decoder.chunks)
    picture = Picture(about, decoder.mode, "PNG", info, notes=notes)
    return RowSource(picture, lambda target: decoder.read(target, threads))


def _ppm(file: BinaryIO, size: int) -> RowSource | None:
    """Grey and RGB of 8 or 16 bits; where the range is another, it must be stretched."""
    from imgconv.formats.ppm import LONGEST_HEADER, header_of

    header = header_of(file.read(LONGEST_HEADER))
    if header is None or header.maximum not in (255, 65535):
        return None
    about = unread(header.shape, header.dtype.newbyteorder("="))
    if header.bytes + about.size * about.itemsize > size:
        raise PictureError("is broken: it is cut short")
    file.seek(header.bytes)
    return RowSource(Picture(about, header.mode, "PPM"), lambda target: _take(file, target, header.dtype))


def _tiff(file: BinaryIO, size: int, name: str) -> RowSource | None:
    """Strips by Pillow, as many at a time as make `TIFF_BYTES`, in small files that have the tags of this one."""
    from imgconv.formats.tiff import Directory, Strips

    try:
        strips = Strips(file, Directory(file, size))
    except ValueError:
        return None
    if strips.directory.deep or not strips.usual:
        return None
    known = tiff_metadata(file, name)
    first = parse(strips.excerpt(0, 1), name)
    shape = (strips.rows, *first.array.shape[1:])
    about = replace(known, array=unread(shape, first.array.dtype), mode=first.mode)
    at_once = max(1, TIFF_BYTES // (strips.strip_rows * first.array[0].nbytes))
    waiting, number = first.array[:0], 0

    def read(target: Array) -> None:
        nonlocal waiting, number
        done = 0
        while done < len(target):
            if not len(waiting):
                waiting = parse(strips.excerpt(number, number + at_once), name).array
                number += at_once
            part = waiting[: len(target) - done]
            target[done : done + len(part)] = part.reshape(len(part), *target.shape[1:])
            waiting = waiting[len(part) :]
            done += len(part)

    return RowSource(about, read)


def has_sink(form: str, shape: tuple[int, ...], options: Mapping[str, Any]) -> bool:
    """Whether a picture of a shape, not from a JPEG, can be written by a sink, and gets the bytes of `write.encode`."""
    if form != "JPEG":
        return form in SINKS
    from imgconv.formats import jpeg  # what one format needs is imported for its files

    return jpeg.in_strips(shape, options)


def sink_of(
    file: BinaryIO, about: Picture, form: str, options: Mapping[str, Any], threads: int | None = None
) -> RowSink:
    """What writes a picture of the shape and type of `about.array` to a file.

    Parameters
    ----------
    file : binary file without a buffer
        For TIFF one with random access.
    about, options, threads
        As `write.encode` takes them; the samples of the array are not looked at.
    form : str
        One that `has_sink`.

    Raises
    ------
    WriteError
        When the format cannot hold the picture as it is.
    """
    if form == "NPY":
        return _Plain(file, npy_start(about.array), about.array.dtype)
    if form == "PPM":
        from imgconv.formats.ppm import start_of

        mode_in(form, about)
        return _Plain(file, start_of(about.array.shape, about.array.dtype), about.array.dtype.newbyteorder(">"))
    if form == "PNG":
        mode_in(form, about)
        settings = png_settings(about, options)
        return _Png(file, Encoder(about.array.shape, about.array.dtype, **settings, threads=threads))
    if form == "JPEG":
        return _Jpeg(file, *jpeg_encoder(about, options, threads))
    mode_in(form, about)
    return _Tiff(file, about, options)


class RowSink:
    """A file that takes the rows of a picture from the top down.

    Attributes
    ----------
    step : int
        Every strip but the last has a multiple of so many rows.
    notes : tuple of str
        What the user should know about it.
    """

    step = 1
    notes: tuple[str, ...] = ()

    def __init__(self, file: BinaryIO, start: bytes) -> None:
        self.file = file
        put(file, start)

    def write(self, rows: Array) -> None:
        """Writes the next rows, shape (some, columns) or (some, columns, channels)."""
        raise NotImplementedError

    def end(self) -> None:
        """Writes what comes behind the last row."""


class _Plain(RowSink):
    """A few bytes, then samples row by row."""

    def __init__(self, file: BinaryIO, start: bytes, dtype: np.dtype[Any]) -> None:
        super().__init__(file, start)
        self.dtype = dtype

    def write(self, rows: Array) -> None:
        put(self.file, np.ascontiguousarray(rows, self.dtype).reshape(-1).view(np.uint8).data)


class _Png(RowSink):
    """Bands of rows, each deflated on its own."""

    def __init__(self, file: BinaryIO, encoder: Encoder) -> None:
        super().__init__(file, encoder.start)
        self.encoder = encoder
        self.step = encoder.band_rows

    def write(self, rows: Array) -> None:
        put(self.file, b"".join(self.encoder.strip(rows)))

    def end(self) -> None:
        put(self.file, self.encoder.end)


class _Jpeg(RowSink):
    """Strips from small files by Pillow, with restart markers between them."""

    def __init__(self, file: BinaryIO, encoder: jpeg.Encoder, notes: tuple[str, ...]) -> None:
        super().__init__(file, encoder.start)
        self.encoder = encoder
        self.step = encoder.step
        self.notes = notes

    def write(self, rows: Array) -> None:
        for part in self.encoder.strip(rows):
            put(self.file, part)

    def end(self) -> None:
        put(self.file, self.encoder.end)


class _Tiff(RowSink):
    """Strips from small files by Pillow, which has compressed them."""

    def __init__(self, file: BinaryIO, about: Picture, options: Mapping[str, Any]) -> None:
        from imgconv.formats.tiff import STRIP_ROWS, Joined, directory_of

        self.joined = Joined(tiff_without_pixels(about))
        super().__init__(file, self.joined.start)
        self.piece = tiff_without_words(about, options)
        # Pillow makes strips of 64 KB where it compresses, else one of all rows
        row_bytes = about.array[0].nbytes
        rows = directory_of(self.piece(about.array[: 2**17 // row_bytes + 1])).number(STRIP_ROWS)
        self.step = max(rows, TIFF_BYTES // row_bytes // rows * rows)

    def write(self, rows: Array) -> None:
        for start in range(0, len(rows), self.step):
            bodies = self.joined.add(self.piece(rows[start : start + self.step]))
            if self.joined.size + 12 * len(self.joined.strips) > TIFF_LARGEST:
                raise WriteError("TIFF cannot hold more than 4 GB; write .png or .npy")
            put(self.file, b"".join(bodies))

    def end(self) -> None:
        last, place, pointer = self.joined.end()
        put(self.file, last)
        self.file.seek(place)
        put(self.file, pointer)
        self.file.seek(0, io.SEEK_END)
