"""Which input goes to which target: folders walked, names made, clashes found before any work."""

from __future__ import annotations

import os
import re
import stat
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from imgconv.arrayfile import opened
from imgconv.errors import PictureError, UsageError, reason
from imgconv.formats.decode import Begun
from imgconv.formats.table import ENCODER_OPTIONS, FORMATS, START_BYTES, endings, format_of, name_for

STREAM = "-"
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


def find_inputs(inputs: Sequence[str], targets: Targets, recursive: bool) -> Inputs:
    """Every input file; folders are walked with -r, and their pictures are known by ending or content.

    Raises
    ------
    UsageError
        When an input is a folder and is not to be walked.
    """
    met = Inputs([], [], [])
    for name in inputs:
        if not os.path.isdir(name):
            met.files.append((name, None))
        elif recursive:
            _walk(name, targets, met)
        else:
            raise UsageError(f"{name}: is a folder; -r walks it")
    return met


def _walk(root: str, targets: Targets, met: Inputs) -> None:
    """Adds what lies under a folder. By a stack of our own: os.walk calls itself, which ends 985 folders deep."""
    results = None if targets.out_dir is None else _identity(targets.out_dir)
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                listed = sorted((entry.name, entry.is_dir(), entry.is_symlink()) for entry in entries)
        except OSError as problem:
            met.problems.append(Job(Path(folder), None, "", f"{folder}: {reason(problem)}"))
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
                met.files.append((path, Path(root)))
            else:
                met.others.append(path)
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
    named = not targets.in_place and "{stem}" in template and "{kernel}" in template
    results = _results(jobs, recipe_name) if named else set()
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
    wanted = "." + targets.format.lstrip(".") if targets.format else ""
    if wanted and name_for(wanted) is None:
        raise UsageError(f"--format {targets.format!r} is not one that can be written: {endings()}")
    if template == STREAM or (source is None and targets.output is None and targets.out_dir is None):
        return Job(source, None, name_for(wanted or (source.suffix if source else "")) or "")
    folder = source.parent if source else Path()
    if targets.out_dir is not None:
        folder = targets.out_dir / folder.relative_to(root) if root else targets.out_dir
        if targets.output is not None and "{dir}" not in template:
            template = "{dir}/" + template
    stem, ending = (source.stem, wanted or source.suffix) if source else ("stdin", wanted or ".png")
    if source and not wanted and "{ext}" in template and name_for(ending) is None:
        stem, ending = source.name, _ending_of(source)  # the whole name: beside x.mpo there may be an x.jpg
        if not ending:
            why = f"its own format cannot be written; --format takes one of {endings()}"
            try:
                os.stat(source)
            except OSError as problem:
                why = reason(problem)
            return Job(source, None, "", f"{name}: {why}")
    target = Path(template.format(dir=str(folder), stem=stem, kernel=recipe_name, ext=ending, index=number))
    form = name_for(wanted or target.suffix)
    if form is None:
        raise UsageError(f"{target}: its ending is not one that can be written: {endings()}")
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
        status = os.stat(path)
        return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(path)
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


def is_skipped(job: Job, targets: Targets) -> bool:
    """Whether a job is not to be done because its result exists."""
    return targets.skip_existing and job.target is not None and os.path.lexists(job.target)
