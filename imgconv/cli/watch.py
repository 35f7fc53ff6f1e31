"""imgconv apply --watch and --watch-kernel: go on with what appears or changes, until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from imgconv.cli import DONE, warn
from imgconv.errors import ImgconvError, UsageError

T = TypeVar("T")
END: Any = object()

if TYPE_CHECKING:
    from imgconv.batch.inputs import Inputs
    from imgconv.batch.job import Work
    from imgconv.batch.report import Count
    from imgconv.batch.targets import Job, Targets
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
    yield from _until_stopped(watched(names, find, stop), stop, "watching; Ctrl-C ends it", quiet=quiet)


def kernel_changes(kernels: Sequence[str], targets: Targets, *, quiet: bool) -> Iterator[None]:
    """Each time that the file of a kernel has changed; Ctrl-C ends the waiting."""
    from imgconv.batch.watch import changes
    from imgconv.kernels.spec import names_file

    if targets.in_place or targets.output == "-":
        raise UsageError("--watch-kernel takes neither --in-place, whose results are inputs, nor --output -")
    files = [kernel for kernel in kernels if isinstance(kernel, str) and names_file(kernel)]
    if not files:
        raise UsageError("--watch-kernel needs a kernel in a file, such as -k ./mine.toml")
    stop = threading.Event()
    return _until_stopped(changes(files, stop), stop, f"watching {', '.join(files)}; Ctrl-C ends it", quiet=quiet)


def go_on(rounds: Iterator[Round], work: Work, do: Callable[..., Count], ended: Count, *, keep_going: bool) -> int:
    """Does what appears or changes after the first round, which has ended so, and gives the exit status."""
    from imgconv.batch.targets import check_embedding, make_jobs

    targets = work.targets
    work = replace(work, targets=targets._replace(newer=False, overwrite=not (targets.skip_existing or targets.resume)))
    while (keep_going or not ended.failed) and (more := next(rounds, None)):
        found, ready = more
        try:
            jobs, _ = make_jobs(found.files, work.recipe.name, work.targets)
            jobs = [job for job in jobs if job.source in ready]
            if work.handling.embedded:
                check_embedding(jobs)
        except UsageError as problem:  # names that clash: until one of them has gone
            warn(str(problem))
            continue
        ended = do(jobs, work)
    return DONE if keep_going else ended.exit_status


def do_again(
    changes: Iterator[None], jobs: Sequence[Job], renewed: Callable[[], Work], do: Callable[..., Count]
) -> None:
    """Does the jobs again at each change, by work that has been renewed."""
    jobs = [job._replace(begun=None) for job in jobs if not job.problem]
    for _ in changes:
        try:
            work = renewed()
        except ImgconvError as problem:  # until it is written right
            warn(str(problem))
            continue
        targets = work.targets._replace(overwrite=True, skip_existing=False, newer=False, resume=False, journal="")
        do(jobs, replace(work, targets=targets))


def _until_stopped(rounds: Iterator[T], stop: threading.Event, said: str, *, quiet: bool) -> Iterator[T]:
    """What comes, until Ctrl-C ends the waiting."""
    while True:
        before = signal.getsignal(signal.SIGINT)
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, lambda *_: stop.set())
        if not quiet:
            warn(said)
            quiet = True
        try:
            found = next(rounds, END)
        except KeyboardInterrupt:  # what watchfiles makes of the exception by which SIGTERM ends the command
            sys.exit(128 + signal.SIGTERM)
        finally:
            signal.signal(signal.SIGINT, before)
        if found is END:
            return
        yield found
