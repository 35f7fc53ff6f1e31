"""Pixels of a PNG file that several threads inflate: as one would, whatever the chunks are."""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
import pytest

from imgconv.errors import PictureError
from imgconv.formats.png import inflate
from imgconv.formats.png.inflate import inflated


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch):
    monkeypatch.setattr(inflate, "WORTH_THREADS", 0)


def rows(count=40_000):
    """Bytes that compress a little, with repeats far apart."""
    rng = np.random.default_rng(0)
    part = rng.integers(0, 60, count // 2, np.uint8).tobytes()
    return part + part


def chunks(data, flush=zlib.Z_FULL_FLUSH, count=13, header=b"\x78\x9c", adler=None):
    """A zlib stream over some chunks, each ended by a flush: the bodies."""
    stream = zlib.compressobj(6, zlib.DEFLATED, -15)
    cuts = np.linspace(0, len(data), count + 1).astype(int)
    bodies = [stream.compress(data[a:b]) + stream.flush(flush) for a, b in pairwise(cuts)]
    bodies[0] = header + bodies[0]
    bodies[-1] += stream.flush(zlib.Z_FINISH) + struct.pack(">I", zlib.adler32(data) if adler is None else adler)
    return bodies


def read(bodies, size, threads):
    """What is inflated, or what is said instead."""
    file, places = io.BytesIO(), []
    for body in bodies:
        places.append((file.tell() + 8, len(body)))
        file.write(struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body)))
    try:
        return b"".join(inflated(file, places, size, threads))
    except PictureError as problem:
        return str(problem)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("flush", [zlib.Z_FULL_FLUSH, zlib.Z_SYNC_FLUSH, zlib.Z_NO_FLUSH])
@pytest.mark.parametrize("count", [1, 2, 5, 13, 40])
def test_chunks_inflate_to_what_they_were_made_of(flush, count, threads):
    data = rows()
    assert read(chunks(data, flush, count), len(data), threads) == data


def test_each_chunk_is_inflated_by_itself_where_that_can_be(monkeypatch):
    monkeypatch.setattr(inflate, "_inflated", None)  # the one stream
    data = rows()
    assert read(chunks(data), len(data), 2) == data


def damaged(data):
    """Streams with one thing wrong, and what is to come of each."""
    good = chunks(data)
    yield "checksum", chunks(data, adler=1)
    yield "header", chunks(data, header=b"\x78\x00")
    yield "dictionary", chunks(data, header=b"\x78\xbb")
    yield "cut", [*good[:-1], good[-1][:-3]]
    yield "ends early", good[:-1]
    yield "more behind", [*good[:-1], good[-1] + b"behind"]
    yield "a chunk behind", [*good, b"behind it all"]
    yield "an empty chunk", [*good[:5], b"", *good[5:]]
    yield "one is missing", [*good[:5], *good[6:]]
    yield "two are swapped", [*good[:5], good[6], good[5], *good[7:]]
    for at in (0, 5, 12):
        body = bytearray(good[at])
        body[len(body) // 2] ^= 255
        yield f"a byte of {at}", [*good[:at], bytes(body), *good[at + 1 :]]


@pytest.mark.parametrize("size", [40_000, 39_000, 41_000, 2**30])
def test_what_is_wrong_is_said_as_of_one_stream(size):
    cases = dict(damaged(rows()))
    alone = {name: read(bodies, size, 1) for name, bodies in cases.items()}
    for threads in (2, 5):
        assert {name: read(bodies, size, threads) for name, bodies in cases.items()} == alone
    assert isinstance(alone["checksum"], str) == (size >= 40_000)


def test_a_chunk_that_inflates_to_very_much_is_left_to_the_one_stream(monkeypatch):
    monkeypatch.setattr(inflate, "LARGEST_PART", 1000)
    data = rows()
    assert read(chunks(data), len(data), 2) == data
