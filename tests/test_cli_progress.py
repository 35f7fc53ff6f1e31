"""The bar that is drawn while many files are done."""

from __future__ import annotations

import io
import sys
from collections import deque
from concurrent.futures import Future
from pathlib import Path

import click
import pytest

from imgconv.batch.report import Count, Outcome
from imgconv.batch.targets import Job
from imgconv.cli import print_line
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


class Gone(io.StringIO):
    """A terminal that has been closed, where a signal tells of it amid writing."""

    encoding, errors = "utf-8", "strict"
    number = 0

    def isatty(self):
        return True

    def write(self, text):
        try:
            if self.number:
                sys.exit(128 + self.number)
        finally:
            raise OSError(5, "Input/output error")


def test_a_signal_is_not_lost_when_the_terminal_has_gone(monkeypatch):
    monkeypatch.setattr(Gone, "number", 1)
    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(SystemExit) as stopped:
        print_line("0.png → 0.blur.png")
    assert stopped.value.code == 129


def test_without_its_terminal_a_run_goes_on(monkeypatch):
    """So it is under nohup."""
    jobs = [Job(Path(f"{n}.png"), Path(f"{n}.blur.png"), "PNG") for n in range(4)]
    with click.Context(click.Command("apply"), obj={}):
        monkeypatch.setattr(sys, "stderr", io.StringIO())
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        with Progress(jobs, Count()) as progress:
            progress.bar.console.file = Gone()
            progress.drawn = 0.0
            progress.tick(deque())
            assert progress.bar is None
            progress.tick(deque())


def test_names_in_work_take_one_line(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "ascii", "backslashreplace")
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    jobs = [Job(Path("new\nl\udcffne \x1b[31mü.png"), Path(f"{n}.png"), "PNG") for n in range(2)]
    running = Future()
    running.set_running_or_notify_cancel()
    with click.Context(click.Command("apply"), obj={}), Progress(jobs, Count()) as progress:
        progress.drawn = 0.0
        progress.tick(deque([(jobs[0], running)]))
        assert progress.bar.tasks[0].fields["names"] == r"new\nl\udcffne \x1b[31m\xfc.png"


@pytest.mark.parametrize("color", [None, False, True])
def test_the_bar_is_drawn_without_colour_too(monkeypatch, color):
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    jobs = [Job(Path(f"{n}.png"), Path(f"{n}.blur.png"), "PNG") for n in range(2)]
    with click.Context(click.Command("apply"), obj={}, color=color), Progress(jobs, Count()):
        pass
    drawn = stream.buffer.getvalue().decode()
    assert "0/2" in drawn
    assert ("\x1b[32m" in drawn) is (color is not False)
