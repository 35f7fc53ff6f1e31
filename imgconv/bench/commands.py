"""Whole commands: a process starts, reads a file, filters, writes a file, ends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from imgconv.bench.measure import Contender, Progress, Row, Settings, Timing, compete
from imgconv.bench.works import EDGE_ENHANCE, Work, error_from, picture
from imgconv.peers.task import Run

SMALL = 512  # rows and columns of the small picture
QUALITY = 90  # of every JPEG file; ffmpeg counts otherwise
LONGEST_S = 120
NUMBERS = [str(n) for row in EDGE_ENHANCE for n in row]
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
# libjpeg-turbo and libpng as they are: what a command comes to that does not filter
CODECS_SCRIPT = f"""
import sys, imagecodecs
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    if sys.argv[2].endswith(".jpg"):
        target.write(imagecodecs.jpeg8_encode(imagecodecs.jpeg8_decode(source.read()), level={QUALITY}))
    else:
        target.write(imagecodecs.png_encode(imagecodecs.png_decode(source.read()), level=1))
"""


class Command(NamedTuple):
    """A program, and the words that it is given; with {jpeg} go those that only a JPEG file wants."""

    words: str
    jpeg: str = ""
    programs: tuple[str, ...] = ()  # names that it may have on the PATH; none: this Python
    version: str = ""  # how it is asked for its version
    module: str = ""  # that a script needs, beside Pillow
    says: str = ""  # what its answer to that has, where another program has its name
    filters: bool = True


COMMANDS = {
    "imgconv": Command(
        "-m imgconv apply {source} -k edge_enhance -o {target} --overwrite -q -t {threads} {jpeg}",
        f"--co quality={QUALITY}",
    ),
    "Python + Pillow": Command("-c {pillow} {source} {target}"),
    "Python + OpenCV": Command("-c {opencv} {source} {target} {threads}", module="cv2"),
    "codecs alone": Command("-c {codecs} {source} {target}", module="imagecodecs", filters=False),
    "vips": Command(
        "conv {source} {target}{jpeg} {matrix} --precision integer", f"[Q={QUALITY}]", ("vips",), "--version"
    ),
    # both divide by the sum of the weights, which is the scale here
    "GraphicsMagick": Command(
        "convert {source} -convolve {weights} {jpeg} {target}", f"-quality {QUALITY}", ("gm",), "version"
    ),
    "ImageMagick": Command(
        "{source} -convolve {weights} {jpeg} {target}", f"-quality {QUALITY}",
        ("magick", "convert-im6.q16", "convert"), "-version", says="ImageMagick",
    ),
    "ffmpeg": Command(
        "-y -v error -threads {threads} -i {source} -vf {filter} {jpeg} -frames:v 1 {target}", "-q:v 3",
        ("ffmpeg",), "-version",
    ),
    "G'MIC": Command(
        "{source} {gmic} div[-1] 2 correlate[0] [1] keep[0] round cut 0,255 output {target}{jpeg}", f",{QUALITY}",
        ("gmic",), "version", says="GREYC",
    ),
}  # fmt: skip


@cache
def program(command: Command) -> tuple[str, str] | None:
    """Path and version of a command's program, if it is there and is what its name says."""
    for path in filter(None, map(shutil.which, command.programs)):
        words = [path, command.version]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        answer = done.stdout + done.stderr
        number = re.search(r"\d+(\.\d+)+(-\d+)?", answer)
        if number and command.says in answer:
            return path, number[0]
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
    values: dict[str, Any] = {
        "source": source, "threads": threads, "matrix": matrix, "pillow": PILLOW_SCRIPT, "opencv": OPENCV_SCRIPT,
        "weights": ",".join(NUMBERS), "codecs": CODECS_SCRIPT,
        "gmic": f"({';'.join(','.join(map(str, row)) for row in EDGE_ENHANCE)})",
        "filter": f"format={planes},convolution={':'.join([' '.join(NUMBERS)] * 4 + ['0.5'] * 4)}",
    }  # fmt: skip
    found = {}
    for number, (tool, command) in enumerate(COMMANDS.items()):
        values["target"] = made = target or folder / f"result{number}{source.suffix}"
        if line := command_line(command, values, source.suffix):
            found[tool] = line, made
    return found


def command_line(command: Command, values: Mapping[str, Any], ending: str) -> list[str] | None:
    """The words of a command on files of that ending; None where its program or its module is missing."""
    path, _ = program(command) or ("", "") if command.programs else (sys.executable, "")
    if not path or (command.module and find_spec(command.module) is None):
        return None
    words = command.words.replace("{jpeg}", command.jpeg if ending == ".jpg" else "").split()
    return [path, *(word.format_map(values) for word in words)]


def measure(
    work: Work, settings: Settings, progress: Progress = lambda _: None, tools: Sequence[str] = ()
) -> Row | None:
    """One piece of work by every program that is there, or by these; None where the format cannot hold the picture."""
    if settings.channels not in ((1, 3) if work.ending == ".jpg" else (1, 3, 4)):
        return None
    from PIL import Image

    largest = SMALL if work.name.startswith("small") else max(settings.shape)
    source = picture(min(settings.rows, largest), min(settings.columns, largest), settings.channels, "uint8")
    # files keep what was lost in JPEG from the start, so their pixels cannot be held against the sums
    error = error_from(work, source) if work.ending == ".png" else None
    limits = ("VIPS_CONCURRENCY", "OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT")
    environment = os.environ | dict.fromkeys(limits, str(settings.threads))

    with tempfile.TemporaryDirectory(prefix="imgconv-bench-") as name:
        folder = Path(name)
        file = folder / f"source{work.ending}"
        Image.fromarray(source[:, :, 0] if settings.channels == 1 else source).save(file, quality=QUALITY)
        commands = command_lines(file, folder, settings.channels, settings.threads)
        commands = {tool: line for tool, line in commands.items() if not tools or tool in tools}

        def warm(work: Run) -> float:
            work()  # imgconv compiles, the disk's cache fills, so this says nothing about the next
            return 0.0

        def contenders() -> Iterator[Contender]:
            for tool, (words, _) in commands.items():
                work = partial(run, words, environment)
                yield Contender(Timing(tool), partial(warm, work), partial(partial, work))

        def check(timing: Timing, result: Any) -> None:
            target = commands[timing.tool][1]
            timing.size_bytes = target.stat().st_size
            if error is not None and COMMANDS[timing.tool].filters:
                with Image.open(target) as image:
                    timing.error = error(np.asarray(image).reshape(source.shape))

        return compete(work, contenders(), check, settings.rounds, progress)


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
