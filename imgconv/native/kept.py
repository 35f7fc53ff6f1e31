"""Compiles a loop once, keeps its machine code, and loads it later without Numba, and mostly without LLVM.

Beside it lie plans, which take less time to load than to make (`value`, `keep_value`).

An entry is one file: a line of text (the symbol, the SHA-256 of the code, the key), then an object file as LLVM wrote
it. The code is handed to LLVM only when owner, mode, key and hash are right: of objects with one bit flipped, one in
four crashed the process or gave wrong pixels without a word. Anything wrong means: compile again. Where nothing can be
kept, the code lives for this process only.
"""

from __future__ import annotations

import ctypes
import os
import stat
import sys
import threading
import time
from ast import literal_eval
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from imgconv.errors import ImgconvError, reason
from imgconv.native import link
from imgconv.native.cpu import cpu

FORMAT = 2
LONGEST_HEADER = 16_384
LARGEST_ENTRY = 4 * 2**20
LARGEST_VALUE, MOST_VALUES = 2**16, 256  # bytes; files


class Function(NamedTuple):
    """What is compiled: a function that a function of a module writes.

    It is called as name(code, *arguments of the prototype, *arguments), and gives what is to be returned. The module
    may import from imgconv only those beside it whose names end in _loop, and those here.
    """

    module: str
    name: str
    arguments: tuple[Any, ...] = ()
    prototype: str = "p"  # of its arguments: p for a pointer, i for a 64-bit integer; it returns one
    layout: tuple[Any, ...] = ()  # of the memory that it is given: it is made anew where that changes

    def __str__(self) -> str:
        sizes = ["×".join(map(str, a)) if isinstance(a, tuple) else str(a) for a in self.arguments if a]
        return " ".join([self.name, *sizes])


class Loop(NamedTuple):
    """A loaded loop: call it through ctypes, which releases the GIL."""

    call: Any
    compile_s: float


class Entry(NamedTuple):
    """One file of kept code, as `imgconv doctor` shows it."""

    path: Path
    function: str
    bytes: int
    state: str  # "sound", "stale" or what is wrong


_loaded: dict[Function, Loop] = {}
_engines: list[Any] = []  # LLVM frees the code with its engine
_lock = threading.RLock()
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)
_unkept: list[str] = []  # why, once something was compiled that could not be kept
_spent = [0.0]  # seconds spent on compiling in this process


def loop(function: Function) -> Loop:
    """The loop for `function`: from this process, else from kept code, else compiled now (and kept)."""
    with _lock:
        loaded = _loaded.get(function)
        if loaded is None:
            started = time.perf_counter()
            kept = _read(_path(function), _key(function))
            if kept is not None:
                loaded = Loop(_link(function, *kept), 0.0)
            else:
                with _alone(_path(function)):
                    kept = _read(_path(function), _key(function))  # another process may have been first
                    symbol, code = kept or _compile(function)
                    if kept is None:
                        try:
                            _write(_path(function), _key(function), symbol, code)
                        except OSError as problem:
                            _unkept[:] = [_why(problem, directory())]
                loaded = Loop(_link(function, symbol, code), time.perf_counter() - started)
                _spent[0] += loaded.compile_s
            _loaded[function] = loaded._replace(compile_s=0.0)
        return loaded


def prepare(function: Function) -> float:
    """Loads a loop, so that it is kept; returns the seconds spent on compiling it, 0 when it was."""
    return loop(function).compile_s


def compile_seconds() -> float:
    """Seconds that this process has spent on compiling."""
    return _spent[0]


def clock() -> float:
    """Seconds, without those that this process has spent on compiling."""
    return time.perf_counter() - _spent[0]


def directory() -> Path:
    """Where code is kept: $IMGCONV_CACHE_DIR, else the user's cache folder."""
    if chosen := os.environ.get("IMGCONV_CACHE_DIR"):
        return Path(chosen).absolute()
    try:
        home = Path.home()
    except RuntimeError:
        # a user whom the system does not know, without HOME; what lies there must be ours, as everywhere
        return Path(os.environ.get("TMPDIR", "/tmp"), f"imgconv-{os.getuid()}")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or home / ".cache"
    return Path(base) / "imgconv"


def entries(functions: Iterable[Function]) -> list[Entry]:
    """Every kept entry with its state, of which only those of `functions` are known; never raises."""
    try:
        paths = sorted(directory().glob("*.code"))
    except OSError:
        return []
    current = {_path(function): function for function in functions}
    result = []
    for path in paths:
        try:
            size = path.stat().st_size
        except OSError:
            continue
        function = current.get(path)
        if function is None:
            result.append(Entry(path, "?", size, "stale"))
        else:
            sound = _read(path, _key(function)) is not None
            result.append(Entry(path, str(function), size, "sound" if sound else "damaged, will be compiled again"))
    return result


def clear() -> int:
    """Deletes every kept entry; returns how many went."""
    count = 0
    for path in (path for ending in ("code", "plan", "part", "lock") for path in directory().glob(f"*.{ending}")):
        with suppress(OSError):
            path.unlink()
            count += 1
    return count


def keeping_problem() -> str | None:
    """Why code cannot be kept, in words, or None when it can."""
    try:
        _private(directory(), make=True)
    except OSError as problem:
        return _why(problem, directory())
    return None


def unkept() -> str | None:
    """Why code that this process compiled could not be kept, in words, or None."""
    return _unkept[0] if _unkept else None


