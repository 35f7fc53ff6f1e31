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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imgconv.bench.commands import NUMBERS, QUALITY, Command, command_line, command_lines, run
from imgconv.bench.measure import Contender, Progress, Row, Timing, compete
from imgconv.bench.works import EDGE_ENHANCE, Work, error_from, picture
from imgconv.peers.task import Run

SMALL = 64  # rows and columns of small files
DISTINCT = 16  # pictures; the other files are copies of theirs
TRIAL = 16  # files that are done to warm up, and to estimate the time and to know what starting costs
TOO_LONG_S, PATIENCE_S = 60.0, 600.0  # as `measure` has them, for whole folders
MANY_CORES = 16  # of the model
SOME = 40  # files on which imgconv's CPU time is divided

POOL_SCRIPT = f"""
import multiprocessing, os, sys
from PIL import Image, ImageFilter

cores, out, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]

def work(name):
    Image.open(name).filter(ImageFilter.EDGE_ENHANCE).save(os.path.join(out, name), quality={QUALITY})

if __name__ == "__main__":
    with multiprocessing.Pool(cores) as pool:
        pool.map(work, names)
"""
INSTALLED_SCRIPT = f"import imgconv\nimgconv.pillow.install()\n{POOL_SCRIPT}"
THREADS_SCRIPT = f"""
import multiprocessing.pool, os, sys
import cv2, numpy

cores, out, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
cv2.setNumThreads(1)
kernel = numpy.array({EDGE_ENHANCE}) / 2

def work(name):
    result = cv2.filter2D(cv2.imread(name, cv2.IMREAD_UNCHANGED), -1, kernel)
    cv2.imwrite(os.path.join(out, name), result, [cv2.IMWRITE_JPEG_QUALITY, {QUALITY}])

with multiprocessing.pool.ThreadPool(cores) as pool:
    pool.map(work, names)
"""
# the libraries that imgconv reads and writes with, and nothing between them
CODECS_SCRIPT = """
import multiprocessing, os, sys
from PIL import Image, JpegImagePlugin

cores, out, names = int(sys.argv[1]), sys.argv[2], sys.argv[3:]

def jpeg(name):
    image = Image.open(name)
    sampling = JpegImagePlugin.get_sampling(image)
    image.save(os.path.join(out, name), qtables=image.quantization, subsampling=sampling)

def png(name):
    with open(name, "rb", buffering=0) as source, open(os.path.join(out, name), "wb", buffering=0) as target:
        frame = codec.frame_of(source, os.stat(name).st_size, DEFAULT, 1)
        array = numpy.empty(frame.about.array.shape, frame.about.array.dtype)
        frame.read(array)
        sink = codec.PngSink(array.shape, array.dtype, threads=1)
        sink.begin(target)
        sink.write(array)
        sink.end()

work = jpeg
if names[0].endswith(".png"):
    import numpy
    from imgconv.formats.limits import DEFAULT
    from imgconv.formats.png import codec
    work = png
if __name__ == "__main__":
    with multiprocessing.Pool(cores) as pool:
        pool.map(work, names)
"""
# imgconv, and at its end the CPU seconds of its first process and of those that it started
SPENT_SCRIPT = """
import os, resource, sys
told, own, leave = sys.argv.pop(1), os.getpid(), os._exit

def tell(status):
    if os.getpid() == own:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        with open(told, "w") as file:
            print(*(each.ru_utime + each.ru_stime for each in used), file=file)
    leave(status)

os._exit = tell
from imgconv.__main__ import main
main()
"""
IMGCONV = "-m imgconv apply -k edge_enhance --out-dir {out}"
CODECS = "codecs alone"
INSTALLED = "Pillow Pool, installed()"  # the same script with imgconv.pillow.install()
# programs that take many files by themselves; {names} stands for all of them
PROGRAMS = {
    "imgconv": Command(f"{IMGCONV} {{names}}"),
    "OpenCV threads": Command("{threads} {cores} {out} {names}", module="cv2"),
    "Pillow Pool": Command("{pool} {cores} {out} {names}"),
    INSTALLED: Command("{installed} {cores} {out} {names}"),
    "mogrify": Command(
        "-path {out} -convolve {weights} {jpeg} {names}", f"-quality {QUALITY}", ("mogrify",), "-version", says="Magick"
    ),
    "gm mogrify": Command(
        "mogrify -output-directory {out} -convolve {weights} {jpeg} {names}", f"-quality {QUALITY}", ("gm",), "version"
    ),
    CODECS: Command("{codecs} {cores} {out} {names}"),
}
XARGS = Command("-a {list} -P {cores}", programs=("xargs",), version="--version")
ONE_CORE = "-j 1 -t 1"


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

    @property
    def megapixels(self) -> float:
        """Of each file."""
        return self.rows * self.columns / 1e6


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
    """

    folder: Folder
    row: Row
    cpu_s: dict[str, float]
    parts_s: dict[str, float] = field(default_factory=dict)

    def files_per_s(self, timing: Timing) -> float | None:
        """As measured."""
        return self.folder.files / timing.median_s if timing.median_s else None

    def with_many(self, timing: Timing) -> float | None:
        """Files per second of so many workers and cores: for imgconv, what its first process does is done in turn."""
        cpu_s = self.cpu_s.get(timing.tool)
        if not cpu_s:
            return None
        in_turn = self.parts_s.get("parent", 0.0) if timing.tool == "imgconv" else 0.0
        return min(MANY_CORES / cpu_s, 1 / in_turn if in_turn > 0 else float("inf"))

    def lines(self, markdown: bool) -> list[str]:
        """A table, and a line on imgconv's CPU time."""
        head = ["files/s", "megapixels/s", "× imgconv", "CPU ms/file", f"files/s, {MANY_CORES} cores", "MB written"]
        table, problems = [[self.row.work.about, *head]], []
        for t in self.row.timings:
            rate, ratio, cpu_s, many = self.files_per_s(t), self.row.ratio(t), self.cpu_s.get(t.tool), self.with_many(t)
            if not rate:
                table.append([t.name, "failed", *[""] * (len(head) - 1)])
                problems.append(f"{t.name}: {t.problem}")
                continue
            megabytes, cpu_ms = (t.size_bytes or 0) / 1e6, (cpu_s or 0) * 1e3
            numbers = (rate, rate * self.folder.megapixels, ratio, cpu_ms, many, megabytes)
            cells = [(f"{number:.3g}" if number < 1000 else f"{number:.0f}") if number else "" for number in numbers]
            table.append([t.name, ("≈ " if t.estimated else "") + cells[0], *cells[1:]])
        if markdown:
            lines = [f"| {' | '.join(cells)} |" for cells in table]
            lines.insert(1, f"|---|{'---:|' * len(head)}")
        else:
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in table]
        parts = [f"{name} {seconds * 1e3:.3g}" for name, seconds in self.parts_s.items()]
        return [*lines, "", *problems, f"CPU milliseconds of imgconv for a file: {', '.join(parts)}"]

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        megapixels, told = self.folder.megapixels, self.row.as_dict()
        for t, one in zip(self.row.timings, told["results"], strict=True):
            rate, cpu_s = self.files_per_s(t), self.cpu_s.get(t.tool)
            one["files_per_s"], one["megapixels_per_s"] = rate, rate and rate * megapixels
            one["cpu_ms_per_file"], one["modelled_files_per_s"] = cpu_s and cpu_s * 1e3, self.with_many(t)
        parts = {name: round(seconds * 1e3, 4) for name, seconds in self.parts_s.items()}
        return told | {"files": self.folder.files, "megapixels": megapixels, "imgconv_cpu_ms_per_file": parts}


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


