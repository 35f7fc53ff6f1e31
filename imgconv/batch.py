"""Many files: which input goes to which target, and doing them with an honest count of what failed."""

from __future__ import annotations

import io
import os
import re
import stat
import string
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from imgconv.arrayfile import opened
from imgconv.errors import ImgconvError, PictureError, UsageError, WriteError, reason, unforeseen
from imgconv.native.kept import compile_seconds
from imgconv.picture.decode import Begun, begin
from imgconv.picture.formats import (
    ENCODER_OPTIONS,
    FORMATS,
    GREY_MODES,
    METADATA,
    START_BYTES,
    endings,
    format_of,
    name_for,
    select,
)
from imgconv.picture.limits import DEFAULT, Limits, check_memory, limits_for
from imgconv.picture.read import parse, read
from imgconv.picture.strips import SINKS, has_sink, sink_of, source_of, unread
from imgconv.picture.value import Picture
from imgconv.picture.write import PIECE, encode, fitted, placed, put, write
from imgconv.recipe import Recipe, Report
from imgconv.recipe.strips import in_strips
from imgconv.threads import available_cores

if TYPE_CHECKING:
    from imgconv.masks import Mask

STREAM = "-"
SPOOLED_BYTES = 2**24  # results from larger samples wait on the disk for standard output
STANDARD_INPUT = Path("standard input")  # as messages call it
DEFAULT_NAME = "{dir}/{stem}.{kernel}{ext}"
WALKED = {ending for form in FORMATS for ending in form.endings} | {".npy"}  # taken for inputs by their names under -r
FIELDS = ("dir", "stem", "kernel", "ext", "index")


class Targets(NamedTuple):
    """Where results go; at most one of the last three is true."""

    output: str | None = None  # a file, a template, or "-"
    out_dir: Path | None = None
    format: str | None = None  # an ending such as "png", for "-"
    overwrite: bool = False
    in_place: bool = False
    skip_existing: bool = False


class Handling(NamedTuple):
    """What happens to a picture besides being filtered."""

    encoder: Mapping[str, Any] = {}  # from formats.parse_encoder_options
    metadata: frozenset[str] = frozenset(METADATA)  # words of it: what travels along
    auto_orient: bool = False
    limits: Limits = DEFAULT


class Job(NamedTuple):
    """One input and where its result goes; None stands for standard input or output."""

    source: Path | None
    target: Path | None
    format: str  # Pillow's name, or NPY, TEXT, CSV; "" for the input's own
    problem: str = ""  # why it cannot be done
    begun: Begun | None = None  # its picture, where decoding it has begun

    @property
    def input(self) -> str:
        return STREAM if self.source is None else str(self.source)

    @property
    def output(self) -> str:
        return STREAM if self.target is None else str(self.target)


class Inputs(NamedTuple):
    """What was met where inputs were looked for."""

    files: list[tuple[str, Path | None]]  # with the folder that each was found under, for keeping the tree
    others: list[str]  # files under a folder that are no pictures
    problems: list[Job]  # folders that cannot be listed


class Outcome:
    """What became of a job. Times are in seconds; where reading and filtering go on side by side, that of waiting."""

    status: str = "done"  # done, failed, skipped
    error: str | None = None
    shape: tuple[int, ...] | None = None  # of the input
    result_shape: tuple[int, ...] | None = None
    result_mode: str = ""
    mode: str = ""  # Pillow's; "" for arrays
    dtype: str = ""
    report: Report | None = None
    trace: str = ""  # where it went wrong, when nobody foresaw that
    compile_s: float = 0.0
    read_s: float = 0.0
    write_s: float = 0.0
    total_s: float = 0.0
    strip_rows: int = 0  # of the result, where it was never in memory as a whole

    def __init__(self, job: Job) -> None:
        self.job = job
        self.notes: list[str] = []