def _why(problem: OSError, folder: Path) -> str:
    text = reason(problem)
    return text if str(folder) in text else f"{folder}: {text}"


@cache
def _hash() -> Any:
    """SHA-256 by Python's own code: hashlib loads OpenSSL first, which takes 3 ms of each start."""
    try:
        return import_module("_sha2" if sys.version_info >= (3, 12) else "_sha256").sha256
    except ImportError:  # a Python that is built otherwise
        return import_module("hashlib").sha256


def sha256(data: bytes) -> str:
    """In hexadecimal digits."""
    digest: str = _hash()(data).hexdigest()
    return digest


@cache
def _version() -> str:
    """The versions of Numba and LLVM's package, found without importing them."""
    texts = [_source(name).with_name("_version.py").read_bytes() for name in ("numba", "llvmlite")]
    return sha256(b"\0".join(texts))


def _source(package: str) -> Path:
    spec = find_spec(package)
    return Path(spec.origin or "") if spec else Path()


@cache
def _sources(module: str) -> str:
    """The sources that shape a loop: what is here, and the loops beside its own."""
    house = Path(__file__).parents[1]
    beside = house.joinpath(*module.split(".")[1:-1])  # to find its spec would import the packages that it is in
    paths = sorted([*Path(__file__).parent.glob("*.py"), *beside.glob("*_loop.py")])
    return sha256(b"\0".join(path.read_bytes() for path in paths))


@cache
def _key(function: Function) -> str:
    """All that shapes the code of a loop, as one line."""
    return repr((FORMAT, _sources(function.module), *function, _version(), cpu().identity, sys.platform))


def _path(function: Function) -> Path:
    return _place(_key(function), ".code")


def _place(key: str, ending: str) -> Path:
    return directory() / (sha256(key.encode())[:32] + ending)


def value(key: str) -> Any:
    """What `keep_value` has kept under a key, one line of text; None where there is nothing, or nothing sound."""
    kept = _read(_place(key, ".plan"), key)
    return literal_eval(kept[1].decode()) if kept else None


def keep_value(key: str, value: Any) -> None:
    """Keeps a value of Python's own types, if that is possible and it is small; the oldest of many go."""
    data = repr(value).encode()
    if len(data) > LARGEST_VALUE:
        return
    with suppress(OSError):
        _write(_place(key, ".plan"), key, "plan", data)
        for old in sorted(directory().glob("*.plan"), key=os.path.getmtime)[:-MOST_VALUES]:
            old.unlink()


def _private(folder: Path, *, make: bool) -> None:
    """Raises OSError unless `folder` is the user's own and closed to others."""
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    facts = os.lstat(folder)
    if stat.S_ISLNK(facts.st_mode):
        raise NotADirectoryError(f"{folder} is a symbolic link")
    if not stat.S_ISDIR(facts.st_mode):
        raise NotADirectoryError(f"{folder} is not a folder")
    if facts.st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    if facts.st_mode & 0o022:
        raise PermissionError(f"{folder} can be written by others (chmod 700 it)")


def _read(path: Path, key: str) -> tuple[str, bytes] | None:
    """(symbol, code) of a sound entry, else None."""
    try:
        _private(path.parent, make=False)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
        with open(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            ours = os.name != "posix" or (facts.st_uid == os.getuid() and not facts.st_mode & 0o022)
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST_ENTRY or not ours:
                return None
            symbol, digest, kept_key = file.readline(LONGEST_HEADER).decode().split(" ", 2)
            code = file.read(LARGEST_ENTRY)
        return (symbol, code) if (digest, kept_key) == (_digest(symbol, code), key + "\n") else None
    except (OSError, ValueError):
        return None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """While one process compiles an entry, the others that want it wait."""
    lock = path.with_suffix(".lock")
    try:
        import fcntl

        _private(path.parent, make=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except (ImportError, OSError):  # Windows; or nothing can be kept
        yield
        return
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _digest(symbol: str, code: bytes) -> str:
    return sha256(symbol.encode() + b"\0" + code)


def _write(path: Path, key: str, symbol: str, data: bytes) -> None:
    """Writes an entry; a reader sees all of it or nothing. Raises OSError where it cannot be kept."""
    part = path.with_name(os.urandom(8).hex() + ".part")
    header = f"{symbol} {_digest(symbol, data)} {key}\n"
    _private(path.parent, make=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(header.encode() + data)
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _compile(function: Function) -> tuple[str, bytes]:
    """(symbol, object file) of a loop for this CPU."""
    from imgconv.native.compiler import compile_loop  # here, because few runs compile

    return compile_loop(function)


def _link(function: Function, symbol: str, code: bytes) -> Any:
    """Object file -> a function that ctypes can call."""
    kinds = {"p": ctypes.c_void_p, "i": ctypes.c_int64}
    prototype = ctypes.CFUNCTYPE(ctypes.c_int64, *(kinds[kind] for kind in function.prototype))
    if link.possible() and (image := link.linked(code, symbol)) is not None:
        try:
            return prototype(link.load(image[0], image[2]) + image[1])
        except (OSError, ValueError) as problem:  # a system that forbids it may still let LLVM
            if not link.may_compile():
                raise ImgconvError(f"this system lets no kept code be run: {problem}") from None
    import llvmlite.binding as llvm

    from imgconv.native.compiler import target_machine

    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine())
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return prototype(engine.get_function_address(symbol))
