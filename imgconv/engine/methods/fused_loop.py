"""The loop of the fused method: dense kernels of any shape with fused multiply-add, four output rows at once."""

from __future__ import annotations

from functools import partial

from imgconv.engine.band import Band
from imgconv.engine.methods.band_loop import Sweep, banded, vectors_at_once
from imgconv.engine.methods.row_loop import SAMPLES, Sample, write_row
from imgconv.native.emit import Code, Pointer, Value


def _dense(code: Code, address: Pointer, dtype: str, *, by_rows: bool) -> Value:
    band, sample = code.fields(address, Band), SAMPLES[dtype].fitting(code)
    weights, base, columns = band.weights.to(sample.sum), band.base.to(sample.sum), band.reach / band.step + 1
    sweeps = {
        at_once: fused_rows(
            code, sample, weights, band.kernel_rows, base, at_once, block,
            columns=columns, step=band.step, by_rows=by_rows, stream=band.stream,
        )
        for at_once, block in vectors_at_once(code).items()
    }  # fmt: skip
    return banded(code, band, sample, sweeps)


fused = partial(_dense, by_rows=False)  # all taps of a kernel added as they come
fused_by_rows = partial(_dense, by_rows=True)  # each kernel row summed first: more exact where there are many taps


def fused_rows(
    code: Code,
    sample: Sample,
    weights: Pointer,
    rows: Value,
    base: Value,
    at_once: int,
    block: int,
    *,
    stream: Value,
    columns: Value | None = None,
    step: Value | int = 0,
    by_rows: bool = False,
) -> Sweep:
    """What emits fused sums of `at_once` output rows under a dense kernel: of one column, or `columns` `step` apart.

    With `by_rows` each row of the kernel is summed by itself first, which makes smaller errors. A vector that is loaded
    serves every output row that it lies under. The kernel has at least `at_once` rows; each output row adds its rows
    from the bottom one up, however many are taken at once. Needs a CPU that fuses; not the direct method's bytes.
    """

    def sweep(ring: Pointer, lines: Pointer, target: Pointer, starts: Pointer, width: Value) -> Value:
        def sums(x: Value, vectors: int) -> list[list[Value]]:
            zeros, bases = code.constant(sample.sum, 0, sample.lanes), base.spread(sample.lanes)
            whole = [[code.variable(bases) for _ in range(vectors)] for _ in range(at_once)]
            totals = [[code.variable(zeros) for _ in row] for row in whole] if by_rows else whole

            def add_line(line: Value, under: range) -> None:
                """Adds a line to those output rows that it lies under."""
                at = code.variable(lines[line] + x)

                def add_tap(tap: Value | int) -> None:
                    here = at.value
                    loaded = [ring.load(here + n * sample.lanes, sample.lanes) for n in range(vectors)]
                    for r in under:
                        weight = weights[(line - r) * (1 if columns is None else columns) + tap].spread(sample.lanes)
                        for total, value in zip(totals[r], loaded, strict=True):
                            total.value = weight.fused(value, total.value)
                    at.value = here + step

                if columns is None:
                    add_tap(0)
                else:
                    with code.loop(0, columns) as tap:
                        add_tap(tap)
                for r in under if by_rows else ():
                    for total, up_to_here in zip(totals[r], whole[r], strict=True):
                        up_to_here.value = up_to_here.value + total.value
                        total.value = zeros

            for missing in reversed(range(1, at_once)):  # below the window of the first output rows
                add_line(rows + (missing - 1), range(missing, at_once))
            with code.loop(0, rows - (at_once - 1)) as i:
                add_line(rows - 1 - i, range(at_once))
            for line in reversed(range(at_once - 1)):  # above the window of the last ones
                add_line(code.number(line), range(line + 1))
            return [[total.value for total in row] for row in whole]

        return write_row(code, sample, target, [starts[r] for r in range(at_once)], width, block, sums, stream=stream)

    return sweep
