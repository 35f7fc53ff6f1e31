"""The compiled loops behind PNG: row filters and their inverse.

The callers hand in all memory; each function's docstring says how much of it is needed.
"""

from __future__ import annotations

from collections.abc import Callable

from imgconv.native.emit import I8, I16, I32, I64, Code, Pointer, Value

FILTERS = range(5)  # none, left, up, their average, Paeth's
# averages make graphics of few colours up to 20 % larger, and photographs at most 1.5 % smaller
CHOSEN = (0, 1, 2, 4)
PIXEL_BYTES = (1, 2, 3, 4, 6, 8)
FILTER_LANES = 32  # bytes that a filter takes at once, as 16-bit numbers: one AVX-512 register, two of AVX2

# (x, samples, left, up, corner): vectors of 16-bit numbers from sample x on
Work = Callable[[Value, Value, Value, Value, Value], None]


def load(pointer: Pointer, index: Value | int, lanes: int) -> Value:
    """Bytes of a row, widened to 16 bits."""
    return pointer.load(index, lanes).to(I16)


def absolute(x: Value) -> Value:
    """How far numbers are from 0."""
    return (x < 0).choose(x.like(0) - x, x)


def predict(kind: int, left: Value, up: Value, corner: Value) -> Value:
    """What PNG's filter `kind` expects to find, from three neighbours."""
    if kind < 3:
        return (left.like(0), left, up)[kind]
    if kind == 3:
        return left + up >> 1
    from_left, from_up = up - corner, left - corner
    to_left, to_up, to_corner = absolute(from_left), absolute(from_up), absolute(from_left + from_up)
    other = (to_up <= to_corner).choose(up, corner)
    return (to_left <= to_up.least(to_corner)).choose(left, other)


def along_row(code: Code, row: Pointer, prior: Pointer, pixel: Value, row_bytes: Value, work: Work) -> None:
    """Emits `work` for all bytes of a row.

    The first pixel has no neighbours to the left; what does not fill a vector behind it is done byte by byte.
    """
    middle = row_bytes - (row_bytes - pixel) % FILTER_LANES
    for lanes, begin, end in ((1, 0, pixel), (FILTER_LANES, pixel, middle), (1, middle, row_bytes)):
        with code.loop(begin, end, lanes) as x:
            here, up = load(row, x, lanes), load(prior, x, lanes)
            if end is pixel:
                work(x, here, here.like(0), up, here.like(0))
            else:
                work(x, here, load(row, x - pixel, lanes), up, load(prior, x - pixel, lanes))


def best_filter(code: Code, row: Pointer, prior: Pointer, pixel: Value, row_bytes: Value) -> Value:
    """Which of the filters leaves the least sum of sizes in a row; the first of several."""
    totals = {
        lanes: {kind: code.variable(code.constant(I32, 0, lanes)) for kind in CHOSEN} for lanes in (1, FILTER_LANES)
    }

    def work(x: Value, here: Value, *near: Value) -> None:
        for kind, total in totals[here.lanes].items():
            rest = (here - predict(kind, *near)).to(I8)
            total.value = total.value + absolute(rest.to(I16, signed=True)).to(I32)

    along_row(code, row, prior, pixel, row_bytes, work)
    best, least = code.number(0), code.number(2**63 - 1)
    for kind in CHOSEN:
        one, many = (some[kind].value.total().to(I64) for some in totals.values())
        best, least = (one + many < least).choose(code.number(kind), best), (one + many).least(least)
    return best


def filter_rows(
    code: Code, target: Pointer, source: Pointer, prior: Pointer, rows: Value, row_bytes: Value, pixel: Value
) -> Value:
    """Filters rows, each with that of CHOSEN whose result has the least sum of sizes.

    target: rows × (1 + row_bytes); source: rows, without gaps; prior: the row above the first one.
    """
    with code.loop(0, rows) as y:
        row = source + y * row_bytes
        above = code.pick(y > 0, source + (y - 1) * row_bytes, prior)
        line = target + y * (row_bytes + 1)
        chosen = best_filter(code, row, above, pixel, row_bytes)
        line[0] = chosen.to(I8)
        for kind in code.cases(chosen, CHOSEN):

            def work(x: Value, here: Value, *near: Value, to: Pointer = line + 1, kind: int = kind) -> None:
                to.store((here - predict(kind, *near)).to(I8), x)

            along_row(code, row, above, pixel, row_bytes, work)
    return code.number(0)


def unfilter_rows(
    code: Code, target: Pointer, source: Pointer, prior: Pointer, rows: Value, row_bytes: Value, pixel: Value
) -> Value:
    """Undoes the filters of rows; returns how many rows it did before one with an unknown filter.

    target: rows, without gaps; source: rows × (1 + row_bytes); prior: the row above the first one; each and 8 bytes of
    slack.
    """
    y, end = code.variable(0), code.variable(rows)
    with code.repeat(lambda: y.value < end.value):
        line, row = source + y.value * (row_bytes + 1), target + y.value * row_bytes
        above = code.pick(y.value > 0, target + (y.value - 1) * row_bytes, prior)
        kind = line[0].to(I64)
        with code.either(kind > FILTERS[-1]) as (unknown, known):
            with unknown:
                end.value = y.value
            with known:
                unfilter_row(code, kind, row, line + 1, above, pixel, row_bytes)
                y.value = y.value + 1
    return y.value


def unfilter_row(
    code: Code, kind: Value, target: Pointer, source: Pointer, prior: Pointer, pixel: Value, row_bytes: Value
) -> None:
    """Emits what undoes a filter: whole vectors at once for none and up, pixel by pixel for the others.

    Pixels of 3 and 6 bytes are taken as 4 and 8, which is twice as fast: what is stored beyond a pixel is overwritten
    by the next one, and what lies beyond the last one of the picture is slack.
    """
    middle = row_bytes - row_bytes % FILTER_LANES
    for chosen in code.cases(kind, FILTERS):
        if chosen in (0, 2):
            for lanes, begin, end in ((FILTER_LANES, 0, middle), (1, middle, row_bytes)):
                with code.loop(begin, end, lanes) as x:
                    here = source.load(x, lanes)
                    target.store(here + prior.load(x, lanes) if chosen == 2 else here, x)
            continue
        for size in code.cases(pixel, PIXEL_BYTES):
            lanes = {3: 4, 6: 8}.get(size, size)
            zeros = code.constant(I16, 0, lanes)
            left, corner = code.variable(zeros), code.variable(zeros)
            with code.loop(0, row_bytes, size) as x:
                up = zeros if chosen == 1 else load(prior, x, lanes)
                whole = load(source, x, lanes) + predict(chosen, left.value, up, corner.value) & 255
                target.store(whole.to(I8), x)
                left.value, corner.value = whole, up
