"""The compiled loops between pixels of three bytes and Pillow's, which keeps three samples in four bytes.

Numba is imported here, so this file is read only when something must be compiled. Nothing here raises
or allocates.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from imgconv.native.lanes import I32, I64, advance, load, store

I8 = ir.IntType(8)
AT_ONCE = 4  # pixels: 16 bytes, within which every CPU can move them in one step
FILLER = 255  # what Pillow itself puts into the fourth byte


def move(size_in: int, size_out: int) -> Any:
    """An intrinsic: moves pixels [0, pixels), a multiple of AT_ONCE, by 16 bytes at a time.

    On the side of three bytes a pixel, 4 of those 16 lie beyond: the next step or the caller puts right what they hold.
    """

    @intrinsic
    def run(typingctx: Any, dst: Any, src: Any, pixels: Any) -> Any:
        def codegen(context: Any, b: Any, signature: Any, args: Any) -> Any:
            dst, src, pixels = args
            kind = ir.VectorType(I8, 16)
            places = [p * size_in + c if c < 3 else 16 for p in range(AT_ONCE) for c in range(size_out)]
            places += [16] * (16 - len(places))
            filler = ir.Constant(kind, [FILLER] * 16)
            with cgutils.for_range_slice(b, ir.Constant(I64, 0), pixels, ir.Constant(I64, AT_ONCE), I64) as (p, _):
                at = b.gep(src, [b.mul(p, ir.Constant(I64, size_in))])
                to = b.gep(dst, [b.mul(p, ir.Constant(I64, size_out))])
                before = b.load(b.bitcast(at, kind.as_pointer()), align=1)
                moved = b.shuffle_vector(before, filler, ir.Constant(ir.VectorType(I32, 16), places))
                b.store(moved, b.bitcast(to, kind.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.none(dst, src, types.int64), codegen

    return run


def pack(wide: bool) -> tuple[Any, Any]:
    """dst: pixels of 3 bytes, from src: pixels of 4."""
    return _loop(4, 3)


def unpack(wide: bool) -> tuple[Any, Any]:
    """dst: pixels of 4 bytes, from src: pixels of 3."""
    return _loop(3, 4)


def _loop(size_in: int, size_out: int) -> tuple[Any, Any]:
    move_many = move(size_in, size_out)

    def loop(dst, src, pixels):  # type: ignore[no-untyped-def]
        # of 16 bytes, 4 lie beyond the pixels on the side of three: not at the end, which may be another thread's
        many = max(0, pixels - 2) // AT_ONCE * AT_ONCE
        move_many(dst, src, many)
        for p in range(many, pixels):
            to, at = advance(dst, p * size_out), advance(src, p * size_in)
            for c in range(3):
                store(to, c, load(at, c))
            if size_out == 4:
                store(to, 3, types.uint8(FILLER))
        return 0

    data = types.CPointer(types.uint8)
    return loop, types.int64(data, data, types.int64)
