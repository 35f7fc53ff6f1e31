"""One file: read, filtered, written."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from imgconv.batch import journal, remote
from imgconv.batch.frames import count_of, filtered, given, parts_of
from imgconv.batch.report import Outcome
from imgconv.batch.targets import Job, Targets, content_of, is_journaled, is_skipped
from imgconv.conventions import METADATA
from imgconv.errors import ImgconvError, PictureError, WriteError, reason, unforeseen
from imgconv.formats.limits import DEFAULT, Limits, limits_for, memory
from imgconv.formats.place import PIECE, check_place, followed, make_folder, placed, put, sweep_once, sync
from imgconv.formats.read import frames_of
from imgconv.formats.table import Changes
from imgconv.formats.write import sink_of
from imgconv.native.kept import clock, compile_seconds
from imgconv.record import dataclass

if TYPE_CHECKING:
    from imgconv.formats.raw import Raw
    from imgconv.recipe.recipe import Recipe

SPOOLED_BYTES = 2**24  # results from larger samples wait on the disk for standard output
STANDARD_INPUT = "standard input"  # as messages call it


class Handling(NamedTuple):
    """What happens to a picture besides being filtered."""

    encoder: Mapping[str, Any] = {}  # from formats.parse_encoder_options
    metadata: frozenset[str] = frozenset(METADATA)  # what travels along
    auto_orient: bool = False
    limits: Limits = DEFAULT
    changes: Changes = Changes()
    embedded: tuple[str, str] | None = None  # the recipe and the versions that go into the result's metadata
    strip_gps: bool = False
    raw: Raw | None = None  # what the inputs' frames are, where they hold nothing else


@dataclass(frozen=True, eq=False)
class Work:
    """What is done with every file; called with one."""

    recipe: Recipe
    targets: Targets
    handling: Handling
    report: str = ""  # what a page is to show of each: "whole", "small", or nothing

    def __call__(self, job: Job, threads: int | None = None, ask: Callable[[int], None] | None = None) -> Outcome:
        """Does a job with so many threads, unless the recipe says how many; `ask` is that of `Limits`."""
        (outcome,) = self.together([job], threads, ask)
        return outcome

    def together(
        self, jobs: Sequence[Job], threads: int | None = None, ask: Callable[[int], None] | None = None
    ) -> list[Outcome]:
        """Does jobs: all their results are on the way to the disk before the first is waited for."""
        recipe, limits = with_threads(self.recipe, threads), self.handling.limits._replace(ask=ask)
        handling = self.handling._replace(limits=limits)
        sections = [self._section(job, recipe, handling) for job in jobs]  # before --in-place replaces it
        begun = [_steps(job, recipe, self.targets, handling) for job in jobs]
        written = [_written(steps) for steps in begun]
        sync(each for each in written if not isinstance(each, Outcome))
        ends = zip(written, begun, strict=True)
        outcomes = [each if isinstance(each, Outcome) else _ended(steps) for each, steps in ends]
        for outcome, section in zip(outcomes, sections, strict=True):
            outcome.section = section
        return outcomes

    def _section(self, job: Job, recipe: Recipe, handling: Handling) -> Any:
        if not self.report or job.problem or is_skipped(job, self.targets):
            return None
        from imgconv.batch.look import section_of  # here, because few runs have a report

        return section_of(job, recipe, handling, small=self.report == "small")


@cache
def with_threads(recipe: Recipe, threads: int | None) -> Recipe:
    """The recipe with so many threads in one picture, unless it says how many itself."""
    if threads is None or recipe.options.threads is not None:
        return recipe
    return recipe.with_threads(threads)


def foreseen(job: Job, targets: Targets) -> str:
    """What is known to go wrong with a job before anything is read, as its outcome will say it; "" where nothing is."""
    try:
        if isinstance(job.source, Path) and not job.problem:
            remote.opened(job.source)[0].close()
        if isinstance(job.target, Path):
            check_place(job.target, makes=targets.out_dir is not None)
    except ImgconvError as problem:
        return _named(str(problem), job)
    return job.problem


def _ended(steps: Generator[BinaryIO, None, Outcome]) -> Outcome:
    """Goes to the end, past the result that waits for its name."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return cast(Outcome, end.value)


def _written(steps: Generator[BinaryIO, None, Outcome]) -> BinaryIO | Outcome:
    """Goes on until a result waits for its name, and gives that; else to the end."""
    try:
        return next(steps)
    except StopIteration as end:
        return cast(Outcome, end.value)


