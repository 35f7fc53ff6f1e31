"""The loop of Pillow's blur: passes of a box whose rim counts in part, along rows, then along columns; and sharpening.

Both ways `ACROSS` bytes that lie beside each other in memory are taken at once, place after place: columns of a picture
do, rows are turned first. From one place to the next the sum changes by what goes out and what comes in, times weights.
It is Pillow's own, a number of 32 bits that wraps around as those of C, whose upper byte is the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from imgconv.native.emit import I8, I16, I32, Code, Pointer, Value, Variable

ACROSS = 64  # bytes: a cache line
SIDE = 16  # bytes of a row that are turned at once
HALF = 1 << 23  # of a level


class Box(NamedTuple):
    """A box. Where the rim does not count, (sum × whole >> 16) >> shift is the division by what does.

    Attributes
    ----------
    reach : Value
        Its radius and one more.
    whole, rim : Value
        What each place counts and what one on the rim does, over 2 to the 24th.
    shift : Value
        -1 where sums are weighted.
    """

    reach: Value
    whole: Value
    rim: Value
    shift: Value


class Line(NamedTuple):
    """Places `step` bytes apart. Before the first and behind the last one it goes on as they are."""

    load: Callable[[Value], Value]
    step: Value
    last: Value

    def before(self, place: Value) -> Value:
        """What lies at a place that is not behind the last."""
        return self.load(place.most(0))

    def after(self, place: Value) -> Value:
        """What lies at a place that is not before the first."""
        return self.load(place.least(self.last))


def blur(
    code: Code, target: Pointer, source: Pointer, own: Pointer, memory: Pointer, target_stride: Value, stride: Value,
    rows: Value, top: Value, height: Value, pixels: Value, samples: Value, left: Value, width: Value, ring: Value,
    reach_x: Value, whole_x: Value, rim_x: Value, shift_x: Value, times_x: Value,
    reach_y: Value, whole_y: Value, rim_y: Value, shift_y: Value, times_y: Value,
    percent: Value, threshold: Value, unit: int,
) -> Value:  # fmt: skip
    """Blurs part of a picture: of `rows` × `samples` it gives `height` × `width`, which begin at `top` and `left`.

    Some rows at a time are turned, blurred, and turned back into rings of rows, one for each 64 columns; from ring to
    ring these are blurred, and from the last one given. So what is needed again soon stays in the caches.

    Those from `own` on are sharpened, unless the threshold is below 0. `unit`: bytes that are turned as one. `samples`:
    of `pixels`. `ring`: rows, a power of 2. `memory`: (samples + times_x × reach_x × samples of a pixel) / unit + 20
    cache lines and, for each 64 columns, times_y × (ring + 4) and another ring.
    """
    at_once = ACROSS // unit  # rows
    across, down = Box(reach_x, whole_x, rim_x, shift_x), Box(reach_y, whole_y, rim_y, shift_y)
    step = samples / (pixels * unit) * ACROSS
    shift, delay = reach_x.least(pixels) * step, reach_y.least(rows)
    blocks, ring = (width + (ACROSS - 1)) / ACROSS, ring * ACROSS
    rings = memory + ((samples / unit + SIDE) * ACROSS + times_x * shift)
    row_sums = rings + (times_y + 1) * blocks * ring
    sums = row_sums + 4 * ACROSS
    lanes = code.bytes_at_once.lanes if code.adds_pairs else ACROSS // 2

    def along_rows(turned: Pointer) -> None:
        """Its results lie before what they are of, where what lies is in no sum any more."""
        line = Line(lambda place: turned.load(place, lanes), step, (pixels - 1) * step)
        _pass(
            code, line, across, row_sums, code.number(0), pixels * step, lambda n, value: turned.store(value, n - shift)
        )

    def along_columns(source: Pointer, target: Pointer, target_ring: Value, sums: Pointer, first: Value) -> None:
        line = Line(lambda place: source.load(place & (ring - 1), lanes), code.number(ACROSS), (rows - 1) * ACROSS)
        begin, end = ((first + more).most(0).least(rows) * ACROSS for more in (0, at_once))
        _pass(code, line, down, sums, begin, end, lambda n, value: target.store(value, n & (target_ring - 1)))

    with code.loop(0, rows + times_y * delay, at_once) as y:
        with code.when(y < rows):
            _turn_in(code, memory + times_x * shift, source, stride, y, rows, samples, unit)
            with code.loop(0, times_x) as done, code.loop(0, step, lanes) as lane:
                along_rows(memory + ((times_x - done) * shift + lane))
            _turn_out(code, rings, memory + left / unit * ACROSS, ring, y, rows, width, unit)
        with code.loop(0, times_y) as done, code.loop(0, blocks) as block, code.loop(0, ACROSS, lanes) as lane:
            number, is_last = done * blocks + block, done >= times_y - 1
            along_columns(
                rings + (number * ring + lane),
                rings + ((number + blocks) * ring + lane),
                is_last.choose(code.number(at_once * ACROSS), ring),
                sums + (number * ACROSS + lane) * 4,
                y - (done + 1) * delay,
            )
        first = y - times_y * delay
        with code.loop(first.most(top), (first + at_once).least(top + height)) as row:
            results = rings + (times_y * blocks * ring + (row & (at_once - 1)) * ACROSS)
            here, there = target + (row - top) * target_stride, own + (row - top) * stride
            _give(code, here, there, results, ring, width, percent, threshold)
    return code.number(0)


def _pass(
    code: Code, line: Line, box: Box, sums: Pointer, begin: Value, end: Value, put: Callable[[Value, Value], None]
) -> None:  # fmt: skip
    """Emits a pass over the places from `begin` to `end`; the sums of the last one are kept for those behind it."""
    with code.either(box.shift < 0) as (weighted, divided):
        for branch, divides in ((weighted, False), (divided, True)):
            with branch:
                kept = sums.to(I16 if divides else I32)
                with code.when(begin.equals(0)):
                    first = _before_first(code, line, box, divides)
                    lanes = first[0].lanes
                    for n, total in enumerate(first):
                        kept.store(total, n * lanes)
                totals = [code.variable(kept.load(n * lanes, lanes)) for n in range(len(first))]
                _slide(code, line, box, totals, begin, end, put, divides)
                for n, moved in enumerate(totals):
                    kept.store(moved.value, n * lanes)


def _before_first(code: Code, line: Line, box: Box, divides: bool) -> list[Value]:
    """Emits the sums of the place before the first one, times weights."""
    radius, zero = box.reach - 1, code.number(0)
    near = radius.least(line.last / line.step + 1)

    def at(place: Value, number: Value | None = None) -> list[Value]:
        values = _words(code, line.load(place))
        if not divides:
            values = [half for word in values for half in _doubled(code, word)]
        return values if number is None else [value * number.to(value.kind).spread(value.lanes) for value in values]

    outside = zip(at(zero, box.reach), at(line.last, radius - near), strict=True)
    totals = [code.variable(a + b) for a, b in outside]
    with code.loop(0, near * line.step, line.step) as place:
        for total, value in zip(totals, at(place), strict=True):
            total.value = total.value + value
    if divides:
        return [total.value + radius.to(I16).spread(total.value.lanes) for total in totals]
    rims = zip(at(zero, box.rim), at((radius * line.step).least(line.last), box.rim), strict=True)
    whole = box.whole.to(I32).spread(totals[0].value.lanes)
    return [total.value * whole + (a + b) + HALF for total, (a, b) in zip(totals, rims, strict=True)]


def _slide(
    code: Code, line: Line, box: Box, totals: list[Variable], begin: Value, end: Value,
    put: Callable[[Value, Value], None], divides: bool,
) -> None:  # fmt: skip
    lanes = totals[0].value.lanes
    weighted = None if divides else _weighted(code, box.whole - box.rim, box.rim, lanes)
    factor, shift = (value.to(I16).spread(lanes) for value in (box.whole, box.shift))
    reach = box.reach * line.step
    # what went out or came in last counts as the rim did, and now in full
    out, coming = (
        [code.variable(word) for word in _words(code, value)]
        for value in (line.before(begin - reach - line.step), line.after(begin + reach - line.step))
    )
    with code.loop(begin, end, line.step) as place:
        near, far = (_words(code, value) for value in (line.before(place - reach), line.after(place + reach)))
        results, at = [], iter(totals)
        for n, f, o, c in zip(near, far, out, coming, strict=True):
            parts = []
            inner, outer = c.value - n, f - o.value
            for change in weighted(inner, outer) if weighted else [inner]:
                total = next(at)
                total.value = total.value + change
                parts.append(total.value.upper(8) if weighted else total.value.upper_times(factor) >> shift)
            o.value, c.value = n, f
            results.append(_joined_up(parts))
        put(place, _joined_up(results).to(I8))


def _joined_up(parts: list[Value]) -> Value:
    """What `_words` and `_doubled` have parted."""
    return parts[0].packed(parts[1]) if len(parts) == 2 else parts[0]


def _words(code: Code, value: Value) -> list[Value]:
    """Bytes as numbers of 16 bits: as x86 parts and joins vectors, or all at once."""
    if code.adds_pairs:
        return [half.seen_as(I16) for half in value.interleaved(code.constant(I8, 0, value.lanes))]
    return [value.to(I16)]


def _doubled(code: Code, value: Value) -> list[Value]:
    """Numbers of 16 bits, none below 0, as numbers of 32."""
    if code.adds_pairs:
        return [half.seen_as(I32) for half in value.interleaved(code.constant(I16, 0, value.lanes))]
    return [value.to(I32)]


def _weighted(code: Code, first: Value, second: Value, lanes: int) -> Callable[[Value, Value], list[Value]]:
    """What adds up two numbers of 16 bits times weights of 32."""
    if not code.adds_pairs:
        a, b = (weight.to(I32).spread(lanes) for weight in (first, second))
        return lambda x, y: [x.to(I32, signed=True) * a + y.to(I32, signed=True) * b]
    # weights of 16 bits with a sign, for the lower halves and for the upper ones
    low, high = (
        ((first + more >> by & 0xFFFF) + (second + more >> by & 0xFFFF) * (1 << 16)).to(I32).spread(lanes)
        for more, by in ((0, 0), (1 << 15, 16))
    )

    def both(x: Value, y: Value) -> list[Value]:
        pairs = [half.seen_as(I32) for half in x.interleaved(y)]
        return [pair.words_times(high) * (1 << 16) + pair.words_times(low) for pair in pairs]

    return both


def _turn_in(
    code: Code, target: Pointer, source: Pointer, stride: Value, first: Value, rows: Value, samples: Value, unit: int
) -> None:
    """Emits the turning of rows, whose last one stands for those that are not there."""
    lanes, side = code.bytes_at_once.lanes, SIDE // unit
    with code.either(samples >= SIDE) as (long, short):
        with long, code.loop(0, ACROSS, lanes) as lane:
            starts = [(first + lane / unit + n).least(rows - 1) * stride for n in range(lanes // unit)]
            with code.loop(0, samples, SIDE) as x:
                left = x.least(samples - SIDE)  # the last square may cover some twice
                pieces = [source.load(start + left, SIDE) for start in starts]
                lines = [_joined(pieces[n::side]) for n in range(side)]
                for n, line in enumerate(_turned(lines, unit)):
                    target.store(line, (left / unit + n) * ACROSS + lane)
        with short, code.loop(0, ACROSS // unit) as row, code.loop(0, samples) as x:
            value = source[(first + row).least(rows - 1) * stride + x]
            target[x / unit * ACROSS + row * unit + x % unit] = value


def _turn_out(
    code: Code, rings: Pointer, source: Pointer, ring: Value, first: Value, rows: Value, width: Value, unit: int
) -> None:
    """Emits the turning of rows into the rings of each 64 columns."""
    lanes, side = code.bytes_at_once.lanes, SIDE // unit
    with code.loop(0, ACROSS, lanes) as lane:
        starts = [(first + lane / unit + n).least(rows - 1) * ACROSS & (ring - 1) for n in range(lanes // unit)]
        with code.loop(0, width, SIDE) as x:
            block = rings + (x / ACROSS * ring + x % ACROSS)
            lines = [source.load((x / unit + n) * ACROSS + lane, lanes) for n in range(side)]
            for n, line in enumerate(_turned(lines, unit)):
                for piece in range(lanes // SIDE):
                    part = line.shuffled(line, [*range(piece * SIDE, piece * SIDE + SIDE)])
                    block.store(part, starts[piece * side + n])


def _joined(pieces: list[Value]) -> Value:
    """Vectors one behind the other."""
    while len(pieces) > 1:
        pieces = [a.shuffled(b, [*range(2 * a.lanes)]) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


def _turned(lines: list[Value], unit: int) -> list[Value]:
    """Squares of 16 bytes with rows and columns exchanged: halves are dealt together until all have met."""
    half = len(lines) // 2
    for _ in range(half.bit_length()):
        lines = [part for a, b in zip(lines[:half], lines[half:], strict=True) for part in a.interleaved(b, unit)]
    return lines


def _give(
    code: Code, target: Pointer, source: Pointer, results: Pointer, ring: Value, width: Value,
    percent: Value, threshold: Value,
) -> None:  # fmt: skip
    """Emits what becomes of a row of results: it is given, or sharpens that of the source."""
    vectors, squares = width - width % (ACROSS // 2), width - width % SIDE
    parts = (ACROSS // 2, code.number(0), vectors), (SIDE, vectors, squares), (1, squares, width)
    with code.either(threshold < 0) as (plain, sharp):
        for branch, sharpens in ((plain, False), (sharp, True)):
            with branch:
                for lanes, begin, end in parts:
                    with code.loop(begin, end, lanes) as x:
                        value = results.load(x / ACROSS * ring + x % ACROSS, lanes)
                        if sharpens:
                            value = _sharpened(code, source.load(x, lanes), value, percent, threshold)
                        target.store(value, x)


def _sharpened(code: Code, own: Value, blurred: Value, percent: Value, threshold: Value) -> Value:
    """What the blur took away is added by per cent; where that is no more than the threshold nothing is."""
    lanes = own.lanes

    def cut(name: str, one: Value, other: Value) -> Value:
        return code.call(f"llvm.{name}.sat.v{lanes}i8", own.ir.type, one, other)

    factor = percent.most(code.number(0) - percent)
    enough, least = (
        value.to(I8).spread(lanes) for value in ((code.number(25_500) / factor.most(1) + 1).least(255), threshold)
    )
    more, less = cut("usub", own, blurred), cut("usub", blurred, own)
    away = more + less  # one of them is 0
    some = away - cut("usub", away, enough)  # what is beyond takes a sample to its limit, too
    hundredfold = some.to(I16) * factor.to(I16).spread(lanes)  # below 36,000
    change = (hundredfold.to(I32) * 41_944).upper(16).to(I16) >> 6  # a hundredth
    by = cut("usub", away, least).differs(0).choose(change.least(255).to(I8), 0)
    grows = (percent < 0).choose(less, more).differs(0)
    return grows.choose(cut("uadd", own, by), cut("usub", own, by))
