"""Writes files so that a target is always whole: the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import BinaryIO

from imgconv.errors import WriteError, reason

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

PART = ".imgconv-*.part"  # a file that is being written
READY = ".imgconv-*.ready"  # one that is complete, and waits for its name
READY_S = 86400  # after which nobody will name it any more
PIECE = 2**24  # bytes handed to the system at once

_parts: set[str] = set()  # those of this process
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


def rename(path: Path, name: Path, *, overwrite: bool, sealed: Callable[[os.stat_result], None] | None = None) -> None:
    """Gives a complete file its name, in one step, with rights and `sealed` as in `placed`; or deletes it.

    Raises
    ------
    WriteError
        When there is a file of that name and `overwrite` is false, or the system refuses.
    """
    target, mode = followed(os.fspath(name))
    try:
        with _refusals(name):
            if overwrite and mode:
                with open(path, "rb") as file:
                    _take_rights(file.fileno(), target)
            if sealed is not None:
                sealed(os.stat(path))
            _place(os.fspath(path), target, overwrite=overwrite)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


@contextlib.contextmanager
def placed(
    path: Path, *, overwrite: bool, sealed: Callable[[os.stat_result], None] | None = None
) -> Iterator[BinaryIO]:
    """A file to be written in the block, which then becomes `path`: whole, on the disk, or not at all.

    The bytes go to a file of random name beside the target, are synced, and take its place in one step. A symbolic
    link is followed. The mode of a new file follows the umask; of a file that is replaced all that `_take_rights` says
    is kept. What killed processes have left half written in that folder is deleted. `sealed` is called just before the
    file takes its name.

    Raises
    ------
    WriteError
        When the target exists and `overwrite` is false, is no regular file, or the system refuses. The target is as
        it was.
    """
    target, mode = followed(os.fspath(path))
    replaces = overwrite and mode != 0
    part = ""
    folder = os.path.dirname(target)
    sweep_once(folder)
    try:
        with _refusals(path):
            if replaces and not stat.S_ISREG(mode):
                raise OSError("is not a regular file")
            part, descriptor = _begun_part(folder, 0o600 if replaces else 0o666)
            with open(descriptor, "wb", buffering=0) as file:
                yield file
                if replaces:
                    _take_rights(descriptor, target)
                os.fsync(descriptor)
                if sealed is not None:
                    sealed(os.fstat(descriptor))
                if os.name == "nt":  # elsewhere it is locked until it has its name
                    file.close()
                _place(part, target, overwrite=overwrite)
    finally:
        if part:
            with contextlib.suppress(OSError):
                os.unlink(part)
            _parts.discard(part)


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
            path = os.path.join(folder, name)
            if fnmatchcase(name, READY):
                with contextlib.suppress(OSError):
                    if (run and f"-{run}-" in name) or os.lstat(path).st_mtime < time.time() - READY_S:
                        os.unlink(path)
            elif fcntl is not None and fnmatchcase(name, PART):
                with contextlib.suppress(OSError), open(path, "rb", opener=_without_following) as file:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    os.unlink(path)


sweep_once = cache(sweep)


def _without_following(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


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


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents. Raises WriteError."""
    if os.path.isdir(folder):
        return
    missing = [folder]
    while not missing[-1].exists() and missing[-1] != missing[-1].parent:
        missing.append(missing[-1].parent)
    try:
        for each in reversed(missing):  # mkdir(parents=True) calls itself for each of them, which may be too many
            each.mkdir(exist_ok=True)
    except OSError as problem:
        raise WriteError(f"{folder}: {reason(problem)}") from None
