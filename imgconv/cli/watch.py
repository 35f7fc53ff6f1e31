"""imgconv apply --watch: waits for inputs, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from imgconv.cli import warn
from imgconv.errors import UsageError

if TYPE_CHECKING:
    from imgconv.batch.inputs import Inputs
    from imgconv.batch.targets import Targets
    from imgconv.batch.watch import Round


def watched(names: Sequence[str], find: Callable[[], Inputs], targets: Targets, *, quiet: bool) -> Iterator[Round]:
    """Each time all inputs, and those of them to be done, as `batch.watch.watched` gives them.

    Ctrl-C ends the waiting; while something is done it ends the command, as ever.
    """
    from imgconv.batch.watch import watched

    if targets.in_place or targets.output == "-":
        raise UsageError("--watch takes neither --in-place, whose results are inputs, nor --output -")
    if "{index" in (targets.output or ""):
        raise UsageError("--watch: {index} would be another number each time; {stem} names a result")
    stop = threading.Event()
    rounds = watched(names, find, stop)
    while True:
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, lambda *_: stop.set())
        if not quiet:
            warn("watching; Ctrl-C ends it")
            quiet = True
        try:
            found = next(rounds, None)
        except KeyboardInterrupt:  # what watchfiles makes of the exception by which SIGTERM ends the command
            sys.exit(128 + signal.SIGTERM)
        finally:
            signal.signal(signal.SIGINT, before)
        if found is None:
            return
        yield found
