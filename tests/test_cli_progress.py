"""The bar that is drawn while many files are done."""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import Future
from pathlib import Path

import click

from imgconv.batch.report import Count, Outcome
from imgconv.batch.targets import Job
from imgconv.cli.progress import Progress


def test_jobs_that_are_given_up_are_not_asked_what_became_of_them(monkeypatch):
    """So it is with --fail-fast, after a file has failed."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    jobs = [Job(Path(f"{n}.png"), Path(f"{n}.blur.png"), "PNG") for n in range(4)]
    done, given_up, killed, waiting = [Future() for _ in jobs]
    done.set_result(Outcome(jobs[0], "failed", "0.png: is no picture"))
    given_up.cancel()
    killed.set_exception(RuntimeError())
    with click.Context(click.Command("apply"), obj={}), Progress(jobs, Count()) as progress:
        progress.drawn = 0.0
        progress.tick(deque(zip(jobs, (done, given_up, killed, waiting), strict=True)))
        assert progress.bar.tasks[0].completed == 2
        assert progress.bar.tasks[0].fields["failed"] == "1 failed"
