"""The compiled loops that sum. Numba is imported here, so this file is read only when something must be compiled.

A band of output rows is worked tile by tile. Each source row is widened once, border included, into a line of a small
ring of lines that stays in the first-level cache; the sums are then taken over the ring. Nothing here raises or
allocates, so that the machine code needs no symbol from Numba.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types

from imgconv.engine.lanes import (
    DOUBLE,
    SAMPLES,
    WHOLE,
    Sample,
    advance,
    coarse_rows,
    distance,
    fused_line,
    fused_rows,
    listed_row,
    load,
    prefetch,
    reinterpret,
    running_row,
    store,
    unrolled_rows,
)
from imgconv.engine.native import COARSE_AT_ONCE

# Lines of few samples stay in the first-level cache, but where a row is read in pieces the CPU does not read ahead by
# itself. Asking for the row four below: 3×3 over 12 megapixels takes 6.4 ms (one thread) instead of 9.4. Larger samples
# are read in long pieces, see `stage`.
ROWS_AHEAD = 4
LINE_BYTES = 64
ROWS_AT_ONCE = 4  # output rows that share what is loaded; with 2, float32 3×3 takes 6.6 ms instead of 4.7
GUARD = 64  # samples that a sweep may read behind its last one; vectors of 16 floating ones are the longest


def direct(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The direct method over a band of rows: for one kernel shape with every tap unrolled, or for any list of taps.

    Returns the function and its C signature. `wide` says that the CPU has 32 vector registers of 512 bits; without
    them, half as many samples are held at once.
    """
    return _unrolled(SAMPLES[dtype], shape, wide) if shape else _listed(SAMPLES[dtype], wide)


