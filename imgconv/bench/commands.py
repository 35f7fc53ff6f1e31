"""Whole commands: a process starts, reads a file, filters, writes a file, ends."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imgconv.bench.measure import PATIENCE_S, Contender, Row, Settings, Timing, once, turns
from imgconv.bench.works import EDGE, Reference, Work, picture

SMALL = 512  # rows and columns of the small picture
QUALITY = 90  # of every JPEG file; ffmpeg, which counts otherwise, gets FFMPEG_QUALITY
FFMPEG_QUALITY = 3
LONGEST_S = 120
NUMBERS = [str(n) for row in EDGE for n in row]
PILLOW_SCRIPT = f"""
import sys
from PIL import Image, ImageFilter
Image.open(sys.argv[1]).filter(ImageFilter.EDGE_ENHANCE).save(sys.argv[2], quality={QUALITY})
"""
OPENCV_SCRIPT = f"""
import sys, cv2, numpy
cv2.setNumThreads(int(sys.argv[3]))
picture = cv2.imread(sys.argv[1], cv2.IMREAD_UNCHANGED)
result = cv2.filter2D(picture, -1, numpy.array({EDGE}) / 2)
options = [cv2.IMWRITE_JPEG_QUALITY, {QUALITY}] if sys.argv[2].endswith(".jpg") else []
cv2.imwrite(sys.argv[2], result, options)
"""
PROGRAMS = {  # name -> (what may be on the PATH, how it is asked for its version)
    "vips": (("vips",), "--version"),
    "GraphicsMagick": (("gm",), "version"),
    "ImageMagick": (("magick", "convert-im6.q16", "convert"), "-version"),
    "ffmpeg": (("ffmpeg",), "-version"),
}


class Program(NamedTuple):
    """A program on the PATH."""

    path: str
    version: str


@cache
def program(name: str) -> Program | None:
    """One of `PROGRAMS`, if it is there and is what its name says."""
    names, flag = PROGRAMS[name]
    for candidate in names:
        path = shutil.which(candidate)
        if path is None:
            continue
        try:
            told = subprocess.run([path, flag], capture_output=True, text=True, timeout=20, check=False).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        number = re.search(r"\d+(\.\d+)+(-\d+)?", told)
        if number and (name != "ImageMagick" or "ImageMagick" in told):
            return Program(path, number[0])
    return None


def versions() -> dict[str, str]:
    """Of every program that is there."""
    return {name: found.version for name in PROGRAMS if (found := program(name)) is not None}


def contenders(source: Path, folder: Path, channels: int, threads: int) -> dict[str, tuple[list[str], Path]]:
    """tool -> (command, the file that it writes)."""
    ending = source.suffix
    python = [sys.executable]
    found: dict[str, tuple[list[str], Path]] = {}

    def target(name: str) -> Path:
        return folder / f"{name}{ending}"

    jpeg = ending == ".jpg"
    quality = ["-quality", str(QUALITY)] if jpeg else []
    out = target("imgconv")
    options = ["--co", f"quality={QUALITY}"] if jpeg else []
    words = ["apply", str(source), "-k", "edge_enhance", "-o", str(out), "--overwrite", "-q", "-t", str(threads)]
    found["imgconv"] = [*python, "-m", "imgconv", *words, *options], out
    out = target("pillow")
    found["Python + Pillow"] = [*python, "-c", PILLOW_SCRIPT, str(source), str(out)], out
    if find_spec("cv2") is not None:
        out = target("opencv")
        found["Python + OpenCV"] = [*python, "-c", OPENCV_SCRIPT, str(source), str(out), str(threads)], out
    if there := program("vips"):
        matrix = folder / "edge.mat"
        matrix.write_text("3 3 2 0\n" + "\n".join(" ".join(map(str, row)) for row in EDGE) + "\n")
        out = target("vips")
        name = f"{out}[Q={QUALITY}]" if jpeg else str(out)
        found["vips"] = [there.path, "conv", str(source), name, str(matrix), "--precision", "integer"], out
    # both divide by the sum of the weights, which is the scale here
    if there := program("GraphicsMagick"):
        out = target("gm")
        found["GraphicsMagick"] = (
            [there.path, "convert", str(source), "-convolve", ",".join(NUMBERS), *quality, str(out)], out,
        )  # fmt: skip
    if there := program("ImageMagick"):
        out = target("magick")
        found["ImageMagick"] = [there.path, str(source), "-convolve", ",".join(NUMBERS), *quality, str(out)], out
    if there := program("ffmpeg"):
        out = target("ffmpeg")
        planes = {1: "gray", 4: "gbrap"}.get(channels, "gbrp")
        matrix_words = ":".join([" ".join(NUMBERS)] * 4 + ["0.5"] * 4)
        quality = ["-q:v", str(FFMPEG_QUALITY)] if jpeg else []
        found["ffmpeg"] = (
            [there.path, "-y", "-v", "error", "-threads", str(threads), "-i", str(source), "-vf",
             f"format={planes},convolution={matrix_words}", *quality, "-frames:v", "1", str(out)], out,
        )  # fmt: skip
    return found


def measure(work: Work, settings: Settings, tell: Callable[[str], None] = lambda _: None) -> Row | None:
    """One piece of work by every program that is there; None for a picture that the format cannot hold."""
    if settings.channels not in ((1, 3) if work.ending == ".jpg" else (1, 3, 4)):
        return None
    from PIL import Image

    rows, columns = settings.rows, settings.columns
    if work.name.startswith("small"):
        rows, columns = min(rows, SMALL), min(columns, SMALL)
    source = picture(rows, columns, settings.channels, "uint8")
    plain = source[:, :, 0] if settings.channels == 1 else source
    # files keep what was lost in JPEG from the start, so their pixels cannot be held against the sums
    reference = Reference(work, source) if work.ending == ".png" else None
    environment = os.environ | {
        "VIPS_CONCURRENCY": str(settings.threads),
        "OMP_NUM_THREADS": str(settings.threads),
        "MAGICK_THREAD_LIMIT": str(settings.threads),
    }
    timings: list[Timing] = []
    runs: list[Contender] = []
    with tempfile.TemporaryDirectory(prefix="imgconv-bench-") as name:
        folder = Path(name)
        file = folder / f"source{work.ending}"
        Image.fromarray(plain).save(file, quality=QUALITY)
        for tool, (command, out) in contenders(file, folder, settings.channels, settings.threads).items():
            tell(tool)
            timing = Timing(tool)
            timings.append(timing)
            run = partial(_run, command, environment)
            try:
                run()  # imgconv compiles, the disk's cache fills
                first_s = once(run)
                timing.size_bytes = out.stat().st_size
                if reference is not None:
                    with Image.open(out) as image:
                        timing.error = reference.error(np.asarray(image).reshape(source.shape))
            except (OSError, ValueError, RuntimeError, subprocess.TimeoutExpired) as problem:
                timing.problem = " ".join(str(problem).split())[:200]
                continue
            if first_s > PATIENCE_S:
                timing.times_s = [first_s]
            else:
                runs.append((timing, run, int(PATIENCE_S / first_s)))
        turns(runs, settings.rounds)
    return Row(work, timings)


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, errors="replace", timeout=LONGEST_S, check=False
    )
    if done.returncode:
        raise RuntimeError(f"exit status {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}")
