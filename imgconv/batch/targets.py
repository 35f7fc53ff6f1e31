"""Which input goes to which target: names made, clashes found before any work."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from unicodedata import normalize

from imgconv.arrayfile import opened
from imgconv.batch import journal, remote
from imgconv.batch.remote import Remote, full, place
from imgconv.errors import PictureError, UsageError, reason
from imgconv.formats.decode import Begun
from imgconv.formats.place import lacks_folder
from imgconv.formats.table import ENCODER_OPTIONS, START_BYTES, by_name, endings, format_of, is_written, name_for

STREAM = "-"
DEFAULT_NAME = "{dir}/{stem}.{kernel}{ext}"
FIELDS = ("dir", "stem", "kernel", "ext", "index", "frame")


class Targets(NamedTuple):
    """Where results go, and which are made; `make_jobs` says which of these exclude each other."""

    output: str | None = None  # a file, a template, or "-"
    out_dir: Path | Remote | None = None
    format: str | None = None  # an ending such as "png", for "-"
    overwrite: bool = False
    in_place: bool = False
    skip_existing: bool = False
    newer: bool = False  # only inputs that are newer than their result, or have none
    resume: bool = False  # only what the journal does not say is done
    frames: tuple[int, ...] | None = None  # the numbers of those that are done, from 1 up; None: all
    journal: str = ""  # what tells the recipe from others; "" where no journal is kept

    @property
    def replaces(self) -> bool:
        """Whether a result may take the place of any file."""
        return self.overwrite or self.in_place or self.newer

    def replaces_at(self, target: Path) -> bool:
        """Whether a result may take the place of what is there: what an earlier run has made may go."""
        return self.replaces or (self.resume and journal.entry_of(target) is not None)

    def may_be_there(self, target: Path) -> bool:
        """Whether what is there is replaced, or left as it is."""
        return self.skip_existing or self.replaces_at(target)


class Job(NamedTuple):
    """One input and where its result goes; None stands for standard input or output."""

    source: Path | Remote | None
    target: Path | Remote | None
    format: str  # Pillow's name, or NPY, TEXT, CSV; "" for the input's own
    problem: str = ""  # why it cannot be done
    begun: Begun | None = None  # its picture, where decoding it has begun
    each: str = ""  # a template for the targets of its frames, the first of which is `target`; "" where all go there

    @property
    def only_here(self) -> bool:
        """Whether no other process can do it: standard input, standard output, fsspec's memory."""
        if self.problem:
            return False
        return any(end is None or (isinstance(end, Remote) and end.protocol == "memory") for end in self[:2])

    @property
    def input(self) -> str:
        return STREAM if self.source is None else str(self.source)

    @property
    def output(self) -> str:
        return self.each or (STREAM if self.target is None else str(self.target))

    def at(self, number: int) -> Job:
        """The job of one frame, where each goes to a target of its own."""
        return self._replace(target=place(self.each.format(frame=number)), each="")


def format_in(path: Path | Remote) -> str:
    """The format of a picture whose name does not tell; "" for what is no picture."""
    try:
        if isinstance(path, Remote):
            start = remote.start(path, START_BYTES)
        else:
            with opened(path, PictureError, buffering=0)[0] as file:
                start = file.read(START_BYTES)
    except (PictureError, OSError):
        return ""
    form = format_of(start)
    # cameras' raw files are TIFF, too, but what TIFF's readers see in them is a thumbnail
    return form.name if form and not (form.name == "TIFF" and path.suffix) else ""


