import ctypes
import struct
import subprocess
import sys

import pytest

from imgconv.engine.band import Variant
from imgconv.formats.png.codec import FILTER
from imgconv.native import kept, link

pytestmark = pytest.mark.skipif(not link.possible(), reason="objects are linked on Linux x86-64 only")


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
    assert set(helpers) <= set(link.HELPERS)
    assert link.load(image, helpers) != link.load(image, helpers)


def test_helpers_are_reached_through_their_stubs():
    """A hand-made image: nothing but the stub for memset, called through its own address."""
    image = link.STUB + bytes(8)
    address = link.load(image, ["memset"])
    target = ctypes.create_string_buffer(8)
    memset = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t)(address)
    memset(ctypes.addressof(target), 7, 5)
    assert target.raw == b"\7" * 5 + b"\0" * 3


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
