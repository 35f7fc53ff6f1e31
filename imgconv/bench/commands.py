"""Whole commands: a process starts, reads a file, filters, writes a file, ends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imgconv.bench.codecs import CODECS, QUALITY
from imgconv.bench.measure import Contender, Progress, Row, Settings, Timing, compete
from imgconv.bench.works import EDGE_ENHANCE, Work, error_from, picture
from imgconv.peers.pillow import with_simd
from imgconv.peers.table import PEERS
from imgconv.peers.task import Run

TYPED = shutil.which("imgconv", path=sysconfig.get_path("scripts"))  # imgconv as it is typed, if it is installed
SMALL = 512  # rows and columns of the small picture
LONGEST_S = 120
NUMBERS = [str(n) for row in EDGE_ENHANCE for n in row]
WEIGHTS = ",".join(NUMBERS)
PLANES = ":".join([" ".join(NUMBERS)] * 4 + ["0.5"] * 4)  # as ffmpeg's convolution has them
ROWS = ";".join(",".join(map(str, row)) for row in EDGE_ENHANCE)
PILLOW_SCRIPT = f"""
import sys
from PIL import Image, ImageFilter
Image.open(sys.argv[1]).filter(ImageFilter.EDGE_ENHANCE).save(sys.argv[2], quality={QUALITY})
"""
OPENCV_SCRIPT = f"""
import sys, cv2, numpy
cv2.setNumThreads(int(sys.argv[3]))
picture = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
result = cv2.filter2D(picture, -1, numpy.array({EDGE_ENHANCE}) / 2)
options = [cv2.IMWRITE_JPEG_QUALITY, {QUALITY}] if sys.argv[2].endswith(".jpg") else []
cv2.imwrite(sys.argv[2], result, options)
"""
NETPBM = f"""
case $1 in *.jpg) from=jpegtopnm to='pnmtojpeg -quality={QUALITY}';; *) from=pngtopnm to=pnmtopng;; esac
$from "$1" | pnmconvol -matrix='{ROWS}' -normalize | $to >"$2"
"""
# GEGL filters in linear light, and has a matrix of 5×5
GEGL = " ".join(f"{'bcd'[i]}{j + 2}={n}" for i, row in enumerate(EDGE_ENHANCE) for j, n in enumerate(row))


class Command(NamedTuple):
    """A program, and the words that it is given; {ending} stands for those that a JPEG file or a PNG wants."""

    words: str
    jpeg: str = ""
    programs: tuple[str, ...] = ()  # names that {program} may have on the PATH
    version: str = ""  # how it is asked for its version
    says: str = ""  # what its answer to that has, where another program has its name
    peer: str = ""  # of the table, that a script needs beside Pillow
    png: str = ""


COMMANDS = {
    "imgconv": Command(
        "{imgconv} apply {source} -k edge_enhance -o {target} --overwrite -q -t {threads} {ending}",
        f"--co quality={QUALITY}",
    ),
    "Python + Pillow": Command("{python} -c {pillow} {source} {target}"),
    "Python + pillow-simd": Command("{python} -c {simd} {source} {target}", peer="pillow-simd"),
    "Python + OpenCV": Command("{python} -c {opencv} {source} {target} {threads}", peer="opencv"),
    "vips": Command(
        "{program} conv {source} {target}{ending} {matrix} --precision integer", f"[Q={QUALITY}]", ("vips",),
        "--version",
    ),
    # both divide by the sum of the weights, which is the scale here
    "GraphicsMagick": Command(
        "{program} convert {source} -convolve {weights} {ending} {target}", f"-quality {QUALITY}", ("gm",), "version"
    ),
    "ImageMagick": Command(
        "{program} {source} -convolve {weights} {ending} {target}", f"-quality {QUALITY}",
        ("magick", "convert-im6.q16", "convert"), "-version", says="ImageMagick",
    ),
    "ffmpeg": Command(
        "{program} -y -v error -threads {threads} -i {source} -vf {filter} {ending} -frames:v 1 {target}", "-q:v 3",
        ("ffmpeg",), "-version",
    ),
    "G'MIC": Command(
        "{program} {source} ({rows}) div[-1] 2 correlate[0] [1] keep[0] round cut 0,255 output {target}{ending}",
        f",{QUALITY}", ("gmic",), "version", says="GREYC",
    ),
    "pnmconvol": Command("sh -c {netpbm} sh {source} {target}", programs=("pnmconvol",), version="-version"),
    "GEGL": Command(
        "{program} {source} -- gegl:cast-format input-format={shown} output-format={linear}"
        f" gegl:convolution-matrix {GEGL} divisor=2 normalize=false alpha=false border=clamp"
        " gegl:convert-format format={linear} gegl:cast-format input-format={linear} output-format={shown}"
        " {ending} path={target}",
        f"gegl:jpg-save quality={QUALITY} optimize=false progressive=false", ("gegl",), "--help", says="[op [op]",
        png="gegl:png-save bitdepth=8",
    ),
}  # fmt: skip


@cache
def program(command: Command) -> tuple[str, str] | None:
    """Path and version ("" if it tells none) of a command's program, if it is there and is what its name says."""
    for path in filter(None, map(shutil.which, command.programs)):
        words = [path, command.version]
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        answer = done.stdout + done.stderr
        if command.says in answer:
            number = re.search(r"\d+(\.\d+)+(-\d+)?", answer)
            return path, number[0] if number else ""
    return None


