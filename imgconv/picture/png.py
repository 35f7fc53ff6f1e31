"""PNG, written and read by compiled loops in bands of rows, in threads; 16 bits per channel are kept.

Writing a 12-megapixel photograph by Pillow took three quarters of a whole command. Here each band of rows is filtered
and deflated on its own, by the loops in `imgconv.engine.rows`; the bytes do not depend on the number of threads.
Reading is for the plain files that most are; whatever is unusual is left to Pillow.
"""

from __future__ import annotations

import io
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgconv.engine import native
from imgconv.engine.run import available_cores
from imgconv.errors import PictureError
from imgconv.picture.image import BROKEN

try:  # inflates three times as fast as zlib, and makes CRCs eleven times as fast
    from isal import isal_zlib as inflater

    DAMAGED: Any = (inflater.error,)
except ImportError:
    import zlib as inflater  # type: ignore[no-redef]

    DAMAGED = (zlib.error,)

if TYPE_CHECKING:
    from PIL import Image

Array = npt.NDArray[Any]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 4: 2, 2: 3, 6: 4}  # by colour type: grey, with alpha, RGB, with alpha
COLOUR_TYPES = {channels: colour for colour, channels in CHANNELS.items()}
MODES = {
    ("uint8", 1): "L",
    ("uint8", 2): "LA",
    ("uint8", 3): "RGB",
    ("uint8", 4): "RGBA",
    ("uint16", 1): "I;16",
    ("uint16", 2): "LA;16",
    ("uint16", 3): "RGB;16",
    ("uint16", 4): "RGBA;16",
}
PASSED_OVER = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"bKGD", b"hIST", b"sPLT", b"sBIT")
DEFLATE_RATIO = 1032  # at most, by its format
LARGEST_PICTURE = 2**30  # pixels; beyond that it is a decompression bomb
BAND_BYTES = 2**17  # of filtered rows: in the second-level cache, and enough bands for two cores in 512×512 RGB
PIECE = 2**24  # bytes deflated in one call, which counts in 32 bits
READ_BYTES = 2**16  # of a file inflated at once
READ_AHEAD = 4  # bands that the inflating thread may be ahead of the unfiltering one
THREAD_BYTES = 2**18  # smaller pictures are written faster in one thread
RELAY_BYTES = 2**22  # smaller pictures are read faster in one thread: 512×512 RGB in 3.5 ms instead of 4.5
SLACK = 8  # bytes that the unfiltering loop may read or write behind the last row
MATCHING = range(2, 7)
HEADER, FINISH = b"\x78\x5e", b"\x03\x00"  # of a zlib stream: the latter is an empty last block


class Decoded(NamedTuple):
    """A picture, and a Pillow image of one pixel that holds all else that the file says about itself, if it does."""

    array: Array
    mode: str
    header: Image.Image | None


