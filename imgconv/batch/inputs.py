"""Which files are inputs: names from a list, folders walked, and what patterns pick out of them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from fnmatch import translate
from itertools import product
from pathlib import Path
from typing import NamedTuple

from imgconv.batch import remote
from imgconv.batch.remote import Remote, place
from imgconv.batch.targets import STREAM, Job, Targets, format_in, identity
from imgconv.errors import PictureError, UsageError, reason
from imgconv.formats.table import FORMATS

WALKED = {ending for form in FORMATS for ending in form.endings} | {".npy"}  # taken for inputs by their names under -r
WILD = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
LARGEST_LIST = 2**30  # bytes; /dev/zero has no end


class Inputs(NamedTuple):
    """What was met where inputs were looked for."""

    files: list[tuple[str, str]]  # with the path to its folder from the one that was walked, for keeping the tree
    others: list[str]  # files under a folder that are no pictures
    unwanted: list[str]  # files and folders that patterns leave out
    problems: list[Job]  # folders that cannot be listed


class Patterns:
    """Globs of which inputs must match one (`include`, if there are any), and none (`exclude`).

    One without a slash is held against names, one with a slash against the path from the folder that is walked; for an
    input that was named itself, against its name as it was given. `*` and `?` stop at a slash, `**` does not, and
    `{a,b}` is either. One that ends in a slash means a folder with all that is in it. A folder that is excluded is not
    walked. Capitals count.
    """

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self._include, self._exclude = _matcher(include), _matcher(exclude)

    def want(self, relative: str) -> bool:
        """Whether a file is taken; whether a folder is walked, whose path ends in a slash."""
        if self._exclude is not None and self._exclude.match(relative):
            return False
        return self._include is None or relative.endswith("/") or self._include.match(relative) is not None


def _matcher(globs: Iterable[str]) -> re.Pattern[str] | None:
    """Matches a path that fits one of the globs; None without any."""
    expressions = [_expression(pattern) for glob in globs for pattern in _without_braces(glob) if pattern.strip("/")]
    return re.compile("|".join(expressions), re.DOTALL) if expressions else None


def _without_braces(glob: str) -> list[str]:
    """The globs that one with {a,b} stands for."""
    parts = re.split(r"\{([^{}]*,[^{}]*)\}", glob)
    choices = [part.split(",") if number % 2 else [part] for number, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def _expression(glob: str) -> str:
    """A glob as a regular expression for a whole path."""

    def part(match: re.Match[str]) -> str:
        word = match[0]
        if word in WILD:
            return WILD[word]
        return f"(?!/){translate(word)[4:-3]}" if len(word) > 1 else re.escape(word)  # (?s:[…])\Z

    inner = re.sub(r"\*\*/|\*\*|\[!?\]?[^]]*\]|.", part, glob.strip("/"), flags=re.DOTALL)
    start = "" if "/" in glob.rstrip("/") else WILD["**/"]
    return start + inner + ("/.*" if glob.endswith("/") else "/?") + r"\Z"


def listed_in(file: str, *, nul: bool) -> list[str]:
    """The names in a list, which is a file or standard input (-): a line each, or with a NUL behind each.

    Raises UsageError when it cannot be read, or has NULs that are not to be looked at.
    """
    try:
        if file == STREAM:
            data = sys.stdin.buffer.read(LARGEST_LIST + 1)
        else:
            with open(file, "rb") as stream:
                data = stream.read(LARGEST_LIST + 1)
    except AttributeError:  # closed by the caller: <&-
        raise UsageError("--files-from -: standard input cannot be read") from None
    except OSError as problem:
        raise UsageError(f"--files-from {file}: {reason(problem)}") from None
    if len(data) > LARGEST_LIST:
        raise UsageError(f"--files-from {file}: has more than {LARGEST_LIST:,} bytes, which is no list of files")
    if not nul and b"\0" in data:
        raise UsageError(f"--files-from {file}: has NUL characters; -0 takes them for the ends of names")
    return [os.fsdecode(name) for name in (data.split(b"\0") if nul else data.splitlines()) if name]


def find_inputs(names: Sequence[str], targets: Targets, recursive: bool, patterns: Patterns | None = None) -> Inputs:
    """Every input file; folders are walked with -r, and their pictures are known by ending or content.

    Raises UsageError when an input is a folder and is not to be walked.
    """
    patterns = patterns or Patterns()
    met = Inputs([], [], [], [])
    for name in names:
        if not _is_folder(name, recursive):
            wanted = name == STREAM or patterns.want(_matched(name))
            met.files.append((name, "")) if wanted else met.unwanted.append(remote.hidden(name))
        elif recursive:
            _walk(name, targets, patterns, met)
        else:
            raise UsageError(f"{place(name)}: is a folder; -r walks it")
    return met


def _is_folder(name: str, recursive: bool) -> bool:
    """Whether an input is a folder; elsewhere, where it costs time to ask, only if it could be walked."""
    if remote.is_here(name):
        return os.path.isdir(name)
    here = Remote(name)
    remote.check(here.protocol)
    try:
        return here.url.endswith("/") or (recursive and remote.is_folder(here))
    except PictureError:  # its job will meet that, too
        return False


def _matched(name: str) -> str:
    """What patterns are held against, of an input that was named itself."""
    if remote.is_here(name):
        return os.path.normpath(name).lstrip("/")
    here = Remote(name)
    return f"{here.parent.url}/{here.name}"


def _listed(folder: Path | Remote) -> list[tuple[str, bool, bool]]:
    """The names in a folder, whether each is a folder, and whether it is a link. Raises PictureError."""
    if isinstance(folder, Remote):
        return [(name, is_folder, False) for name, is_folder in remote.listed(folder)]
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
    except OSError as problem:
        raise PictureError(f"{folder}: {reason(problem)}") from None


def _walk(root: str, targets: Targets, patterns: Patterns, met: Inputs) -> None:
    """Adds what lies under a folder. By a stack of our own: os.walk calls itself, which ends 985 folders deep."""
    results = None if targets.out_dir is None else identity(targets.out_dir)
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        folder = place(f"{root.rstrip('/')}/{relative}" if relative else root)
        try:
            listed = _listed(folder)
        except PictureError as problem:
            met.problems.append(Job(folder, None, "", str(problem)))
            continue
        below = []
        for name, is_folder, is_link in listed:
            path, inner = f"{root.rstrip('/')}/{relative}{name}", relative + name
            if is_folder:
                # a link may lead back to where we are; results of an earlier run are no inputs
                if is_link or (results is not None and identity(place(path)) == results):
                    continue
                below.append(f"{inner}/") if patterns.want(f"{inner}/") else met.unwanted.append(remote.hidden(path))
            elif name.startswith(".imgconv-"):
                continue
            elif not patterns.want(inner):
                met.unwanted.append(remote.hidden(path))
            elif os.path.splitext(name)[1].lower() in WALKED or (isinstance(folder, Path) and format_in(Path(path))):
                met.files.append((path, relative[:-1]))
            else:
                met.others.append(remote.hidden(path))
        waiting += reversed(below)
