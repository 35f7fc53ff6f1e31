"""What appears or changes among the inputs, as long as one waits for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event

from imgconv.batch.inputs import Inputs
from imgconv.batch.remote import Remote, place
from imgconv.batch.targets import STREAM
from imgconv.errors import UsageError

STILL_S = 1.0  # a file whose size and date have not changed for so long is taken for complete
LOOK_S = 0.5  # between two looks at the inputs, while something happens there
SETTLE_S = 2.0  # and for so long after: what lies in a folder that has just been made is not reported

Round = tuple[Inputs, set[Path | Remote | None]]  # all inputs, and those of them that are to be done
State = tuple[int, int, int]  # of a file: what it is, its size, when it was written


def watched(names: Sequence[str], find: Callable[[], Inputs], stop: Event) -> Iterator[Round]:
    """All inputs that are there, and those of them to be done: all, then each time those that appeared or changed.

    `names` are files and folders of this machine as the user named them, `find` gives the inputs that are there now,
    `stop` ends the waiting. A file is given once it has been still, so not while it is being written. The system says
    that something happened (`watchfiles`); what, is seen by comparing.

    Raises UsageError when something is not on this machine, the library is missing, or the system cannot watch so much.
    """
    for name in names:
        if name == STREAM or isinstance(place(name), Remote):
            raise UsageError(f"{place(name)}: cannot be watched; --watch takes files and folders of this machine")
    _check_library("--watch")
    return _rounds(names, find, stop)


def changes(names: Sequence[str], stop: Event) -> Iterator[None]:
    """Each time that a file has been written since this was called.

    Raises UsageError when the library is missing, or the folder of a file.
    """
    _check_library("--watch-kernel")
    return _changes(names, stop, [*map(_state, names)])


def _changes(names: Sequence[str], stop: Event, before: list[State | None]) -> Iterator[None]:
    for _ in _events(names, stop):
        now = [*map(_state, names)]
        if now != before and all(state and state[1] for state in now):  # one that is empty or away is being written
            before = now
            yield


def _check_library(option: str) -> None:
    try:
        import watchfiles  # noqa: F401 -- one that is missing is said before any waiting
    except ImportError:
        raise UsageError(f"{option} needs watchfiles: pip install 'imgconv[watch]'") from None


def _rounds(names: Sequence[str], find: Callable[[], Inputs], stop: Event) -> Iterator[Round]:
    done: dict[str, State] = {}
    waiting: dict[str, tuple[State, float]] = {}
    look_until = time.monotonic() + SETTLE_S
    for happened in _events(names, stop):
        now = time.monotonic()
        if happened:
            look_until = now + SETTLE_S
        if not waiting and now > look_until:
            continue
        found = find()
        states = {name: state for name, _ in found.files if (state := _state(name))}
        done = {name: state for name, state in done.items() if name in states}
        waiting = {
            name: waiting[name] if name in waiting and waiting[name][0] == state else (state, _still_since(state, now))
            for name, state in states.items()
            if done.get(name) != state
        }
        ready = {name for name, (_, since) in waiting.items() if now - since >= STILL_S}
        if ready:
            done |= {name: states[name] for name in ready}
            waiting = {name: each for name, each in waiting.items() if name not in ready}
            yield found, set(map(place, ready))


def _state(name: str) -> State | None:
    try:
        status = os.stat(name)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _still_since(state: State, now: float) -> float:
    """Since when a file that has not been looked at before has been still, as its date says."""
    return now - min(max(time.time() - state[2] / 1e9, 0), STILL_S)


def _events(names: Sequence[str], stop: Event) -> Iterator[bool]:
    """Whether something happened where the inputs are, again and again, until it is to stop."""
    from watchfiles import watch

    folders = {name for name in names if os.path.isdir(name)}
    beside = {os.path.dirname(name) or "." for name in names if name not in folders}  # a file may be replaced
    for folder in beside:
        if not os.path.isdir(folder):
            raise UsageError(f"{folder}: there is no such folder to watch")
    look_ms = int(LOOK_S * 1e3)
    changes = watch(
        *folders, *beside, recursive=bool(folders), watch_filter=_matters, stop_event=stop, debounce=look_ms,
        rust_timeout=look_ms, yield_on_timeout=True, ignore_permission_denied=True,
    )  # fmt: skip
    try:
        for some in changes:
            yield bool(some)
    except OSError as problem:
        raise UsageError(f"--watch: {problem}") from None


def _matters(_: object, path: str) -> bool:
    """Whether a change may concern an input: what is half written is none."""
    return not os.path.basename(path).startswith(".imgconv-")