def versions() -> dict[str, str]:
    """Of every program that is there."""
    return {name: there[1] for name, command in COMMANDS.items() if (there := program(command)) is not None}


def command_lines(
    source: Path, folder: Path, channels: int, threads: int, target: Path | None = None
) -> dict[str, tuple[list[str], Path]]:
    """tool -> (command, the file that it writes): each its own in the folder, unless one is given for all."""
    matrix = folder / "edge.mat"
    matrix.write_text("3 3 2 0\n" + "\n".join(" ".join(map(str, row)) for row in EDGE_ENHANCE) + "\n")
    planes = {1: "gray", 4: "gbrap"}.get(channels, "gbrp")
    samples = {1: "Y' u8", 4: "R'G'B'A u8"}.get(channels, "R'G'B' u8")
    values: dict[str, Any] = {
        "source": source, "threads": threads, "matrix": matrix, "weights": WEIGHTS, "rows": ROWS,
        "pillow": PILLOW_SCRIPT, "simd": with_simd(PILLOW_SCRIPT), "opencv": OPENCV_SCRIPT, "netpbm": NETPBM,
        "filter": f"format={planes},convolution={PLANES}",
        "shown": samples, "linear": samples.replace("'", ""),
    }  # fmt: skip
    found = {}
    for number, (tool, command) in enumerate(COMMANDS.items()):
        values["target"] = made = target or folder / f"result{number}{source.suffix}"
        if line := command_line(command, values, source.suffix):
            found[tool] = line, made
    return found


def command_line(command: Command, values: Mapping[str, Any], ending: str) -> list[str] | None:
    """The words of a command on files of that ending; None where its program or its peer is missing."""
    path, _ = (program(command) if command.programs else None) or ("", "")
    if (command.programs and not path) or (command.peer and not PEERS[command.peer].installed):
        return None
    words = command.words.replace("{ending}", command.jpeg if ending == ".jpg" else command.png)
    if TYPED is None:
        words = words.replace("{imgconv}", "{python} -m imgconv")
    known = {"python": sys.executable, "imgconv": TYPED, "program": path, **values}
    return [word.format_map(known) for word in words.split()]


def measure(
    work: Work, settings: Settings, progress: Progress = lambda _: None, tools: Sequence[str] = (), times: int = 1
) -> Row | None:
    """One piece of work by every program that is there, or by these; None where the format cannot hold the picture.

    A run is the command so many `times`, one after the other. Codecs alone are called in this process: no start, and no
    import, is in their times.
    """
    if settings.channels not in ((1, 3) if work.ending == ".jpg" else (1, 3, 4)):
        return None
    from PIL import Image

    largest = SMALL if work.name.startswith("small") else max(settings.shape)
    source = picture(min(settings.rows, largest), min(settings.columns, largest), settings.channels, "uint8")
    # files keep what was lost in JPEG from the start, so their pixels cannot be held against the sums
    error = error_from(work, source) if work.ending == ".png" else None
    limits = ("VIPS_CONCURRENCY", "OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT", "GEGL_THREADS")
    environment = os.environ | dict.fromkeys(limits, str(settings.threads))

    with tempfile.TemporaryDirectory(prefix="imgconv-bench-") as name:
        folder = Path(name)
        file, copy = folder / f"source{work.ending}", folder / f"copy{work.ending}"
        Image.fromarray(source[:, :, 0] if settings.channels == 1 else source).save(file, quality=QUALITY)
        commands = command_lines(file, folder, settings.channels, settings.threads)
        runs: dict[str, tuple[Run, Path]] = {
            tool: (partial(_loop, partial(run, words, environment), times), target)
            for tool, (words, target) in commands.items()
        }
        for library, done in CODECS[work.ending].items():
            runs[library] = partial(done, file, copy, settings.threads), copy

        def warm(work: Run) -> float:
            work()  # imgconv compiles, the disk's cache fills, so this says nothing about the next
            return 0.0

        def contenders() -> Iterator[Contender]:
            for tool, (work, _) in runs.items():
                if not tools or tool in tools:
                    yield Contender(Timing(tool, filters=tool in commands), partial(warm, work), partial(partial, work))

        def check(timing: Timing, result: Any) -> None:
            target = runs[timing.tool][1]
            timing.size_bytes = target.stat().st_size
            if error is not None and timing.filters:
                with Image.open(target) as image:
                    timing.error = error(np.asarray(image).reshape(source.shape))

        limits_s = (LONGEST_S, LONGEST_S) if times > 1 else None
        return compete(work, contenders(), check, settings.rounds, progress, limits_s)


def _loop(run: Run, times: int) -> None:
    for _ in range(times):
        run()


def run(
    command: list[str], environment: Mapping[str, str], folder: Path | None = None, longest_s: float = LONGEST_S
) -> str:
    """Runs a command; returns what it prints. Raises RuntimeError where it fails."""
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, errors="replace", timeout=longest_s,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
    return done.stdout
