import ast
import os
import platform
import re
import stat
import subprocess
import sys

import pytest

from imgconv.engine import native
from imgconv.engine.native import Variant

VARIANT = Variant("uint8", (3, 3))
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty folder for kept code, and a process that has loaded nothing."""
    folder = tmp_path / "code"
    monkeypatch.setenv("IMGCONV_CACHE_DIR", str(folder))
    monkeypatch.setattr(native, "_loaded", {})
    return folder


@pytest.fixture(scope="module")
def compiled():
    return native._compile(VARIANT)


@pytest.fixture
def kept(store, compiled):
    """A sound entry."""
    native._write(VARIANT, *compiled)
    return native._path(VARIANT)


def forget():
    native._loaded.clear()


def test_code_is_compiled_once_and_then_read(store, monkeypatch):
    assert native.loop(VARIANT).compile_s > 0
    forget()
    monkeypatch.setattr(native, "_compile", lambda variant: pytest.fail("compiled again"))
    assert native.loop(VARIANT).compile_s == 0
    assert [entry.state for entry in native.entries()] == ["sound"]


def test_a_later_process_imports_no_numba(store):
    code = (
        "import sys, numpy, imgconv\n"
        "imgconv.correlate(numpy.zeros((4, 4), 'uint8'), 'sharpen')\n"
        "print('numba' in sys.modules)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in "ab"]
    assert [run.stdout.strip() for run in runs] == ["True", "False"]


def test_every_flipped_byte_is_noticed(kept):
    sound = kept.read_bytes()
    key = native._key(VARIANT)
    assert native._read(kept, key) is not None
    for at in range(0, len(sound), 11):
        kept.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :])
        assert native._read(kept, key) is None, f"byte {at}"


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"null\n", b"[" * 100_000, b"\xff" * 100, b"a b c\n"])
def test_a_damaged_entry_is_compiled_again(kept, damage):
    kept.write_bytes(damage)
    assert native.entries()[0].state.startswith("damaged")
    assert native.loop(VARIANT).compile_s > 0
    assert native.entries()[0].state == "sound"


def test_a_cut_entry_is_noticed(kept):
    sound = kept.read_bytes()
    for length in range(0, len(sound), 101):
        kept.write_bytes(sound[:length])
        assert native._read(kept, native._key(VARIANT)) is None


def test_an_entry_of_another_key_is_not_taken(kept):
    assert native._read(kept, native._key(Variant("uint8", (5, 5)))) is None


def test_old_entries_are_called_stale_and_can_be_cleared(kept):
    kept.rename(kept.with_name("0" * 32 + ".code"))
    assert [entry.state for entry in native.entries()] == ["stale"]
    assert native.clear() == 1
    assert native.entries() == []


@posix
def test_code_that_others_can_write_is_not_taken(kept):
    kept.chmod(0o666)
    assert native._read(kept, native._key(VARIANT)) is None
    kept.chmod(0o600)
    kept.parent.chmod(0o777)
    assert native._read(kept, native._key(VARIANT)) is None
    assert "written by others" in native.keeping_problem()
    forget()
    assert native.loop(VARIANT).compile_s > 0  # runs without


@posix
def test_a_link_is_not_followed(kept, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    kept.rename(elsewhere)
    kept.symlink_to(elsewhere)
    assert native._read(kept, native._key(VARIANT)) is None


@posix
def test_what_is_kept_is_private(store, kept):
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in store.iterdir()] == [kept.name]


def test_where_nothing_can_be_kept_it_runs_all_the_same(tmp_path, monkeypatch, compiled):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("IMGCONV_CACHE_DIR", str(file))
    monkeypatch.setattr(native, "_loaded", {})
    monkeypatch.setattr(native, "_compile", lambda variant: compiled)
    assert native.loop(VARIANT).compile_s > 0
    assert native.keeping_problem()
    assert native.entries() == []


def test_the_key_names_all_that_shapes_the_code():
    key = ast.literal_eval(native._key(VARIANT))
    assert key[2:4] == ("uint8", (3, 3))
    assert len({native._key(variant) for variant in native.every_variant()}) == len(list(native.every_variant()))


def test_loops_need_no_symbol_from_outside_and_never_fuse():
    for variant in (VARIANT, Variant("int32"), Variant("float64", (5, 5)), Variant("uint8", kind="box")):
        _, module = native._module(variant)
        declared = re.findall(r"^declare .*@([\w.]+)\(", str(module), re.MULTILINE)
        assert declared
        assert all(name.startswith("llvm.") for name in declared)
        assert "external" not in str(module)
        if platform.machine() == "x86_64":
            code = native._target().emit_assembly(module)
            assert re.search(r"v?mulp[sd]", code)
            assert "vfmadd" not in code
