"""Deflate for filtered rows: the compiled loop's for most, zlib's where that is smaller or asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.engine import native

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

PIECE = 2**24  # bytes deflated in one call, which counts in 32 bits
TOTAL, GRAPHICS = 4, 8  # where `png_deflate` says how many symbols it made; so many bytes to each are no photograph
MATCHING = range(2, 7)  # levels that look for repetitions with the compiled loop


def deflater(level: int | None) -> Callable[[], Callable[[Array], bytes]]:
    """Makes, for each thread, a function from bytes to raw deflate blocks that end on a byte, none of them the last."""

    def by_zlib(lines: Array, level: int, strategy: int) -> bytes:
        packer = zlib.compressobj(level, zlib.DEFLATED, -15, 9, strategy)
        return packer.compress(lines.data) + packer.flush(zlib.Z_FULL_FLUSH)

    if level is not None and level not in (1, *MATCHING):
        # on filtered pixels short matches cost more than they save: Z_FILTERED is 5 % smaller
        return lambda: lambda lines: by_zlib(lines, level, zlib.Z_FILTERED)
    loop = native.loop(native.Variant("uint8", kind="png_deflate"))
    constants = _constants()
    matches = int(level != 1)

    def for_thread() -> Callable[[Array], bytes]:
        table = np.empty(2**13, np.int32)
        pieces = np.empty(3 * 2**15, np.int32)
        work = np.empty(2**12, np.int64)
        memory = [np.empty(0, np.uint8)]

        def by_loop(lines: Array) -> bytes:
            found, symbols = [], 0
            for start in range(0, len(lines), PIECE):
                count = min(PIECE, len(lines) - start)
                if len(memory[0]) < 5 * count // 4 + 1024:
                    memory[0] = np.empty(5 * count // 4 + 1024, np.uint8)
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
                symbols += int(work[TOTAL])
            deflated = found[0] if len(found) == 1 else b"".join(found)
            if matches and GRAPHICS * symbols < len(lines):
                # zlib finds more of what repeats, and is fast there: 2 to 60 ns a byte, where photographs take 25 to 90
                return min(deflated, by_zlib(lines, 6, zlib.Z_DEFAULT_STRATEGY), key=len)
            return deflated

        return by_loop

    return for_thread


@cache
def _constants() -> npt.NDArray[np.int64]:
    """Deflate's tables (RFC 1951, 3.2.5 and 3.2.7) as `deflate.png_deflate` takes them."""
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
    far_extras = [max(0, symbol // 2 - 1) for symbol in range(30)]
    return np.array([*symbols, *bases, *extras, 0, *near, *far, *order, *far_extras], np.int64)


def adler_of_both(first: int, second: int, length: int) -> int:
    """The Adler-32 of two strings put together, from theirs and the length of the second."""
    prime = 65521
    low, high = first & 0xFFFF, first >> 16
    total = (high + (second >> 16) + (low - 1) * length) % prime
    return total << 16 | (low + (second & 0xFFFF) - 1) % prime