def make_jobs(inputs: Sequence[tuple[str, str]], recipe_name: str, targets: Targets) -> tuple[list[Job], list[str]]:
    """One job for each input, with every clash found before any work; and the inputs that are an earlier run's results.

    Raises UsageError when two results would go to one file, a target exists or is an input, a folder is missing, or
    --output or --format have an ending that cannot be written. An input's own ending is a problem of its job alone.
    """
    if targets.in_place and (targets.output or targets.out_dir or targets.format):
        raise UsageError("--in-place writes over the inputs; it takes neither --output, --out-dir nor --format")
    if targets.output == STREAM and targets.out_dir:
        raise UsageError("--output - and --out-dir exclude each other")
    if sum((targets.overwrite or targets.newer, targets.in_place, targets.skip_existing)) > 1:
        raise UsageError("--overwrite (or --newer), --in-place and --skip-existing exclude each other")
    if targets.resume and (targets.newer or targets.skip_existing):
        raise UsageError("--resume goes by its journal, so it takes neither --newer nor --skip-existing")
    if targets.output == STREAM and len(inputs) > 1:
        raise UsageError(f"{len(inputs)} inputs cannot go to one standard output; give a template or --out-dir")
    if sum(name == STREAM for name, _ in inputs) > 1:
        raise UsageError("standard input (-) can be read only once")
    if "" in (targets.output, *(name for name, _ in inputs)):
        raise UsageError("an empty name is no file")
    template = targets.output or DEFAULT_NAME
    _check_template(template, len(inputs))
    if targets.format and not is_written(name_for("." + targets.format.lstrip("."))):
        raise UsageError(f"--format {targets.format!r} is not one that can be written: {endings()}")
    jobs = [_job(*given, template, number, recipe_name, targets) for number, given in enumerate(inputs, 1)]
    real = cache(os.path.realpath)  # of folders, in which there are many
    named = not targets.in_place and "{stem}" in template and "{kernel}" in template
    results = _results(jobs, recipe_name, real) if named else set()
    jobs = [job for job in jobs if job.source not in results] if results else jobs
    _check_clashes(jobs, targets, real)
    return jobs, sorted(map(str, results))


def _results(jobs: Sequence[Job], recipe_name: str, real: Callable[[str], str]) -> set[Path | Remote]:
    """The inputs that an earlier run has written: they have the names that this one gives to others' results."""
    if not any(job.source is not None and recipe_name in job.source.name for job in jobs):
        return set()
    names = {identity(job.target, real): job.source for job in jobs if job.target is not None}
    places = _frame_places(jobs)
    return {
        job.source
        for job in jobs
        if job.source is not None
        and (names.get(identity(job.source, real), job.source) != job.source or _frame_at(job.source, places))
    }


def _frame_places(jobs: Sequence[Job]) -> dict[tuple[str, str], Job]:
    """The jobs that write each frame to a file of its own, by what stands before and behind the frame's number.

    Raises UsageError where a digit does: frame 1 of a1 could be frame 11 of a.
    """
    places: dict[tuple[str, str], Job] = {}
    for job in jobs:
        if not job.each:
            continue
        text = os.path.abspath(job.each) if isinstance(job.source, Path | None) else job.each
        before, behind = re.split(r"\{frame(?::\w+)?\}", text, maxsplit=1)
        if before[-1:].isdigit() or behind[:1].isdigit():
            raise UsageError(f"{job.each}: {{frame}} stands beside a digit; put something between, such as -{{frame}}")
        places[before.format(), behind.format()] = job
    return places


def _frame_at(path: Path | Remote, places: Mapping[tuple[str, str], Job]) -> Job | None:
    """The job that could write a frame to a path."""
    if not places:
        return None
    text = os.path.abspath(path) if isinstance(path, Path) else str(path)
    parts = ((text[: number.start()], text[number.end() :]) for number in re.finditer(r"\d+", text))
    return next((places[part] for part in parts if part in places), None)


def _check_template(template: str, count: int) -> None:
    if template == STREAM:
        return
    fields = []
    if not {"{", "}"}.isdisjoint(template):
        from string import Formatter  # here, because many runs have no template

        try:
            fields = [(name, spec, kind) for _, name, spec, kind in Formatter().parse(template) if name is not None]
        except ValueError as problem:
            raise UsageError(f"--output {template!r}: {problem}") from None
    for name, spec, kind in fields:
        if name not in FIELDS:
            raise UsageError(f"--output {template!r}: {{{name}}} is not one of {{{'} {'.join(FIELDS)}}}")
        if kind is not None:
            raise UsageError(f"--output {template!r}: no !{kind} in {{{name}}}")
        if spec and (name not in ("index", "frame") or re.fullmatch(r"\d{1,2}d?", spec, re.ASCII) is None):
            raise UsageError(
                f"--output {template!r}: only index and frame take a width, such as {{index:04}}; not {{{name}:{spec}}}"
            )
    if count > 1 and not {name for name, _, _ in fields} - {"frame"}:
        raise UsageError(
            f"{count} inputs cannot go to one file {template!r}; use {{stem}} or {{index}} in it, or --out-dir"
        )
    if os.path.isdir(template) or template.endswith("/"):
        raise UsageError(f"--output {template!r} is a folder; --out-dir writes there")


