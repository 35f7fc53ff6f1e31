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
from imgconv.native.value import F32, F64, I1, I8, I16, I32, I64, NONE, POINTER, Pointer, Value, Variable, size_of

__all__ = ["F32", "F64", "I1", "I8", "I16", "I32", "I64", "Code", "Pointer", "Value", "Variable", "size_of"]


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
