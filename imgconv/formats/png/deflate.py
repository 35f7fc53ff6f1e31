"""Deflate for filtered rows, by zlib-ng."""

from __future__ import annotations

# how many bytes runs alone squeeze into one: where it is more, matches are looked for at a level
LEVELS = ((16, 7), (3, 5))
SAMPLED_BELOW = 16  # a ratio up to which matches are tried on a sample first: they are slow there, and save little
PIECE, PIECES_APART = 2048, 8  # bytes of the sample: so many out of so many times as many
WORTH = 0.98  # of the size that runs alone give: a 12-megapixel photograph is written in half the time


def deflated(lines: memoryview, level: int | None) -> bytes:
    """Bytes as raw deflate blocks that end on a byte, none of them the last.

    Filtered photographs are full of chance matches of 3 to 8 bytes that cost more than they save: looking only for runs
    of one byte (Z_RLE) is 3 to 5 % smaller, at twice the speed or more. Where much repeats, as in graphics, matches
    save more, and the shorter of both is taken, where a sample promises that. scikit-image's pictures become files of
    Pillow's size in the mean, at worst 4.6 % larger.

    `level`: 0 stores; 1 looks for runs only; 2 to 9 look for matches in everything; None where it pays.
    """
    from zlib_ng import zlib_ng  # here, because it takes 3 ms

    def compressed(data: bytes | memoryview, level: int, strategy: int) -> bytes:
        stream = zlib_ng.compressobj(level, zlib_ng.DEFLATED, -15, 9, strategy)
        return stream.compress(data) + stream.flush(zlib_ng.Z_FULL_FLUSH)

    def worth_it(level: int) -> bool:
        block = PIECE * PIECES_APART
        sample = b"".join(lines[at : at + PIECE] for at in range(0, len(lines) - block + 1, block))
        runs, matches = compressed(sample, 1, zlib_ng.Z_RLE), compressed(sample, level, zlib_ng.Z_DEFAULT_STRATEGY)
        return not sample or len(matches) < WORTH * len(runs)

    if level == 0:
        return compressed(lines, 0, zlib_ng.Z_DEFAULT_STRATEGY)
    runs = compressed(lines, 1, zlib_ng.Z_RLE)
    if level is None:
        level = next((level for ratio, level in LEVELS if ratio * len(runs) < lines.nbytes), 1)
        if level > 1 and lines.nbytes < SAMPLED_BELOW * len(runs) and not worth_it(level):
            level = 1
    return runs if level == 1 else min(runs, compressed(lines, level, zlib_ng.Z_DEFAULT_STRATEGY), key=len)


def adler_of_both(first: int, second: int, length: int) -> int:
    """The Adler-32 of two strings put together, from theirs and the length of the second."""
    prime = 65521
    low, high = first & 0xFFFF, first >> 16
    total = (high + (second >> 16) + (low - 1) * length) % prime
    return total << 16 | (low + (second & 0xFFFF) - 1) % prime
