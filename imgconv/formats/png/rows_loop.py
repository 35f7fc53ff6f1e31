"""The compiled loops behind PNG: row filters and their inverse.

Numba is imported here, so this file is read only when something must be compiled. Nothing here raises
or allocates; the callers hand in all memory, and each function's docstring says how much of it is needed.
The inside of a row is written with LLVM's builder: Numba took 0.9 s more to compile the same from Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from imgconv.native.lanes import I32, I64, advance

I8, I16 = ir.IntType(8), ir.IntType(16)
FILTERS = range(5)  # none, left, up, their average, Paeth's
# averages make graphics of few colours up to 20 % larger, and photographs at most 1.5 % smaller
CHOSEN = (0, 1, 2, 4)
PIXEL_BYTES = (1, 2, 3, 4, 6, 8)
FILTER_LANES = 32  # bytes that a filter takes at once, as 16-bit numbers: one AVX-512 register, two of AVX2


class Lanes:
    """Emits code for a few bytes of a row at once, widened to 16 bits."""

    def __init__(self, builder: Any, lanes: int) -> None:
        self.b = builder
        self.lanes = lanes
        self.narrow = ir.VectorType(I8, lanes)
        self.wide = ir.VectorType(I16, lanes)
        self.sums = ir.VectorType(I32, lanes)

    def constant(self, value: int) -> Any:
        return ir.Constant(self.wide, [value] * self.lanes)

    def load(self, pointer: Any, index: Any) -> Any:
        pointer = self.b.bitcast(self.b.gep(pointer, [index]), self.narrow.as_pointer())
        return self.b.zext(self.b.load(pointer, align=1), self.wide)

    def store(self, samples: Any, pointer: Any, index: Any) -> None:
        """Stores the low byte of each lane."""
        pointer = self.b.bitcast(self.b.gep(pointer, [index]), self.narrow.as_pointer())
        self.b.store(self.b.trunc(samples, self.narrow), pointer, align=1)

    def absolute(self, x: Any) -> Any:
        b = self.b
        return b.select(b.icmp_signed("<", x, self.constant(0)), b.neg(x), x)

    def predict(self, kind: int, left: Any, up: Any, corner: Any) -> Any:
        """What PNG's filter `kind` expects to find, from three neighbours."""
        b = self.b
        if kind == 0:
            return self.constant(0)
        if kind == 1:
            return left
        if kind == 2:
            return up
        if kind == 3:
            return b.lshr(b.add(left, up), self.constant(1))
        from_left = b.sub(up, corner)
        from_up = b.sub(left, corner)
        to_left, to_up = self.absolute(from_left), self.absolute(from_up)
        to_corner = self.absolute(b.add(from_left, from_up))
        other = b.select(b.icmp_signed("<=", to_up, to_corner), up, corner)
        best = b.select(b.icmp_signed("<", to_up, to_corner), to_up, to_corner)
        return b.select(b.icmp_signed("<=", to_left, best), left, other)

    def size(self, rest: Any) -> Any:
        """How far the low bytes, taken with a sign, are from 0; 32 bits each."""
        return self.b.zext(self.absolute(self.b.sext(self.b.trunc(rest, self.narrow), self.wide)), self.sums)

    def sum(self, sizes: Any) -> Any:
        name = f"llvm.vector.reduce.add.v{self.lanes}i32"
        function = cgutils.get_or_insert_function(self.b.module, ir.FunctionType(I32, [self.sums]), name)
        return self.b.zext(self.b.call(function, [sizes]), I64)


def along_row(b: Any, work: Any, row: Any, prior: Any, pixel: Any, row_bytes: Any) -> None:
    """Emits `work(lanes, x, here, left, up, corner)` for all bytes of a row.

    The first pixel has no neighbours to the left; what does not fill a vector behind it is done byte by byte.
    """
    one, many = Lanes(b, 1), Lanes(b, FILTER_LANES)
    middle = b.sub(row_bytes, b.urem(b.sub(row_bytes, pixel), ir.Constant(I64, FILTER_LANES)))
    for lanes, begin, end in ((one, ir.Constant(I64, 0), pixel), (many, pixel, middle), (one, middle, row_bytes)):
        with cgutils.for_range_slice(b, begin, end, ir.Constant(I64, lanes.lanes), I64) as (x, _):
            here, up = lanes.load(row, x), lanes.load(prior, x)
            if end is pixel:
                work(lanes, x, here, lanes.constant(0), up, lanes.constant(0))
            else:
                before = b.sub(x, pixel)
                work(lanes, x, here, lanes.load(row, before), up, lanes.load(prior, before))


def cases(b: Any, value: Any, kinds: Sequence[int]) -> Iterator[int]:
    """Emits a switch: what is emitted while a kind is given is done for that one."""
    after = b.append_basic_block("after")
    switch = b.switch(value, after)
    for kind in kinds:
        block = b.append_basic_block(f"kind{kind}")
        switch.add_case(ir.Constant(I64, kind), block)
        b.position_at_end(block)
        yield kind
        b.branch(after)
    b.position_at_end(after)