def find_inputs(inputs: Sequence[str], targets: Targets, recursive: bool) -> Inputs:
    """Every input file; folders are walked with -r, and their pictures are known by ending or content.

    Raises
    ------
    UsageError
        When an input is a folder and is not to be walked.
    """
    found = Inputs([], [], [])
    for name in inputs:
        if not os.path.isdir(name):
            found.files.append((name, None))
        elif recursive:
            _walk(name, targets, found)
        else:
            raise UsageError(f"{name}: is a folder; -r walks it")
    return found


def _walk(root: str, targets: Targets, found: Inputs) -> None:
    """Adds what lies under a folder. By a stack of our own: os.walk calls itself, which ends 985 folders deep."""
    results = None if targets.out_dir is None else _identity(targets.out_dir)
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
        except OSError as problem:
            found.problems.append(Job(Path(folder), None, "", f"{folder}: {reason(problem)}"))
            continue
        below = []
        for name, is_folder, is_link in listed:
            path = os.path.join(folder, name)
            if is_folder:
                # a link may lead back to where we are; results of an earlier run are no inputs
                if not is_link and (results is None or _identity(Path(path)) != results):
                    below.append(path)
            elif name.startswith(".imgconv-"):
                continue
            elif os.path.splitext(name)[1].lower() in WALKED or _ending_of(Path(path)):
                found.files.append((path, Path(root)))
            else:
                found.others.append(path)
        waiting += reversed(below)


def _ending_of(path: Path) -> str:
    """The ending of its format, for a picture whose name does not tell; "" for what is no picture."""
    try:
        with opened(path, PictureError, buffering=0)[0] as file:
            start = file.read(START_BYTES)
    except (PictureError, OSError):
        return ""
    form = format_of(start)
    # cameras' raw files are TIFF, too, but what TIFF's readers see in them is a thumbnail
    return form.endings[0] if form and not (form.name == "TIFF" and path.suffix) else ""


def make_jobs(
    inputs: Sequence[tuple[str, Path | None]], recipe_name: str, targets: Targets
) -> tuple[list[Job], list[str]]:
    """One job for each input, with every clash found before any work; and the inputs that are an earlier run's results.

    Raises
    ------
    UsageError
        When two results would go to one file, a target exists or is an input, a folder is missing, or --output or
        --format have an ending that cannot be written. An input's own ending is a problem of its job alone.
    """
    if targets.in_place and (targets.output or targets.out_dir or targets.format):
        raise UsageError("--in-place writes over the inputs; it takes neither --output, --out-dir nor --format")
    if targets.output == STREAM and targets.out_dir:
        raise UsageError("--output - and --out-dir exclude each other")
    if sum((targets.overwrite, targets.in_place, targets.skip_existing)) > 1:
        raise UsageError("--overwrite, --in-place and --skip-existing exclude each other")
    if targets.output == STREAM and len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot go to one standard output; give a template or --out-dir")
    if sum(name == STREAM for name, _ in inputs) > 1:
        raise UsageError("standard input (-) can be read only once")
    if "" in (targets.output, *(name for name, _ in inputs)):
        raise UsageError("an empty name is no file")
    template = targets.output or DEFAULT_NAME
    _check_template(template, len(inputs))
    jobs = [_job(name, root, template, number, recipe_name, targets) for number, (name, root) in enumerate(inputs, 1)]
    if not targets.in_place and "{stem}" in template and "{kernel}" in template:
        results = _results(jobs, recipe_name)
    else:
        results = set()
    jobs = [job for job in jobs if job.source not in results]
    _check_clashes(jobs, targets)
    return jobs, sorted(map(str, results))


def _results(jobs: Sequence[Job], recipe_name: str) -> set[Path]:
    """The inputs that an earlier run has written: they have the names that this one gives to others' results."""
    if not any(job.source is not None and recipe_name in job.source.name for job in jobs):
        return set()
    names = {_identity(job.target): job.source for job in jobs if job.target is not None}
    return {
        job.source
        for job in jobs
        if job.source is not None and names.get(_identity(job.source), job.source) != job.source
    }


