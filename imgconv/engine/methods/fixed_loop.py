"""The loop of the fixed method: dense kernels over 8-bit samples, several kernel rows in one step."""

from __future__ import annotations

from imgconv.engine.band import Band
from imgconv.engine.methods.band_loop import Sweep, banded, vectors_at_once
from imgconv.engine.methods.row_loop import Sample, fill_line, write_row
from imgconv.native.emit import I8, I32, Code, Pointer, Value, Variable


def fixed(code: Code, address: Pointer, dtype: str) -> Value:
    """Sums in 32-bit integers; behind the weights lies the shift that divides them.

    A line holds numbers of 32 bits, made of the samples of its row and of the rows above it: as many as the CPU
    multiplies and adds in one step. So an output row needs only every second or fourth line under it; and the lines
    between belong to the next output rows, with the same weights.

    Where four bytes are multiplied in one step, weights come in two parts: the upper bytes first, then the lower ones.
    """
    band = code.fields(address, Band)
    at_a_time, lanes = code.products_at_once, code.bytes_at_once.lanes // 4
    sample, bytewise = Sample(I8, I32, 0.0, 255.0, lanes), at_a_time == 4
    columns, groups = band.reach / band.step + 1, (band.kernel_rows + (at_a_time - 1)) / at_a_time
    weights, first = band.weights.to(I32), (band.kernel_rows - 1) % at_a_time
    parts = [weights, weights + groups * columns] if bytewise else [weights]

    def fill(line: Pointer, above: Pointer, at: Value, begin: Value, end: Value) -> None:
        fill_line(code, band, I8, line, at, begin, end)
        with code.loop(0, end - begin, lanes) as x:
            samples = line.load(x, lanes)
            if bytewise:
                samples = samples ^ 128  # less 128: such bytes have a sign
            line.store(samples | above.load(x, lanes) << 32 // at_a_time, x)

    def sweep(at_once: int, block: int) -> Sweep:
        served = -(-at_once // at_a_time)  # output rows by a line

        def emit(ring: Pointer, lines: Pointer, target: Pointer, starts: Pointer, width: Value) -> Value:
            base, shift = (n.spread(lanes) for n in (band.base.to(I32), weights[groups * columns * len(parts)]))
            zero = code.constant(I32, 0, lanes)

            def finish(total: Value) -> tuple[Value, Value]:
                level = total >> shift
                inside = level.most(0).least(255)
                return inside.to(I8), level.differs(inside)

            def sums(x: Value, vectors: int) -> list[list[Value]]:
                starting = [zero, base][-len(parts) :]
                totals = [[[code.variable(n) for n in starting] for _ in range(vectors)] for _ in range(at_once)]

                def add(group: Value, rows: range) -> None:
                    """Adds lines: to the first output rows times the weights of a group, to the next those before."""
                    under = [lines[first + group * at_a_time + n] for n in range(min(at_a_time, at_once))]
                    places = [code.variable(line + x) for line in under]
                    with code.loop(0, columns) as tap:
                        taps = [[part[(group - n) * columns + tap].spread(lanes) for part in parts] for n in rows]
                        for line, at in enumerate(places):
                            for v in range(vectors):
                                samples = ring.load(at.value + v * lanes, lanes)
                                for n, both in zip(rows, taps, strict=True):
                                    for total, tap_weights in zip(totals[line + at_a_time * n][v], both, strict=True):
                                        total.value = samples.grouped(tap_weights, total.value)
                            at.value = at.value + band.step

                for group in range(served - 1):
                    add(code.number(group), range(group + 1))
                with code.loop(served - 1, groups) as each_group:
                    add(each_group, range(served))
                for behind in range(served - 1):
                    add(groups + behind, range(behind + 1, served))
                return [[sum_of(total) for total in row] for row in totals]

            def sum_of(total: list[Variable]) -> Value:
                return (total[0].value << 8) + total[1].value if bytewise else total[0].value

            places = [starts[r] for r in range(at_once)]
            return write_row(code, sample, target, places, width, block, sums, finish=finish)

        return emit

    return banded(code, band, sample, {n: sweep(n, block) for n, block in vectors_at_once(code).items()}, fill=fill)