def integer(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same sums in 16-bit integers, twice as many at once."""
    return _unrolled(WHOLE, shape, wide) if shape else _listed(WHOLE, wide)


def in_order(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """Any list of taps, added one by one from the top row down."""
    return _listed(SAMPLES[dtype], wide, bottom_first=False)


def _fitting(sample: Sample, wide: bool) -> Sample:
    return sample if wide else sample._replace(lanes=sample.lanes // 2)


def _fill_line(sample: Sample) -> Any:
    """A function that widens samples [begin, end) of one padded row into a line."""
    widen = sample.sum
    ahead = ROWS_AHEAD if sample.numba in (types.uint8, types.uint16) else 0
    per_line = 8 * LINE_BYTES // sample.numba.bitwidth

    @njit(inline="always")
    def fill(line, src, at, src_stride, column_map, outside, begin, end, left, middle, first):  # type: ignore[no-untyped-def]
        if at < 0:
            for x in range(end - begin):
                store(line, x, outside)
            return
        row = advance(src, at * src_stride)
        for x in range(begin, min(end, left)):
            where = load(column_map, x)
            store(line, x - begin, outside if where < 0 else widen(load(row, where)))
        start = max(begin, left)
        source = advance(row, first + start - left)
        target = advance(line, start - begin)
        count = min(end, left + middle) - start
        if ahead:
            below = advance(source, ahead * src_stride)
            for n in range((count + per_line - 1) // per_line):
                prefetch(below, n * per_line)
        for x in range(count):
            store(target, x, widen(load(source, x)))
        for x in range(max(begin, left + middle), end):
            where = load(column_map, x - middle)
            store(line, x - begin, outside if where < 0 else widen(load(row, where)))

    return fill


def _in_place(sample: Sample) -> tuple[Any, Any]:
    """Functions that spare floating samples the way through the ring, where they need no widening and no border.

    The first says where the tile that begins at x ends, and whether it lies inside the picture with all that is read
    around it; the second where the line of a row is, in elements from the ring.
    """
    as_is = sample.sum is sample.numba

    @njit(inline="always")
    def tile_at(x, tile, samples, reach, left, middle):  # type: ignore[no-untyped-def]
        end = min(samples, x + tile)
        if not as_is:
            return end, False
        begin = min(samples, (left + GUARD - 1) // GUARD * GUARD)
        stop = max(begin, left + middle - reach - GUARD)
        if x < begin:
            return min(end, begin), False
        if x < stop:
            return min(end, stop), True
        return end, False

    @njit(inline="always")
    def line_of(row, row_map, last, turns, slot, away, src_stride, inside):  # type: ignore[no-untyped-def]
        offset = (row % turns) * slot
        if as_is and inside and row <= last:
            at = load(row_map, row)
            if at >= 0:
                offset = away + at * src_stride
        return offset

    return tile_at, line_of


def _signature(sample: Sample, real: Any) -> Any:
    """The C signature that all band loops share."""
    pointer, index = types.CPointer, types.CPointer(types.int64)
    return types.int64(
        pointer(sample.numba), pointer(sample.numba),  # src, dst
        index, index,  # row_map, column_map
        index, index, pointer(sample.sum),  # ends, shifts, weights
        pointer(sample.sum), index,  # ring, lines
        real, real,  # outside, base
        *[types.int64] * 14,
    )  # fmt: skip


def _unrolled(sample: Sample, shape: tuple[int, int], wide: bool) -> tuple[Any, Any]:
    real = sample.sum if sample.sum is not types.int16 else types.float32
    kind = sample.sum
    sample = _fitting(sample, wide)
    fill = _fill_line(sample)
    tile_at, line_of = _in_place(sample)
    # of 3×3 all weights and eight sums fit in 32 registers; floating sums wait for memory, not for each other
    block = 2 if wide and shape == (3, 3) and sample.low is not None else 1
    sweep = unrolled_rows(sample, *shape, ROWS_AT_ONCE, block=block)
    sweep_last = unrolled_rows(sample, *shape, 1, block=1)
    kernel_rows = shape[0]
    window = kernel_rows + ROWS_AT_ONCE - 1

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        any_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack, begin,
        stream,
    ):  # fmt: skip
        slot = tile + reach + slack
        starts = advance(lines, window)
        around, start_value = kind(outside), kind(base)
        away = distance(src, ring) + first - left
        last = rows + kernel_rows - 2  # of the rows in row_map
        clipped = 0
        x = 0
        while x < samples:  # a range with a step from outside could raise
            end, inside = tile_at(x, tile, samples, reach, left, middle)
            width = end - x
            filled = 0
            for y in range(0, rows, ROWS_AT_ONCE):
                while filled < min(y + window, rows + kernel_rows - 1):
                    line = advance(ring, (filled % window) * slot)
                    at = load(row_map, filled)
                    if at < 0 or not inside:
                        fill(line, src, at, src_stride, column_map, around, x, end + reach, left, middle, first)
                    filled += 1
                for i in range(window):
                    store(lines, i, line_of(y + i, row_map, last, window, slot, away + x, src_stride, inside))
                for i in range(ROWS_AT_ONCE):
                    store(starts, i, (y + i) * dst_stride + x)
                if y + ROWS_AT_ONCE <= rows:
                    clipped += sweep(ring, lines, step, weights, start_value, dst, starts, width, stream)
                else:
                    for r in range(rows - y):
                        clipped += sweep_last(
                            ring, advance(lines, r), step, weights, start_value, dst, advance(starts, r), width, stream
                        )
            x = end
        return clipped

    return loop, _signature(sample, real)


def _listed(sample: Sample, wide: bool, *, bottom_first: bool = True) -> tuple[Any, Any]:
    real = sample.sum if sample.sum is not types.int16 else types.float32
    kind = sample.sum
    sample = _fitting(sample, wide)
    fill = _fill_line(sample)
    tile_at, line_of = _in_place(sample)
    sweep = listed_row(sample, block=8 if wide else 6, by_rows=bottom_first)

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        kernel_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack, begin,
        stream,
    ):  # fmt: skip
        slot = tile + reach + slack
        around, start_value = kind(outside), kind(base)
        away = distance(src, ring) + first - left
        last = rows + kernel_rows - 2  # of the rows in row_map
        clipped = 0
        x = 0
        while x < samples:
            end, inside = tile_at(x, tile, samples, reach, left, middle)
            width = end - x
            filled = 0
            for y in range(rows):
                while filled < y + kernel_rows:
                    line = advance(ring, (filled % kernel_rows) * slot)
                    at = load(row_map, filled)
                    if at < 0 or not inside:
                        fill(line, src, at, src_stride, column_map, around, x, end + reach, left, middle, first)
                    filled += 1
                for i in range(kernel_rows):
                    row = y + (kernel_rows - 1 - i if bottom_first else i)
                    store(lines, i, line_of(row, row_map, last, kernel_rows, slot, away + x, src_stride, inside))
                to = y * dst_stride + x
                clipped += sweep(ring, lines, kernel_rows, ends, shifts, weights, start_value, dst, to, width, stream)
            x = end
        return clipped

    return loop, _signature(sample, real)


def fused(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """Dense kernels of any shape with fused multiply-add, four output rows at once."""
    return _dense(SAMPLES[dtype], wide, by_rows=False)


def fused_by_rows(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same, each row of the kernel summed by itself first: more exact where there are many taps."""
    return _dense(SAMPLES[dtype], wide, by_rows=True)


def _dense(sample: Sample, wide: bool, *, by_rows: bool) -> tuple[Any, Any]:
    sample = _fitting(sample, wide)
    fill = _fill_line(sample)
    tile_at, line_of = _in_place(sample)
    sweep = fused_rows(sample, 4, block=4 if wide else 2, by_rows=by_rows)
    sweep_two = fused_rows(sample, 2, block=6 if wide else 3, by_rows=by_rows)
    sweep_one = fused_rows(sample, 1, block=8 if wide else 4, by_rows=by_rows)

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        kernel_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack, begin,
        stream,
    ):  # fmt: skip
        window = kernel_rows + 3
        slot = tile + reach + slack
        starts = advance(lines, window)
        away = distance(src, ring) + first - left
        last = rows + kernel_rows - 2  # of the rows in row_map
        clipped = 0
        x = 0
        while x < samples:
            end, inside = tile_at(x, tile, samples, reach, left, middle)
            width = end - x
            filled = 0
            y = 0
            while y < rows:
                taken = 1
                if kernel_rows >= 4 and y + 4 <= rows:
                    taken = 4
                elif kernel_rows >= 2 and y + 2 <= rows:
                    taken = 2
                while filled < y + kernel_rows + taken - 1:
                    line = advance(ring, (filled % window) * slot)
                    at = load(row_map, filled)
                    if at < 0 or not inside:
                        fill(line, src, at, src_stride, column_map, outside, x, end + reach, left, middle, first)
                    filled += 1
                for i in range(window):
                    store(lines, i, line_of(y + i, row_map, last, window, slot, away + x, src_stride, inside))
                for i in range(4):
                    store(starts, i, (y + i) * dst_stride + x)
                if taken == 4:
                    clipped += sweep(ring, lines, kernel_rows, reach, step, weights, base, dst, starts, width, stream)
                elif taken == 2:
                    clipped += sweep_two(
                        ring, lines, kernel_rows, reach, step, weights, base, dst, starts, width, stream
                    )
                else:
                    clipped += sweep_one(
                        ring, lines, kernel_rows, reach, step, weights, base, dst, starts, width, stream
                    )
                y += taken
            x = end
        return clipped

    return loop, _signature(sample, sample.sum)