def _check_template(template: str, count: int) -> None:
    if template == STREAM:
        return
    try:
        fields = [(name, spec, kind) for _, name, spec, kind in string.Formatter().parse(template) if name is not None]
    except ValueError as problem:
        raise UsageError(f"--output {template!r}: {problem}") from None
    for name, spec, kind in fields:
        if name not in FIELDS:
            raise UsageError(f"--output {template!r}: {{{name}}} is not one of {{{'} {'.join(FIELDS)}}}")
        if kind is not None:
            raise UsageError(f"--output {template!r}: no !{kind} in {{{name}}}")
        if spec and (name != "index" or re.fullmatch(r"\d{1,2}d?", spec, re.ASCII) is None):
            raise UsageError(
                f"--output {template!r}: only index takes a width, such as {{index:04}}; not {{{name}:{spec}}}"
            )
    if count > 1 and not fields:
        raise UsageError(
            f"{count} inputs cannot go to one file {template!r}; use {{stem}} or {{index}} in it, or --out-dir"
        )
    if os.path.isdir(template) or template.endswith("/"):
        raise UsageError(f"--output {template!r} is a folder; --out-dir writes there")


def _job(name: str, root: Path | None, template: str, number: int, recipe_name: str, targets: Targets) -> Job:
    source = None if name == STREAM else Path(name)
    if targets.in_place:
        if source is None:
            raise UsageError("--in-place has no file to write over when it reads standard input")
        return Job(source, source, "")
    if template == STREAM or (source is None and targets.output is None and targets.out_dir is None):
        form = name_for("." + targets.format.lstrip(".")) if targets.format else ""
        if form is None:
            raise UsageError(f"--format {targets.format!r} is not one that can be written: {endings()}")
        return Job(source, None, form or name_for(source.suffix if source else "") or "")
    folder = Path() if source is None else source.parent
    if targets.out_dir is not None:
        folder = (
            targets.out_dir if root is None or source is None else targets.out_dir / source.parent.relative_to(root)
        )
        if targets.output is not None and "{dir}" not in template:
            template = "{dir}/" + template
    stem, ending = (source.stem, source.suffix) if source else ("stdin", ".png")
    if targets.format:
        ending = "." + targets.format.lstrip(".")
    elif source and "{ext}" in template and name_for(ending) is None:
        stem, ending = source.name, _ending_of(source)  # the whole name: beside x.mpo there may be an x.jpg
        if not ending:
            try:
                os.stat(source)
            except OSError as problem:
                return Job(source, None, "", f"{name}: {reason(problem)}")
            return Job(source, None, "", f"{name}: its own format cannot be written; --format takes one of {endings()}")
    target = Path(template.format(dir=str(folder), stem=stem, kernel=recipe_name, ext=ending, index=number))
    form = name_for(ending if targets.format else target.suffix)
    if form is None:
        what = f"--format {targets.format!r}" if targets.format else f"{target}: its ending"
        raise UsageError(f"{what} is not one that can be written: {endings()}")
    return Job(source, target, form)


def _check_clashes(jobs: Sequence[Job], targets: Targets) -> None:
    sources = {_identity(job.source) for job in jobs if job.source is not None}
    taken: dict[Any, Job] = {}
    existing = []
    for job in jobs:
        if job.target is None:
            continue
        here = _identity(job.target)
        if here in taken and taken[here].input == job.input:
            raise UsageError(f"{job.input}: is given twice")
        if here in taken:
            raise UsageError(f"{taken[here].input} and {job.input} would both be written to {job.target}")
        taken[here] = job
        if targets.in_place:
            continue
        if here in sources:
            raise UsageError(f"{job.target}: is an input; --in-place writes over it")
        if os.path.exists(job.target) and not stat.S_ISREG(os.stat(job.target).st_mode):
            raise UsageError(f"{job.target}: is {'a folder' if os.path.isdir(job.target) else 'not a regular file'}")
        if os.path.lexists(job.target) and not targets.overwrite and not targets.skip_existing:
            existing.append(job.target)
        if targets.out_dir is None and not os.path.isdir(job.target.parent):
            raise UsageError(f"{job.target}: there is no folder {job.target.parent}; --out-dir makes one")
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}: exists{more}; --overwrite replaces, --skip-existing leaves it")


