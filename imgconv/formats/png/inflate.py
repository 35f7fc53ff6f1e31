"""The pixels of a PNG file inflated, by isa-l."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from imgconv.errors import PictureError
from imgconv.formats.png.chunks import DAMAGED, inflater
from imgconv.formats.png.deflate import adler_of_both
from imgconv.threads import in_threads

READ_BYTES = 2**16  # of a file inflated at once
FLUSHED = b"\0\0\xff\xff"  # at the end of what a flush has ended
WORTH_THREADS = 2**21  # bytes
LARGEST_CHUNK, LARGEST_PART = 2**21, 2**23  # bytes that a thread takes, and gives


def inflated(file: BinaryIO, pixels: list[tuple[int, int]], size: int, threads: int = 1) -> Iterator[bytes]:
    """The first `size` bytes of the filtered rows, some at a time; `pixels` are the places of the chunks.

    What is wrong behind them counts as far as it stands in one piece with the last of them: there Pillow sees it, too.
    Like Pillow it does without the checksums of chunks, but only where that of the whole stream is right. Raises
    PictureError when there are fewer, or they are damaged. Where each chunk can be inflated by itself, several
    `threads` do so.
    """
    done = 0
    if threads > 1 and size >= WORTH_THREADS:
        for part in _by_chunks(file, pixels, size, threads):
            done += len(part)
            yield part
    if done < size:
        for part in _inflated(file, pixels, size):
            passed_over = min(done, len(part))
            done -= passed_over
            yield part[passed_over:]


def _by_chunks(file: BinaryIO, pixels: list[tuple[int, int]], size: int, threads: int) -> Iterator[bytes]:
    """The filtered rows as far as each chunk is a band for itself, and nothing is wrong.

    imgconv ends each band by a full flush, and so do other encoders that work in parallel. All parts but the last come
    before the checksum of all is known, as those of a stream do; the last one comes only if that is right.
    """
    if len(pixels) < 2 * threads or not all(2 < length <= LARGEST_CHUNK for _, length in pixels):
        return
    adler, last = 1, len(pixels) - 1
    for begin in range(0, len(pixels), 2 * threads):
        bodies = []
        for start, length in pixels[begin : begin + 2 * threads]:
            file.seek(start)
            bodies.append(file.read(length))
        parts: list[tuple[bytes, bytes] | None] = [None] * len(bodies)

        def work(number: int, bodies: list[bytes] = bodies, parts: list[Any] = parts, begin: int = begin) -> int:
            parts[number] = _alone(bodies[number], begin + number == 0, begin + number == last)
            return 0

        in_threads(lambda work=work: work, range(len(bodies)), threads)  # type: ignore[misc]
        for number, done in enumerate(parts, begin):
            if done is None or len(done[0]) > size:
                return
            part, rest = done
            size -= len(part)
            adler = adler_of_both(adler, inflater.adler32(part), len(part))
            if number == last and (size or rest != adler.to_bytes(4, "big")):
                return
            yield part


def _alone(data: bytes, first: bool, last: bool) -> tuple[bytes, bytes] | None:
    """What a chunk inflates to by itself, and what stands behind the stream; None where it cannot be."""
    if first:
        head, data = int.from_bytes(data[:2], "big"), data[2:]
        if head % 31 or head >> 8 & 15 != 8 or head >> 12 > 7 or head & 32:  # as RFC 1950 has it
            return None
    if not last and not data.endswith(FLUSHED):
        return None
    stream = inflater.decompressobj(-15)
    try:
        part = stream.decompress(data, LARGEST_PART)
    except DAMAGED:  # it refers to the chunks before, or is broken
        return None
    return (part, stream.unused_data) if len(part) < LARGEST_PART and stream.eof == last else None


def _inflated(file: BinaryIO, pixels: list[tuple[int, int]], size: int) -> Iterator[bytes]:
    """As `inflated`, in one stream."""
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
        stated = file.read(4)
        if len(stated) == 4 and checksum != int.from_bytes(stated, "big"):
            raise PictureError("is broken: a wrong checksum of b'IDAT'")