def encode_png(
    array: Array,
    info: Mapping[str, Any] | None = None,
    *,
    level: int | None = None,
    threads: int | None = None,
) -> bytes:
    """A picture as the bytes of a PNG file.

    Parameters
    ----------
    array : ndarray of uint8 or uint16, shape (rows, columns) or (rows, columns, 1 to 4)
        Grey, grey and alpha, RGB or RGBA.
    info : mapping, optional
        What the file says about itself: exif, icc_profile (bytes), dpi (across, down), gamma (as Pillow has it, such
        as 0.45455), chromaticity (8 numbers), srgb (rendering intent 0 to 3).
    level : int, optional
        0 stores; 1 looks for runs only; 2 to 6, and None, for repetitions too; 7 to 9 are zlib's, many times slower.
    threads : int, optional
        How many to use; as many as there are cores when not given.

    Raises
    ------
    ValueError
        When PNG cannot hold such an array.
    """
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.ndim not in (2, 3) or (array.dtype.name, channels) not in MODES or array.size == 0:
        raise ValueError(f"PNG cannot hold an array of {array.dtype} of shape {array.shape}")
    rows, columns = array.shape[:2]
    header = struct.pack(">IIBBBBB", columns, rows, 8 * array.itemsize, COLOUR_TYPES[channels], 0, 0, 0)
    parts = [SIGNATURE, _chunk(b"IHDR", header), *_metadata(info or {})]

    source = np.ascontiguousarray(array).reshape(rows, columns * channels)
    row_bytes = source.strides[0]
    band = max(1, BAND_BYTES // (row_bytes + 1))
    starts = range(0, rows, band)
    done: list[tuple[bytes, int, int]] = [(b"", 0, 0)] * len(starts)
    loop = native.loop(native.Variant("uint8", kind="png_filter"))
    deflate = _deflater(level)

    def work(take: Iterator[int]) -> None:
        filtered = np.empty((min(band, rows), row_bytes + 1), np.uint8)
        squeeze = deflate()
        for number in take:
            start = starts[number]
            count = min(band, rows - start)
            if start:
                lines = source[start - 1 : start + count]  # with the row above
            else:
                lines = np.concatenate([np.zeros_like(source[:1]), source[:count]])
            if lines.itemsize == 2:
                lines = lines.astype(">u2")
            at = lines.ctypes.data
            loop.call(filtered.ctypes.data, at + row_bytes, at, count, row_bytes, channels * array.itemsize)
            plain = filtered[:count].reshape(-1)
            packed = squeeze(plain) if number else HEADER + squeeze(plain)
            done[number] = packed, inflater.adler32(plain), inflater.crc32(packed, inflater.crc32(b"IDAT"))

    _share(work, len(starts), threads if source.nbytes > THREAD_BYTES else 1)
    adler = 1
    for number, (_, part, _) in enumerate(done):
        adler = _adler_of_both(adler, part, min(band, rows - starts[number]) * (row_bytes + 1))
    for number, (packed, _, checksum) in enumerate(done):
        tail = b"" if number + 1 < len(done) else FINISH + struct.pack(">I", adler)
        size = len(packed) + len(tail)
        parts += [struct.pack(">I", size), b"IDAT", packed, tail, struct.pack(">I", inflater.crc32(tail, checksum))]
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _metadata(info: Mapping[str, Any]) -> Iterator[bytes]:
    """The chunks before the pixels."""
    if chromaticity := info.get("chromaticity"):
        yield _chunk(b"cHRM", struct.pack(">8I", *(round(number * 100_000) for number in chromaticity)))
    if gamma := info.get("gamma"):
        yield _chunk(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    if info.get("icc_profile"):
        yield _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(info["icc_profile"]))
    elif info.get("srgb") is not None:
        yield _chunk(b"sRGB", bytes([info["srgb"]]))
    if dpi := info.get("dpi"):
        yield _chunk(b"pHYs", struct.pack(">IIB", *(int(number / 0.0254 + 0.5) for number in dpi), 1))
    if exif := info.get("exif"):
        yield _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))


