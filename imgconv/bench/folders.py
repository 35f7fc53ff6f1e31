"""Whole folders: programs and scripts that filter many files on all cores, and where imgconv's CPU time goes."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imgconv.bench.chart import table_lines
from imgconv.bench.codecs import CODECS, QUALITY
from imgconv.bench.commands import run
from imgconv.bench.measure import Contender, Progress, Row, Timing, compete
from imgconv.bench.programs import SPENT_SCRIPT, THREADS, folder_lines
from imgconv.bench.works import Work, error_from, picture
from imgconv.peers.task import Run

SMALL = 64  # rows and columns of small files
DISTINCT = 16  # pictures; the other files are copies of theirs
TRIAL, PART = 8, 8  # files that are done first, or this part of them if that is more
TOO_SLOW = 1.7  # times imgconv's time: who takes longer is only estimated, from the trial
PATIENCE = 1.5  # times imgconv's time, for all rounds
LONGEST_S = 600.0  # of a command
MANY = 16  # workers, and cores, of the model
SOME = 40  # files on which imgconv's CPU time is divided

NOTE = (
    "“≈”: estimated from some of the files. “codecs”: the fastest that decodes and encodes, and does not filter."
    f" The model is no measurement: {MANY} workers on {MANY} cores like these do {MANY} / CPU time, or 1 / time in turn"
    " if that is less, which is imgconv's first process, or Python under the lock of its threads."
)


class Folder(NamedTuple):
    """Files of one kind."""

    work: Work
    files: int
    rows: int
    columns: int

    @property
    def name(self) -> str:
        """Of the work."""
        return self.work.name


@dataclass
class Result:
    """Everybody's times for a folder, and CPU seconds.

    Attributes
    ----------
    cpu_s : dict of str to float
        Of each contender for a file, start aside.
    parts_s : dict of str to float
        Of imgconv for a file: in its first process, in the workers, and what a job needs: of the codecs, of compiled
        loops, of fsync, of Python with what else it asks of the system.
    in_turn_s : dict of str to float
        Seconds for a file that workers cannot share: in imgconv's first process, under the interpreter's lock.
    """

    folder: Folder
    row: Row
    cpu_s: dict[str, float]
    parts_s: dict[str, float] = field(default_factory=dict)
    in_turn_s: dict[str, float] = field(default_factory=dict)

    def numbers(self, t: Timing) -> dict[str, float | None]:
        """What a table says of one; `modelled` are files per second of MANY workers on as many cores like these."""
        cpu_s, in_turn_s = self.cpu_s.get(t.tool), self.in_turn_s.get(t.tool)
        modelled = min(MANY / cpu_s, 1 / in_turn_s if in_turn_s else float("inf")) if cpu_s else None
        return {
            "files_per_s": self.folder.files / t.median_s if t.median_s else None,
            "ratio": self.row.ratio(t),
            "codecs_ratio": self.row.over_codecs(t),
            "cpu_ms_per_file": cpu_s and cpu_s * 1e3,
            "in_turn_ms_per_file": in_turn_s and in_turn_s * 1e3,
            "modelled_files_per_s": modelled,
            "megabytes": t.size_bytes and t.size_bytes / 1e6,
        }

    def lines(self, markdown: bool) -> list[str]:
        """A table, what failed, and where imgconv's CPU time goes."""
        rows = []
        for t in self.row.timings:
            cells = [
                "" if number is None else f"{number:.3g}" if number < 1000 else f"{number:.0f}"
                for number in self.numbers(t).values()
            ]
            rows.append([t.name, ("≈ " * t.estimated + cells[0]) or "failed", *cells[1:]])
        heads = [
            self.row.work.about, "files/s", "× imgconv", "× codecs", "CPU ms/file", "in turn ms/file",
            f"model of {MANY} workers, files/s", "MB written",
        ]  # fmt: skip
        lines = [*table_lines([heads, *rows], markdown), ""]
        lines += [f"{t.name}: {t.problem}" for t in self.row.timings if t.problem]
        parts = ", ".join(f"{name} {seconds * 1e3:.3g}" for name, seconds in self.parts_s.items())
        lines.append(f"CPU milliseconds of imgconv for a file: {parts}." if parts else "CPU time is not known here.")
        own = next((t for t in self.row.timings if not t.filters), None)
        if own and own.median_s and self.row.base_s:
            lines.append(f"imgconv takes {self.row.base_s / own.median_s:.2f} times as long as its {own.tool}.")
        return lines

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        told = self.row.as_dict()
        for t, one in zip(self.row.timings, told["results"], strict=True):
            one |= self.numbers(t)
        parts = {name: round(seconds * 1e3, 4) for name, seconds in self.parts_s.items()}
        size = {"files": self.folder.files, "megapixels": self.folder.rows * self.folder.columns / 1e6}
        return told | size | {"imgconv_cpu_ms_per_file": parts}


