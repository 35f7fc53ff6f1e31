"""PNG, written and read by compiled loops in bands of rows, in threads; 16 bits per channel are kept.

Writing a 12-megapixel photograph by Pillow took three quarters of a whole command. Here each band of rows is filtered
by the loops in `rows_loop`, and deflated on its own; the bytes do not depend on the threads.
Left to Pillow are palettes, fewer than 8 bits, and what is interlaced, animated or has a transparent colour, but not
with 16 bits, which Pillow would cut to 8.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from imgconv.arrayfile import Array, name_of
from imgconv.errors import PictureError
from imgconv.formats.limits import DEFLATE, Limits, check_whole, refuse_ratio
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.place import put
from imgconv.formats.png.chunks import SIGNATURE, UNDERSTOOD, Chunk, chunks_for, inflater, metadata_of, split
from imgconv.formats.png.deflate import adler_of_both, deflated
from imgconv.formats.png.inflate import inflated
from imgconv.formats.sink import Sink
from imgconv.formats.table import MODES
from imgconv.memory import SampleType, address_of, fresh
from imgconv.native import kept
from imgconv.threads import ahead, available_cores, in_threads

CHANNELS = {0: 1, 4: 2, 2: 3, 6: 4}  # by colour type: grey, with alpha, RGB, with alpha
COLOUR_TYPES = {channels: colour for colour, channels in CHANNELS.items()}
FILTER = kept.Function("imgconv.formats.png.rows_loop", "filter_rows", (), "pppiii")
UNFILTER = kept.Function("imgconv.formats.png.rows_loop", "unfilter_rows", (), "pppiii")
UNUSUAL = (b"tRNS", b"acTL", b"fcTL")
# Adam7: first row and column of each pass, and the steps from one to the next
PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
BAND_BYTES = 2**17  # of filtered rows: in the second-level cache, and enough bands for two cores in 512×512 RGB
BANDS = 8  # in a picture whose bands are up to four times as large: graphics are up to 10 % smaller so
READ_AHEAD = 6  # bands that are there at once, inflated by one thread and unfiltered by the other
THREAD_BYTES = 2**18  # smaller pictures are written faster in one thread
RELAY_BYTES = 2**21  # so many are read faster in two threads; less, such as 512×512 RGB, in one: 3.5 ms instead of 4.5
SLACK = 8  # bytes that the unfiltering loop may read or write behind the last row
HEADER, FINISH = b"\x78\x5e", b"\x03\x00"  # of a zlib stream: the latter is an empty last block


class PngSink(Sink):
    """Writes a PNG in bands of rows, each deflated on its own.

    `shape` is (rows, columns) or (rows, columns, 1 to 4), of uint8 or uint16: grey, grey and alpha, RGB or RGBA. `info`
    is that of a Picture, `level` as `deflate.deflated` takes it. Where `bilevel`, grey of 0 and 255 becomes bits; where
    there is a `palette` (colours, and the alphas of its first ones), samples are its indices. Raises ValueError when
    PNG cannot hold such an array.
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
        bilevel: bool = False,
        palette: tuple[bytes, bytes] | None = None,
    ) -> None:
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or (name_of(dtype), channels) not in MODES or 0 in shape:
            raise ValueError(f"PNG cannot hold an array of {dtype} of shape {shape}")
        rows, columns = shape[:2]
        bits, colour = 1 if bilevel else 8 * dtype.itemsize, 3 if palette else COLOUR_TYPES[channels]
        header = struct.pack(">IIBBBBB", columns, rows, bits, colour, 0, 0, 0)
        chunks = chunks_for(info or {}, channels, bits)
        before = [Chunk(b"IHDR", header), *(chunk for chunk in chunks if not chunk.behind)]
        if palette:
            before = [chunk for chunk in before if chunk.name != b"bKGD"] + [Chunk(b"PLTE", palette[0])]
            before += [Chunk(b"tRNS", palette[1])] if palette[1] else []
        self.bilevel = bilevel
        columns = -(-columns // 8) if bilevel else columns
        behind = [*(chunk for chunk in chunks if chunk.behind), Chunk(b"IEND", b"")]
        self.start = SIGNATURE + b"".join(map(bytes, before))
        self.ending = b"".join(map(bytes, behind))
        self.line = columns * channels * dtype.itemsize + 1  # bytes of a filtered row
        self.step = max(1, max(BAND_BYTES, min(4 * BAND_BYTES, rows * self.line // BANDS)) // self.line)
        self.pixel, self.wide = channels * dtype.itemsize, bits == 16
        self.threads = threads
        self.left = rows
        self.above = bytes(self.line - 1)
        self.adler = 1
        self.begun = False
        self.loop = kept.loop(FILTER)
        self.level = level

    def write(self, rows: Array) -> None:
        put(self.file, b"".join(self._chunks(rows)))

    def _samples(self, rows: Array) -> memoryview:
        """The bytes of the samples, without gaps."""
        if self.bilevel:
            rows = np.packbits(rows > 127, axis=1)
        if not rows.data.c_contiguous or rows.data.format not in ("B", "H"):  # or not in this machine's order
            rows = np.ascontiguousarray(rows, rows.dtype.newbyteorder("="))
        return rows.data.cast("B")

    def _chunks(self, array: Array) -> list[bytes]:
        rows, row_bytes, source = len(array), self.line - 1, self._samples(array)
        starts = range(0, rows, self.step)
        done: list[tuple[bytes, int, int]] = [(b"", 0, 0)] * len(starts)

        def prepare_worker() -> Callable[[int], int]:
            filtered = fresh(min(self.step, rows) * self.line)

            def work(number: int) -> int:
                start = starts[number]
                count = min(self.step, rows - start)
                lines: Any = source[start * row_bytes : (start + count) * row_bytes]
                above: Any = source[(start - 1) * row_bytes : start * row_bytes] if start else self.above
                if self.wide:
                    lines, above = (np.frombuffer(samples, np.uint16).astype(">u2") for samples in (lines, above))
                given = address_of(filtered), address_of(lines), address_of(above)
                self.loop.call(*given, count, row_bytes, self.pixel)
                band = filtered[: count * self.line]
                data = deflated(band, self.level)
                if not number and not self.begun:
                    data = HEADER + data
                done[number] = data, inflater.adler32(band), inflater.crc32(data, inflater.crc32(b"IDAT"))
                return 0

            return work

        workers = min(self.threads or available_cores(), len(starts)) if len(source) > THREAD_BYTES else 1
        in_threads(prepare_worker, range(len(starts)), workers)
        self.begun = True
        self.left -= rows
        self.above = source[-row_bytes:].tobytes()
        parts = []
        for number, (data, adler, checksum) in enumerate(done):
            self.adler = adler_of_both(self.adler, adler, min(self.step, rows - starts[number]) * self.line)
            last = self.left == 0 and number + 1 == len(done)
            tail = FINISH + struct.pack(">I", self.adler) if last else b""
            size = struct.pack(">I", len(data) + len(tail))
            parts += [size, b"IDAT", data, tail, struct.pack(">I", inflater.crc32(tail, checksum))]
        return parts


def frame_of(file: BinaryIO, size: int, limits: Limits, threads: int | None = None) -> Frame | None:
    """The picture in a file of `size` bytes, or None where Pillow should read it.

    Two threads read it, unless `threads` is 1. Samples of 16 bits come as uint16 in the order of this machine. Raises
    PictureError when the file is cut short or damaged, where Pillow finds that, too.
    """
    decoder = decoder_of(file, size, threads)
    if decoder is None:
        return None
    info, notes = metadata_of(decoder.chunks)
    rows, columns, channels = decoder.shape
    others = 0
    if decoder.unusual:
        pixel = decoder.pixel
        check_whole(size, columns, rows, pixel + 2, 3 * pixel, limits)
        array = decoder.read_passes()
        bodies = {name: body for name, body, _ in reversed(decoder.chunks)}  # the first of several counts
        if b"tRNS" in bodies and channels in (1, 3):
            array = _with_alpha(array, bodies[b"tRNS"])
            channels += 1
        if b"acTL" in bodies:
            others = max(1, int.from_bytes(bodies[b"acTL"][:4], "big")) - 1
        array = array if channels > 1 else array[:, :, 0]
    else:
        array = unread(decoder.shape[: 2 + (channels > 1)], SampleType(decoder.dtype))
    about = Picture(array, MODES[decoder.dtype, channels], "PNG", info, others=others, notes=notes)
    return Frame(about, size, None if decoder.unusual else lambda target: decoder.read(target, threads))


def decoder_of(file: BinaryIO, size: int, threads: int | None = 1) -> Decoder | None:
    """What decodes the PNG in a file of `size` bytes, or None where Pillow should read it.

    Raises PictureError when the file is cut short or too small for its picture.
    """
    data = file.read(33)
    if not data.startswith(SIGNATURE):
        return None
    if data[8:16] != b"\0\0\0\x0dIHDR" or len(data) < 33:
        raise PictureError("is broken: it does not begin with its header")
    columns, rows, depth, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
    if depth not in (8, 16) or colour not in CHANNELS or rest not in ([0, 0, 0], [0, 0, 1]) or not columns * rows:
        return None
    interlaced = bool(rest[2])
    if interlaced and depth == 8:
        return None
    chunks, pixels = split(file, size)
    names = {chunk.name for chunk in chunks}
    unusual = interlaced or not names.isdisjoint(UNUSUAL)
    if (unusual and depth == 8) or any(name[:1].isupper() and name not in UNDERSTOOD for name in names):
        return None
    shape = (rows, columns, CHANNELS[colour])
    decoder = Decoder(file, chunks, pixels, shape, depth, interlaced, threads)
    if decoder.left > DEFLATE * min(size, sum(length for _, length in pixels)):
        refuse_ratio(size, columns, rows)
    decoder.unusual = unusual
    return decoder


def _with_alpha(array: Array, key: bytes) -> Array:
    """Samples of 16 bits with alpha that is 0 where they are the colour `key`."""
    if len(key) != 2 * array.shape[2]:
        raise PictureError("is broken: its tRNS has a wrong length")
    opaque = (array != np.frombuffer(key, ">u2")).any(axis=2)
    return np.concatenate([array, np.where(opaque, np.uint16(65535), np.uint16(0))[:, :, None]], axis=2)


class Decoder:
    """Reads the pixels of a PNG file from the top down; `chunks` are all but those of the pixels."""

    def __init__(
        self,
        file: BinaryIO,
        chunks: list[Chunk],
        pixels: list[tuple[int, int]],
        shape: tuple[int, int, int],
        depth: int,
        interlaced: bool,
        threads: int | None,
    ) -> None:
        self.shape, self.dtype = shape, f"uint{depth}"  # by its name
        self.chunks = chunks
        self.unusual = interlaced  # or, as `decoder_of` finds, animated, or with a transparent colour
        rows, columns, channels = shape
        self.pixel, self.wide = channels * depth // 8, depth == 16
        self.passes = [
            each for each in (PASSES if interlaced else ((0, 0, 1, 1),)) if each[0] < rows and each[1] < columns
        ]
        self.left = sum(  # bytes still to be inflated
            len(range(row, rows, down)) * (len(range(column, columns, across)) * self.pixel + 1)
            for row, column, down, across in self.passes
        )
        self.parts = inflated(file, pixels, self.left, threads or available_cores())
        self.waiting = memoryview(bytearray(SLACK))  # filtered rows, and room behind them
        self.loop = kept.loop(UNFILTER)
        self.begin(columns)

    def begin(self, columns: int) -> None:
        """Begins with rows of so many columns, above the first of which there is nothing."""
        self.row_bytes = columns * self.pixel
        self.above = memoryview(bytearray(self.row_bytes + SLACK))

    def read_passes(self) -> Array:
        """The whole picture."""
        array = np.empty(self.shape, self.dtype)
        for row, column, down, across in self.passes:
            target = array[row::down, column::across]
            part: Array = np.empty(target.shape, self.dtype)
            self.begin(part.shape[1])
            self.read(part, 1)
            target[...] = part
        return array

    def read(self, target: Array, threads: int | None = None) -> None:
        """Fills `target`, C-contiguous, of shape (some, columns, channels), with the next rows.

        Two threads work on many, one on what the other has inflated, unless `threads` is 1. Raises PictureError when
        the file is damaged.
        """
        flat = target.data.cast("B")
        done = 0  # bytes
        filtered = self._filtered(len(target))
        if target.nbytes >= RELAY_BYTES and (threads or available_cores()) > 1:
            filtered = ahead(filtered, READ_AHEAD)
        for lines, count in filtered:
            size = count * self.row_bytes
            # 16-bit samples are turned around on their way from the cache to the picture
            direct = not self.wide and done + size + SLACK <= len(flat)
            band = flat[done:] if direct else fresh(size + SLACK)
            given = address_of(band), address_of(lines), address_of(self.above)
            if self.loop.call(*given, count, self.row_bytes, self.pixel) != count:
                raise PictureError("is broken: a row has a filter that PNG does not know")
            if self.wide:
                np.frombuffer(flat[done : done + size], np.uint16)[:] = np.frombuffer(band[:size], ">u2")
            elif not direct:
                flat[done : done + size] = band[:size]
            self.above = band[size - self.row_bytes :]
            done += size

    def _filtered(self, rows: int) -> Iterator[tuple[memoryview, int]]:
        """The next filtered rows, many at a time, and how many."""
        line = self.row_bytes + 1
        while rows:
            have = len(self.waiting) - SLACK
            if have < line:
                parts: list[bytes | memoryview] = [self.waiting[:have]]
                for part in self.parts:
                    parts.append(part)
                    have += len(part)
                    self.left -= len(part)
                    if self.left and have >= max(line, BAND_BYTES):
                        break
                self.waiting = memoryview(bytearray().join([*parts, bytes(SLACK)]))
            count = min(have // line, rows)
            yield self.waiting, count
            self.waiting = self.waiting[count * line :]
            rows -= count
