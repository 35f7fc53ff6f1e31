"""The loops of Pillow's blur: passes of a box whose rim counts in part, along rows or columns; and its sharpening.

`ACROSS` lines are taken at once, which lie beside each other in memory, position after position: columns of a picture
do, rows are turned first. Sums are of unsigned numbers of 32 bits, which wrap around as those of C.
"""

from __future__ import annotations

from imgconv.native.emit import I8, I16, I32, Code, Pointer, Value

ACROSS = 64  # bytes: a cache line
SIDE = 16  # of the squares of bytes that are turned at once
BITS = 24  # behind the point of the weights


def rows(
    code: Code, target: Pointer, source: Pointer, memory: Pointer, height: Value, pixels: Value, channels: Value,
    radius: Value, whole: Value, rim: Value, times: Value,
) -> Value:  # fmt: skip
    """Blurs up to `ACROSS` rows. `memory`: 2 × `ACROSS` × samples of a row."""
    samples = pixels * channels
    for there in (True, False):
        if not there:
            memory = memory + _passes(code, memory, pixels, channels, radius, whole, rim, times)

        def move(y: Value, x: Value, there: bool = there, memory: Pointer = memory) -> None:
            row = y * samples + x
            if there:
                memory[x * ACROSS + y] = source[row]
            else:
                target[row] = memory[x * ACROSS + y]

        with code.either(samples >= SIDE) as (long, short):
            # the last square of a row, and the last of all rows, may cover some twice
            with long, code.loop(0, height, SIDE) as top, code.loop(0, samples, SIDE) as x:
                left = x.least(samples - SIDE)
                in_picture = [((top + n).least(height - 1) * samples + left) for n in range(SIDE)]
                in_memory = [(left + n) * ACROSS + top for n in range(SIDE)]
                ends = (source, in_picture, memory, in_memory) if there else (memory, in_memory, target, in_picture)
                start, taken, goal, given = ends
                for place, line in zip(given, _turned([start.load(at, SIDE) for at in taken]), strict=True):
                    goal.store(line, place)
            with short, code.loop(0, height) as y, code.loop(0, samples) as x:
                move(y, x)
    return code.number(0)


def columns(
    code: Code, target: Pointer, source: Pointer, memory: Pointer, height: Value, stride: Value, width: Value,
    first: Value, end: Value, radius: Value, whole: Value, rim: Value, times: Value,
) -> Value:  # fmt: skip
    """Blurs up to `ACROSS` columns, and gives their rows from `first` to `end`. `memory`: 2 × `ACROSS` × height."""
    parts = _in_vectors(code, width)
    for lanes, begin, stop in parts:
        with code.loop(0, height) as y, code.loop(begin, stop, lanes) as x:
            memory.store(source.load(y * stride + x, lanes), y * ACROSS + x)
    done = memory + _passes(code, memory, height, code.number(1), radius, whole, rim, times)
    for lanes, begin, stop in parts:
        with code.loop(first, end) as y, code.loop(begin, stop, lanes) as x:
            target.store(done.load(y * ACROSS + x, lanes), (y - first) * stride + x)
    return code.number(0)


def _in_vectors(code: Code, width: Value) -> tuple[tuple[int, Value, Value], ...]:
    """The columns from 0 to `width` as (lanes, first, end): all `ACROSS` at once, or fewer, then one by one."""
    whole, squares = width - width % ACROSS, width - width % SIDE
    return (ACROSS, code.number(0), whole), (SIDE, whole, squares), (1, squares, width)


def sharpen(code: Code, target: Pointer, source: Pointer, count: Value, percent: Value, threshold: Value) -> Value:
    """Makes blurred samples sharp ones: what the blur took away is added to the source by per cent.

    Where that is no more than the threshold the source stays.
    """
    middle = count - count % SIDE
    for lanes, begin, stop in ((SIDE, code.number(0), middle), (1, middle, count)):
        factor, least = (value.to(I32).spread(lanes) if lanes > 1 else value.to(I32) for value in (percent, threshold))
        with code.loop(begin, stop, lanes) as x:
            at = x, lanes if lanes > 1 else 0
            own, blurred = source.load(*at).to(I32), target.load(*at).to(I32)
            away = own - blurred
            result = (own + away * factor / 100).most(0).least(255)
            target.store((away.most(blurred - own) > least).choose(result, own).to(I8), x)
    return code.number(0)


def _passes(
    code: Code, memory: Pointer, count: Value, step: Value, radius: Value, whole: Value, rim: Value, times: Value
) -> Value:
    """Emits passes over `count` × `step` positions, of which those `step` apart lie in one line.

    From the half of the memory that the positions are in to the other one and back. Gives where the last one ends.
    Outside is what lies at the end.
    """
    lanes = ACROSS if code.wide else ACROSS // 2
    inner, outer, half = (value.to(I32).spread(lanes) for value in (whole, rim, code.number(1 << BITS - 1)))
    size, last, source = count * step * ACROSS, count - 1, code.variable(0)
    with code.loop(0, times):
        goal = size - source.value
        with code.loop(0, step) as channel, code.loop(0, ACROSS, lanes) as lane:
            to, line = (memory + (channel * ACROSS + lane + start) for start in (goal, source.value))

            def at(position: Value, line: Pointer = line) -> Value:
                return line.load(position.most(0).least(last) * step * ACROSS, lanes)

            def times_over(position: Value, number: Value) -> Value:
                return at(position).to(I32) * number.to(I32).spread(lanes)

            near = radius.least(count)
            total = code.variable(times_over(code.number(0), radius + 1) + times_over(last, radius - near))
            with code.loop(0, near) as position:
                total.value = total.value + at(position).to(I32)
            ahead = code.variable(at(radius).to(I16))
            with code.loop(0, count) as position:
                behind, beyond = at(position - radius - 1).to(I16), at(position + radius + 1).to(I16)
                total.value = total.value + (ahead.value - behind).to(I32, signed=True)
                ahead.value = beyond
                sums = total.value * inner + (behind + beyond).to(I32) * outer + half
                to.store((sums >> BITS).to(I8), position * step * ACROSS)
        source.value = goal
    return source.value


def _turned(lines: list[Value]) -> list[Value]:
    """A square of bytes with rows and columns exchanged: halves are dealt together until all have met."""
    half = len(lines) // 2
    places = [n // 2 + n % 2 * len(lines) for n in range(2 * len(lines))]
    for _ in range(len(lines).bit_length() - 1):
        pairs = zip(lines[:half], lines[half:], strict=True)
        lines = [a.shuffled(b, part) for a, b in pairs for part in (places[: len(lines)], places[len(lines) :])]
    return lines