def _job(name: str, relative: str, template: str, number: int, recipe_name: str, targets: Targets) -> Job:
    source = None if name == STREAM else place(name)
    if targets.in_place:
        if source is None:
            raise UsageError("--in-place has no file to write over when it reads standard input")
        return Job(source, source, "")
    wanted = "." + targets.format.lstrip(".") if targets.format else ""
    if template == STREAM or (source is None and targets.output is None and targets.out_dir is None):
        return Job(source, None, name_for(wanted or (source.suffix if source else "")) or "")
    if targets.out_dir is not None:
        folder = full(targets.out_dir).rstrip("/") + (f"/{relative}" if relative else "")
        if targets.output is not None and "{dir}" not in template:
            template = "{dir}/" + template
    else:
        folder = full(source.parent) if source else "."
    stem, ending = (source.stem, wanted or source.suffix) if source else ("stdin", wanted or ".png")
    own = name_for(ending)
    if source and not wanted and "{ext}" in template and (not is_written(own) or ending.lower() == ".pbm"):
        own = format_in(source) or own
        if is_written(own):
            # the whole name: beside x.mpo there may be an x.jpg
            stem, ending = source.name, by_name(str(own)).endings[0]
        else:
            why = f"{source}: {f'{own} is read, but not' if own else 'its own format cannot be'} written"
            why += f"; --format takes one of {endings()}"
            try:
                remote.start(source, 1) if isinstance(source, Remote) else os.stat(source)
            except OSError as problem:
                why = f"{source}: {reason(problem)}"
            except PictureError as problem:
                why = str(problem)
            return Job(source, None, "", why)
    text = template.format(dir=folder, stem=stem, kernel=recipe_name, ext=ending, index=number, frame=_Later())
    each = ""
    if "\0" in text:
        texts = [text.replace("{", "{{").replace("}", "}}") for text in text.split("\0")]
        texts[1::2] = [f"{{frame{width}}}" for width in texts[1::2]]
        each = "".join(texts)
    target = place(each.format(frame=min(targets.frames or (1,))) if each else text)
    if isinstance(target, Remote):
        remote.check_target(target)
    form = name_for(wanted or target.suffix)
    if form is None or not is_written(form):
        raise UsageError(f"{target}: its ending is not one that can be written: {endings()}")
    return Job(source, target, form, each=each)


class _Later:
    """Stands for {frame} in a template, and for its width; no name has a NUL character."""

    def __format__(self, width: str) -> str:
        return f"\0:{width}\0" if width else "\0\0"


def _check_clashes(jobs: Sequence[Job], targets: Targets, real: Callable[[str], str]) -> None:
    sources = {identity(job.source, real) for job in jobs if job.source is not None}
    taken: dict[Any, Job] = {}
    alike: dict[str, tuple[str, Job]] = {}
    existing: list[Path | Remote] = []
    places = _frame_places(jobs)
    elsewhere = [job.target for job in jobs if isinstance(job.target, Remote)]
    there = remote.existing(elsewhere) if not targets.replaces and not targets.skip_existing else set()
    for job in jobs:
        if job.target is None:
            continue
        here = identity(job.target, real)
        first = taken.setdefault(here, job)
        if first is job and isinstance(here, str) and isinstance(job.target, Path):
            name, other = alike.setdefault(normalize("NFC", here).casefold(), (here, job))
            first = job if name == here or not _is_one(name, here) else other
        if first is not job and first.input == job.input:
            raise UsageError(f"{job.input}: is given twice")
        if first is not job:
            raise UsageError(f"{first.input} and {job.input} would both be written to {job.target}")
        if targets.in_place:
            continue
        if job.source is not None and _frame_at(job.source, places):
            raise UsageError(f"{job.source}: is an input, and a frame could be written there; give another template")
        if here in sources:
            raise UsageError(f"{job.target}: is an input; --in-place writes over it")
        if isinstance(job.target, Remote):
            if targets.resume:
                raise UsageError(f"{job.target}: --resume keeps a journal in a folder; --skip-existing leaves results")
            existing += [job.target] if job.target in there else []
            continue
        if not isinstance(here, str) and not os.path.isfile(job.target):
            raise UsageError(f"{job.target}: is {'a folder' if os.path.isdir(job.target) else 'not a regular file'}")
        if os.path.lexists(job.target) and not targets.may_be_there(job.target):
            existing.append(job.target)
        if targets.out_dir is None and lacks_folder(job.target):
            raise UsageError(f"{job.target}: there is no folder {job.target.parent}; --out-dir makes one")
    if existing:
        more = f" (and {len(existing) - 1} more)" if len(existing) > 1 else ""
        raise UsageError(f"{existing[0]}: exists{more}; --overwrite replaces, --skip-existing leaves it")


