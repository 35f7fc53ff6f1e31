"""Files elsewhere: whatever fsspec opens, such as s3://bucket/photo.png or https://host/photo.jpg.

fsspec is imported when the first such name is met, and what serves its protocol, too. Credentials are found by those
libraries (in the environment, in their own files), and stand in no message.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from imgconv.arrayfile import opened as opened_here
from imgconv.errors import ImgconvError, PictureError, UsageError, WriteError, reason
from imgconv.formats.picture import FIRST, Picture
from imgconv.formats.place import PART, PIECE
from imgconv.formats.read import LARGEST_FILE, frames_of, named

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits
    from imgconv.formats.raw import Raw

REMOTE = "[A-Za-z][A-Za-z0-9+.-]+(://|::)"  # one letter is a drive of Windows
WEB = ("http", "https")  # only read from; folders are pages with links, and their names end in a slash
# an object appears there when its upload is complete; elsewhere a file has another name until then
OBJECT_STORES = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az")
EXCLUSIVE = ("s3", "s3a", "gs", "gcs")  # of them, those that can refuse to replace an object
WRITTEN = ("Last-Modified", "LastModified", "last_modified", "mtime", "created")  # when, as file systems call it
WHOLE_BYTES = 2**24  # larger files are read by ranges of so many bytes
SINGLY = 3  # results in a folder that are asked for one by one; for more it is listed


class Remote(NamedTuple):
    """A name that fsspec understands, with the properties of a path that are needed here."""

    url: str

    def __str__(self) -> str:
        return hidden(self.url)

    @property
    def protocol(self) -> str:
        return re.split("://|::", self.url, maxsplit=1)[0].lower()

    @property
    def name(self) -> str:
        return self._way.rpartition("/")[2]

    @property
    def stem(self) -> str:
        return os.path.splitext(self.name)[0]

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.name)[1]

    @property
    def parent(self) -> Remote:
        return Remote(self._way.rpartition("/")[0])

    @property
    def _way(self) -> str:
        """Without what a web server is asked besides."""
        return re.split("[?#]", self.url, maxsplit=1)[0] if self.protocol in WEB else self.url


def is_here(name: str) -> bool:
    """Whether a name is that of a file of this machine."""
    return ":" not in name or re.match(REMOTE, name) is None


def place(name: str) -> Path | Remote:
    """The file of that name, here or elsewhere."""
    return Path(name) if is_here(name) else Remote(name)


def full(path: Path | Remote) -> str:
    """Its name, whatever that gives away."""
    return path.url if isinstance(path, Remote) else str(path)


def hidden(text: str) -> str:
    """The text without what may give access: passwords in addresses, and what a web server is asked besides."""
    text = re.sub(r"(?<=://)[^/\s@]*@", "…@", text)
    return re.sub(r"(https?://[^\s?'\"]*)\?[^\s'\"]*", r"\1?…", text)


@contextlib.contextmanager
def _raising(here: Remote, error: type[ImgconvError]) -> Iterator[None]:
    """Whatever the libraries raise becomes one line that names the file."""
    try:
        yield
    except (ImgconvError, MemoryError):
        raise
    except Exception as problem:
        raise error(f"{here}: {_why(problem, here)}") from None


def _why(problem: Exception, here: Remote) -> str:
    """What is wrong, in a line."""
    text = " ".join(hidden(str(problem)).split())
    status = getattr(problem, "status", None)
    if isinstance(status, int):  # aiohttp's, whose text repeats the address
        return f"the server says {status} {getattr(problem, 'message', '')}".rstrip()
    if isinstance(problem, FileNotFoundError) and (problem.errno is not None or text.strip("/") in str(here)):
        cause = problem.__cause__ if here.protocol in WEB else None  # fsspec says so of whatever goes wrong there
        return _why(cause, here) if isinstance(cause, Exception) else "not found"
    if isinstance(problem, FileExistsError):
        return "exists; --overwrite replaces it"
    if isinstance(problem, OSError) and problem.strerror:
        return hidden(reason(problem))
    return text[:1].lower() + text[1:] or type(problem).__name__


@cache
def check(protocol: str) -> None:
    """Raises UsageError where nothing is installed that serves a protocol."""
    try:
        from fsspec import get_filesystem_class
    except ImportError:
        raise UsageError(f"{protocol}:// needs fsspec: pip install 'imgconv[remote]'") from None
    try:
        get_filesystem_class(protocol)
    except ImportError as problem:
        why = " ".join(str(problem).split())
        raise UsageError(f"{protocol}://: {why} (pip install 'imgconv[remote]' has s3, gs and https)") from None
    except ValueError:
        raise UsageError(f"{protocol}://: no such protocol is known") from None


def check_target(here: Remote) -> None:
    """Raises UsageError where no results can be put."""
    check(here.protocol)
    if here.protocol in WEB:
        raise UsageError(f"{here}: {here.protocol}:// is only read from; --out-dir or --output says where results go")


def _found(here: Remote) -> tuple[Any, str]:
    """The file system of fsspec, and what a file is called in it."""
    check(here.protocol)
    from fsspec import url_to_fs

    found: tuple[Any, str] = url_to_fs(here.url)
    return found


def is_folder(here: Remote) -> bool:
    """Whether that is a folder. On the web only the name can tell. Raises PictureError."""
    if here.url.endswith("/") or here.protocol in WEB:
        return here.url.endswith("/")
    with _raising(here, PictureError):
        system, path = _found(here)
        return bool(system.isdir(path))


def listed(folder: Remote) -> list[tuple[str, bool]]:
    """The names in a folder, and whether each is a folder. Raises PictureError."""
    with _raising(folder, PictureError):
        system, path = _found(folder)
        entries = system.ls(path, detail=True)
    found = set()
    for entry in entries:
        each = Remote(entry["name"].rstrip("/"))
        # a page has links elsewhere, too; a name that leads upwards would lead out of --out-dir
        if each.parent.url.strip("/") == path.strip("/") and each.name not in ("", ".", ".."):
            found.add((each.name, entry["type"] == "directory"))
    return sorted(found)


def existing(files: Iterable[Remote]) -> set[Remote]:
    """Those of the files that are there. Raises UsageError where that cannot be found out."""
    there = set()
    for folder, group in groupby(sorted(files), attrgetter("parent")):
        some = list(group)
        with _raising(folder, UsageError):
            if len(some) <= SINGLY:
                there |= {each for each in some if _info(each)}
            elif _info(folder):
                names = dict(listed(folder))
                there |= {each for each in some if each.name in names}
    return there


def _info(here: Remote) -> dict[str, Any] | None:
    """What is known about a file; None where there is none, but for the bucket, which must be there."""
    system, path = _found(here)
    try:
        info: dict[str, Any] = system.info(path)
    except FileNotFoundError as problem:
        if _why(problem, here) == "not found":
            return None
        raise
    return info


def exists(here: Remote) -> bool:
    """Whether there is such a file. Raises WriteError where that cannot be found out."""
    with _raising(here, WriteError):
        return _info(here) is not None


def changed(here: Remote) -> int | None:
    """When a file was written, in nanoseconds since 1970; None where there is none, or nobody knows."""
    from email.utils import parsedate_to_datetime

    with _raising(here, PictureError):
        info = _info(here) or {}
        time: Any = next((info[key] for key in WRITTEN if key in info), None)
        if isinstance(time, str):
            time = parsedate_to_datetime(time)
        return None if time is None else int(1e9 * (time.timestamp() if hasattr(time, "timestamp") else time))


def start(here: Remote, count: int) -> bytes:
    """The first bytes of a file. Raises PictureError."""
    with _raising(here, PictureError):
        system, path = _found(here)
        data: bytes = system.cat_file(path, start=0, end=count)
        return data[:count]  # servers may send all


def opened(here: Path | Remote) -> tuple[BinaryIO, int]:
    """A file with random access and without a buffer, and its size; one elsewhere whole in memory, or read by ranges.

    Raises PictureError, as reading does.
    """
    if isinstance(here, Path):
        return opened_here(here, PictureError, buffering=0)
    with _raising(here, PictureError):
        system, path = _found(here)
        file = system.open(path, "rb", block_size=WHOLE_BYTES)
        size = getattr(file, "size", None)
        if size is not None and size > WHOLE_BYTES and file.seekable():
            with contextlib.suppress(ValueError):  # a server that has no ranges
                file.seek(size - 1)
                if file.read(1):
                    file.seek(0)
                    ranges: Any = _Ranges(file, here)
                    return ranges, size
            file.close()
            file = system.open(path, "rb", block_size=0)
        with file:
            data = io.BytesIO()
            while piece := file.read(PIECE):
                if data.write(piece) and data.tell() > LARGEST_FILE:
                    raise PictureError(f"{here}: more than the {LARGEST_FILE:,} bytes allowed here")
            return data, data.seek(0, io.SEEK_END)


def read(here: Path | Remote, limits: Limits, *, auto_orient: bool = False, raw: Raw | None = None) -> Picture:
    """The picture (its first frame) in a file here or elsewhere. Raises PictureError."""
    name = str(here)
    file, size = opened(here)
    with file, named(name):
        frames = frames_of(file, size, name, here.suffix, wanted=FIRST, auto_orient=auto_orient, limits=limits, raw=raw)
        return next(frames).whole(limits)


class _Ranges(io.RawIOBase):
    """A file that is read by ranges; what goes wrong is one line."""

    def __init__(self, file: Any, here: Remote) -> None:
        self._file, self._here = file, here

    def read(self, size: int = -1) -> bytes:
        with _raising(self._here, PictureError):
            data: bytes = self._file.read(size)
            return data

    def readinto(self, target: Any) -> int:
        data = self.read(len(target))
        target[: len(data)] = data
        return len(data)

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(place, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def put(here: Remote, parts: Iterable[bytes], *, overwrite: bool) -> None:
    """Writes a file that appears when it is complete, or not at all. Raises WriteError."""
    with _raising(here, WriteError):
        system, path = _found(here)
        if not overwrite and _info(here):
            raise FileExistsError
        if here.protocol in OBJECT_STORES:
            _upload(system, path, parts, "wb" if overwrite or here.protocol not in EXCLUSIVE else "xb")
            return
        folder = path.rpartition("/")[0]
        system.makedirs(folder, exist_ok=True)
        part = f"{folder}/{PART.replace('*', os.urandom(8).hex())}"
        try:
            _upload(system, part, parts, "wb")
            system.mv(part, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(part)
            raise


def _upload(system: Any, path: str, parts: Iterable[bytes], mode: str) -> None:
    """Writes a file; an object that is not complete is given up."""
    file = system.open(path, mode, block_size=PIECE)
    try:
        for part in parts:
            file.write(part)
        file.close()
    except BaseException:
        with contextlib.suppress(Exception):
            file.discard()
        with contextlib.suppress(Exception):
            file.closed = True  # or it would be completed when it is thrown away
        raise
