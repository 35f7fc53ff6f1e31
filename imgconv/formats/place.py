"""Writes files so that a target is always whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from imgconv.errors import WriteError, reason
from imgconv.threads import text_of

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART = ".imgconv-*.part"  # a file that is being written
READY = ".imgconv-*.ready"  # one that is complete, and waits for its name
READY_S = 86400  # after which nobody will name it any more
PIECE = 2**24  # bytes handed to the system at once
NAMELESS = getattr(os, "O_TMPFILE", 0)
ITSELF = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # no link is followed, no pipe waited for
# ext4, XFS, Btrfs by their numbers in Linux's statfs: all that is to be written there takes a third of the time that
# one small file after the other takes, and other systems (FUSE, say) would not hand the word on
WHOLE_SYSTEMS = (0xEF53, 0x58465342, 0x9123683E)
MOST_UNWRITTEN = 2**18  # kB in memory, of anybody's files: with more, each of ours is waited for by itself

Sealed = Callable[[str, os.stat_result], None]  # of the name that a file gets, and of the file

_parts: set[str] = set()  # those of this process
_synced: set[BinaryIO] = set()  # files that are on the disk, and wait for their names
_beginning = threading.Lock()


def write(path: Path, data: bytes, *, overwrite: bool) -> None:
    """Writes `data` to `path`: whole, on the disk, or not at all, as `placed` does."""
    with placed(path, overwrite=overwrite) as file:
        put(file, data)


def put(file: BinaryIO, data: bytes | memoryview) -> None:
    """Writes all of `data` to a file without a buffer, which may take less at a time."""
    view = memoryview(data).cast("B")
    while view:
        view = view[file.write(view[:PIECE]) :]


def rename(path: Path, name: Path, *, overwrite: bool, sealed: Sealed | None = None) -> None:
    """Gives a complete file its name, in one step, with rights and `sealed` as in `placed`; or deletes it.

    Raises WriteError when there is a file of that name and `overwrite` is false, or the system refuses.
    """
    target, mode = followed(os.fspath(name))
    try:
        with _refusals(name):
            if overwrite and mode:
                with open(path, "rb") as file:
                    _take_rights(file.fileno(), target)
            if sealed is not None:
                sealed(target, os.stat(path))
            _place(os.fspath(path), target, overwrite=overwrite)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def placed(path: Path, *, overwrite: bool, sealed: Sealed | None = None) -> Iterator[BinaryIO]:
    """A file to be written in the block, which then becomes `path`: whole, on the disk, or not at all.

    The bytes go to a file without a name, where the system can give it one later and nothing is to be replaced, or of a
    random name beside the target; are synced, and take its place in one step. A symbolic link is followed. The mode of
    a new file follows the umask; of a file that is replaced all that `_take_rights` says is kept. What killed processes
    have left half written in that folder is deleted. `sealed` is called just before the file takes its name, with that.

    Raises WriteError when the target exists and `overwrite` is false, is no regular file, or the system refuses. The
    target is as it was.
    """
    target, mode = followed(os.fspath(path))
    replaces = overwrite and mode != 0
    part, file = "", None
    folder = os.path.dirname(target)
    sweep_once(folder)
    try:
        with _refusals(path):
            if replaces and not stat.S_ISREG(mode):
                raise OSError("is not a regular file")
            if not overwrite and _names_later(folder):
                descriptor = os.open(folder or ".", NAMELESS | os.O_WRONLY, 0o666)
            else:
                part, descriptor = _begun_part(folder, 0o600 if replaces else 0o666)
            with open(descriptor, "wb", buffering=0) as file:
                yield file
                if replaces:
                    _take_rights(descriptor, target)
                if replaces or file not in _synced:
                    os.fsync(descriptor)
                if sealed is not None:
                    sealed(target, os.fstat(descriptor))
                if os.name == "nt":  # elsewhere it is locked until it has its name
                    file.close()
                if part:
                    _place(part, target, overwrite=overwrite)
                else:
                    _name(descriptor, target)
    finally:
        if file is not None:
            _synced.discard(file)
        if part:
            with contextlib.suppress(OSError):
                os.unlink(part)
            _parts.discard(part)


def sync(files: Iterable[BinaryIO]) -> None:
    """Has several files of `placed` on the disk that are complete: those on one file system by one call for all of it.

    Where that cannot be, or something goes wrong, they are only on their way: `placed` waits for each, and tells.
    """
    systems: dict[int, list[Any]] = {}
    for file in files:
        if isinstance(file, io.FileIO):
            systems.setdefault(os.fstat(file.fileno()).st_dev, []).append(file)
    for some in systems.values():
        if len(some) > 1 and _is_all_written(some[0].fileno()):
            _synced.update(some)
        elif len(some) > 1 and hasattr(os, "posix_fadvise"):
            for file in some:
                with contextlib.suppress(OSError):  # pages that are not on the disk stay
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _is_all_written(descriptor: int) -> bool:
    """Puts all of a file's system on the disk, where that pays, others have little to write, and nothing goes wrong."""
    from ctypes import create_string_buffer  # here, as in `_library`: one file does not need it

    library, about = _library(), create_string_buffer(256)
    if library is None or library.fstatfs(descriptor, about):
        return False
    waiting = re.findall(r"^(?:Dirty|Writeback):\s+(\d+)", text_of("/proc/meminfo"), re.MULTILINE)
    if struct.unpack_from("l", about)[0] not in WHOLE_SYSTEMS or not waiting or sum(map(int, waiting)) > MOST_UNWRITTEN:
        return False
    return bool(library.syncfs(descriptor) == 0)


