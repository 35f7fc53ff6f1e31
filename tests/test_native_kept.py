import ast
import os
import platform
import re
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from imgconv.cli.doctor import doctor
from imgconv.engine.band import Variant
from imgconv.engine.methods import VARIANTS
from imgconv.formats.image import MOVES
from imgconv.native import compiler, kept

FUNCTIONS = [variant.function for variant in VARIANTS]
VARIANT = Variant("direct", "direct", "uint8", (3, 3)).function
posix = pytest.mark.skipif(os.name != "posix", reason="owners and modes are POSIX's")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """An empty folder for entry code, and a process that has loaded nothing."""
    folder = tmp_path / "code"
    monkeypatch.setenv("IMGCONV_CACHE_DIR", str(folder))
    monkeypatch.setattr(kept, "_loaded", {})
    return folder


@pytest.fixture(scope="module")
def compiled():
    return kept._compile(VARIANT)


@pytest.fixture
def entry(store, compiled):
    """A sound entry."""
    kept._write(kept._path(VARIANT), kept._key(VARIANT), *compiled)
    return kept._path(VARIANT)


def forget():
    kept._loaded.clear()


def test_code_is_compiled_once_and_then_read(store, monkeypatch):
    assert kept.loop(VARIANT).compile_s > 0
    forget()
    monkeypatch.setattr(kept, "_compile", lambda variant: pytest.fail("compiled again"))
    assert kept.loop(VARIANT).compile_s == 0
    assert [entry.state for entry in kept.entries(FUNCTIONS)] == ["sound"]


def test_every_flipped_byte_is_noticed(entry):
    sound = entry.read_bytes()
    key = kept._key(VARIANT)
    assert kept._read(entry, key) is not None
    for at in range(0, len(sound), 11):
        entry.write_bytes(sound[:at] + bytes([sound[at] ^ (1 << at % 8)]) + sound[at + 1 :])
        assert kept._read(entry, key) is None, f"byte {at}"


@pytest.mark.parametrize("damage", [b"", b"{}\n", b"null\n", b"[" * 100_000, b"\xff" * 100, b"a b c\n"])
def test_a_damaged_entry_is_compiled_again(entry, damage):
    entry.write_bytes(damage)
    assert kept.entries(FUNCTIONS)[0].state.startswith("damaged")
    assert kept.loop(VARIANT).compile_s > 0
    assert kept.entries(FUNCTIONS)[0].state == "sound"


def test_a_cut_entry_is_noticed(entry):
    sound = entry.read_bytes()
    for length in range(0, len(sound), 101):
        entry.write_bytes(sound[:length])
        assert kept._read(entry, kept._key(VARIANT)) is None


def test_an_entry_of_another_key_is_not_taken(entry):
    assert kept._read(entry, kept._key(Variant("direct", "direct", "uint8", (5, 5)).function)) is None


def test_old_entries_are_called_stale_and_can_be_cleared(entry):
    entry.rename(entry.with_name("0" * 32 + ".code"))
    assert [entry.state for entry in kept.entries(FUNCTIONS)] == ["stale"]
    assert kept.clear() == 1
    assert kept.entries(FUNCTIONS) == []


@posix
def test_code_that_others_can_write_is_not_taken(entry):
    entry.chmod(0o666)
    assert kept._read(entry, kept._key(VARIANT)) is None
    entry.chmod(0o600)
    entry.parent.chmod(0o777)
    assert kept._read(entry, kept._key(VARIANT)) is None
    assert "written by others" in kept.keeping_problem()
    forget()
    assert kept.loop(VARIANT).compile_s > 0  # runs without


@posix
def test_a_link_is_not_followed(entry, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    entry.rename(elsewhere)
    entry.symlink_to(elsewhere)
    assert kept._read(entry, kept._key(VARIANT)) is None


@posix
def test_what_is_kept_is_private(store, entry):
    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert [path.name for path in store.iterdir()] == [entry.name]


def test_where_nothing_can_be_kept_it_runs_all_the_same(tmp_path, monkeypatch, compiled):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("IMGCONV_CACHE_DIR", str(file))
    monkeypatch.setattr(kept, "_loaded", {})
    monkeypatch.setattr(kept, "_compile", lambda variant: compiled)
    assert kept.loop(VARIANT).compile_s > 0
    assert kept.keeping_problem()
    assert kept.entries(FUNCTIONS) == []


def test_the_key_names_all_that_shapes_the_code():
    key = ast.literal_eval(kept._key(VARIANT))
    assert key[2:5] == ("imgconv.engine.methods.direct_loop", "direct", ("uint8", (3, 3)))
    assert "kernel_rows" in dict(key[6][:-1])
    assert len({kept._key(function) for function in FUNCTIONS}) == len(FUNCTIONS)


def test_loops_need_no_symbol_from_outside_and_never_fuse():
    for variant in (
        VARIANT,
        Variant("direct", "direct", "int32").function,
        Variant("direct", "direct", "float64", (5, 5)).function,
        Variant("box", "box", "uint8").function,
    ):
        _, module = compiler.module_of(variant)
        declared = re.findall(r"^declare .*@([\w.]+)\(", str(module), re.MULTILINE)
        assert declared
        assert all(name.startswith("llvm.") for name in declared)
        assert "external" not in str(module)
        if words := {"x86_64": (r"v?mulp[sd]", "vfmadd"), "aarch64": ("fmul", "fmla")}.get(platform.machine()):
            code = compiler.target_machine().emit_assembly(module)
            assert re.search(words[0], code)
            assert words[1] not in code


@pytest.mark.parametrize("cores", [1, 2])
def test_everything_is_compiled_before_it_is_needed(store, monkeypatch, cores):
    functions = [*MOVES.values()]
    monkeypatch.setattr("imgconv.cli.doctor._functions", lambda: functions)
    monkeypatch.setattr("imgconv.threads.available_cores", lambda: cores)
    first, second = (CliRunner().invoke(doctor, ["warm"], standalone_mode=False) for _ in range(2))
    assert [first.return_value, second.return_value] == [0, 0]
    assert first.stdout.count("compiled in") == second.stdout.count("was there") == len(functions)
    assert [entry.state for entry in kept.entries(functions)] == ["sound"] * len(functions)


@posix
def test_compiling_everything_ends_at_once_where_nothing_can_be_kept(tmp_path):
    code = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "sys.argv = ['imgconv', 'doctor', 'warm']\nfrom imgconv.__main__ import main\nmain()"
    )
    environment = os.environ | {"IMGCONV_CACHE_DIR": str(tmp_path / "kept")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    told = f"{FUNCTIONS[0]} cannot be kept: {tmp_path / 'kept'}: file too large\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)
    assert [*(tmp_path / "kept").iterdir()] == []


def test_no_process_stays_when_everything_is_compiled(tmp_path):
    """One that stays holds standard output open, so that whoever reads it waits for ever."""
    code = (
        "import sys\nsys.argv = ['imgconv', 'doctor', 'warm']\n"
        "import imgconv.cli.doctor as module, imgconv.threads\nfrom imgconv.formats.image import MOVES\n"
        "module._functions = lambda: [*MOVES.values()]\nimgconv.threads.available_cores = lambda: 2\n"
        "from imgconv.cli import main\nmain()"
    )
    environment = os.environ | {"IMGCONV_CACHE_DIR": str(tmp_path / "kept")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("compiled in") == 2