def folders(count: int, rows: int, columns: int) -> list[Folder]:
    """What is measured, for so many JPEG files of that size."""

    def folder(name: str, kind: str, count: int, rows: int, columns: int) -> Folder:
        about = f"{count} {kind}s of {columns}×{rows}"
        return Folder(Work(name, about, "command", ending=".jpg" if kind == "JPEG" else ".png"), count, rows, columns)

    return [
        folder("jpegs", "JPEG", count, rows, columns),
        folder("pngs", "PNG", max(1, count // 2), rows, columns),
        folder("small-jpegs", "JPEG", 5 * count, SMALL, SMALL),
        folder("small-pngs", "PNG", 5 * count, SMALL, SMALL),
    ]


def _make(folder: Folder, where: Path) -> list[str]:
    """Writes the files, and returns their names: photographs of more and of less contrast."""
    from PIL import Image

    base = picture(folder.rows, folder.columns, 3, "uint8")
    names = [f"{number:05}{folder.work.ending}" for number in range(folder.files)]
    for number, name in enumerate(names):
        if number < DISTINCT:
            part = np.roll(base, (37 * number, 101 * number), (0, 1))
            contrast = 1 - number / (2 * DISTINCT)
            Image.fromarray((part * contrast).astype(np.uint8)).save(where / name, quality=QUALITY)
        else:
            shutil.copyfile(where / names[number % DISTINCT], where / name)
    return names


def _ended_s() -> list[float]:
    """CPU seconds of all processes that were started here and have ended; nothing where the system does not tell."""
    try:
        import resource  # to the microsecond, which os.times is not
    except ImportError:  # Windows
        return []
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return [used.ru_utime + used.ru_stime]


class _Place:
    """A temporary folder with the files, and what runs there."""

    def __init__(self, folder: Folder, where: Path, cores: int) -> None:
        self.where, self.source, self.out = where, where / "in", where / "out"
        self.source.mkdir()
        self.names = _make(folder, self.source)
        self.trial = self.names[: max(1, min(max(TRIAL, len(self.names) // PART), len(self.names) // 4))]
        self.few = self.trial[: max(1, len(self.trial) // 4)]
        self.lines = folder_lines(folder.work.ending, folder.files, where, cores)
        limits = {"OMP_NUM_THREADS": cores, "MAGICK_THREAD_LIMIT": cores, "VIPS_CONCURRENCY": 1}
        self.environment = os.environ | {name: str(number) for name, number in limits.items()}

    def clean(self) -> None:
        """Takes results away. What one has written is not to be synced by the next."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        if hasattr(os, "sync"):
            os.sync()

    def run(self, words: list[str], names: list[str]) -> list[float]:
        """Runs a command on files; returns the CPU seconds of it and of what it started, where they are known."""
        stems = [Path(name).stem if "-I" in words else name for name in names]
        (self.where / "names").write_text("\n".join(stems) + "\n")
        before = _ended_s()
        run([one for word in words for one in (names if word == "{names}" else [word])], self.environment,
            self.source, LONGEST_S)  # fmt: skip
        return [after - earlier for after, earlier in zip(_ended_s(), before, strict=True)]

    def spent(self, names: list[str]) -> tuple[float, ...]:
        """CPU seconds of imgconv's first process for files, and of those that it started."""
        self.clean()
        told = self.where / "told"
        ours = self.lines["imgconv"]
        self.run([sys.executable, "-c", SPENT_SCRIPT, str(told), *ours[ours.index("apply") :]], names)
        return tuple(map(float, told.read_text().split()))

    def locked(self) -> float:
        """Seconds of a file under Python's lock, in the script of threads."""
        self.clean()
        script = [sys.executable, str(self.where / "lock.py"), "1", str(self.out), *self.names[:SOME]]
        return float(run(script, self.environment, self.source, LONGEST_S))

    def inside(self) -> dict[str, float]:
        """CPU seconds of a job by what it needs them for."""
        self.clean()
        script = [sys.executable, "-m", "imgconv.bench.inside"]
        plain, timed = (
            json.loads(run([*script, how, str(self.out), *self.names[:SOME]], self.environment, self.source, LONGEST_S))
            for how in ("plain", "timed")
        )
        timed["Python"] = max(0.0, plain.pop("job") - sum(timed[name] for name in timed if name != "job"))
        return {f"job: {name}": seconds for name, seconds in timed.items() if name != "job"}


def measure(
    folder: Folder, rounds: int, cores: int, progress: Progress = lambda _: None, tools: Sequence[str] = ()
) -> Result:
    """One folder by everybody who is there, in turns; or by these tools alone, and without imgconv's parts."""
    from PIL import Image

    with tempfile.TemporaryDirectory(prefix="imgconv-bench-") as temporary:
        progress("making files")
        place = _Place(folder, Path(temporary), cores)
        lines = {tool: line for tool, line in place.lines.items() if not tools or tool in tools}
        names, trial = place.names, place.trial
        used: dict[str, list[float]] = {}  # CPU seconds of few files, of the trial, of all

        def each(more: float, fewer: float, files: int, before: int) -> float:
            """Of a file: what starting costs is left out."""
            return max(0.0, more - fewer) / max(1, files - before)

        @cache
        def estimate(tool: str) -> float:
            took = []
            used[tool] = []
            for part in (place.few, place.few, trial):  # the first time it compiles and fills caches
                place.clean()
                started = time.perf_counter()
                used[tool] += place.run(lines[tool], part)
                took.append(time.perf_counter() - started)
            return took[2] + each(took[2], took[1], len(trial), len(place.few)) * (len(names) - len(trial))

        def prepare(tool: str) -> Run:
            return lambda: used[tool].extend(place.run(lines[tool], names))

        def cpu_s(few: float, some: float, *all_: float) -> float:
            if all_:
                return each(statistics.median(all_), some, len(names), len(trial))
            return each(some, few, len(trial), len(place.few))

        def check(timing: Timing, result: Any) -> None:
            made = list(place.out.glob(f"*{folder.work.ending}"))  # beside them may be a journal
            if len(made) != len(names):
                raise RuntimeError(f"{len(made)} of {len(names)} files were written")
            timing.size_bytes = sum(file.stat().st_size for file in made)
            if folder.work.ending == ".png" and timing.filters:
                with Image.open(place.source / names[0]) as before, Image.open(min(made)) as after:
                    timing.error = error_from(folder.work, np.asarray(before))(np.asarray(after))

        contenders = (
            Contender(
                Timing(tool, filters=tool not in CODECS[folder.work.ending]),
                partial(estimate, tool),
                partial(prepare, tool),
            )
            for tool in lines
        )
        ours_s = LONGEST_S
        with suppress(RuntimeError):  # its row says so
            ours_s = estimate(next(iter(lines)))
        limits_s = TOO_SLOW * ours_s, PATIENCE * rounds * ours_s
        row = compete(folder.work, contenders, check, rounds, progress, limits_s, place.clean)
        result = Result(folder, row, {tool: cpu_s(*s[1:]) for tool, s in used.items() if len(s) > 2})
        if tools:
            return result
        progress("where the CPU time goes")
        with suppress(RuntimeError):
            spent = [(*place.spent(trial), *place.spent(names)) for _ in range(rounds)]
            start, starts, parent, workers = map(statistics.median, zip(*spent, strict=True))
            for part, more, fewer in (("parent", parent, start), ("workers", workers, starts)):
                result.parts_s[part] = each(more, fewer, len(names), len(trial))
            result.parts_s |= place.inside()
            result.in_turn_s["imgconv"] = result.parts_s["parent"]
        if THREADS in lines:
            result.in_turn_s[THREADS] = place.locked()
        return result