@cache
def _library() -> Any:
    """The C library, where it has `syncfs`, and Linux says what went wrong in that: since 5.8."""
    if sys.platform != "linux" or tuple(map(int, re.findall(r"\d+", os.uname().release)[:2])) < (5, 8):
        return None
    import ctypes

    library = ctypes.CDLL(None)
    return library if hasattr(library, "syncfs") else None


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    """What the system refuses in the block becomes a WriteError."""
    try:
        yield
    except FileExistsError:
        raise WriteError(f"{path}: exists; --overwrite replaces it") from None
    except OSError as problem:
        raise WriteError(f"{path}: {reason(problem)}; nothing was written") from None


def abandon() -> None:
    """Deletes what is being written, in a process that ends now: nothing can be begun any more."""
    _beginning.acquire(timeout=1)
    for part in list(_parts):
        with contextlib.suppress(OSError):
            os.unlink(part)


def followed(path: str) -> tuple[str, int]:
    """What a path means where it is a symbolic link, and the mode of the file there, 0 where there is none."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            path = os.path.realpath(path)
            mode = os.stat(path).st_mode
    except OSError:
        mode = 0
    return path, mode


@cache
def _names_later(folder: str) -> bool:
    """Whether a file in a folder can get its name when it is complete. It is tried: /proc may not be there, say.

    Nor does Linux before 6.0 always take off what the umask says.
    """
    part = os.path.join(folder, PART.replace("*", os.urandom(8).hex()))
    umask = re.search(r"^Umask:\s+(\d+)", text_of("/proc/self/status"), re.MULTILINE)
    if not NAMELESS or umask is None:
        return False
    try:
        descriptor = os.open(folder or ".", NAMELESS | os.O_WRONLY, 0o666)
    except OSError:
        return False
    _parts.add(part)
    try:
        if os.fstat(descriptor).st_mode & int(umask[1], 8):
            return False
        _name(descriptor, part)
        os.unlink(part)
    except OSError:
        return False
    finally:
        _parts.discard(part)
        os.close(descriptor)
    return True


def _name(descriptor: int, target: str) -> None:
    """Gives a file without a name one; raises FileExistsError as `_place` does."""
    os.link(f"/proc/self/fd/{descriptor}", target, src_dir_fd=descriptor)  # with which links are followed


def _begun_part(folder: str, mode: int) -> tuple[str, int]:
    """A new file in a folder, which `sweep` leaves alone as long as it is open, and its descriptor."""
    while True:
        part = os.path.join(folder, PART.replace("*", os.urandom(8).hex()))
        with _beginning:
            _parts.add(part)
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
        if fcntl is None:
            return part, descriptor
        with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return part, descriptor
        os.close(descriptor)  # swept before it was locked


def sweep(folder: str, run: str = "") -> None:
    """Deletes files that killed processes were writing in a folder: nobody has them locked any more.

    And complete ones that wait for their names: those that a `run` has left, and such as wait for a day.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(folder or "."):
            if not name.startswith(".imgconv-"):
                continue
            path = os.path.join(folder, name)
            if fnmatchcase(name, READY):
                with contextlib.suppress(OSError):
                    if (run and f"-{run}-" in name) or os.lstat(path).st_mtime < time.time() - READY_S:
                        os.unlink(path)
            elif fcntl is not None and fnmatchcase(name, PART):
                with contextlib.suppress(OSError), open(path, "rb", opener=open_itself) as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    os.unlink(path)