def _steps(job: Job, recipe: Recipe, targets: Targets, handling: Handling) -> Generator[BinaryIO, None, Outcome]:
    """Reads, filters and writes one file, in two steps: in between, the result is written, and waits for its name.

    What goes wrong is in the outcome, unless nobody reads standard output.
    """
    outcome = Outcome(job)
    started, compiled = time.perf_counter(), compile_seconds()
    if is_skipped(job, targets):
        outcome.status, outcome.how = "skipped", "done before" if targets.resume else "exists"
        if isinstance(job.target, Path):  # a killed run may have left its second name
            sweep_once(os.path.dirname(followed(os.fspath(job.target))[0]))
        return outcome
    try:
        if job.problem:
            raise PictureError(job.problem)
        for result in _do(job, recipe, targets, handling, outcome):
            paused = time.perf_counter(), compile_seconds()
            yield result
            started, compiled = started + time.perf_counter() - paused[0], compiled + compile_seconds() - paused[1]
    except ImgconvError as problem:
        # another run was first, or a process that was killed before it could tell
        again = not job.each and (targets.resume or (targets.journal and not targets.replaces))
        if again and is_journaled(job, targets):
            outcome.status, outcome.how = "skipped", "done before"
            return outcome
        outcome.status = "failed"
        outcome.error = _named(str(problem), job)
    except MemoryError:
        outcome.status = "failed"
        outcome.error = f"{job.input}: is too large for the memory of this machine"
    except BrokenPipeError:
        raise
    except Exception as problem:
        import traceback

        outcome.status = "failed"
        outcome.error = f"{job.input}: {unforeseen(problem)}; -v shows where"
        outcome.trace = "".join(traceback.format_exception(problem))
    outcome.total_s = time.perf_counter() - started
    outcome.compile_s = compile_seconds() - compiled
    if outcome.filter_s is not None:
        outcome.write_s = outcome.total_s - outcome.compile_s - outcome.read_s - outcome.filter_s
    return outcome


def _do(job: Job, recipe: Recipe, targets: Targets, handling: Handling, outcome: Outcome) -> Iterator[BinaryIO]:
    started, threads = clock(), recipe.options.threads
    limits = limits_for(handling.limits, recipe.options, job.format)
    file, size = _opened(job, limits, stream=handling.raw is not None)
    with file:
        content = content_of(job.source, file) if targets.journal and job.source else ""
        name, ending = (str(job.source), job.source.suffix) if job.source else (STANDARD_INPUT, "")
        frames = frames_of(
            file, size, name, ending, wanted=targets.frames,
            auto_orient=handling.auto_orient, limits=limits, threads=threads, begun=job.begun, raw=handling.raw,
        )  # fmt: skip
        first = next(frames)
        outcome.read_s = clock() - started
        form = job.format or first.about.format
        count = count_of(first.about, form, job, targets, outcome)
        done = partial(filtered, recipe=recipe, handling=handling, limits=limits, form=form, outcome=outcome)
        for part, some in parts_of(job, chain([first], frames), targets, first.about.frames):
            results = done(some, count=1 if job.each else count)
            about, rows = next(results)
            sink = sink_of(about, form, handling.encoder, threads)
            strips = rows(sink.step)
            if targets.out_dir is not None and isinstance(part.target, Path):
                make_folder(part.target.parent)
            with _target(part, targets, about.array.nbytes * about.frames, content, stream=form == "RAW") as target:
                sink.begin(target)
                sink.take(chain([(about, partial(given, strips))], results))
                sink.end()
                if not job.each:
                    file.close()  # it may be replaced now
                yield target
            outcome.notes += sink.notes
    if outcome.filter_s is None:
        outcome.status, outcome.how = "skipped", "done before" if targets.resume else "exists"
    outcome.notes = list(dict.fromkeys(outcome.notes))


@contextmanager
def _target(job: Job, targets: Targets, size: int, content: str, *, stream: bool) -> Iterator[BinaryIO]:
    """A file to be written, which becomes the job's target, or goes to standard output, when it is complete.

    `size` is that of the samples in bytes, `content` what the journal says of the input. A `stream` goes to standard
    output as it comes.
    """
    if isinstance(job.target, Path):
        sealed = partial(journal.note, source=content, recipe=targets.journal) if targets.journal else None
        with placed(job.target, overwrite=targets.replaces_at(job.target), sealed=sealed) as file:
            yield file
        return
    if job.target is None and stream:
        with _standard_output() as output:
            yield output
        return
    with io.BytesIO() if size <= SPOOLED_BYTES else _nameless() as file:
        yield file
        file.seek(0)
        parts = iter(lambda: file.read(PIECE), b"")
        if job.target is not None:
            remote.put(job.target, parts, overwrite=targets.replaces)
        else:
            with _standard_output() as output:
                for part in parts:
                    put(output, part)


def _nameless() -> BinaryIO:
    """A file on the disk that goes when it is closed."""
    import tempfile  # here, because it takes 3 ms

    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as problem:
        raise WriteError(f"standard output: {reason(problem)}") from None


def _opened(job: Job, limits: Limits, *, stream: bool) -> tuple[BinaryIO, int]:
    """The input, and its size in bytes; what comes through standard input is held in memory but for a `stream`."""
    if job.source is not None:
        return remote.opened(job.source)
    try:
        if stream:
            return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False), 0
        data, most = io.BytesIO(), limits.memory or memory("MemTotal") // 2
        while piece := sys.stdin.buffer.read(PIECE):
            if data.write(piece) and data.tell() > most:  # it may have no end
                raise PictureError(f"{STANDARD_INPUT}: more than {most:,} bytes; --memory takes more")
    except (OSError, ValueError, AttributeError):  # closed by the caller: <&-
        raise PictureError(f"{STANDARD_INPUT}: cannot be read") from None
    return data, data.tell()


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Standard output, without Python's buffer, which would be written once more at the end, and fail once more."""
    if sys.__stdout__ is None:
        raise WriteError("standard output: is closed")
    try:
        stream = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        yield stream
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise WriteError(f"standard output: {reason(problem)}") from None


def _named(text: str, job: Job) -> str:
    """The error with the file's name in front, if it does not name one."""
    names = (job.input, job.output, str(job.target and job.target.parent), "standard input", "standard output")
    return text if text.startswith(names) else f"{job.input}: {text}"
