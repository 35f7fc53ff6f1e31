"""The loop of the fourier method: columns of samples are transformed, taps along a row are added as they are.

A block of 2n rows is a polynomial in each column of samples, taken modulo x^n - i: row k is the real part of its k-th
coefficient, row n + k the imaginary part, which loses nothing. Modulo x^n - i it is known by its values at the n roots,
found by halving: modulo x^2m - s² is modulo x^m - s and modulo x^m + s (Bernstein, Multidigit multiplication for
mathematicians, 3 and 9). There the taps of a kernel column are one number. A value becomes the sums of all rows whose
windows lie inside the block; the others have wrapped around.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from imgconv.engine.band import Band
from imgconv.engine.methods.row_loop import DOUBLE, LINE_BYTES, SAMPLES, Sample, fill_line, write_row
from imgconv.native.emit import I64, Code, Pointer, Value, size_of

TILE = 128  # samples of a row that are summed at once
VECTORS = 4  # of a row whose sums are taken at once
EVEN_POWERS = 0x5555_5555  # of two
Complex = tuple[Value, Value]


def fourier(code: Code, address: Pointer, dtype: str, *, double: bool = False) -> Value:
    """`ends` holds n and how many rows of a block are summed; `weights` the roots, then the kernel's values at them.

    Blocks are counted from the first row of the picture, so that their sums are the same in every band.
    """
    band, sample = code.fields(address, Band), (DOUBLE if double else SAMPLES)[dtype].fitting(code)
    kind, reach, lanes = sample.sum, band.reach, sample.lanes
    row_map, target = band.row_map.to(I64), band.target.to(sample.own)
    half, height = band.ends.to(I64)[0], band.ends.to(I64)[1]
    roots, columns, bases = band.weights.to(kind), reach / band.step + 1, band.base.to(kind).spread(lanes)
    taps = roots + half * 2
    # an odd number of cache lines: an even one would have all lines in few sets of the cache
    slot = (TILE + reach + 64) / 32 * 32 + 16
    lines, zero = band.ring.to(kind), code.number(0)
    clipped = code.variable(zero)

    with code.loop(zero - band.begin % height, band.rows, height) as top, code.loop(0, band.samples, TILE) as x:
        width, have = code.number(TILE).least(band.samples - x), (x > 0).choose(reach, zero)
        with code.loop(0, half * 2) as row:
            line = lines + _place(row, half) * slot
            with code.when(x > 0), code.loop(0, reach, lanes) as i:
                line.store(line.load(i + TILE, lanes), i)
            at = row_map[top + row + (height - 1)]  # it begins so many rows above the first window
            fill_line(code, band, sample.own, line + have, at, x + have, x + width + reach)
        _transform(code, sample, lines, slot, half, roots, have, width + reach, inverse=False)
        with code.loop(0, half) as root:
            _multiply(code, sample, lines + root * 2 * slot, slot, taps + root * 2 * columns, columns, band.step, width)
        _transform(code, sample, lines, slot, half, roots, zero, width, inverse=True)
        with code.loop(zero.most(zero - top), height.least(band.rows - top)) as row:
            line = lines + _place(row, half) * slot

            def sums(x: Value, vectors: int, line: Pointer = line) -> list[list[Value]]:
                return [[line.load(x + n * lanes, lanes) + bases for n in range(vectors)]]

            start = (top + row) * band.target_stride + x
            clipped.value = clipped.value + write_row(code, sample, target, [start], width, VECTORS, sums)
    return clipped.value


fourier_double = partial(fourier, double=True)  # 16-bit samples, and 8-bit ones under very many taps


def _place(row: Value, half: Value) -> Value:
    """The line of a row: real and imaginary parts lie in turn."""
    return (row < half).choose(row * 2, (row - half) * 2 + 1)


def _multiply(
    code: Code, sample: Sample, line: Pointer, slot: Value, taps: Pointer, columns: Value, step: Value, width: Value
) -> None:
    """Emits sums of complex taps along a line, which take its place from the left on."""
    lanes, zero = sample.lanes, code.constant(sample.sum, 0, sample.lanes)
    imaginary = line + slot
    with code.loop(0, width, lanes * VECTORS) as x:
        totals = [(code.variable(zero), code.variable(zero)) for _ in range(VECTORS)]
        at = code.variable(x)
        with code.loop(0, columns * 2, 2) as tap:
            here, c, d = at.value, taps[tap].spread(lanes), taps[tap + 1].spread(lanes)
            for n, (a, b) in enumerate(totals):
                u, v = line.load(here + n * lanes, lanes), imaginary.load(here + n * lanes, lanes)
                a.value = (-d).fused(v, c.fused(u, a.value))
                b.value = d.fused(u, c.fused(v, b.value))
            at.value = here + step
        for n, (a, b) in enumerate(totals):
            line.store(a.value, x + n * lanes)
            imaginary.store(b.value, x + n * lanes)


def _transform(
    code: Code, sample: Sample, lines: Pointer, slot: Value, half: Value, roots: Pointer, begin: Value, end: Value,
    *, inverse: bool,
) -> None:  # fmt: skip
    """Emits the way from coefficients to values, or back; may go a cache line past the end."""
    lanes, wide = sample.lanes, LINE_BYTES // size_of(sample.sum)
    two = code.constant(sample.sum, 2, lanes)

    def root(node: Value) -> Complex:
        return roots[node * 2].spread(lanes), roots[node * 2 + 1].spread(lanes)

    def halved(u: Complex, v: Complex, s: Complex) -> list[Complex]:
        """u + s·v and u - s·v, the second from the first: one step instead of two."""
        real = s[0].fused(v[0], (-s[1]).fused(v[1], u[0]))
        imaginary = s[0].fused(v[1], s[1].fused(v[0], u[1]))
        return [(real, imaginary), (two.fused(u[0], -real), two.fused(u[1], -imaginary))]

    def joined(u: Complex, v: Complex, s: Complex) -> list[Complex]:
        """u + v and (u - v) / s: twice what was halved."""
        real, imaginary = u[0] - v[0], u[1] - v[1]
        over = s[1].fused(imaginary, s[0] * real), (-s[1]).fused(real, s[0] * imaginary)
        return [(u[0] + v[0], u[1] + v[1]), over]

    def once(z: list[Complex], node: Value) -> list[Complex]:
        return (joined if inverse else halved)(z[0], z[1], root(node))

    def twice(z: list[Complex], node: Value) -> list[Complex]:
        """A halving and that of both halves; the root of the second half is i times that of the first."""
        s, t = root(node), root(node * 2)
        it = -t[1], t[0]
        if inverse:
            (a, b), (c, d) = joined(z[0], z[1], t), joined(z[2], z[3], it)
            (a, c), (b, d) = joined(a, c, s), joined(b, d, s)
            return [a, b, c, d]
        (a, c), (b, d) = halved(z[0], z[2], s), halved(z[1], z[3], s)
        return [*halved(a, b, t), *halved(c, d, it)]

    def sweep(x: Value, nodes: Value, parts: int, change: Callable[[list[Complex], Value], list[Complex]]) -> None:
        """Changes all coefficients, `parts` of them at once, of each of so many nodes in a row of the tree."""
        apart = half / nodes / parts
        with code.loop(0, nodes) as node, code.loop(0, apart) as k:
            first = (node * parts * apart + k) * 2
            real = [lines + ((first + apart * (2 * i)) * slot + x) for i in range(parts)]
            places = [(at, at + slot) for at in real]
            for n in range(0, wide, lanes):
                z = [(a.load(n, lanes), b.load(n, lanes)) for a, b in places]
                for (a, b), (u, v) in zip(places, change(z, nodes + node), strict=True):
                    a.store(u, n)
                    b.store(v, n)

    with code.loop(begin, end, wide) as x:
        odd = (half & EVEN_POWERS).equals(0)  # then one halving is by itself, where there are the fewest nodes
        nodes = code.variable(half / 4 if inverse else 1)
        if not inverse:
            with code.when(odd):
                sweep(x, code.number(1), 2, once)
                nodes.value = code.number(2)
        with code.repeat(lambda: nodes.value >= 1 if inverse else nodes.value < half):
            sweep(x, nodes.value, 4, twice)
            nodes.value = nodes.value / 4 if inverse else nodes.value * 4
        if inverse:
            with code.when(odd):
                sweep(x, code.number(1), 2, once)
