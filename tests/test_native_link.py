import ctypes
import platform
import struct
import subprocess
import sys

import pytest

from imgconv.engine.band import Variant
from imgconv.formats.png.codec import FILTER
from imgconv.native import compiler, kept, link
from imgconv.native.cpu import Cpu

pytestmark = pytest.mark.skipif(not link.possible(), reason="objects are linked on Linux only, x86-64 and AArch64")


@pytest.fixture(
    scope="module",
    params=[*(Variant(name, name, "uint8").function for name in ("direct", "box", "decimated")), FILTER],
    ids=str,
)
def compiled(request):
    return kept._compile(request.param)


def test_an_image_runs_wherever_it_lies(compiled):
    symbol, code = compiled
    image, start, helpers = link.linked(code, symbol)
    assert start > 0
    assert helpers.keys() <= set(link.HELPERS)
    assert link.load(image, helpers) != link.load(image, helpers)


def test_helpers_are_reached_through_their_stubs():
    """A hand-made image: nothing but the stub for memset, called through its own address."""
    stub = link.STUBS[link.AARCH64 if platform.machine() == "aarch64" else link.X86_64]
    address = link.load(stub + bytes(8), {"memset": len(stub)})
    target = ctypes.create_string_buffer(8)
    memset = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)(address)
    memset(ctypes.addressof(target), 7, 5)
    assert target.raw == b"\7" * 5 + b"\0" * 3


@pytest.fixture
def aarch64(monkeypatch):
    """What compiles for AArch64, on any machine: a module of LLVM, as text or as it is, to an object file."""
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    triple = "aarch64-unknown-linux-gnu"
    target = llvm.Target.from_triple(triple).create_target_machine(reloc="pic", codemodel="small", opt=3)
    made = Cpu("", "", frozenset({"asimd"}))
    monkeypatch.setattr(compiler, "cpu", lambda: made)
    monkeypatch.setattr(compiler, "target_machine", lambda: target)

    def compile_(module):
        module = llvm.parse_assembly(module) if isinstance(module, str) else module
        module.triple, module.data_layout = triple, str(target.target_data)
        return target.emit_object(module)

    return compile_


def reached(image, start):
    """Every address that AArch64 code reaches, up to a return, decoded as Arm's manual has it."""
    pages = {}

    def signed(number, bits):
        return number - (number >> bits - 1 << bits)

    for place in range(start, len(image), 4):
        (word,) = struct.unpack_from("<I", image, place)
        base, number = word >> 5 & 31, word >> 10 & 0xFFF
        if word & 0x9F000000 == 0x90000000:  # adrp
            pages[word & 31] = (place >> 12) + signed((word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3, 21) << 12
        elif word & 0xFFC00000 == 0x91000000 and base in pages:  # add
            yield pages[base] + number
        elif word & 0x3B000000 == 0x39000000 and base in pages:  # ldr, str
            yield pages[base] + (number << (4 if word & 0x04800000 == 0x04800000 else word >> 30))
        elif word >> 26 in (0b000101, 0b100101):  # b, bl
            yield place + 4 * signed(word & 0x3FFFFFF, 26)
        if word in (0xD65F03C0,) or word >> 26 == 0b000101:  # ret, or a call in its place
            return


@pytest.mark.parametrize("gap", [0, 5008, 70_000, 2**20])
def test_code_of_aarch64_reaches_what_it_means(aarch64, gap):
    numbers = {"i8": 11, "i16": 2203, "i32": 330_000_003, "i64": 44 * 10**17 + 4, "double": 5.75, "i24": 660_006}
    module = [f"@gap = internal constant [{gap} x i8] zeroinitializer"]
    module += [f"@{kind} = internal constant {kind} {number}, align 16" for kind, number in numbers.items()]
    module += ["@vector = internal constant <4 x i32> <i32 7, i32 8, i32 9, i32 10>"]
    module += ["declare ptr @memset(ptr, i32, i64)", "define ptr @loop(ptr %to) {"]
    for kind, name in (*((kind, kind) for kind in numbers if kind != "i24"), ("<4 x i32>", "vector")):
        module += [f"%{name} = load volatile {kind}, ptr @{name}", f"store volatile {kind} %{name}, ptr %to"]
    module += ["store volatile ptr @i24, ptr %to", "store volatile ptr @gap, ptr %to"]
    module += ["call ptr @memset(ptr %to, i32 1, i64 9999)"]
    module += ["%last = tail call ptr @memset(ptr %to, i32 2, i64 9999)", "ret ptr %last", "}"]
    image, start, helpers = link.linked(aarch64("\n".join(module)), "loop")
    found = list(reached(image, start))
    stub = helpers["memset"] - 8
    assert image[stub : stub + 8] == bytes.fromhex("50000058 00021fd6")
    assert found.count(stub) == 2
    wanted = [struct.pack("<d", 5.75), struct.pack("<4i", 7, 8, 9, 10)]
    wanted += [numbers[f"i{bits}"].to_bytes(bits // 8, "little") for bits in (8, 16, 24, 32, 64)]
    assert len(found) == 10  # these seven, the gap, and memset twice
    assert {number for number in wanted for at in found if image[at : at + len(number)] == number} == {*wanted}


def test_loops_of_aarch64_are_understood(aarch64):
    for function in (Variant("box", "box", "uint8").function, FILTER):
        symbol, module = compiler.module_of(function)
        image, start, helpers = link.linked(aarch64(module), symbol)
        assert helpers.keys() <= set(link.HELPERS)
        assert 64 in reached(image, start)  # where the code begins behind the object's header


def test_what_is_not_understood_is_left_to_llvm(compiled):
    symbol, code = compiled
    assert link.linked(code, symbol + "x") is None
    table = struct.unpack_from("<Q", code, 40)[0]
    count = struct.unpack_from("<H", code, 60)[0]
    for number in range(count):
        header = table + 64 * number
        kind, offset, size = struct.unpack_from("<4xI16xQQ", code, header)
        if kind != link.RELOCATION_SECTION or not size:
            continue
        target = struct.unpack_from("<I", code, header + 44)[0]
        if struct.unpack_from("<Q", code, table + 64 * target + 8)[0] & link.ALLOCATED:
            strange = bytearray(code)
            struct.pack_into("<I", strange, offset + 8, 99)
            assert link.linked(bytes(strange), symbol) is None


def test_no_other_function_of_the_c_library_is_reached():
    symbol, code = kept._compile(Variant("box", "box", "uint8").function)
    assert b"memset" in code
    assert link.linked(code.replace(b"memset", b"system"), symbol) is None


def test_only_the_process_that_compiles_imports_numba_and_llvm(tmp_path, monkeypatch):
    monkeypatch.setenv("IMGCONV_CACHE_DIR", str(tmp_path))
    code = (
        "import sys, numpy, imgconv\n"
        "imgconv.correlate(numpy.zeros((4, 4), 'uint8'), 'sharpen')\n"
        "print(sorted({'numba', 'llvmlite'} & sys.modules.keys()))"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in "ab"]
    assert [run.stdout.strip() for run in runs] == ["['llvmlite', 'numba']", "[]"]


def test_where_no_memory_can_be_run_llvm_loads_the_code(monkeypatch):
    def forbidden(image, helpers):
        raise OSError("no")

    monkeypatch.setattr(link, "load", forbidden)
    monkeypatch.setattr(kept, "_loaded", {})
    assert kept.loop(Variant("direct", "direct", "uint8", (3, 3)).function).call is not None