def _identity(path: Path) -> Any:
    """The same for two names of one file, through symbolic and hard links."""
    try:
        found = os.stat(path)
        return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)
    except OSError:
        return os.path.normcase(os.path.realpath(path))


def check_encoder_options(jobs: Sequence[Job], options: Mapping[str, Any]) -> None:
    """Raises UsageError for an encoder option that no job has a use for."""
    forms = sorted({job.format or name_for(job.source.suffix if job.source else "") or "" for job in jobs})
    for key in options:
        if "" not in forms and not set(forms) & set(ENCODER_OPTIONS[key].formats):
            takes = [name for name, option in ENCODER_OPTIONS.items() if set(forms) & set(option.formats)]
            raise UsageError(
                f"--co {key}: {' and '.join(forms)} take{'s' * (len(forms) == 1)} {' and '.join(takes) or 'no option'}"
            )


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
        if following is not None and following.source is not None and not is_skipped(following, targets):
            begun = begin(following.source)
        yield now


def is_skipped(job: Job, targets: Targets) -> bool:
    """Whether a job is not to be done because its result exists."""
    return targets.skip_existing and job.target is not None and os.path.lexists(job.target)


def run_one(job: Job, recipe: Recipe, targets: Targets, handling: Handling) -> Outcome:
    """Reads, filters and writes one file. What goes wrong is in the outcome, unless nobody reads standard output."""
    outcome = Outcome(job)
    started, compiled = time.perf_counter(), compile_seconds()
    if is_skipped(job, targets):
        outcome.status = "skipped"
        return outcome
    try:
        if job.problem:
            raise PictureError(job.problem)
        _do(job, recipe, targets, handling, outcome)
    except ImgconvError as problem:
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
    return outcome


def _clock() -> float:
    """Seconds, without those spent on compiling."""
    return time.perf_counter() - compile_seconds()


def _do(job: Job, recipe: Recipe, targets: Targets, handling: Handling, outcome: Outcome) -> None:
    started = _clock()
    file, size = _opened(job)
    with file:
        if _do_in_strips(job, file, size, recipe, targets, handling, outcome):
            return
        before = _read(job, file, handling.auto_orient, limits_for(handling.limits, recipe.options, job.format))
    before = fitted(before, job.format or before.format)
    outcome.read_s = _clock() - started
    _note(before, targets, outcome)
    array, mode, outcome.report = recipe.apply(before.array, before.mode)
    started = _clock()
    after = _after(before, array, mode, handling, outcome)
    del before  # its pixels: encoding takes memory of its own
    form, threads = job.format or after.format, recipe.options.threads
    if job.target is not None and targets.out_dir is not None:
        make_folder(job.target.parent)
    asked = {"progressive": after.info.get("progressive"), **handling.encoder}
    if job.target is not None and form == "JPEG" and has_sink(form, array.shape, asked):
        with _target(job, targets, array.nbytes) as target:  # without its bytes in one piece
            sink = sink_of(target, after, form, handling.encoder, threads)
            sink.write(array)
            sink.end()
        outcome.notes += sink.notes
    else:
        data, notes = encode(after, form, handling.encoder, threads)
        if job.target is None:
            _write_stream([data])
        else:
            write(job.target, data, overwrite=targets.overwrite or targets.in_place)
        outcome.notes += notes
    outcome.write_s = _clock() - started


