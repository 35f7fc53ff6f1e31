"""What has been done in a folder, so that a run that was stopped can go on: `.imgconv-journal` beside the results.

It has a line of JSON for each result, written just before that takes its name. The result is known again by its size
and the time when it was written, its input by its bytes, and what was done by the recipe: when any of them is another,
the file is done again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO, NamedTuple

from imgconv.formats.place import ITSELF, followed, open_itself

NAME = ".imgconv-journal"
PIECE = 2**20


class Entry(NamedTuple):
    """A line of the journal, without the result's name."""

    size: int  # of the result in bytes
    written_ns: int  # since 1970
    input: str  # from `content`
    recipe: str


def content(file: BinaryIO) -> str:
    """What tells the bytes of a file from others: their number and two checksums of 32 bits. Back to the start then.

    A SHA-256 takes eight times as long, as long as a tenth of filtering a PNG.
    """
    from zlib_ng import zlib_ng  # here, as json below: one picture needs no journal

    crc, adler, size = 0, 1, 0
    file.seek(0)
    while piece := file.read(PIECE):
        crc, adler, size = zlib_ng.crc32(piece, crc), zlib_ng.adler32(piece, adler), size + len(piece)
    file.seek(0)
    return f"{size}-{crc:08x}{adler:08x}"


def note(target: str, part: os.stat_result, source: str, recipe: str) -> None:
    """Puts down that `part` is about to become `target`, which is no link."""
    import json

    folder, name = os.path.split(target)
    entry = {"result": name, **Entry(part.st_size, part.st_mtime_ns, source, recipe)._asdict()}
    with suppress(OSError):  # the file will be done again, which is no harm
        # in one piece, behind a line that a full disk may have cut; several processes write at once
        os.write(_opened(os.path.abspath(folder)), f"\n{json.dumps(entry)}\n".encode())


def _opened(folder: str) -> int:
    """The journal of a folder, to be written at its end: the last that was asked for stays open."""
    if folder not in _descriptors:
        while _descriptors:
            os.close(_descriptors.popitem()[1])
        path = os.path.join(folder, NAME)
        _descriptors[folder] = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | ITSELF, 0o666)
    return _descriptors[folder]


class Journal:
    """What a folder's journal says: the entries of each result, oldest first.

    Lines that cannot be read are passed over. It is read on, from where it ended.
    """

    def __init__(self, folder: str) -> None:
        self.path, self.place = os.path.join(folder, NAME), 0
        self.entries: dict[str, list[Entry]] = {}

    def read_on(self) -> None:
        """Takes in the lines that are new, but for one that is not whole yet."""
        import json

        with suppress(OSError), open(self.path, "rb", opener=open_itself) as file:
            file.seek(self.place)
            text = file.read()
            text = text[: text.rfind(b"\n") + 1]
            self.place += len(text)
            for line in text.splitlines():
                with suppress(ValueError, KeyError, TypeError, AttributeError):
                    entry = json.loads(line)
                    self.entries.setdefault(str(entry.pop("result")), []).append(Entry(**entry))


_journal = cache(Journal)
_descriptors: dict[str, int] = {}


def refused(folders: Iterable[str]) -> str:
    """Why no journal can be kept in one of the folders, which it names; "" where there is one in each, or none yet."""
    for folder in folders:
        path = os.path.join(os.path.realpath(folder), NAME)
        with suppress(OSError):
            if not stat.S_ISREG(os.lstat(path).st_mode):
                return f"{path}: is not a regular file"
            if not os.access(path, os.R_OK | os.W_OK):
                return f"{path}: permission denied"
    return ""


def entry_of(target: Path) -> Entry | None:
    """What the journal says of a result that is still as it was written; None of any other file."""
    path, _ = followed(os.fspath(target))
    folder, name = os.path.split(path)
    with suppress(OSError):
        status, known = os.stat(path), _journal(folder)
        for others in (False, True):  # what other runs have written is read where it is missed
            if others:
                known.read_on()
            for entry in reversed(known.entries.get(name, [])):
                if (status.st_size, status.st_mtime_ns) == (entry.size, entry.written_ns):
                    return entry
    return None
