"""What the loops do along a row: they widen samples into lines, and turn sums into samples again.

Vectors are written out, and not left to LLVM: with two rows at once its vectoriser gives up on the alias checks, and
with one row it uses each loaded vector once. LLVM splits the wide ones into whatever registers the machine has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from operator import add
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from imgconv.native.emit import F32, F64, I8, I16, I32, I64, Code, Pointer, Value, size_of

# Lines of few samples stay in the first-level cache, but where a row is read in pieces the CPU does not read ahead by
# itself. Asking for the row four below: 3×3 over 12 megapixels takes 6.4 ms (one thread) instead of 9.4. Larger samples
# are read in long pieces, see `stage`.
ROWS_AHEAD = 4
LINE_BYTES = 64
Finish = Callable[[Any], tuple[Value, Value | None]]  # sums -> samples, and which of them were clipped


class Sample(NamedTuple):
    """How one sample type is computed: sums are taken in `sum`, then brought into [low, high] and cut (integers).

    `lanes` samples fill a 512-bit register.
    """

    own: Any
    sum: Any
    low: float | None
    high: float | None
    lanes: int

    def fitting(self, code: Code) -> Sample:
        """Where the CPU has no 32 vector registers of 512 bits, half as many samples are held at once."""
        return self if code.wide else self._replace(lanes=self.lanes // 2)


def below(limit: float, dtype: type[np.floating[Any]]) -> float:
    """The largest number of `dtype` under `limit`."""
    return float(np.nextafter(dtype(limit), dtype(0)))


SAMPLES = {
    "uint8": Sample(I8, F32, 0.0, below(2.0**8, np.float32), 16),
    "uint16": Sample(I16, F32, 0.0, below(2.0**16, np.float32), 16),
    "int32": Sample(I32, F64, -(2.0**31), below(2.0**31, np.float64), 8),
    "float32": Sample(F32, F32, None, None, 16),
    "float64": Sample(F64, F64, None, None, 8),
}
DOUBLE = {  # 8- and 16-bit samples where float32 would be off by a level
    "uint8": Sample(I8, F64, 0.0, below(2.0**8, np.float64), 8),
    "uint16": Sample(I16, F64, 0.0, below(2.0**16, np.float64), 8),
}
TOO_LARGE = int(np.float32(2**16).view(np.int32)) >> 16  # the upper half of the first number that 16 bits do not hold
BYTES = Sample(I8, I8, 0.0, 255.0, 64)  # 8-bit samples as they are, in pairs
WHOLE = Sample(I8, I16, 0.0, 255.0, 32)  # 8-bit samples summed in 16-bit integers


def widened(value: Value, kind: Any) -> Value:
    """8- and 16-bit samples have no sign, those of 32 bits have one."""
    if kind in (F32, F64) and value.kind in (I8, I16):
        value = value.to(I32)
    return value.to(kind)


def fill_line(code: Code, band: SimpleNamespace, own: Any, line: Pointer, at: Value, begin: Value, end: Value) -> None:
    """Widens samples [begin, end) of one padded row into a line; `at` is the source row, below 0 the value outside."""
    kind, left, middle = line.kind, band.left, band.middle
    outside = (band.outside.to(I32) if kind not in (F32, F64) else band.outside).to(kind)
    column_map = band.column_map.to(I64)

    def padding(begin: Value, end: Value, to: Value, before: Any) -> None:
        with code.loop(begin, end) as x:
            where = column_map[x - before]
            sample = code.variable(outside)
            with code.when(where >= 0):
                sample.value = widened(row[where], kind)
            line[x - to] = sample.value

    with code.either(at < 0) as (without, within):
        with without, code.loop(0, end - begin) as x:
            line[x] = outside
        with within:
            row = band.source.to(own) + at * band.source_stride
            padding(begin, end.least(left), begin, 0)
            start = begin.most(left)
            source, target = row + (band.first + start - left), line + (start - begin)
            count = end.least(left + middle) - start
            if own in (I8, I16):
                below, per_line = source + ROWS_AHEAD * band.source_stride, LINE_BYTES // size_of(own)
                with code.loop(0, count, per_line) as x:
                    (below + x).prefetch()
            done: Any = 0
            for lanes in (64, 16, 0):  # four vectors, one, and what is left
                begin_here, done = done, count - count % max(lanes, 1)
                with code.loop(begin_here, done, max(lanes, 1)) as x:
                    target.store(widened(source.load(x, lanes), kind), x)
            padding(begin.most(left + middle), end, begin, middle)


def rounded(sample: Sample) -> Finish:
    """What turns floating sums into samples."""

    def finish(total: Value) -> tuple[Value, Value | None]:
        if sample.low is None or sample.high is None:
            return total, None
        inside = (total > sample.low).choose(total, sample.low)
        inside = (inside < sample.high).choose(inside, sample.high)
        whole = inside.to(I32)
        if sample.low < 0:  # cutting goes toward zero; rounding half up needs the floor
            whole = whole + (whole.to(sample.sum) > inside).to(I32, signed=True)
        return whole.to(sample.own), total.differs(inside)

    return finish


def rounded_pair(left: Value, right: Value) -> tuple[Value, Value]:
    """As `rounded`, of two vectors of float32 sums for 16-bit samples; those clipped are told in another order."""
    # the bits of a floating number below 0 are those of a large whole one
    return left.words(right), left.upper_words(right).beyond(TOO_LARGE - 1)


def divided(sample: Sample, factor: Value, shift: Value) -> Finish:
    """What turns 16-bit sums into samples: (sum * factor >> 16) >> shift is the division by the scale."""
    factors, shifts = factor.spread(sample.lanes).to(I32, signed=True), shift.spread(sample.lanes)

    def finish(total: Value) -> tuple[Value, Value | None]:
        # LLVM makes one instruction of the product
        value = (total.to(I32, signed=True) * factors >> 16).to(I16) >> shifts
        inside = value.most(0).least(255)
        return inside.to(I8), value.differs(inside)

    return finish


def divided_pairs(code: Code, factor: Value, shift: Value) -> Finish:
    """As `divided`, of sums in two parts, as `Value.packed` takes them."""
    lanes = code.bytes_at_once.lanes // 2
    factors, shifts = factor.spread(lanes), shift.spread(lanes)

    def finish(totals: tuple[Value, Value]) -> tuple[Value, Value]:
        low, high = (total.scaled(factors, shifts) for total in totals)
        return low.packed(high), low.upper_bytes(high).differs(0)

    return finish


def first_lanes(code: Code, lanes: int, count: Value) -> Value:
    """Mask of the first `count` lanes."""
    lane = code.lane_numbers(lanes)
    return lane < count.to(I32).spread(lanes)


def write_row(
    code: Code,
    sample: Sample,
    target: Pointer,
    starts: list[Value],
    samples: Value,
    block: int,
    sums: Callable[[Value, int], Iterable[list[Any]]],
    *,
    finish: Finish | None = None,
    stream: Value | None = None,
    again: bool = False,
    paired: bool = False,
) -> Value:
    """Emits the loop along a row: whole blocks, then single vectors, the last one masked. Returns the clipped count.

    `sums(x, n)` emits the sums of n vectors from sample x on, for each output row that begins at one of `starts`. Where
    `stream` is not 0, floating results go past the caches, and those that are `paired`; the rows then lie alike on
    cache lines. For others that brings nothing. With `again`, what is left behind the last vector is summed with the
    samples before it, for a store of some bytes of a vector takes many steps where the CPU has no masks. With `paired`,
    for 16-bit samples whose sums are nowhere 2**31, two vectors of a block are brought into their range in one step.
    """
    lanes, finish = sample.lanes, finish or rounded(sample)
    # counted in lanes as wide as the sums: a row of a tile has far fewer vectors than 16 bits can count
    count_type = sample.sum if sample.sum in (I8, I16) else I32
    clipped = {1: code.variable(code.constant(count_type, 0, lanes))}
    if paired:
        clipped[2] = code.variable(code.constant(I16, 0, 2 * lanes))

    def emit(
        x: Value, count: int, mask: Value | None = None, *, new: Value | None = None, stream: bool = False
    ) -> None:
        for start, row in zip(starts, sums(x, count), strict=True):
            together = 2 if paired and count > 1 else 1
            for n in range(0, count, together):
                out, over = rounded_pair(row[n], row[n + 1]) if together == 2 else finish(row[n])
                target.store(out, start + x + n * lanes, mask, past_caches=stream)
                if over is not None:
                    counted = new if mask is None else mask
                    over = over if counted is None else over & counted
                    number = clipped[together]
                    number.value = over.choose(number.value + 1, number.value)

    def blocks(start: Any, *, past_caches: bool) -> None:
        """Whole blocks from `start` on."""
        step = lanes * block
        stop = start + (samples - start) / step * step
        with code.loop(start, stop, step) as x:
            emit(x, block, stream=past_caches)
        done.value = stop

    zero = code.number(0)
    done = code.variable(zero)
    if stream is not None and (sample.low is None or paired):
        with code.either(stream > 0) as (past, through):
            with past:
                size, stored = size_of(sample.own), lanes * (1 + paired)
                # to the next multiple of the size of what is stored
                head = (zero - (target + starts[0]).number() & stored * size - 1) / size
                head = head.least(samples)
                for first in range(0, stored, lanes):
                    emit(code.number(first), 1, first_lanes(code, lanes, head - first))
                blocks(head, past_caches=True)
            with through:
                blocks(zero, past_caches=False)
    else:
        blocks(zero, past_caches=False)
    last = samples - lanes
    if again:
        with code.when((last >= 0) & (done.value < samples)):
            emit(last, 1, new=code.lane_numbers(lanes) >= (done.value - last).to(I32).spread(lanes))
            done.value = samples
    with code.loop(done.value, samples, lanes) as x:
        emit(x, 1, first_lanes(code, lanes, samples - x))
    return reduce(add, (number.value.to(I32).total().to(I64) for number in clipped.values()))