def _do_in_strips(
    job: Job, file: BinaryIO, size: int, recipe: Recipe, targets: Targets, handling: Handling, outcome: Outcome
) -> bool:
    """Does a job some rows at a time, where its formats and the recipe allow that: the rest is read ahead meanwhile."""
    started = _clock()
    threads = recipe.options.threads
    source = source_of(file, size, job.source or STANDARD_INPUT, auto_orient=handling.auto_orient, threads=threads)
    form = job.format or source.about.format if source else ""
    if source is None or form not in SINKS:
        return False
    work = in_strips(recipe, source.about.array, source.about.mode, source.is_opaque)
    if work is None or not has_sink(form, work.shape, handling.encoder):
        return False
    check_memory(work.memory, size, handling.limits)
    outcome.read_s = _clock() - started
    _note(source.about, targets, outcome)
    after = _after(source.about, unread(work.shape, work.dtype), work.mode, handling, outcome)
    if targets.out_dir is not None and job.target is not None:
        make_folder(job.target.parent)
    with _target(job, targets, after.array.nbytes) as target:
        sink = sink_of(target, after, form, handling.encoder, threads)
        with closing(work.run(source.read, sink.step)) as strips:
            for strip in strips:
                sink.write(strip)
        sink.end()
        outcome.notes += sink.notes
        file.close()  # it may be replaced now
    outcome.report = work.report()
    outcome.strip_rows = work.strip_rows if work.strip_rows < work.shape[0] else 0
    outcome.read_s += work.waited_s
    outcome.write_s = _clock() - started - outcome.read_s - outcome.report.filter_s
    return True


@contextmanager
def _target(job: Job, targets: Targets, size: int) -> Iterator[BinaryIO]:
    """A file to be written, which becomes the job's target, or goes to standard output, when it is complete.

    `size` is that of the samples in bytes.
    """
    if job.target is not None:
        with placed(job.target, overwrite=targets.overwrite or targets.in_place) as file:
            yield file
        return
    with io.BytesIO() if size <= SPOOLED_BYTES else _nameless() as file:
        yield file
        file.seek(0)
        _write_stream(iter(lambda: file.read(PIECE), b""))


def _nameless() -> BinaryIO:
    """A file on the disk that goes when it is closed."""
    import tempfile  # here, because it takes 3 ms

    try:
        return tempfile.TemporaryFile(buffering=0)
    except OSError as problem:
        raise WriteError(f"standard output: {reason(problem)}") from None


def _note(before: Picture, targets: Targets, outcome: Outcome) -> None:
    """Puts down what was read. Raises PictureError where --in-place would lose frames."""
    outcome.shape, outcome.mode, outcome.dtype = before.array.shape, before.mode, before.array.dtype.name
    if before.frames > 1 and targets.in_place:
        raise PictureError(f"{outcome.job.input}: has {before.frames} frames; --in-place would leave only the first")
    if before.frames > 1:
        outcome.notes.append(f"only the first of {before.frames} frames was filtered")
    outcome.notes += before.notes


def _after(before: Picture, array: Any, mode: str, handling: Handling, outcome: Outcome) -> Picture:
    """The picture with its new pixels, and what is to be said about it."""
    outcome.result_shape, outcome.result_mode = array.shape, mode
    info = select(before.info, handling.metadata)
    if "exif" in info or "xmp" in info or any(chunk.kind for chunk in info.get("chunks", ())):
        from imgconv.picture import exif  # here, because many pictures have none

        info, notes = exif.for_result(info, before.array.shape, array.shape, before.frames)
        outcome.notes += notes
    if "icc_profile" in info and (mode in GREY_MODES) != (before.mode in GREY_MODES):
        del info["icc_profile"]
        outcome.notes.append(f"its ICC profile is for {'colours' if mode in GREY_MODES else 'greys'} and left out")
    return replace(before, array=array, mode=mode, info=info)