sweep_once = cache(sweep)


def open_itself(name: str, flags: int) -> int:
    """An opener for `open` that follows no link, and waits for no pipe."""
    return os.open(name, flags | ITSELF)


def _take_rights(descriptor: int, target: str) -> None:
    """Gives the new file owner, group, mode, ACL and extended attributes of the old one, as far as we may.

    Set-user and set-group bits go where owner or group is another one.
    """
    old = os.stat(target)
    mode = stat.S_IMODE(old.st_mode)
    if os.name == "posix":
        for owner in (old.st_uid, -1):
            with contextlib.suppress(OSError):
                os.fchown(descriptor, owner, old.st_gid)
                break
        new = os.fstat(descriptor)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            mode &= ~(stat.S_ISUID | stat.S_ISGID)
    if hasattr(os, "listxattr"):  # of which an ACL is one
        with contextlib.suppress(OSError):
            kept = set(os.listxattr(target)) - {"security.capability"}
            for name in kept | set(os.listxattr(descriptor)):
                with contextlib.suppress(OSError):
                    if name in kept:
                        os.setxattr(descriptor, name, os.getxattr(target, name))
                    else:
                        os.removexattr(descriptor, name)
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, mode)


def _place(part: str, target: str, *, overwrite: bool) -> None:
    """Gives `part` the target's name; raises FileExistsError when somebody else was first and is not to be replaced."""
    if overwrite:
        os.replace(part, target)
        return
    try:
        os.link(part, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if os.path.lexists(target):
            raise FileExistsError from None
        os.replace(part, target)


def lacks_folder(path: Path) -> bool:
    """Whether the folder that a file is to lie in is not there; where that cannot be seen, `placed` says why."""
    try:
        return not stat.S_ISDIR(os.stat(path.parent).st_mode)
    except OSError as problem:
        return not isinstance(problem, PermissionError)


def check_place(path: Path, *, makes: bool = False) -> None:
    """Raises the WriteError of `placed`, and of `make_folder` where that `makes` one, as far as it is known before."""
    folder, end = os.path.dirname(followed(os.fspath(path))[0]) or ".", "; nothing was written"
    if makes and not os.path.isdir(path.parent):
        path, end = path.parent, ""
        there = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
        if not os.path.isdir(there):
            raise WriteError(f"{path}: {there} is no folder")
        folder = os.fspath(there)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.lstat(path)
        os.stat(folder)
        if not os.access(folder, os.W_OK | os.X_OK):
            fixed = hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY  # Windows has none
            number = errno.EROFS if fixed else errno.EACCES
            raise OSError(number, os.strerror(number))
    except OSError as problem:
        raise WriteError(f"{path}: {reason(problem)}{end}") from None


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents. Raises WriteError."""
    if os.path.isdir(folder):
        return
    missing = [folder]
    while not os.path.exists(missing[-1]) and missing[-1] != missing[-1].parent:
        missing.append(missing[-1].parent)
    try:
        for each in reversed(missing):  # mkdir(parents=True) calls itself for each of them, which may be too many
            each.mkdir(exist_ok=True)
    except FileExistsError:
        raise WriteError(f"{folder}: {each} is no folder") from None
    except OSError as problem:
        raise WriteError(f"{folder}: {reason(problem)}") from None
