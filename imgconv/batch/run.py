"""Many jobs, some at a time, in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from imgconv.batch.job import Handling, run_one
from imgconv.batch.report import Outcome
from imgconv.batch.targets import Job, Targets, is_skipped
from imgconv.formats.decode import begin
from imgconv.recipe import Recipe
from imgconv.threads import available_cores


def run(
    jobs: Sequence[Job], recipe: Recipe, targets: Targets, handling: Handling | None = None, at_once: int = 1
) -> Generator[Outcome]:
    """Does the jobs, `at_once` of them at a time, and yields what became of them in their order.

    A job that fails says so in its outcome; the rest is done. When the iterator is closed, jobs that have begun are
    finished and the others are left. Unless the recipe says how many threads work on one picture, the cores are shared
    between the jobs.
    """
    handling = handling or Handling()
    if at_once == 1:
        for job in jobs if recipe.options.threads == 1 else _each_begun(jobs, targets):
            yield run_one(job, recipe, targets, handling)
        return
    from concurrent.futures import ThreadPoolExecutor

    if recipe.options.threads is None:
        shared = replace(recipe.options, threads=max(1, available_cores() // at_once))
        recipe = Recipe(recipe.kernels, shared)
    waiting: deque[Callable[[], Outcome]] = deque()
    pool = ThreadPoolExecutor(at_once)
    try:
        for job in jobs:
            waiting.append(_once(partial(run_one, job, recipe, targets, handling)))
            with suppress(RuntimeError):  # the system gives no more threads: those that are there, or this one, do it
                pool.submit(waiting[-1])
            if len(waiting) == 2 * at_once:
                yield waiting.popleft()()
        while waiting:
            yield waiting.popleft()()
    finally:
        pool.shutdown(cancel_futures=True)


def _once(work: Callable[[], Outcome]) -> Callable[[], Outcome]:
    """The work, done by the first thread that calls; the others wait for what it found."""
    turn = threading.Lock()
    found: list[Outcome] = []

    def outcome() -> Outcome:
        with turn:
            if not found:
                found.append(work())
            return found[0]

    return outcome


def _each_begun(jobs: Sequence[Job], targets: Targets) -> Iterator[Job]:
    """The jobs in turn; when one is given, decoding the picture of the next has begun."""
    begun = jobs[0].begun if jobs else None
    for number, job in enumerate(jobs, 1):
        now, begun = job._replace(begun=begun), None
        following = jobs[number] if number < len(jobs) else None
        if following is not None and isinstance(following.source, Path) and not is_skipped(following, targets):
            begun = begin(following.source)
        yield now
