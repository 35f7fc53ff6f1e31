"""Many jobs over whatever does them, some at a time; what became of them comes in their order."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from imgconv.batch.job import Work, with_threads
from imgconv.batch.remote import Remote
from imgconv.batch.report import Outcome
from imgconv.batch.targets import Job
from imgconv.errors import ImgconvError
from imgconv.formats.limits import memory
from imgconv.formats.picture import Picture, unread
from imgconv.formats.place import sweep
from imgconv.formats.read import frames_of
from imgconv.formats.table import PLAIN, name_for
from imgconv.formats.write import encode
from imgconv.memory import SampleType
from imgconv.native.kept import compile_seconds
from imgconv.recipe.strips import filter_frame
from imgconv.threads import available_cores

if TYPE_CHECKING:
    from concurrent.futures import Future

    from imgconv.batch.workers import Promise

    Pending = deque[tuple[Job, Future[Outcome] | Promise]]

WINDOW = 1024  # jobs that are under way: those behind a slow one are not begun without end
TICK_S = 0.1
JOB_S, BYTES_PER_S = 0.001, 2e7  # of CPU: what a job takes at least, and more for each byte of its file
SYNC_S = 0.005  # until a result is on the disk: meanwhile another process has the core
SIZE_ELSEWHERE = 2**22  # of a file that is not here: to be asked would take long, as fetching it does
TOGETHER_S = 0.02  # of small jobs that a process does together, which wait for the disk once
WORTH_S = 0.02  # of work that a process must have to be worth its start
WORTH_ELSEWHERE_S = 1.0  # where fsspec has a thread, so that the process is spawned, and imports all anew


def run(
    jobs: Sequence[Job],
    work: Work,
    most: int | None = 1,  # processes, each one job at a time; 1: this one. None: as many as the jobs are worth
    *,
    keep_going: bool = True,  # after a job failed: do the rest, or only what has begun
    tick: Callable[[Pending], None] = lambda _: None,  # is given the jobs that are under way, every now and then
) -> Generator[Outcome]:
    """Does the jobs, and yields what became of them in their order; to be closed.

    Several processes together take no more memory than the limits allow, by default half of what the machine has.
    """
    seconds = {id(job): _seconds(job) for job in jobs} if len(jobs) > 1 else {}
    number = worth(jobs, most, seconds.values())
    workers = None
    if number > 1:
        from imgconv.batch.workers import Workers  # here: most runs have one file

        compiled = compile_seconds()
        rehearse(work, jobs)
        compiled = compile_seconds() - compiled
        with suppress(OSError):  # the system gives no more processes
            budget = work.handling.limits.memory or memory("MemTotal") // 2
            # what replaces files is not done again when a process has died: it may have replaced its input
            together = keep_going and not work.targets.replaces
            part = (lambda job: seconds[id(job)] / TOGETHER_S) if together else None
            workers = Workers(work.together, number, budget, part, _sweep_for)
    if workers is not None:
        with workers:
            for outcome in over(jobs, workers.submit, keep_going, tick):
                outcome.compile_s += compiled  # the first is told
                compiled = 0.0
                yield outcome
        return
    for job in jobs:
        outcome = work(job)
        yield outcome
        if outcome.status == "failed" and not keep_going:
            return
        tick(deque())


def over(
    jobs: Iterable[Job],
    submit: Callable[[Job], Future[Outcome] | Promise],
    keep_going: bool = True,
    tick: Callable[[Pending], None] = lambda _: None,
) -> Generator[Outcome]:
    """Has the jobs done by `submit`, which gives futures as `Executor.submit` does; otherwise as `run`.

    A job that fails says so in its outcome; where its future raises, whoever did it has ended.
    """
    waiting: Pending = deque()
    left, stopped = iter(jobs), False

    def ended(future: Future[Outcome] | Promise) -> None:
        nonlocal stopped
        if not stopped and not future.cancelled():
            stopped = future.exception() is not None or future.result().status == "failed"

    try:
        while True:
            while not stopped and len(waiting) < WINDOW and (job := next(left, None)) is not None:
                waiting.append((job, submit(job)))
                if not keep_going:
                    waiting[-1][1].add_done_callback(ended)
            if stopped:
                for _, future in waiting:
                    future.cancel()
            tick(waiting)
            if not waiting:
                return
            job, future = waiting[0]
            if future.cancelled():
                waiting.popleft()
                continue
            try:
                outcome = future.result(TICK_S)
                outcome.job = job
            except TimeoutError:
                if not future.done():
                    continue
                raise
            except Exception as problem:
                outcome = Outcome(job, "failed", f"{job.input}: {problem}")
                _sweep_for(job)
            waiting.popleft()
            yield outcome
    finally:
        for _, future in waiting:
            future.cancel()


def _sweep_for(job: Job) -> None:
    """Deletes what a process that was killed has left of a job's result."""
    if isinstance(job.target, Path):
        sweep(os.path.dirname(job.target))


def worth(jobs: Sequence[Job], most: int | None, seconds: Iterable[float] | None = None) -> int:
    """How many processes the jobs are worth, unless `most` says how many; 1: none but this one.

    `seconds` are those of CPU that each takes; they are guessed when not given.
    """
    if len(jobs) < 2 or any(job.only_here for job in jobs):
        return 1
    if most is not None:
        return min(most, len(jobs))
    total = sum(map(_seconds, jobs) if seconds is None else seconds)
    busy = available_cores() * (1 + SYNC_S / TOGETHER_S) if total else 1
    elsewhere = any(isinstance(end, Remote) for job in jobs for end in job[:2])
    return max(1, min(int(busy + 0.75), len(jobs), int(total / (WORTH_ELSEWHERE_S if elsewhere else WORTH_S))))


def _seconds(job: Job) -> float:
    """Of CPU that a job takes, about."""
    size = SIZE_ELSEWHERE
    if isinstance(job.source, Path):
        with suppress(OSError):
            size = os.stat(job.source).st_size
    return JOB_S + size / BYTES_PER_S


def rehearse(work: Work, jobs: Sequence[Job]) -> None:
    """Imports what the jobs need, and loads its machine code, by filtering a tiny picture in memory for each format.

    In one thread: this process can be forked after it.
    """
    recipe = with_threads(work.recipe, 1)
    forms = {job.format for job in jobs} | {name_for(job.source.suffix) or "" for job in jobs if job.source}
    for form in forms - {""}:
        with suppress(ImgconvError):
            # without NumPy, which its jobs may do without
            zeros = unread((8, 8, 3), SampleType("uint8"))
            zeros = zeros if form in PLAIN else np.asarray(zeros)
            data, _ = encode(Picture(zeros, "RGB", form), form, work.handling.encoder, 1)
            frame = next(frames_of(io.BytesIO(data), len(data), "", threads=1))
            filtered = filter_frame(recipe, frame, work.handling.limits)
            filtered.plan(None, work.handling.limits)
            deque(filtered.run(), maxlen=0)