def _lines(folder: Folder, where: Path, cores: int) -> dict[str, list[str]]:
    """tool -> command, in which {names} stands for the files."""
    values: dict[str, Any] = {
        "out": where / "out", "cores": cores, "weights": ",".join(NUMBERS), "list": where / "names", "names": "{names}"
    }  # fmt: skip
    scripts = {"pool": POOL_SCRIPT, "installed": INSTALLED_SCRIPT, "threads": THREADS_SCRIPT, "codecs": CODECS_SCRIPT}
    for name, script in scripts.items():
        values[name] = where / f"{name}.py"
        values[name].write_text(script)

    found = {tool: command_line(command, values, folder.work.ending) for tool, command in PROGRAMS.items()}
    if xargs := command_line(XARGS, values, ""):
        ours = command_line(Command(f"{IMGCONV} {ONE_CORE}"), values, "") or []
        several = max(2, folder.files // (4 * cores))
        found["imgconv under xargs -n 1"] = [*xargs, "-n", "1", *ours]
        found[f"imgconv under xargs -n {several}"] = [*xargs, "-n", str(several), *ours]
        name = f"@{folder.work.ending}"
        single = command_lines(Path(name), where, 3, 1, where / "out" / name)
        for tool in ("vips", "GraphicsMagick"):
            if tool in single:
                found[f"{tool} under xargs"] = [*xargs, "-I", "@", *single[tool][0]]
    return {tool: line for tool, line in found.items() if line}


class _Place:
    """A temporary folder with the files, and what runs there."""

    def __init__(self, folder: Folder, where: Path, cores: int) -> None:
        self.where, self.source, self.out = where, where / "in", where / "out"
        self.source.mkdir()
        self.names = _make(folder, self.source)
        self.trial = self.names[: max(1, min(TRIAL, len(self.names) // 4))]
        self.lines = _lines(folder, where, cores)
        limits = {"OMP_NUM_THREADS": cores, "MAGICK_THREAD_LIMIT": cores, "VIPS_CONCURRENCY": 1}
        self.environment = os.environ | {name: str(number) for name, number in limits.items()}

    def clean(self) -> None:
        """Takes results away. What one has written is not to be synced by the next."""
        shutil.rmtree(self.out, ignore_errors=True)
        self.out.mkdir()
        if hasattr(os, "sync"):
            os.sync()

    def run(self, words: list[str], names: list[str]) -> float:
        """Runs a command on files; returns the CPU seconds of it and of what it started."""
        stems = [Path(name).stem if "-I" in words else name for name in names]
        (self.where / "names").write_text("\n".join(stems) + "\n")
        before = os.times()
        run([one for word in words for one in (names if word == "{names}" else [word])], self.environment,
            self.source, PATIENCE_S)  # fmt: skip
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    def spent(self, names: list[str]) -> tuple[float, ...]:
        """CPU seconds of imgconv's first process for files, and of those that it started."""
        self.clean()
        told = self.where / "told"
        ours = self.lines["imgconv"]
        self.run([ours[0], "-c", SPENT_SCRIPT, str(told), *ours[ours.index("imgconv") + 1 :]], names)
        return tuple(map(float, told.read_text().split()))

    def inside(self) -> dict[str, float]:
        """CPU seconds of a job by what it needs them for."""
        self.clean()
        script = [sys.executable, "-m", "imgconv.bench.inside"]
        plain, timed = (
            json.loads(
                run([*script, how, str(self.out), *self.names[:SOME]], self.environment, self.source, PATIENCE_S)
            )
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
        starts: dict[str, float] = {}
        used: dict[str, list[float]] = {}

        def estimate(tool: str) -> float:
            for _ in range(2):  # the first time it compiles and fills caches
                place.clean()
                started = time.perf_counter()
                starts[tool] = place.run(lines[tool], trial)
            return (time.perf_counter() - started) * len(names) / len(trial)

        def prepare(tool: str) -> Run:
            return lambda: used.setdefault(tool, []).append(place.run(lines[tool], names))

        def check(timing: Timing, result: Any) -> None:
            made = list(place.out.glob(f"*{folder.work.ending}"))  # beside them may be a journal
            if len(made) != len(names):
                raise RuntimeError(f"{len(made)} of {len(names)} files were written")
            timing.size_bytes = sum(file.stat().st_size for file in made)
            if folder.work.ending == ".png" and timing.tool != CODECS:
                with Image.open(place.source / names[0]) as before, Image.open(min(made)) as after:
                    timing.error = error_from(folder.work, np.asarray(before))(np.asarray(after))

        contenders = (Contender(Timing(tool), partial(estimate, tool), partial(prepare, tool)) for tool in lines)
        row = compete(folder.work, contenders, check, rounds, progress, (TOO_LONG_S, PATIENCE_S), place.clean)

        def each(whole: float, start: float) -> float:
            """Of a file: what starting costs is left out."""
            return max(0.0, whole - start) / (len(names) - len(trial))

        result = Result(folder, row, {tool: each(statistics.median(s), starts[tool]) for tool, s in used.items()})
        if tools:
            return result
        progress("where the CPU time goes")
        with suppress(RuntimeError):  # imgconv fails, as its row says
            whole, start = place.spent(names), place.spent(trial)
            result.parts_s = dict(zip(("parent", "workers"), map(each, whole, start), strict=True)) | place.inside()
        return result
