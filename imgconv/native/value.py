"""The numbers of a function that is written for LLVM: values, addresses, and values that change.

An operator emits what is done with them, in the order in which Python comes to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from llvmlite import ir

if TYPE_CHECKING:
    from imgconv.native.emit import Code

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
NONE = ir.VoidType()


def size_of(kind: Any) -> int:
    """Bytes of a number."""
    bits: int = kind.width if isinstance(kind, ir.IntType) else {F32: 32, F64: 64}[kind]
    return bits // 8


def _operator(whole: str, floating: str) -> Callable[[Value, Any], Value]:
    def emit(self: Value, other: Any) -> Value:
        name = floating if self.floating else whole
        return Value(self.code, getattr(self.code.builder, name)(self.ir, self.like(other).ir))

    return emit


def _comparison(sign: str) -> Callable[[Value, Any], Value]:
    def emit(self: Value, other: Any) -> Value:
        compare = self.code.builder.fcmp_ordered if self.floating else self.code.builder.icmp_signed
        return Value(self.code, compare(sign, self.ir, self.like(other).ir))

    return emit


class Value:
    """A number of the function that is written, or a vector of some.

    Operators take another value or a Python number. Whole numbers wrap around; / cuts toward zero, >> keeps the sign.
    """

    def __init__(self, code: Code, value: Any) -> None:
        self.code, self.ir = code, value
        self.lanes: int = value.type.count if isinstance(value.type, ir.VectorType) else 0  # 0: no vector
        self.kind = value.type.element if self.lanes else value.type
        self.floating = self.kind in (F32, F64)

    __add__ = __radd__ = _operator("add", "fadd")
    __sub__ = _operator("sub", "fsub")
    __mul__ = __rmul__ = _operator("mul", "fmul")
    __truediv__ = _operator("sdiv", "fdiv")
    __mod__ = _operator("srem", "frem")
    __and__ = _operator("and_", "")
    __or__ = _operator("or_", "")
    __xor__ = _operator("xor", "")
    __lshift__ = _operator("shl", "")
    __rshift__ = _operator("ashr", "")
    __lt__ = _comparison("<")
    __le__ = _comparison("<=")
    __gt__ = _comparison(">")
    __ge__ = _comparison(">=")
    equals = _comparison("==")

    def beyond(self, other: Any) -> Value:
        """Greater, as whole numbers without a sign."""
        return Value(self.code, self.code.builder.icmp_unsigned(">", self.ir, self.like(other).ir))

    def differs(self, other: Any) -> Value:
        """Also what is not a number."""
        compare = self.code.builder.fcmp_unordered if self.floating else self.code.builder.icmp_signed
        return Value(self.code, compare("!=", self.ir, self.like(other).ir))

    def __neg__(self) -> Value:
        return Value(self.code, (self.code.builder.fneg if self.floating else self.code.builder.neg)(self.ir))

    def like(self, other: Any) -> Value:
        """A number as a value of this type."""
        return other if isinstance(other, Value) else self.code.constant(self.kind, other, self.lanes)

    def to(self, kind: Any, *, signed: bool = False) -> Value:
        """Converted: whole numbers are filled up with zeros (or their sign) or cut; to floating ones with their sign.

        Floating ones are cut toward zero.
        """
        b = self.code.builder
        if kind == self.kind:
            return self
        if isinstance(kind, ir.IntType) and not self.floating:
            convert = b.trunc if kind.width < self.kind.width else b.sext if signed else b.zext
        elif isinstance(kind, ir.IntType):
            convert = b.fptosi
        elif not self.floating:
            convert = b.sitofp
        else:
            convert = b.fptrunc if kind == F32 else b.fpext
        return Value(self.code, convert(self.ir, ir.VectorType(kind, self.lanes) if self.lanes else kind))

    def choose(self, yes: Value, no: Any) -> Value:
        """`yes` where this is true, else `no`."""
        return Value(self.code, self.code.builder.select(self.ir, yes.ir, yes.like(no).ir))

    def least(self, other: Any) -> Value:
        """The smaller one."""
        smaller: Value = self < other
        return smaller.choose(self, other)

    def most(self, other: Any) -> Value:
        """The larger one."""
        larger: Value = self > other
        return larger.choose(self, other)

    def shuffled(self, other: Value, places: list[int]) -> Value:
        """The lanes at some places in this vector and the other one behind it."""
        mask = ir.Constant(ir.VectorType(I32, len(places)), places)
        return Value(self.code, self.code.builder.shuffle_vector(self.ir, other.ir, mask))

    def spread(self, lanes: int) -> Value:
        """A vector of this number."""
        undefined = Value(self.code, ir.Constant(ir.VectorType(self.kind, lanes), ir.Undefined))
        one = self.code.builder.insert_element(undefined.ir, self.ir, ir.Constant(I32, 0))
        return Value(self.code, one).shuffled(undefined, [0] * lanes)

    def total(self) -> Value:
        """The sum of the whole numbers in a vector."""
        return self.code.call(f"llvm.vector.reduce.add.v{self.lanes}i{self.kind.width}", self.kind, self)

    def address(self) -> Pointer:
        """The address that this number is."""
        return Pointer(self.code, self.code.builder.inttoptr(self.ir, POINTER))

    def upper(self, bits: int) -> Value:
        """The upper bits of a whole number, as a number that is not below 0."""
        return Value(self.code, self.code.builder.lshr(self.ir, self.like(self.kind.width - bits).ir))

    def halves(self) -> tuple[Value, Value]:
        """The first half of a vector, and the second."""
        half = self.lanes // 2
        return self.shuffled(self, [*range(half)]), self.shuffled(self, [*range(half, 2 * half)])

    def interleaved(self, other: Value, unit: int = 1) -> tuple[Value, Value]:
        """Units of numbers of this vector and of another one in turn: the first half of each 16 bytes, and the last."""
        at_once = 16 // size_of(self.kind)
        low, high = (
            [n + i for place in range(first, self.lanes, at_once) for start in range(place, place + at_once // 2, unit)
             for n in (start, start + self.lanes) for i in range(unit)]
            for first in (0, at_once // 2)
        )  # fmt: skip
        return self.shuffled(other, low), self.shuffled(other, high)

    def seen_as(self, kind: Any) -> Value:
        """The same bits as a vector of whole numbers of another kind."""
        lanes = self.lanes * size_of(self.kind) // size_of(kind)
        return Value(self.code, self.code.builder.bitcast(self.ir, ir.VectorType(kind, lanes)))

    def pairs(self, weights: Value) -> Value:
        """Each two bytes times those of `weights`, which have a sign, added in 16 bits; what is too large is cut."""
        kind = ir.VectorType(I16, self.lanes // 2)
        return self.code.call(f"llvm.x86.{self.code.bytes_at_once.pairs}", kind, self, weights.seen_as(I8))

    def words_times(self, weights: Value) -> Value:
        """Of each 32 bits both halves, as numbers with a sign, times those of `weights`, added in 32 bits."""
        name = f"llvm.x86.{self.code.bytes_at_once.words}"
        return self.code.call(name, self.ir.type, self.seen_as(I16), weights.seen_as(I16))

    def upper_times(self, other: Value) -> Value:
        """The upper halves of products of numbers of 16 bits, none of which is below 0."""
        if self.code.adds_pairs:
            return self.code.call(f"llvm.x86.{self.code.bytes_at_once.upper}", self.ir.type, self, other)
        return (self.to(I32) * other.to(I32)).upper(16).to(I16)

    def grouped(self, weights: Value, addend: Value) -> Value:
        """Parts of each 32 bits times those of `weights`, all with a sign, added to the addend.

        There are as many parts as the CPU multiplies at once.
        """
        if self.code.products_at_once == 4:
            parts = self.seen_as(I8), weights.seen_as(I8)
            return self.code.call("llvm.aarch64.neon.sdot.v4i32.v16i8", self.ir.type, addend, *parts)
        if self.code.adds_pairs:
            return addend + self.words_times(weights)
        (low, high), (low_weights, high_weights) = ((each << 16 >> 16, each >> 16) for each in (self, weights))
        return addend + low * low_weights + high * high_weights

    def packed(self, other: Value) -> Value:
        """Numbers of 16 bits, cut to 0 to 255, as bytes; of 32 as 16: what `interleaved` has parted comes together.

        Where the CPU does not add pairs, only bytes, of what `halves` has parted.
        """
        if not self.code.adds_pairs:
            return self.shuffled(other, [*range(2 * self.lanes)]).most(0).least(255).to(I8)
        names = self.code.bytes_at_once
        half, name = (I8, names.packed) if self.kind == I16 else (I16, names.packed_words)
        return self.code.call(f"llvm.x86.{name}", ir.VectorType(half, 2 * self.lanes), self, other)

    def words(self, other: Value) -> Value:
        """Floating numbers below 2**31, cut to whole ones of 0 to 65535, then those of the other; see `Code.avx2`."""
        kinds = ir.VectorType(I32, self.lanes), ir.VectorType(I16, 2 * self.lanes)
        both = [self.code.call("llvm.x86.avx.cvtt.ps2dq.256", kinds[0], value) for value in (self, other)]
        parted = self.code.call("llvm.x86.avx2.packusdw", kinds[1], *both).seen_as(I64)
        return parted.shuffled(parted, [0, 2, 1, 3]).seen_as(I16)

    def upper_words(self, other: Value) -> Value:
        """The upper halves of numbers of 32 bits, of this vector and the other one in turn."""
        words = self.seen_as(I32).upper(16).seen_as(I16)
        return words.shuffled(other.seen_as(I16), [n + n % 2 * words.lanes for n in range(words.lanes)])

    def opaque(self) -> Value:
        """This number, of which LLVM is not to know how it came about."""
        kind = ir.FunctionType(self.ir.type, [self.ir.type])
        return Value(self.code, self.code.builder.asm(kind, "", "=r,0", [self.ir], side_effect=False))

    def upper_bytes(self, other: Value) -> Value:
        """The upper halves of numbers of 16 bits, as bytes in the order of `packed`."""
        if self.code.adds_pairs:
            return self.upper(8).packed(other.upper(8))
        return self.seen_as(I8).shuffled(other.seen_as(I8), [*range(1, 4 * self.lanes, 2)])

    def scaled(self, factor: Value, shift: Value) -> Value:
        """(this * factor >> 16) >> shift, of numbers of 16 bits with a sign; the factor is not negative."""
        product = self.to(I32, signed=True) * factor.to(I32, signed=True)
        if self.code.adds_pairs:  # LLVM makes one instruction of the product: pmulhw
            return (product >> 16).to(I16) >> shift
        return (product >> 15).least(2**15 - 1).to(I16) >> shift + 1  # or sqdmulh

    def fused(self, factor: Value, addend: Value) -> Value:
        """This times a factor plus an addend, rounded once."""
        name = f"llvm.fma.v{self.lanes}f{8 * size_of(self.kind)}"
        return self.code.call(name, self.ir.type, self, factor, addend)


class Pointer:
    """The address of numbers of some kind; of bytes when it is not said."""

    def __init__(self, code: Code, address: Any, kind: Any = I8) -> None:
        self.code, self.ir, self.kind = code, address, kind

    def to(self, kind: Any) -> Pointer:
        """The same address, of numbers of another kind."""
        return Pointer(self.code, self.ir, kind)

    def __add__(self, count: Any) -> Pointer:
        index = self.code.number(count).ir
        return Pointer(self.code, self.code.builder.gep(self.ir, [index], source_etype=self.kind), self.kind)

    def number(self) -> Value:
        """The address as a number."""
        return Value(self.code, self.code.builder.ptrtoint(self.ir, I64))

    def __getitem__(self, index: Any) -> Value:
        return self.load(index)

    def __setitem__(self, index: Any, value: Value) -> None:
        self.store(value, index)

    def load(self, index: Any, lanes: int = 0) -> Value:
        """The number at an index, or the vector that begins there."""
        kind = ir.VectorType(self.kind, lanes) if lanes else self.kind
        return Value(self.code, self.code.builder.load((self + index).ir, align=size_of(self.kind), typ=kind))

    def store(self, value: Value, index: Any, mask: Value | None = None, *, past_caches: bool = False) -> None:
        """Stores a number or a vector, of which only those lanes that a mask selects.

        Past the caches only to addresses that are multiples of the vector's size.
        """
        at, align = (self + index).ir, size_of(self.kind)
        if mask is not None:
            name = f"llvm.masked.store.v{value.lanes}{'f' if value.floating else 'i'}{8 * align}.p0"
            self.code.call(name, NONE, value, Pointer(self.code, at), self.code.constant(I32, align), mask)
            return
        stored = self.code.builder.store(value.ir, at, align=align * value.lanes if past_caches else align)
        if past_caches:
            stored.set_metadata("nontemporal", self.code.module.add_metadata([ir.Constant(I32, 1)]))

    def clear(self, count: Value) -> None:
        """Sets numbers to 0."""
        zero, no = self.code.constant(I8, 0), self.code.constant(I1, 0)
        self.code.call("llvm.memset.p0.i64", NONE, self, zero, count * size_of(self.kind), no)

    def prefetch(self) -> None:
        """Asks for the cache line that is here; any address will do."""
        to_read, every_cache, data = (self.code.constant(I32, n) for n in (0, 3, 1))
        self.code.call("llvm.prefetch.p0", NONE, self, to_read, every_cache, data)


class Variable:
    """A value that changes; held in a register."""

    def __init__(self, code: Code, first: Value) -> None:
        self._code, self._kind = code, first.ir.type
        with code.builder.goto_entry_block():
            self._place = code.builder.alloca(self._kind)
        self.value = first

    @property
    def value(self) -> Value:
        """As it is now."""
        return Value(self._code, self._code.builder.load(self._place, typ=self._kind))

    @value.setter
    def value(self, value: Value) -> None:
        self._code.builder.store(value.ir, self._place)