def _deflater(level: int | None) -> Callable[[], Callable[[Array], bytes]]:
    """Makes, for each thread, a function from bytes to raw deflate blocks that end on a byte, none of them the last."""
    if level is not None and level not in (1, *MATCHING):

        def by_zlib(lines: Array) -> bytes:
            # on filtered pixels short matches cost more than they save: Z_FILTERED is 5 % smaller
            packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, zlib.Z_FILTERED)
            return packer.compress(lines.data) + packer.flush(zlib.Z_FULL_FLUSH)

        return lambda: by_zlib
    loop = native.loop(native.Variant("uint8", kind="png_deflate"))
    constants = _constants()
    matches = int(level != 1)

    def for_thread() -> Callable[[Array], bytes]:
        table = np.empty(2**13, np.int32)
        pieces = np.empty(3 * 2**15, np.int32)
        work = np.empty(2**12, np.int64)
        memory = [np.empty(0, np.uint8)]

        def by_loop(lines: Array) -> bytes:
            found = []
            for start in range(0, len(lines), PIECE):
                count = min(PIECE, len(lines) - start)
                if len(memory[0]) < count + count // 4096 + 64:
                    memory[0] = np.empty(count + count // 4096 + 64, np.uint8)
                size = loop.call(
                    memory[0].ctypes.data,
                    lines.ctypes.data + start,
                    table.ctypes.data,
                    pieces.ctypes.data,
                    work.ctypes.data,
                    constants.ctypes.data,
                    count,
                    matches,
                )
                found.append(memory[0][:size].tobytes())
            return found[0] if len(found) == 1 else b"".join(found)

        return by_loop

    return for_thread


@cache
def _constants() -> npt.NDArray[np.int64]:
    """Deflate's tables (RFC 1951, 3.2.5 and 3.2.7) as `rows.png_deflate` takes them."""
    extras = [0 if symbol < 4 else symbol // 4 - 1 for symbol in range(28)]
    bases = [3, *(3 + np.cumsum([1 << bits for bits in extras])).tolist()]
    symbols = np.searchsorted(bases, np.arange(259), side="right") + 256
    bases[28], symbols[258], symbols[:3] = 258, 285, 0

    def distance_symbol(less_one: int) -> int:
        bits = max(1, less_one.bit_length() - 1)
        return less_one if less_one < 4 else 2 * bits + (less_one >> bits - 1 & 1)

    near = [distance_symbol(distance) for distance in range(256)]
    far = [distance_symbol(distance << 7) for distance in range(256)]
    order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
    return np.array([*symbols, *bases, *extras, 0, *near, *far, *order], np.int64)


def _adler_of_both(first: int, second: int, length: int) -> int:
    """The Adler-32 of two strings put together, from theirs and the length of the second."""
    prime = 65521
    low, high = first & 0xFFFF, first >> 16
    total = (high + (second >> 16) + (low - 1) * length) % prime
    return total << 16 | (low + (second & 0xFFFF) - 1) % prime


def _share(work: Callable[[Iterator[int]], None], count: int, threads: int | None) -> None:
    """Runs `work` in threads, each of which takes of the numbers 0 to count - 1 the next that is free."""
    lock = threading.Lock()
    numbers = iter(range(count))
    problems: list[BaseException] = []

    def take() -> Iterator[int]:
        while not problems:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            yield number

    def run() -> None:
        try:
            work(take())
        except BaseException as problem:
            problems.append(problem)

    others = [threading.Thread(target=run) for _ in range(min(threads or available_cores(), count) - 1)]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    if problems:
        raise problems[0]


def decode_png(data: bytes, threads: int | None = None) -> Decoded | None:
    """The picture in a PNG file, or None where Pillow should read it: palettes, under 8 bits, interlaced, animated.

    Samples of 16 bits come as uint16 in the order of this machine.

    Raises
    ------
    PictureError
        When the file is cut short or damaged. Pillow passes over wrong checksums of pixels; here they count.
    """
    if not data.startswith(SIGNATURE + b"\0\0\0\x0dIHDR") or len(data) < 33:
        return None
    columns, rows, depth, colour, *rest = struct.unpack(">IIBBBBB", data[16:29])
    usual = depth in (8, 16) and colour in CHANNELS and rest == [0, 0, 0]
    if not usual or not 0 < columns * rows <= LARGEST_PICTURE:
        return None
    chunks = _chunks(data)
    if chunks is None:
        return None
    pixels = [body for name, body in chunks if name == b"IDAT"]
    pixel = CHANNELS[colour] * depth // 8
    size = rows * (columns * pixel + 1)
    if size > DEFLATE_RATIO * sum(map(len, pixels)):  # before memory is taken
        raise PictureError(f"is broken: {len(data):,} bytes cannot hold {columns}×{rows} pixels")
    samples = _unfilter(_inflate(pixels, size, columns * pixel + 1), rows, columns * pixel, pixel, depth, threads)
    shape = (rows, columns, CHANNELS[colour]) if CHANNELS[colour] > 1 else (rows, columns)
    array = samples.reshape(shape)
    return Decoded(array, MODES[array.dtype.name, CHANNELS[colour]], _header(chunks))


def _chunks(data: bytes) -> list[tuple[bytes, memoryview]] | None:
    """(name, body) of every chunk, or None where one of them makes the file unusual."""
    found: list[tuple[bytes, memoryview]] = []
    view, at, pixels = memoryview(data), len(SIGNATURE), False
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", view[at : at + 4])
        name = bytes(view[at + 4 : at + 8])
        end = at + 8 + length
        if end + 4 > len(data):
            break
        critical = name[:1].isupper()
        sound = inflater.crc32(view[at + 4 : end]) == int.from_bytes(view[end : end + 4], "big")
        if not sound and (critical or not pixels):
            raise PictureError(f"is broken: a wrong checksum of {name!r}")
        if name in (b"tRNS", b"acTL", b"fcTL") or (critical and name not in PASSED_OVER):
            return None
        if name == b"IEND":
            return found
        if sound:  # a remark behind the pixels that is not can be done without
            found.append((name, view[at + 8 : end]))
        pixels = pixels or name == b"IDAT"
        at = end + 4
    if bytes(view[at + 4 : at + 8]) == b"IDAT" or not pixels:
        raise PictureError("is broken: it ends within its pixels")
    return found  # only what comes behind the pixels is missing


def _header(chunks: list[tuple[bytes, memoryview]]) -> Image.Image | None:
    """All that is said about the picture, for Pillow to understand: a file of one pixel with the same chunks."""
    told = [_chunk(name, bytes(body)) for name, body in chunks if name not in PASSED_OVER]
    if not told:
        return None
    from PIL.PngImagePlugin import PngImageFile  # Image.open would import the other formats, too

    start = SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    end = _chunk(b"IDAT", zlib.compress(b"\0\0")) + _chunk(b"IEND", b"")
    try:
        image = PngImageFile(io.BytesIO(start + b"".join(told) + end))
        image.load()
    except BROKEN as problem:
        raise PictureError(f"is broken: {' '.join(str(problem).split())[:200]}") from None
    return image


def _inflate(pixels: list[memoryview], size: int, line: int) -> Iterator[tuple[bytes, int]]:
    """The filtered rows, many at a time, and how many; each is `line` bytes, together they are `size`."""
    stream = inflater.decompressobj()
    held: list[bytes] = []
    have, left = 0, size
    for body in pixels:
        for start in range(0, len(body), READ_BYTES):
            try:
                part = stream.decompress(body[start : start + READ_BYTES], left)
            except DAMAGED:
                raise PictureError("is broken: its compressed pixels are damaged") from None
            held.append(part)
            have += len(part)
            left -= len(part)
            if left == 0 or have >= max(line, BAND_BYTES):
                count = have // line
                together = b"".join([*held, b"\0" * SLACK])
                yield together, count
                held, have = [together[count * line : have]], have - count * line
            if left == 0:
                return
            if stream.eof:
                break
    raise PictureError("is broken: it holds fewer pixels than it says")


def _unfilter(
    source: Iterator[tuple[bytes, int]], rows: int, row_bytes: int, pixel: int, depth: int, threads: int | None
) -> Array:
    """All samples, from filtered rows; two threads work, one on what the other has inflated."""
    loop = native.loop(native.Variant("uint8", kind="png_unfilter"))
    above = np.zeros(row_bytes + SLACK, np.uint8)
    memory = np.empty(rows * row_bytes + (SLACK if depth == 8 else 0), np.uint8)
    target = memory[: rows * row_bytes]
    done = 0

    def take(lines: bytes, count: int) -> None:
        nonlocal done, above
        packed = np.frombuffer(lines, np.uint8)
        begin, size = done * row_bytes, count * row_bytes
        # 16-bit samples are turned around on their way from the cache to the picture
        band = memory[begin:] if depth == 8 else np.empty(size + SLACK, np.uint8)
        if loop.call(band.ctypes.data, packed.ctypes.data, above.ctypes.data, count, row_bytes, pixel) != count:
            raise PictureError("is broken: a row has a filter that PNG does not know")
        if depth == 16:
            target[begin : begin + size].view(np.uint16)[:] = band[:size].view(">u2")
        above = band[size - row_bytes :]
        done += count

    if rows * row_bytes < RELAY_BYTES or (threads or available_cores()) < 2:
        for lines, count in source:
            take(lines, count)
    else:
        _relay(source, take)
    return target if depth == 8 else target.view(np.uint16)


def _relay(source: Iterator[tuple[bytes, int]], take: Callable[[bytes, int], None]) -> None:
    """Calls take(*item) for each item, in a thread of its own while this one gets the next items."""
    ready: SimpleQueue[tuple[bytes, int] | None] = SimpleQueue()
    room = threading.Semaphore(READ_AHEAD)
    problems: list[BaseException] = []

    def run() -> None:
        while (item := ready.get()) is not None:
            if not problems:
                try:
                    take(*item)
                except BaseException as problem:
                    problems.append(problem)
            room.release()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        for item in source:
            room.acquire()
            ready.put(item)
            if problems:
                break
    finally:
        ready.put(None)
        thread.join()
    if problems:
        raise problems[0]
