"""What is said of many files: a line for each, a bar while they are done, and what came of all of them."""

from __future__ import annotations

import math
import os
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

import click

from imgconv.cli import console, one_line, stop_again

if TYPE_CHECKING:
    from imgconv.batch.report import Count, Outcome
    from imgconv.batch.run import Pending
    from imgconv.batch.targets import Job
    from imgconv.recipe.recipe import Recipe

REFRESH_S = 0.1
NAMES = 4  # of files in work that are shown
REASONS = 10  # failures that are named at the end


def human_line(outcome: Outcome) -> str:
    """The line for a person: photo.png → photo.blur.png   4000×3000 RGB   read 29 ms · filter 4 ms …"""
    job, before, after = outcome.job, outcome.shape, outcome.result_shape
    if outcome.filter_s is None or before is None or after is None:
        return f"{job.input} → {job.output}   {outcome.how}, skipped"
    target = job.output
    if job.source is not None and job.target is not None and job.source.parent == job.target.parent:
        target = os.path.basename(target)
    size = f"{before[1]}×{before[0]}"
    if after != before:
        size += f" → {after[1]}×{after[0]}"
    kind = outcome.mode or " × ".join([outcome.dtype, *map(str, before[2:])])
    if outcome.mode and outcome.result_mode != outcome.mode:
        kind += f" → {outcome.result_mode}"
    if (outcome.frames or 1) > 1:
        kind += f", {outcome.frames} frames"
    steps = [f"read {duration(outcome.read_s)}"]
    if outcome.compile_s:
        from imgconv.native.kept import unkept

        steps.append(f"compile {duration(outcome.compile_s)} ({'not kept' if unkept() else 'once on this machine'})")
    steps += [
        f"filter {duration(outcome.filter_s)} ({outcome.how}, {count(outcome.threads, 'thread')})",
        f"write {duration(outcome.write_s)}",
        f"total {duration(outcome.total_s)}",
    ]
    if outcome.clipped:
        steps.append(f"{percent(outcome.clipped / math.prod(after) / (outcome.frames or 1))} clipped")
    return f"{job.input} → {target}   {size} {kind}   {' · '.join(steps)}"


def details(outcome: Outcome, recipe: Recipe, explain: bool) -> Iterator[str]:
    """The lines below it: for `explain` every setting of each kernel, then how each was computed, and why."""
    if outcome.filter_s is None:
        return
    if explain:
        from imgconv.cli.settings import setting_lines
        from imgconv.cli.sources import origins

        given = origins(click.get_current_context())
        for kernel, settings in recipe.settled(picture=bool(outcome.mode)):
            yield from setting_lines(kernel, settings, recipe.options, outcome, given)
    if outcome.strip_rows:
        yield f"in strips of {outcome.strip_rows} rows, which were read, filtered and written in turn"
    yield from outcome.plans


def summary_lines(ended: Count, total: int, passed_over: int, seconds: float) -> Iterator[str]:
    """What came of all files: how many came to which end, how fast, where the time went, what failed."""
    ends = {
        "done": ended.done,
        "skipped": ended.skipped,
        "failed": ended.failed,
        "not begun": total - ended.total,
        "passed over": passed_over,
    }
    line = f"{count(total, 'file')}: {', '.join(f'{number:,} {end}' for end, number in ends.items() if number)}"
    if ended.done:
        rates = [f"{_short(ended.done / seconds)} files/s"]
        if ended.megapixels >= 1:
            rates.append(f"{_short(ended.megapixels / seconds)} megapixels/s")
        spent = sum(ended.seconds.values()) or 1.0
        parts = (f"{step} {percent(s / spent)}" for step, s in ended.seconds.items() if s)
        line += f"   in {duration(seconds)} ({', '.join(rates)})   {' · '.join(parts)}"
    yield line
    for error in ended.errors[:REASONS]:
        yield f"  {error}"
    if len(ended.errors) > REASONS:
        yield f"  and {len(ended.errors) - REASONS:,} more"


class Progress:
    """A bar on stderr, where that is a terminal; a context manager."""

    def __init__(self, jobs: Sequence[Job], ended: Count) -> None:
        self.jobs, self.ended, self.drawn = jobs, ended, 0.0
        self.stack = ExitStack()
        self.bar: Any = None

    def __enter__(self) -> Progress:
        if len(self.jobs) > 1 and sys.stderr.isatty():
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
            from rich.table import Column

            rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")
            columns = (
                BarColumn(24), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(compact=True), TextColumn("[red]{task.fields[failed]}[/red]"),
                TextColumn("[dim]{task.fields[names]}[/dim]", table_column=rest),
            )  # fmt: skip
            # no thread that draws: a process of one thread can be forked
            self.bar = Progress(
                *columns, console=console(stderr=True), transient=True, auto_refresh=False, expand=True,
                redirect_stdout=sys.stdout.isatty(),
            )  # fmt: skip
            self.task = self.bar.add_task("", total=len(self.jobs), rate="", failed="", names="")
            self.stack.enter_context(self.bar)
            self.started = time.monotonic()
        return self

    def __exit__(self, *problem: object) -> None:
        self.drawn = 0.0
        self.tick(deque())
        self._end()

    def tick(self, pending: Pending) -> None:
        """Draws the bar anew, if that was long ago."""
        now = time.monotonic()
        if self.bar is None or now - self.drawn < REFRESH_S:
            return
        self.drawn = now
        from rich.markup import escape

        done = [future for _, future in pending if future.done() and not future.cancelled()]
        found = [future.result() for future in done if not future.exception()]
        ready = len(done)
        in_work = [PurePath(job.input).name for job, future in pending if future.running()][:NAMES]
        megapixels = self.ended.megapixels + sum(outcome.megapixels for outcome in found)
        failed = self.ended.failed + sum(outcome.status == "failed" for outcome in found)
        names = _as_printed("  ".join(in_work), self.bar.console.file)
        self.bar.update(
            self.task, completed=self.ended.total + ready, names=escape(names),
            rate=f"{megapixels:,.0f} MP  {megapixels / max(now - self.started, 1e-9):,.0f} MP/s",
            failed=f"{failed:,} failed" if failed else "",
        )  # fmt: skip
        try:
            self.bar.refresh()
        except OSError as problem:  # the terminal has gone
            self._end()
            stop_again(problem)

    def _end(self) -> None:
        self.bar = None
        with suppress(OSError):
            self.stack.close()


def _as_printed(text: str, stream: TextIO) -> str:
    """What becomes of a text on a stream, so that its width is known."""
    encoding = stream.encoding or "utf-8"
    return one_line(text).encode(encoding, stream.errors or "backslashreplace").decode(encoding, "replace")


def count(number: int, noun: str) -> str:
    """1 file, 54 files."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 99.5 else f"{number:.2g}"


def percent(share: float) -> str:
    """A share as people read it: 0.32 %, 5.9 %, 42 %."""
    if share < 1e-4:
        return "under 0.01 %"
    return f"{100 * share:.{0 if share >= 0.0995 else 1 if share >= 0.00995 else 2}f} %"


def duration(seconds: float) -> str:
    """A time as people read it: 4.4 ms, 97 ms, 0.48 s."""
    ms = seconds * 1e3
    if ms < 9.95:
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 399.5 else f"{seconds:.2f} s"
