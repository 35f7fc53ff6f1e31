"""PNG, written and read by compiled loops in bands of rows, in threads; 16 bits per channel are kept.

Writing a 12-megapixel photograph by Pillow took three quarters of a whole command. Here each band of rows is filtered
by the loops in `rows_loop`, and deflated on its own; the bytes do not depend on the threads.
Reading is for the plain files that most are; whatever is unusual is left to Pillow.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFLATE, refuse_ratio
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.place import put
from imgconv.formats.png.chunks import (
    DAMAGED,
    SIGNATURE,
    UNDERSTOOD,
    Chunk,
    inflater,
    laid_out,
    packed,
    split,
    told,
)
from imgconv.formats.png.deflate import adler_of_both, deflated
from imgconv.formats.sink import Sink
from imgconv.formats.table import MODES
from imgconv.native import kept
from imgconv.threads import ahead, available_cores, in_threads

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

CHANNELS = {0: 1, 4: 2, 2: 3, 6: 4}  # by colour type: grey, with alpha, RGB, with alpha
COLOUR_TYPES = {channels: colour for colour, channels in CHANNELS.items()}
FILTER = kept.Function("imgconv.formats.png.rows_loop", "filter_rows", (), "pppiii")
UNFILTER = kept.Function("imgconv.formats.png.rows_loop", "unfilter_rows", (), "pppiii")
UNUSUAL = (b"tRNS", b"acTL", b"fcTL")
BAND_BYTES = 2**17  # of filtered rows: in the second-level cache, and enough bands for two cores in 512×512 RGB
BANDS = 8  # in a picture whose bands are up to four times as large: graphics are up to 10 % smaller so
READ_BYTES = 2**16  # of a file inflated at once
READ_AHEAD = 6  # bands that are there at once, inflated by one thread and unfiltered by the other
THREAD_BYTES = 2**18  # smaller pictures are written faster in one thread
RELAY_BYTES = 2**21  # so many are read faster in two threads; less, such as 512×512 RGB, in one: 3.5 ms instead of 4.5
SLACK = 8  # bytes that the unfiltering loop may read or write behind the last row
HEADER, FINISH = b"\x78\x5e", b"\x03\x00"  # of a zlib stream: the latter is an empty last block


class PngSink(Sink):
    """Writes a PNG in bands of rows, each deflated on its own.

    Parameters
    ----------
    shape : (rows, columns) or (rows, columns, 1 to 4)
        Grey, grey and alpha, RGB or RGBA.
    dtype : dtype
        uint8 or uint16.
    info : mapping, optional
        What the file says about its picture: exif, icc_profile, xmp (bytes), dpi (across, down), chunks (of another
        PNG file).
    level : int, optional
        As `deflate.deflated` takes it.
    threads : int, optional
        How many to use; as many as there are cores when not given.

    Raises
    ------
    ValueError
        When PNG cannot hold such an array.
    """

    step: int

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        info: Mapping[str, Any] | None = None,
        *,
        level: int | None = None,
        threads: int | None = None,
    ) -> None:
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or (dtype.name, channels) not in MODES or 0 in shape:
            raise ValueError(f"PNG cannot hold an array of {dtype} of shape {shape}")
        rows, columns = shape[:2]
        header = struct.pack(">IIBBBBB", columns, rows, 8 * dtype.itemsize, COLOUR_TYPES[channels], 0, 0, 0)
        before, behind = laid_out(info or {}, channels, 8 * dtype.itemsize)
        self.start = b"".join([SIGNATURE, packed(b"IHDR", header), *before])
        self.behind = b"".join([*behind, packed(b"IEND", b"")])
        self.line = columns * channels * dtype.itemsize + 1  # bytes of a filtered row
        self.step = max(1, max(BAND_BYTES, min(4 * BAND_BYTES, rows * self.line // BANDS)) // self.line)
        self.pixel = channels * dtype.itemsize
        self.threads = threads
        self.left = rows
        self.above: Array = np.zeros((1, columns * channels), dtype)
        self.adler = 1
        self.begun = False
        self.loop = kept.loop(FILTER)
        self.level = level

    def begin(self, file: BinaryIO) -> None:
        super().begin(file)
        put(file, self.start)

    def end(self) -> None:
        put(self.file, self.behind)

    def write(self, rows: Array) -> None:
        put(self.file, b"".join(self._chunks(rows)))

    def _chunks(self, array: Array) -> list[bytes]:
        rows = len(array)
        source = np.ascontiguousarray(array).reshape(rows, -1)
        row_bytes = self.line - 1
        starts = range(0, rows, self.step)
        done: list[tuple[bytes, int, int]] = [(b"", 0, 0)] * len(starts)

        def prepare_worker() -> Callable[[int], int]:
            filtered = np.empty((min(self.step, rows), self.line), np.uint8)

            def work(number: int) -> int:
                start = starts[number]
                count = min(self.step, rows - start)
                # with the row above
                lines = source[start - 1 : start + count] if start else np.concatenate([self.above, source[:count]])
                if lines.itemsize == 2:
                    lines = lines.astype(">u2")
                at = lines.ctypes.data
                self.loop.call(filtered.ctypes.data, at + row_bytes, at, count, row_bytes, self.pixel)
                plain = filtered[:count].reshape(-1)
                data = deflated(plain, self.level)
                if not number and not self.begun:
                    data = HEADER + data
                done[number] = data, inflater.adler32(plain), inflater.crc32(data, inflater.crc32(b"IDAT"))
                return 0

            return work

        workers = min(self.threads or available_cores(), len(starts)) if source.nbytes > THREAD_BYTES else 1
        in_threads(prepare_worker, range(len(starts)), workers)
        for number, (_, part, _) in enumerate(done):
            self.adler = adler_of_both(self.adler, part, min(self.step, rows - starts[number]) * self.line)
        self.begun = True
        self.left -= rows
        self.above = source[-1:].copy()
        parts = []
        for number, (data, _, checksum) in enumerate(done):
            last = self.left == 0 and number + 1 == len(done)
            tail = FINISH + struct.pack(">I", self.adler) if last else b""
            size = struct.pack(">I", len(data) + len(tail))
            parts += [size, b"IDAT", data, tail, struct.pack(">I", inflater.crc32(tail, checksum))]
        return parts


def frame_of(file: BinaryIO, size: int, threads: int | None = None) -> Frame | None:
    """The picture in a file of `size` bytes, or None where others should read it: as `decoder_of`.

    Two threads read it, unless `threads` is 1. Samples of 16 bits come as uint16 in the order of this machine.

    Raises
    ------
    PictureError
        When the file is cut short or damaged, where Pillow finds that, too.
    """
    decoder = decoder_of(file, size)
    if decoder is None:
        return None
    shape = (decoder.rows, decoder.columns, decoder.channels)
    info, notes = told(decoder.chunks)
    blank = unread(shape if decoder.channels > 1 else shape[:2], decoder.dtype)
    return Frame(
        Picture(blank, decoder.mode, "PNG", info, notes=notes), size, lambda target: decoder.read(target, threads)
    )


def decoder_of(file: BinaryIO, size: int) -> Decoder | None:
    """What decodes the PNG in a file of `size` bytes, or None where Pillow should read it.

    Raises
    ------
    PictureError
        When the file is cut short or too small for its picture.
    """
    data = file.read(33)
    if not data.startswith(SIGNATURE + b"\0\0\0\x0dIHDR") or len(data) < 33:
        return None
    columns, rows, depth, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
    usual = depth in (8, 16) and colour in CHANNELS and rest == [0, 0, 0]
    if not usual or not columns * rows:
        return None
    chunks, pixels = split(file, size)
    if any(name in UNUSUAL or (name[:1].isupper() and name not in UNDERSTOOD) for name, _, _ in chunks):
        return None
    if rows * (columns * CHANNELS[colour] * depth // 8 + 1) > DEFLATE * min(size, sum(length for _, length in pixels)):
        refuse_ratio(size, columns, rows)
    return Decoder(file, chunks, pixels, (rows, columns, CHANNELS[colour]), np.dtype(f"uint{depth}"))


class Decoder:
    """Reads the pixels of a PNG file from the top down.

    Attributes
    ----------
    rows, columns, channels : int
    dtype : dtype
        uint8 or uint16.
    mode : str
    chunks : list of Chunk
        All but those of the pixels.
    """

    def __init__(
        self,
        file: BinaryIO,
        chunks: list[Chunk],
        pixels: list[tuple[int, int]],
        shape: tuple[int, int, int],
        dtype: np.dtype[Any],
    ) -> None:
        self.rows, self.columns, self.channels = shape
        self.dtype = dtype
        self.mode = MODES[dtype.name, self.channels]
        self.chunks = chunks
        self.pixel = self.channels * dtype.itemsize
        self.row_bytes = self.columns * self.pixel
        size = self.rows * (self.row_bytes + 1)
        self.lines = _lines(inflated(file, pixels, size), size, self.row_bytes + 1)
        self.waiting: tuple[Array, int] = np.empty(0, np.uint8), 0  # filtered rows, and how many
        self.above: Array = np.zeros(self.row_bytes + SLACK, np.uint8)
        self.loop = kept.loop(UNFILTER)

    def read(self, target: Array, threads: int | None = None) -> None:
        """Fills `target`, C-contiguous, of shape (some, columns, channels), with the next rows.

        Two threads work on many, one on what the other has inflated, unless `threads` is 1.

        Raises
        ------
        PictureError
            When the file is damaged.
        """
        flat = target.reshape(-1).view(np.uint8)
        done = 0  # bytes

        filtered = self._filtered(len(target))
        if target.nbytes >= RELAY_BYTES and (threads or available_cores()) > 1:
            filtered = ahead(filtered, READ_AHEAD)
        for lines, count in filtered:
            size = count * self.row_bytes
            # 16-bit samples are turned around on their way from the cache to the picture
            direct = self.dtype == np.uint8 and done + size + SLACK <= len(flat)
            band = flat[done:] if direct else np.empty(size + SLACK, np.uint8)
            given = band.ctypes.data, lines.ctypes.data, self.above.ctypes.data
            if self.loop.call(*given, count, self.row_bytes, self.pixel) != count:
                raise PictureError("is broken: a row has a filter that PNG does not know")
            if self.dtype == np.uint16:
                flat[done : done + size].view(np.uint16)[:] = band[:size].view(">u2")
            elif not direct:
                flat[done : done + size] = band[:size]
            self.above = band[size - self.row_bytes :]
            done += size

    def _filtered(self, rows: int) -> Iterator[tuple[Array, int]]:
        """The next filtered rows, some at a time, and how many."""
        while rows:
            packed, have = self.waiting if self.waiting[1] else next(self.lines)
            count = min(have, rows)
            yield packed, count
            self.waiting = packed[count * (self.row_bytes + 1) :], have - count
            rows -= count


def inflated(file: BinaryIO, pixels: list[tuple[int, int]], size: int) -> Iterator[bytes]:
    """The first `size` bytes of the filtered rows, some at a time; `pixels` are the places of the chunks.

    What is wrong behind them counts as far as it stands in one piece with the last of them: there Pillow sees it, too.
    Like Pillow it does without the checksums of chunks, but only where that of the whole stream is right.

    Raises
    ------
    PictureError
        When there are fewer, or they are damaged.
    """
    stream = inflater.decompressobj()
    end = file.seek(0, io.SEEK_END)
    for number, (start, length) in enumerate(pixels, 1):
        if not size and start + length > end:
            raise PictureError("is broken: it ends within b'IDAT'")
        file.seek(start)
        while length and size:
            piece = file.read(min(length, READ_BYTES))
            if not piece:
                raise PictureError("is broken: it ends within its pixels")
            length -= len(piece)
            try:
                part = stream.decompress(piece, size)
                if len(part) == size and not stream.eof:
                    stream.decompress(stream.unconsumed_tail, 1)
            except DAMAGED:
                raise PictureError("is broken: its compressed pixels are damaged") from None
            size -= len(part)
            if stream.eof and size:
                raise PictureError("is broken: it holds fewer pixels than it says")
            if not size and not stream.eof:
                _check(file, pixels[:number])
            yield part
    if size:
        raise PictureError("is broken: it holds fewer pixels than it says")


def _check(file: BinaryIO, pixels: list[tuple[int, int]]) -> None:
    """Raises PictureError where a chunk that is there to its end has a wrong checksum."""
    for start, length in pixels:
        file.seek(start - len(b"IDAT"))
        left, checksum = length + len(b"IDAT"), 0
        while piece := file.read(min(left, READ_BYTES)):
            left, checksum = left - len(piece), inflater.crc32(piece, checksum)
        told = file.read(4)
        if len(told) == 4 and checksum != int.from_bytes(told, "big"):
            raise PictureError("is broken: a wrong checksum of b'IDAT'")


def _lines(parts: Iterator[bytes], size: int, line: int) -> Iterator[tuple[Array, int]]:
    """The filtered rows, many at a time, and how many; each is `line` bytes, together they are `size`."""
    held: list[bytes] = []
    have = 0
    for part in parts:
        held.append(part)
        have += len(part)
        size -= len(part)
        if size == 0 or have >= max(line, BAND_BYTES):
            count = have // line
            together = b"".join([*held, b"\0" * SLACK])
            yield np.frombuffer(together, np.uint8), count
            held, have = [together[count * line : have]], have - count * line
