"""The loop of the separable method: columns of taps times rows of taps, and their sum."""

from __future__ import annotations

from functools import partial

from imgconv.engine.band import Band
from imgconv.engine.methods.band_loop import banded
from imgconv.engine.methods.fused_loop import fused_rows
from imgconv.engine.methods.row_loop import DOUBLE, SAMPLES, Sample, fill_line
from imgconv.native.emit import I64, Code, Pointer, Value


def _terms(code: Code, address: Pointer, dtype: str, *, single: bool, double: bool = False) -> Value:
    """Each source row is filtered along itself once for each term, then all of that is down the columns.

    `ends` holds how many terms there are, `weights` for each row of the kernel what each term weighs, then the terms'
    rows.
    """
    band, sample = code.fields(address, Band), (DOUBLE if double else SAMPLES)[dtype].fitting(code)
    kind, rows, room = sample.sum, band.kernel_rows, band.tile + band.slack
    weights, base = band.weights.to(kind), band.base.to(kind)
    terms = code.number(1) if single else band.ends.to(I64)[0]
    columns = band.reach / band.step + 1
    widened = band.ring.to(kind) + (rows + 3) * terms * room  # behind all lines
    along = weights + rows * terms

    def fill(line: Pointer, before: Pointer, at: Value, begin: Value, end: Value) -> None:
        fill_line(code, band, sample.own, widened, at, begin, end)
        with code.loop(0, terms) as term:
            row, to = along + term * columns, line + term * room
            fused_line(code, sample, widened, row, columns, band.step, to, end - begin - band.reach)

    sweeps = {
        at_once: fused_rows(
            code, sample, weights, rows, base, at_once, 4 if code.wide or at_once == 1 else 2,
            columns=None if single else terms, step=room, stream=band.stream,
        )
        for at_once in (4, 1)
    }  # fmt: skip
    return banded(code, band, sample, sweeps, fill=fill, slot=terms * room)


separable = partial(_terms, single=True)  # a column of taps times a row of taps
separable_double = partial(_terms, single=True, double=True)  # 16-bit samples where float32 would be off by a level
low_rank = partial(_terms, single=False)  # a sum of columns of taps times rows of taps


def fused_line(
    code: Code,
    sample: Sample,
    line: Pointer,
    weights: Pointer,
    count: Value,
    step: Value,
    target: Pointer,
    width: Value,
) -> None:
    """Emits one line filtered along itself, into another line; may write eight vectors past the end."""
    lanes, block = sample.lanes, 8 if code.wide else 4
    with code.loop(0, width, lanes * block) as x:
        totals = [code.variable(code.constant(sample.sum, 0, lanes)) for _ in range(block)]
        at = code.variable(x)
        with code.loop(0, count) as tap:
            here, weight = at.value, weights[tap].spread(lanes)
            for n, total in enumerate(totals):
                total.value = weight.fused(line.load(here + n * lanes, lanes), total.value)
            at.value = here + step
        for n, total in enumerate(totals):
            target.store(total.value, x + n * lanes)