def _opened(job: Job) -> tuple[BinaryIO, int]:
    """The input, and its size in bytes; what comes through standard input is held in memory as it is."""
    if job.source is not None:
        return opened(job.source, PictureError, buffering=0)
    try:
        data = sys.stdin.buffer.read()
    except (OSError, AttributeError):  # closed by the caller: <&-
        raise PictureError(f"{STANDARD_INPUT}: cannot be read") from None
    return io.BytesIO(data), len(data)


def _read(job: Job, file: BinaryIO, auto_orient: bool, limits: Limits) -> Picture:
    if job.source is not None:
        return read(job.source, auto_orient=auto_orient, begun=job.begun, limits=limits)
    file.seek(0)
    return parse(file.read(), str(STANDARD_INPUT), auto_orient=auto_orient, limits=limits)


def read_mask(name: str, *, auto_orient: bool = False, limits: Limits = DEFAULT) -> Mask:
    """The mask in a picture or array file: grey, also as colours that are all grey, and opaque.

    Raises
    ------
    UsageError
        When it cannot be read or is no mask: nothing can be filtered then.
    """
    from imgconv.masks import Mask  # here, because most pictures are filtered without

    try:
        picture = read(Path(name), auto_orient=auto_orient, limits=limits)
        array = picture.array
        if picture.mode and array.ndim == 3:
            colours = array[:, :, :-1] if picture.mode in ("LA", "RGBA") else array
            if picture.mode not in ("LA", "RGB", "RGBA") or (colours != colours[:, :, :1]).any():
                raise PictureError(f"{name}: a mask is a grey picture, not one in {picture.mode} with colours")
            if colours is not array and (array[:, :, -1] != np.iinfo(array.dtype).max).any():
                raise PictureError(f"{name}: a mask is opaque; this one has transparent pixels")
            array = colours[:, :, 0]
        return Mask(array, name)
    except PictureError as problem:
        raise UsageError(f"--mask {problem}") from None


def _write_stream(parts: Iterable[bytes]) -> None:
    if sys.__stdout__ is None:
        raise WriteError("standard output: is closed")
    try:
        # without Python's buffer, which would be written once more at the end, and fail once more
        stream = getattr(sys.stdout.buffer, "raw", sys.stdout.buffer)
        for part in parts:
            put(stream, part)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        raise WriteError(f"standard output: {reason(problem)}") from None


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents. Raises WriteError."""
    missing = [folder]
    while not missing[-1].exists() and missing[-1] != missing[-1].parent:
        missing.append(missing[-1].parent)
    try:
        for each in reversed(missing):  # mkdir(parents=True) calls itself for each of them, which may be too many
            each.mkdir(exist_ok=True)
    except OSError as problem:
        raise WriteError(f"{folder}: {reason(problem)}") from None


def _named(text: str, job: Job) -> str:
    """The error with the file's name in front, if it does not name one."""
    names = (job.input, job.output, str(job.target and job.target.parent), "standard input", "standard output")
    return text if text.startswith(names) else f"{job.input}: {text}"


def as_json(outcome: Outcome, recipe: Recipe) -> dict[str, Any]:
    """What `--json` prints of an outcome."""
    report, shape = outcome.report, outcome.shape
    first = report.plans[0] if report and report.plans else None
    return {
        "input": outcome.job.input,
        "output": None if outcome.job.problem else outcome.job.output,
        "kernel": recipe.name,
        "mode": recipe.options.mode,
        "border": first.correlation.border if first else recipe.options.border,
        "method": first.method if first else None,
        "size": [shape[1], shape[0]] if shape else None,
        "channels": (*shape, 1)[2] if shape else None,
        "dtype": outcome.dtype or None,
        "read_s": round(outcome.read_s, 6),
        "filter_s": round(report.filter_s, 6) if report else None,
        "write_s": round(outcome.write_s, 6),
        "compile_s": round(outcome.compile_s, 6),
        "total_s": round(outcome.total_s, 6),
        "clipped": report.clipped if report else None,
        "status": outcome.status,
        "error": outcome.error,
    }