def _is_one(first: str, second: str) -> bool:
    """Whether a file system takes two names that do not exist for one. Only it knows, and for each folder: it is asked.

    A folder that cannot be written to is taken for one that tells them apart; its jobs will fail.
    """
    folder = common = os.path.commonpath((first, second))
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    one, other = (name[len(common) :].lstrip(os.sep).split(os.sep)[0] for name in (first, second))
    probe = os.path.join(folder, f".imgconv-{os.urandom(8).hex()}.")
    try:
        os.close(os.open(probe + one, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            return os.path.lexists(probe + other)
        finally:
            os.unlink(probe + one)
    except OSError:
        return False


def identity(path: Path | Remote, real: Callable[[str], str] = os.path.realpath) -> Any:
    """The same for two names of one file, through symbolic and hard links; text for a name without a file."""
    if isinstance(path, Remote):
        return path.url.rstrip("/")
    is_link = False
    try:
        status = os.lstat(path)
        if is_link := stat.S_ISLNK(status.st_mode):
            status = os.stat(path)
        if status.st_ino:
            return status.st_dev, status.st_ino
    except OSError:
        pass
    if is_link:
        return os.path.normcase(os.path.realpath(path))
    folder, name = os.path.split(path)
    return os.path.normcase(os.path.join(real(folder), name))


def check_encoder_options(jobs: Sequence[Job], options: Mapping[str, Any]) -> None:
    """Raises UsageError for an encoder option that no job has a use for."""
    forms = sorted({job.format or name_for(job.source.suffix if job.source else "") or "" for job in jobs})
    for key in options:
        if "" not in forms and not set(forms) & set(ENCODER_OPTIONS[key].formats):
            takes = [name for name, option in ENCODER_OPTIONS.items() if set(forms) & set(option.formats)]
            raise UsageError(
                f"--co {key}: {' and '.join(forms)} take{'s' * (len(forms) == 1)} {' and '.join(takes) or 'no option'}"
            )


def check_embedding(jobs: Sequence[Job]) -> None:
    """Raises UsageError where a job's format cannot hold a recipe; an input's own format is a problem of its job."""
    from imgconv.formats import xmp  # here, because most commands embed none

    for job in jobs:
        if job.format and (why := xmp.unfit(job.format)):
            raise UsageError(f"{job.input}: {why}")


def is_skipped(job: Job, targets: Targets) -> bool:
    """Whether a job is not to be done because its result exists, or is as new as what it is made of."""
    if job.target is None or job.each or not (targets.skip_existing or targets.newer or targets.resume):
        return False
    if targets.resume:
        return is_journaled(job, targets)
    if targets.skip_existing:
        return remote.exists(job.target) if isinstance(job.target, Remote) else os.path.lexists(job.target)
    made, given = _changed(job.target), _changed(job.source) if job.source else None
    return made is not None and given is not None and made >= given


def is_journaled(job: Job, targets: Targets) -> bool:
    """Whether the journal says that a job is done, as it is now."""
    entry = journal.entry_of(job.target) if isinstance(job.target, Path) else None
    if entry is None or entry.recipe != targets.journal or job.source is None:
        return False
    return targets.in_place or entry.input == content_of(job.source)  # in place, the input is the result


def content_of(source: Path | Remote, file: BinaryIO | None = None) -> str:
    """What tells the bytes of an input from others: for a file elsewhere the time of its writing. "" without a file.

    It may be open already, as `file`.
    """
    if isinstance(source, Remote):
        return f"{remote.changed(source)}"
    try:
        if file is not None:
            return journal.content(file)
        with opened(source, PictureError, buffering=0)[0] as file:
            return journal.content(file)
    except (PictureError, OSError):
        return ""


def _changed(path: Path | Remote) -> int | None:
    """When a file was written, in nanoseconds since 1970; None where there is none."""
    if isinstance(path, Remote):
        return remote.changed(path)
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None
