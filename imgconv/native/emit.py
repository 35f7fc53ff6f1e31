"""Functions are written for LLVM with Python's operators: values that emit what is done with them, loops as blocks.

    with code.loop(0, count) as i:
        target[i] = source[i] + 1

emits the loop of a compiled function; what stands around it is Python, run while the function is written. Numbers are
not reassociated or contracted (no fused multiply-add but where `fused` says so): the bytes do not depend on the CPU.
Nothing here raises or allocates in the compiled function, so that its machine code needs no symbol from outside.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple

from llvmlite import ir

from imgconv.native.cpu import products_at_once

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64 = ir.FloatType(), ir.DoubleType()
POINTER = ir.PointerType()
NONE = ir.VoidType()


class BytesAtOnce(NamedTuple):
    """How many bytes an x86 takes at once, and what LLVM calls the instructions on them that it has no words for."""

    feature: str
    lanes: int
    pairs: str
    words: str
    packed: str
    packed_words: str
    upper: str


BYTES_AT_ONCE = (
    BytesAtOnce("avx512bw", 64, *(f"avx512.{name}.512" for name in (
        "pmaddubs.w", "pmaddw.d", "packuswb", "packssdw", "pmulhu.w"))),
    BytesAtOnce("avx2", 32, *(f"avx2.{name}" for name in (
        "pmadd.ub.sw", "pmadd.wd", "packuswb", "packssdw", "pmulhu.w"))),
    BytesAtOnce("ssse3", 16, "ssse3.pmadd.ub.sw.128", *(f"sse2.{name}" for name in (
        "pmadd.wd", "packuswb.128", "packssdw.128", "pmulhu.w"))),
)  # fmt: skip


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


class Code:
    """A function that is being written.

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Where it is written.
    numbers : llvmlite.ir.Value
        An array of its arguments, as 64-bit numbers.
    prototype : str
        p for each that is an address, i for the others.
    features : set of str
        Of the CPU.

    Attributes
    ----------
    arguments : list of Pointer or Value
    wide : bool
        The CPU has 32 vector registers of 512 bits.
    adds_pairs : bool
        The CPU adds products in pairs, in one step.
    products_at_once : int
        Products that a 32-bit sum takes in one step: of four bytes, or of two numbers of 16 bits.
    bytes_at_once : BytesAtOnce
    avx2 : bool
        The CPU has `Value.words`, 16 vector registers, and no masks.
    """

    def __init__(self, builder: ir.IRBuilder, numbers: ir.Value, prototype: str, features: Set[str]) -> None:
        self.builder, self.module = builder, builder.module
        self.wide = "avx512f" in features
        self.adds_pairs = "ssse3" in features
        self.products_at_once = products_at_once(features)
        self.bytes_at_once = next((kind for kind in BYTES_AT_ONCE if kind.feature in features), BYTES_AT_ONCE[-1])
        self.avx2 = "avx2" in features and not self.wide
        builder.function.attributes.add("nounwind")
        given = [Value(self, builder.extract_value(numbers, place)) for place in range(len(prototype))]
        self.arguments = [
            number.address() if kind == "p" else number for kind, number in zip(prototype, given, strict=True)
        ]

    def constant(self, kind: Any, number: float, lanes: int = 0) -> Value:
        """A number, or a vector of it."""
        number = float(number) if kind in (F32, F64) else number
        value = ir.Constant(ir.VectorType(kind, lanes), [number] * lanes) if lanes else ir.Constant(kind, number)
        return Value(self, value)

    def number(self, number: Any) -> Value:
        """A 64-bit number."""
        return number if isinstance(number, Value) else self.constant(I64, number)

    def lane_numbers(self, lanes: int) -> Value:
        """The vector 0, 1, 2, …"""
        return Value(self, ir.Constant(ir.VectorType(I32, lanes), list(range(lanes))))

    def variable(self, first: Any) -> Variable:
        """A value that changes, by default a 64-bit number."""
        return Variable(self, self.number(first))

    def pick(self, condition: Value, yes: Pointer, no: Pointer) -> Pointer:
        """One of two addresses."""
        return Pointer(self, self.builder.select(condition.ir, yes.ir, no.ir), yes.kind)

    def call(self, name: str, result: Any, *arguments: Value | Pointer) -> Value:
        """Calls an intrinsic function of LLVM."""
        function = self.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(result, [argument.ir.type for argument in arguments])
            function = ir.Function(self.module, kind, name)
        called = self.builder.call(function, [argument.ir for argument in arguments])
        return self.number(0) if result is NONE else Value(self, called)

    def fields(self, address: Pointer, struct: type[ctypes.Structure]) -> SimpleNamespace:
        """What lies in a struct: all of it is read here, so that no store later can change it."""
        kinds = {ctypes.c_void_p: POINTER, ctypes.c_int64: I64, ctypes.c_double: F64}
        values = SimpleNamespace()
        for name, kind, *_ in struct._fields_:
            at = address + getattr(struct, name).offset
            value = self.builder.load(at.ir, align=8, typ=kinds[kind])
            setattr(values, name, (Pointer if kind is ctypes.c_void_p else Value)(self, value))
        return values

    @contextmanager
    def loop(self, begin: Any, end: Any, step: Any = 1) -> Iterator[Value]:
        """What is written inside is done for begin, begin + step, …, as long as that is below the end."""
        b = self.builder
        begin, end, step = map(self.number, (begin, end, step))
        head, body, after = (b.append_basic_block() for _ in range(3))
        before = b.block
        b.branch(head)
        b.position_at_end(head)
        index = b.phi(I64)
        index.add_incoming(begin.ir, before)
        b.cbranch(b.icmp_signed("<", index, end.ir), body, after)
        b.position_at_end(body)
        yield Value(self, index)
        index.add_incoming(b.add(index, step.ir, flags=["nsw"]), b.block)
        b.branch(head)
        b.position_at_end(after)

    @contextmanager
    def repeat(self, condition: Callable[[], Value]) -> Iterator[None]:
        """What is written inside is done as long as the condition is true."""
        b = self.builder
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        b.cbranch(condition().ir, body, after)
        b.position_at_end(body)
        yield
        b.branch(head)
        b.position_at_end(after)

    def when(self, condition: Value) -> Any:
        """What is written inside is done where the condition is true."""
        return self.builder.if_then(condition.ir)

    def either(self, condition: Value) -> Any:
        """Two blocks, one for a condition that is true, one for one that is not."""
        return self.builder.if_else(condition.ir)

    def cases(self, value: Value, numbers: Sequence[int]) -> Iterator[int]:
        """Gives each number: what is written meanwhile is done where the value is that one."""
        b = self.builder
        after = b.append_basic_block()
        switch = b.switch(value.ir, after)
        for number in numbers:
            block = b.append_basic_block()
            switch.add_case(ir.Constant(value.kind, number), block)
            b.position_at_end(block)
            yield number
            b.branch(after)
        b.position_at_end(after)