def separable(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """A column of taps times a row of taps."""
    return _terms(SAMPLES[dtype], wide, single=True)


def separable_double(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same for 16-bit samples in float64: where float32 would be off by a level."""
    return _terms(DOUBLE, wide, single=True)


def low_rank(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """A sum of columns of taps times rows of taps."""
    return _terms(SAMPLES[dtype], wide, single=False)


def _terms(sample: Sample, wide: bool, *, single: bool) -> tuple[Any, Any]:
    """Each source row is filtered along itself once for each term, then all of that is down the columns.

    `ends` holds how many terms there are, `weights` for each row of the kernel what each term weighs, then the terms'
    rows.
    """
    sample = _fitting(sample, wide)
    fill = _fill_line(sample)
    along = fused_line(sample, block=8 if wide else 4)
    sweep = fused_rows(sample, 4, block=4 if wide else 2, single=single)
    sweep_last = fused_rows(sample, 1, block=4, single=single)

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        kernel_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack, begin,
        stream,
    ):  # fmt: skip
        window = kernel_rows + 3
        terms = 1 if single else load(ends, 0)
        term_slot = tile + slack
        slot = terms * term_slot
        span = slot - term_slot
        raw = advance(ring, window * slot)
        starts = advance(lines, window)
        row_weights = advance(weights, kernel_rows * terms)
        columns = reach // step + 1
        clipped = 0
        x = 0
        while x < samples:
            width = min(tile, samples - x)
            filled = 0
            y = 0
            while y < rows:
                taken = 4 if y + 4 <= rows and kernel_rows >= 4 else 1
                while filled < y + kernel_rows + taken - 1:
                    line = advance(ring, (filled % window) * slot)
                    at = load(row_map, filled)
                    fill(raw, src, at, src_stride, column_map, outside, x, x + width + reach, left, middle, first)
                    for term in range(terms):
                        taps = advance(row_weights, term * columns)
                        along(raw, taps, columns, step, advance(line, term * term_slot), width)
                    filled += 1
                for i in range(window):
                    store(lines, i, ((y + i) % window) * slot)
                for i in range(4):
                    store(starts, i, (y + i) * dst_stride + x)
                if taken == 4:
                    clipped += sweep(
                        ring, lines, kernel_rows, span, term_slot, weights, base, dst, starts, width, stream
                    )
                else:
                    clipped += sweep_last(
                        ring, lines, kernel_rows, span, term_slot, weights, base, dst, starts, width, stream
                    )
                y += taken
            x += tile
        return clipped

    return loop, _signature(sample, sample.sum)


def decimated(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """A smooth column of taps times a row of taps: only every n-th row is summed, those between are interpolated.

    `ends` holds how far apart the coarse rows are, and how many of them each row is made of. `weights` holds the column
    with its zeros, the row, and for each row between two coarse ones what those weigh. Coarse rows are counted from the
    first row of the picture, so that their sums are the same in every band.
    """
    plain = SAMPLES[dtype]
    sample = _fitting(plain, wide)
    fill = _fill_line(plain._replace(sum=plain.numba))
    coarse = coarse_rows(sample, COARSE_AT_ONCE, block=4 if wide else 2)
    along = fused_line(sample, block=8 if wide else 4)
    sweep = fused_rows(sample, 1, block=8 if wide else 4, single=True)
    kind = plain.numba

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        kernel_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack, begin,
        stream,
    ):  # fmt: skip
        spread, mixed = load(ends, 0), load(ends, 1)
        around = kind(outside)
        slot = tile + reach + slack
        sums = ring  # of coarse rows, not yet summed along
        turns = mixed + COARSE_AT_ONCE
        ready = advance(sums, COARSE_AT_ONCE * slot)  # coarse rows
        raw = reinterpret(advance(ready, turns * slot), kind)  # samples as they are
        window = kernel_rows + (COARSE_AT_ONCE - 1) * spread
        raw_turns = window + spread
        starts = advance(lines, raw_turns)
        row_weights = advance(weights, kernel_rows + 2 * (COARSE_AT_ONCE - 1) * spread)
        columns = reach // step + 1
        mixes = advance(row_weights, columns)
        phase = begin % spread
        last = rows + kernel_rows + spread * mixed - 3  # of the rows in row_map
        clipped = 0
        x = 0
        while x < samples:
            width = min(tile, samples - x)
            filled = 0
            done = 0
            for y in range(rows):
                place = phase + y
                while done < place // spread + mixed:
                    top = done * spread + spread - 1 - phase  # row_map begins `before` rows above the first window
                    while filled < top + window:
                        line = advance(raw, (filled % raw_turns) * slot)
                        at = load(row_map, min(filled, last))  # beyond it lies nothing that is used
                        fill(line, src, at, src_stride, column_map, around, x, x + width + reach, left, middle, first)
                        filled += 1
                    for i in range(window):
                        store(lines, i, ((top + i) % raw_turns) * slot)
                    coarse(raw, lines, kernel_rows, spread, weights, sums, slot, width + reach)
                    for i in range(COARSE_AT_ONCE):
                        along(advance(sums, i * slot), row_weights, columns, step,
                              advance(ready, ((done + i) % turns) * slot), width)  # fmt: skip
                    done += COARSE_AT_ONCE
                for i in range(mixed):
                    store(lines, i, ((place // spread + i) % turns) * slot)
                store(starts, 0, y * dst_stride + x)
                mix = advance(mixes, (place % spread) * mixed)
                clipped += sweep(ready, lines, mixed, 0, 1, mix, base, dst, starts, width, stream)
            x += tile
        return clipped

    return loop, _signature(sample, sample.sum)


def box(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """Equal weights; what fits in 16 bits along a row of 8-bit samples is summed so."""
    return _box(SAMPLES[dtype], types.uint16 if dtype == "uint8" else types.int32, wide)


def box_wide(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """The same for rows of more than 257 taps."""
    return _box(SAMPLES[dtype], types.int32, wide)


def _box(sample: Sample, short: Any, wide: bool) -> tuple[Any, Any]:
    """Sums of neighbours along a row by doubling, then running sums down the columns.

    All sums are exact integers. The cost does not depend on the height, and grows with the logarithm of the width.
    `weights` holds the one weight over the scale.
    """
    sample = _fitting(sample, wide)
    fill = _fill_line(sample._replace(sum=short))
    sweep = running_row(sample, block=2)

    @njit(inline="always")
    def double(to, half, line, span, odd, step, count):  # type: ignore[no-untyped-def]
        """Sums of 2·span or 2·span + 1 neighbours from those of span."""
        ahead = advance(half, span * step)
        last = advance(line, 2 * span * step)
        if odd:
            for i in range(count):
                store(to, i, short(load(half, i) + load(ahead, i) + load(last, i)))
        else:
            for i in range(count):
                store(to, i, short(load(half, i) + load(ahead, i)))

    def loop(  # type: ignore[no-untyped-def]
        src, dst, row_map, column_map, ends, shifts, weights, ring, lines, outside, base,
        kernel_rows, reach, step, rows, samples, src_stride, dst_stride, left, middle, first, tile, slack, begin,
        stream,
    ):  # fmt: skip
        slot = tile + reach + slack
        sums = ring  # of 32 bits; the other lines hold `short`
        line = reinterpret(advance(ring, slot), short)
        kept = advance(line, 3 * slot)  # sums along the row: those of the last kernel_rows rows, and a new one
        turns = kernel_rows + 1
        columns = reach // step + 1
        bits = 0
        while columns >> (bits + 1):
            bits += 1
        around = short(outside)
        factor = load(weights, 0)
        clipped = 0
        x = 0
        while x < samples:
            width = min(tile, samples - x)
            length = width + reach
            for i in range(width):
                store(sums, i, types.int32(0))
            for i in range(turns * slot):
                store(kept, i, short(0))
            for r in range(rows + kernel_rows - 1):
                at = load(row_map, r)
                newest = advance(kept, (r % turns) * slot)
                oldest = advance(kept, ((r + 1) % turns) * slot)
                start = newest if bits == 0 else line
                fill(start, src, at, src_stride, column_map, around, x, x + length, left, middle, first)
                half = line
                span = 1
                for bit in range(bits):
                    odd = (columns >> (bits - 1 - bit)) & 1
                    to = newest if bit == bits - 1 else advance(line, (1 + bit % 2) * slot)
                    double(to, half, line, span, odd, step, length - (2 * span + odd - 1) * step)
                    half = to
                    span = 2 * span + odd
                if r < kernel_rows - 1:
                    for i in range(width):
                        store(sums, i, types.int32(load(sums, i) + types.int32(load(newest, i))))
                else:
                    to_row = (r - kernel_rows + 1) * dst_stride + x
                    clipped += sweep(sums, newest, oldest, factor, base, dst, to_row, width)
            x += tile
        return clipped

    pointer, index = types.CPointer, types.CPointer(types.int64)
    signature = types.int64(
        pointer(sample.numba), pointer(sample.numba), index, index, index, index, pointer(types.float32),
        pointer(types.int32), index, types.float32, types.float32, *[types.int64] * 14,
    )  # fmt: skip
    return loop, signature
