"""Whole commands on many frames: animated GIFs, and raw video."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from imgconv.bench.commands import COMMANDS, LONGEST_S, PLANES, WEIGHTS, command_line, run
from imgconv.bench.measure import Contender, Progress, Row, Settings, Timing, compete, shape_of
from imgconv.bench.works import Work, error_from, picture
from imgconv.peers.task import Unsupported

DURATION_MS = 40
FEW = 2  # frames of a first run, which says nothing
STEP = 8  # columns that the picture moves from frame to frame
IMGCONV = "{imgconv} apply {source} -k edge_enhance -o {target} --overwrite -q -t {threads}"
GIF_SCRIPT = f"""
import sys
from PIL import Image, ImageFilter, ImageSequence
with Image.open(sys.argv[1]) as image:
    frames = (frame.convert("RGB").filter(ImageFilter.EDGE_ENHANCE) for frame in ImageSequence.Iterator(image))
    next(frames).save(sys.argv[2], save_all=True, append_images=frames, duration={DURATION_MS}, loop=0)
"""
# ImageMagick holds all frames, and is often allowed too little memory for them
LIMITS = (f'<policy domain="resource" name="{name}" value="64GiB"/>' for name in ("memory", "map", "area", "disk"))
POLICY = f"<policymap>{''.join(LIMITS)}</policymap>"
RAW_SCRIPT = """
import sys
from PIL import Image, ImageFilter
size = tuple(map(int, sys.argv[3].split("x")))
with open(sys.argv[1], "rb") as source, open(sys.argv[2], "wb") as target:
    while data := source.read(3 * size[0] * size[1]):
        target.write(Image.frombytes("RGB", size, data).filter(ImageFilter.EDGE_ENHANCE).tobytes())
"""
# by the ending: what each tool is told; of a GIF imgconv and ffmpeg make one palette a frame, and GraphicsMagick takes
# minutes for a frame's
WORDS = {
    ".gif": {
        "imgconv": IMGCONV,
        "Python + Pillow": "{python} -c {gif_script} {source} {target}",
        "ImageMagick": "{program} {source} -coalesce -convolve {weights} {target}",
        "ffmpeg": "{program} -y -v error -threads {threads} -i {source} -filter_complex [0]{filter},split[a][b];"
                  "[a]palettegen=stats_mode=single[c];[b][c]paletteuse=new=1:dither=none {target}",
    },
    ".raw": {
        "imgconv": IMGCONV + " --raw {size}:rgb24",
        "Python + Pillow": "{python} -c {raw_script} {source} {target} {size}",
        "ImageMagick": "{program} -size {size} -depth 8 rgb:{source} -convolve {weights} rgb:{target}",
        "GraphicsMagick": "{program} convert -size {size} -depth 8 rgb:{source} -convolve {weights} rgb:{target}",
        "ffmpeg": "{program} -y -v error -threads {threads} -f rawvideo -pix_fmt rgb24 -s {size} -i {source}"
                  " -vf {filter},format=rgb24 -f rawvideo {target}",
    },
}  # fmt: skip


def measure(work: Work, settings: Settings, progress: Progress = lambda _: None) -> Row:
    """One piece of work by every program that is there: as many frames of a megapixel as the picture has megapixels."""
    count = max(FEW, round(settings.rows * settings.columns / 1e6))
    rows, columns = map(min, shape_of(1), settings.shape[:2])
    work = replace(work, frames=count, about=f"{work.about}, {count} frames of {columns}×{rows}")
    source = picture(rows, columns, 3, "uint8")
    error = error_from(work, source)
    values = {
        "threads": settings.threads, "size": f"{columns}x{rows}", "weights": WEIGHTS,
        "gif_script": GIF_SCRIPT, "raw_script": RAW_SCRIPT, "filter": f"format=gbrp,convolution={PLANES}",
    }  # fmt: skip
    limits = ("OMP_NUM_THREADS", "MAGICK_THREAD_LIMIT")
    environment = os.environ | dict.fromkeys(limits, str(settings.threads))

    with tempfile.TemporaryDirectory(prefix="imgconv-bench-") as name:
        (Path(name) / "policy.xml").write_text(POLICY)
        environment["MAGICK_CONFIGURE_PATH"] = name
        few, all_of_them = (Path(name) / f"{kind}{work.ending}" for kind in ("few", "all"))
        for file, frames in ((few, FEW), (all_of_them, count)):
            _make(file, source, frames)

        def target(tool: str) -> Path:
            return Path(name) / f"{tool.split()[-1]}{work.ending}"

        def runs(tool: str, words: str, file: Path) -> float:
            given = values | {"source": file, "target": target(tool)}
            if (line := command_line(COMMANDS[tool]._replace(words=words), given, "")) is None:
                raise Unsupported("it is not here")
            run(line, environment, longest_s=LONGEST_S + 5 * count)
            return 0.0  # of a first run, which tells nothing of the next

        def contenders() -> Iterator[Contender]:
            for tool, words in WORDS[work.ending].items():
                work_of = partial(runs, tool, words)
                yield Contender(Timing(tool), partial(work_of, few), partial(partial, work_of, all_of_them))

        def check(timing: Timing, result: object) -> None:
            made = target(timing.tool)
            timing.size_bytes = made.stat().st_size
            if work.ending == ".raw":
                first = np.fromfile(made, np.uint8, source.size).reshape(source.shape)
                timing.error, there = error(first), timing.size_bytes / source.size
            else:
                from imgconv.formats.timing import durations_of

                with open(made, "rb") as file:
                    there = len(durations_of("GIF", file))
            if there != count:
                raise RuntimeError(f"wrote {there:g} of {count} frames")

        return compete(work, contenders(), check, settings.rounds, progress)


def _make(file: Path, source: np.ndarray, count: int) -> None:
    """A file in which a picture moves to the right."""
    from PIL import Image

    if file.suffix == ".raw":
        with open(file, "wb") as target:
            for number in range(count):
                target.write(np.roll(source, STEP * number, axis=1).tobytes())
        return
    first = Image.fromarray(source).quantize(256, Image.Quantize.FASTOCTREE)

    def frames() -> Iterator[Image.Image]:
        for number in range(1, count):
            frame = Image.fromarray(np.roll(np.asarray(first), STEP * number, axis=1))
            frame.putpalette(first.getpalette() or [])
            yield frame

    first.save(file, save_all=True, append_images=frames(), duration=DURATION_MS, loop=0, optimize=False)
