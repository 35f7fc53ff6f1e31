"""The loop of the direct method: for one kernel shape with every tap written out, or for any list of taps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from itertools import product
from operator import add
from typing import Any

from imgconv.engine.band import Band
from imgconv.engine.methods.band_loop import ROWS_AT_ONCE, Sweep, banded
from imgconv.engine.methods.row_loop import BYTES, SAMPLES, WHOLE, Sample, divided, divided_pairs, write_row
from imgconv.native.emit import I8, I16, I64, Code, Pointer, Value, Variable

Halves = list[Value]  # two vectors that together are one of bytes


def direct(code: Code, band: Pointer, dtype: str, shape: tuple[int, int] | None = None) -> Value:
    """Sums in float32 or float64, in Pillow's order."""
    return _unrolled(code, band, SAMPLES[dtype], shape) if shape else _listed(code, band, SAMPLES[dtype])


def integer(code: Code, band: Pointer, dtype: str, shape: tuple[int, int] | None = None) -> Value:
    """8-bit samples in 16-bit integers, twice as many at once; behind the weights lie a division's factor and shift."""
    return _unrolled(code, band, WHOLE, shape) if shape else _listed(code, band, WHOLE)


def pairs(code: Code, address: Pointer, dtype: str, shape: tuple[int, int], *, alike: bool = False) -> Value:
    """8-bit samples as they are, summed in 16 bits: those of two taps in one step, or of one by a long multiply-add.

    The latter takes bytes that have a sign: samples are less by 128, which the base makes up for. Where all weights but
    the middle one are `alike`, what is summed along a row serves every output row that it lies under.
    """
    band, sample = code.fields(address, Band), BYTES._replace(lanes=code.bytes_at_once.lanes)
    rows, columns = shape
    weights, lanes, high = band.weights.to(I16), sample.lanes, (columns + 1) // 2
    factor, shift, base = weights[rows * high], weights[rows * high + 1], band.base.to(I16)
    last = weights[high - 1] & 255  # of the first row
    more = (weights[rows // 2 * high + columns // 4] >> columns // 2 % 2 * 8) - last
    of_one, of_two, of_middle = (weight.spread(lanes // 2) for weight in (last, last * 257, more & 255))

    def by_pairs(line: Pointer, at: list[Value], j: int) -> Callable[[Value], tuple[Value, Value]]:
        both = [line.load(at[min(column, columns - 1)], lanes) for column in (2 * j, 2 * j + 1)]
        low, up = both[0].interleaved(both[1])
        return lambda tap: (low.pairs(tap), up.pairs(tap))

    def by_bytes(line: Pointer, at: list[Value], j: int) -> Callable[[Value], tuple[Value, Value]]:
        samples = (line.load(at[j], lanes) + -128).to(I16, signed=True)
        return lambda tap: (samples * tap.to(I16, signed=True)).halves()

    if code.adds_pairs:
        products, across, tap_lanes = by_pairs, high, lanes // 2
    else:
        products, across, tap_lanes, weights = by_bytes, 2 * high, lanes, band.weights.to(I8)
        for tap in range(rows * across):
            base = base + weights[tap].to(I16, signed=True) * 128

    def along(line: Pointer, at: list[Value]) -> tuple[Halves, Halves]:
        """The sum of a row of taps that are alike, and what the middle one has more."""
        loaded = [line.load(place, lanes) for place in at]
        middle = loaded.pop(columns // 2)
        own = middle.interleaved(middle)
        sides = [left.interleaved(right) for left, right in zip(loaded[::2], loaded[1::2], strict=True)]
        times = [[half.pairs(of_two) for half in side] for side in sides]
        return _summed([half.pairs(of_one) for half in own], *times), [half.pairs(of_middle) for half in own]

    def sweep(at_once: int) -> Sweep:
        most = code.number(lanes * (255 // at_once))  # samples whose clipped ones, of all rows, a byte can count

        def emit(ring: Pointer, lines: Pointer, target: Pointer, starts: Pointer, width: Value) -> Value:
            line = [ring + lines[i] for i in range(rows + at_once - 1)]
            places = range(min(across, columns))  # the last of two bytes may be none
            taps = [[weights[i * across + j].spread(tap_lanes) for j in places] for i in range(rows)]
            bases = base.spread(lanes // 2)
            finish, clipped = divided_pairs(code, factor, shift), code.variable(0)

            with code.loop(0, width, most) as begin:

                def sums(x: Value, _: int) -> Iterable[list[Halves]]:
                    at = [begin + x + band.step * j for j in range(columns)]
                    if alike and code.adds_pairs:
                        yield from sums_of_alike(at)
                        return
                    totals = [[bases, bases] for _ in range(at_once)]
                    for i, j in product(range(len(line)), places):
                        times = products(line[i], at, j)
                        for r in range(at_once):
                            if 0 <= i - r < rows:
                                totals[r] = _summed(totals[r], times(taps[i - r][j]))
                    yield from ([total] for total in totals)

                def sums_of_alike(at: list[Value]) -> Iterable[list[Halves]]:
                    done: list[tuple[Halves, Halves]] = []  # numbers wrap around: only the sum of all has to fit
                    for r in range(at_once):
                        done += [along(row, at) for row in line[len(done) : r + rows]]
                        if r % 2 == 0:  # what it has in common with the output row below
                            common = _summed([bases, bases], *(row for row, _ in done[r + 1 : r + rows]))
                        yield [_summed(common, done[r + r % 2 * (rows - 1)][0], done[r + rows // 2][1])]

                to, count = [starts[r] + begin for r in range(at_once)], most.least(width - begin)
                over = write_row(code, sample, target, to, count, 1, sums, finish=finish, again=True)
                clipped.value = clipped.value + over
            return clipped.value

        return emit

    return banded(code, band, sample, {n: sweep(n) for n in (ROWS_AT_ONCE, 1)}, kernel_rows=rows)


alike = partial(pairs, alike=True)


def _summed(*parts: Sequence[Value]) -> Halves:
    return [reduce(add, half) for half in zip(*parts, strict=True)]


def in_order(code: Code, band: Pointer, dtype: str) -> Value:
    """Any list of taps, added one by one from the top row down."""
    return _listed(code, band, SAMPLES[dtype], bottom_first=False)


def _unrolled(code: Code, address: Pointer, sample: Sample, shape: tuple[int, int]) -> Value:
    """A kernel of fixed shape with every tap written out, mostly four output rows at once.

    Sums start from the base; kernel rows are added from the bottom one up, each summed left to right first: Pillow's
    order. A vector that is loaded serves every output row that it lies under.
    """
    band, sample = code.fields(address, Band), sample.fitting(code)
    rows, columns = shape
    weights, lanes = band.weights.to(sample.sum), sample.lanes
    base = band.base.to(sample.sum)
    # an output row alone needs no weights from memory: 3×3 over 12 megapixels takes 14 ms instead of 17.6
    alone = code.avx2 and shape == (3, 3) and sample.own is I16

    def sweep(at_once: int, block: int) -> Sweep:
        def emit(
            stream: Value | None, ring: Pointer, lines: Pointer, target: Pointer, starts: Pointer, width: Value
        ) -> Value:
            line = [ring + lines[i] for i in range(rows + at_once - 1)]
            taps = [[weights[i * columns + j].spread(lanes) for j in range(columns)] for i in range(rows)]
            bases = base.spread(lanes)
            count = rows * columns
            finish = divided(sample, weights[count], weights[count + 1]) if sample.sum is I16 else None

            def sums(x: Value, vectors: int) -> list[list[Value]]:
                totals = [[bases] * vectors for _ in range(at_once)]
                at = [x + band.step * j for j in range(columns)]
                if code.avx2 and (alone or sample.low is None):  # else there are more addresses than registers
                    at[1:] = [place.opaque() for place in at[1:]]
                for i in reversed(range(rows + at_once - 1)):
                    under = [r for r in range(at_once) if 0 <= i - r < rows]
                    row_sums: dict[tuple[int, int], Value] = {}
                    for j in range(columns):
                        for n in range(vectors):
                            samples = line[i].load(at[j] + n * lanes, lanes)
                            for r in under:
                                product = taps[i - r][j] * samples
                                row_sums[r, n] = row_sums[r, n] + product if j else product
                    for r, n in row_sums:
                        totals[r][n] = totals[r][n] + row_sums[r, n]
                return totals

            places = [starts[r] for r in range(at_once)]
            return write_row(
                code, sample, target, places, width, block, sums, finish=finish, stream=stream, paired=alone
            )

        def apart(*where: Any) -> Value:
            """Written twice: where both kinds of stores have the same weights, LLVM moves these to and fro."""
            clipped = code.variable(0)
            with code.either(band.stream > 0) as (past, through):
                with past:
                    clipped.value = emit(code.number(1), *where)
                with through:
                    clipped.value = emit(None, *where)
            return clipped.value

        return apart if alone else partial(emit, band.stream)

    # of 3×3 all weights and eight sums fit in 32 registers; floating sums wait for memory, not for each other
    block = 2 if code.wide and shape == (3, 3) and sample.low is not None else 1
    sweeps = {1: sweep(1, 2)} if alone else {ROWS_AT_ONCE: sweep(ROWS_AT_ONCE, block), 1: sweep(1, 1)}
    return banded(code, band, sample, sweeps, kernel_rows=rows)


def _listed(code: Code, address: Pointer, sample: Sample, *, bottom_first: bool = True) -> Value:
    """Any kernel, given as a list of taps, one output row after the other: same order, same bytes.

    `ends` has for each kernel row, in the order of adding, one past its last tap; `shifts` are in samples. The bottom
    row is added first, each row summed by itself before; or every product as it comes, from the top row down.
    """
    band, sample = code.fields(address, Band), sample.fitting(code)
    rows, lanes = band.kernel_rows, sample.lanes
    weights, ends, shifts = band.weights.to(sample.sum), band.ends.to(I64), band.shifts.to(I64)
    bases = band.base.to(sample.sum).spread(lanes)

    def sweep(ring: Pointer, lines: Pointer, target: Pointer, starts: Pointer, width: Value) -> Value:
        last = ends[rows - 1]
        finish = divided(sample, weights[last], weights[last + 1]) if sample.sum is I16 else None

        def sums(x: Value, vectors: int) -> list[list[Value]]:
            totals = [code.variable(bases) for _ in range(vectors)]
            first = code.variable(0)

            with code.loop(0, rows) as i:
                line = ring + (lines[rows - 1 - i if bottom_first else i] + x)
                begin, end = first.value, ends[i]

                def products(tap: Value) -> list[Value]:
                    weight, at = weights[tap].spread(lanes), line + shifts[tap]
                    return [weight * at.load(n * lanes, lanes) for n in range(vectors)]

                def add(into: list[Variable], begin: Value) -> None:
                    with code.loop(begin, end) as tap:
                        for total, product in zip(into, products(tap), strict=True):
                            total.value = total.value + product

                if not bottom_first:
                    add(totals, begin)
                else:
                    with code.when(begin < end):
                        partials = [code.variable(product) for product in products(begin)]
                        add(partials, begin + 1)
                        for total, partial in zip(totals, partials, strict=True):
                            total.value = total.value + partial.value
                first.value = end
            return [[total.value for total in totals]]

        block = 8 if code.wide else 6
        return write_row(code, sample, target, [starts[0]], width, block, sums, finish=finish, stream=band.stream)

    return banded(code, band, sample, {1: sweep})