@intrinsic
def best_filter(typingctx: Any, row: Any, prior: Any, pixel: Any, row_bytes: Any) -> Any:
    """Which of the filters leaves the least sum of sizes in a row; the first of several."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        row, prior, pixel, row_bytes = args
        totals = {
            lanes: [cgutils.alloca_once_value(b, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)) for _ in FILTERS]
            for lanes in (1, FILTER_LANES)
        }

        def work(lanes: Lanes, x: Any, here: Any, left: Any, up: Any, corner: Any) -> None:
            for kind in CHOSEN:
                total = totals[lanes.lanes][kind]
                rest = b.sub(here, lanes.predict(kind, left, up, corner))
                b.store(b.add(b.load(total), lanes.size(rest)), total)

        along_row(b, work, row, prior, pixel, row_bytes)
        best, least = ir.Constant(I64, 0), ir.Constant(I64, 2**63 - 1)
        for kind in CHOSEN:
            size = b.add(*(Lanes(b, lanes).sum(b.load(totals[lanes][kind])) for lanes in totals))
            smaller = b.icmp_signed("<", size, least)
            best = b.select(smaller, ir.Constant(I64, kind), best)
            least = b.select(smaller, size, least)
        return best

    return types.int64(row, prior, types.int64, types.int64), codegen


@intrinsic
def filter_row(typingctx: Any, kind: Any, dst: Any, row: Any, prior: Any, pixel: Any, row_bytes: Any) -> Any:
    """Writes the filtered row to `dst`, with the filter's number in front."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        chosen, dst, row, prior, pixel, row_bytes = args
        b.store(b.trunc(chosen, I8), dst)
        dst = b.gep(dst, [ir.Constant(I64, 1)])
        for kind in cases(b, chosen, CHOSEN):

            def work(lanes: Lanes, x: Any, here: Any, *near: Any, kind: int = kind) -> None:
                lanes.store(b.sub(here, lanes.predict(kind, *near)), dst, x)

            along_row(b, work, row, prior, pixel, row_bytes)
        return context.get_dummy_value()

    return types.none(types.int64, dst, row, prior, types.int64, types.int64), codegen


@intrinsic
def unfilter_row(typingctx: Any, kind: Any, dst: Any, src: Any, prior: Any, pixel: Any, row_bytes: Any) -> Any:
    """Undoes filter `kind` of a row: whole vectors at once for none and up, pixel by pixel for the others.

    Pixels of 3 and 6 bytes are taken as 4 and 8, which is twice as fast: what is stored beyond a pixel is overwritten
    by the next one, and what lies beyond the last one of the picture is slack.
    """

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        chosen, dst, src, prior, pixel, row_bytes = args
        middle = b.sub(row_bytes, b.urem(row_bytes, ir.Constant(I64, FILTER_LANES)))
        for kind in cases(b, chosen, FILTERS):
            if kind in (0, 2):
                for count, begin, end in ((FILTER_LANES, ir.Constant(I64, 0), middle), (1, middle, row_bytes)):
                    v = Lanes(b, count)
                    with cgutils.for_range_slice(b, begin, end, ir.Constant(I64, count), I64) as (x, _):
                        here = v.load(src, x)
                        v.store(b.add(here, v.load(prior, x)) if kind == 2 else here, dst, x)
                continue
            for size in cases(b, pixel, PIXEL_BYTES):
                v = Lanes(b, {3: 4, 6: 8}.get(size, size))
                left, corner = cgutils.alloca_once(b, v.wide), cgutils.alloca_once(b, v.wide)
                b.store(v.constant(0), left)
                b.store(v.constant(0), corner)
                with cgutils.for_range_slice(b, ir.Constant(I64, 0), row_bytes, ir.Constant(I64, size), I64) as (x, _):
                    up = v.load(prior, x) if kind != 1 else None
                    expected = v.predict(kind, b.load(left), up, b.load(corner))
                    whole = b.and_(b.add(v.load(src, x), expected), v.constant(255))
                    v.store(whole, dst, x)
                    b.store(whole, left)
                    if kind == 4:
                        b.store(up, corner)
        return context.get_dummy_value()

    return types.none(types.int64, dst, src, prior, types.int64, types.int64), codegen


@intrinsic
def first_byte(typingctx: Any, pointer: Any) -> Any:
    """pointer[0] as a number."""

    def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
        return b.zext(b.load(args[0]), I64)

    return types.int64(pointer), codegen


def filter_rows(wide: bool) -> tuple[Any, Any]:
    """The loop that filters rows: of those in CHOSEN the one whose result has the least sum of sizes.

    dst: rows × (1 + row_bytes); src: rows, without gaps; prior: the row above the first one.
    """

    def loop(dst, src, prior, rows, row_bytes, pixel):  # type: ignore[no-untyped-def]
        for y in range(rows):
            row = advance(src, y * row_bytes)
            if y:
                prior = advance(src, (y - 1) * row_bytes)
            line = advance(dst, y * (row_bytes + 1))
            filter_row(best_filter(row, prior, pixel, row_bytes), line, row, prior, pixel, row_bytes)
        return 0

    data = types.CPointer(types.uint8)
    return loop, types.int64(data, data, data, types.int64, types.int64, types.int64)


def unfilter_rows(wide: bool) -> tuple[Any, Any]:
    """The loop that undoes the filters of rows; returns how many rows it did before one with an unknown filter.

    dst: rows, without gaps; src: rows × (1 + row_bytes); prior: the row above the first one; each and 8 bytes of slack.
    """

    def loop(dst, src, prior, rows, row_bytes, pixel):  # type: ignore[no-untyped-def]
        for y in range(rows):
            line = advance(src, y * (row_bytes + 1))
            row = advance(dst, y * row_bytes)
            if y:
                prior = advance(dst, (y - 1) * row_bytes)
            kind = first_byte(line)
            if kind > 4:
                return y
            unfilter_row(kind, row, advance(line, 1), prior, pixel, row_bytes)
        return rows

    data = types.CPointer(types.uint8)
    return loop, types.int64(data, data, data, types.int64, types.int64, types.int64)
