"""Small pictures: CPU time of a call, files in a second, and a Pillow script under `imgconv.pillow.installed`."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from imgconv.api import apply, correlate
from imgconv.bench import commands, folders, programs
from imgconv.bench.chart import table_lines
from imgconv.bench.measure import Progress, Row, Settings, shape_of
from imgconv.bench.works import WORKS, kernel_for, picture
from imgconv.peers.table import PEERS
from imgconv.peers.task import Run, Unsupported
from imgconv.pillow import PillowFilter
from imgconv.pillow import installed as under_imgconv

SIDES = (5, 16, 64, 256, 512, 1024)  # rows and columns
SAMPLE_S = 0.004  # of calls in a row that are timed together
THUMBNAIL = 256  # rows and columns
PHOTO_MP = 1.92  # of each of a folder
LOOP, TURN = 100, 10  # commands of a loop, and how many of them are done before the others have their turn
# what --batch and whole commands call them -> heading
ALONE = {"imgconv": "imgconv", "Python + Pillow": "Pillow", "Python + OpenCV": "OpenCV"}
TOGETHER = {"imgconv": "imgconv", "Pillow Pool": "Pillow", "OpenCV threads": "OpenCV"}
POOLS = {"Pillow Pool": "Pillow", programs.INSTALLED: "installed()"}
CALLS = (
    "correlate, Kernel", "correlate, name", "imgconv.apply", "PillowFilter", "Pillow", "OpenCV", "SciPy", "scikit-image"
)  # fmt: skip


class Table(NamedTuple):
    """Numbers of everybody for some pieces of work; None where one has no way to do it."""

    about: str
    unit: str
    tools: tuple[str, ...]
    rows: dict[str, tuple[float | None, ...]]

    def lines(self, markdown: bool) -> list[str]:
        """As text in columns, or as Markdown."""
        rows = [[f"{self.about}, {self.unit}", *self.tools]]
        for name, numbers in self.rows.items():
            texts = ["–" if number is None else f"{number:.{max(0, 2 - _digits(number))}f}" for number in numbers]
            rows.append([name, *texts])
        return table_lines(rows, markdown)

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        rows = {name: dict(zip(self.tools, numbers, strict=True)) for name, numbers in self.rows.items()}
        return {"about": self.about, "unit": self.unit, "rows": rows}


def _digits(number: float) -> int:
    """Behind the first one, in front of the point."""
    return len(f"{number:.0f}") - 1


def tables(settings: Settings, photos: int, progress: Progress = lambda _: None) -> Iterator[Table]:
    """All that is measured, with so many photographs in a folder, and 25 times as many small files."""
    yield _calls(settings.rounds, progress)
    yield _files(settings, photos, progress)
    yield _installed(settings, photos, progress)


def _turns(calls: Mapping[str, Run], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of a call by some clock: medians of samples, which all take in turns."""
    numbers, samples = {}, {name: [0.0] * rounds for name in calls}
    for name, call in calls.items():
        call()  # compiles, imports, fills caches
        started = time.perf_counter()
        call()
        numbers[name] = max(1, int(SAMPLE_S / (time.perf_counter() - started)))
    for turn in range(rounds):
        for name, call in calls.items():
            call()  # after the others have had the caches and given memory back
            started = clock()
            for _ in range(numbers[name]):
                call()
            samples[name][turn] = (clock() - started) / numbers[name]
    return {name: statistics.median(times) for name, times in samples.items()}


def _table(about: str, unit: str, tools: Iterable[str], rows: dict[str, dict[str, float]]) -> Table:
    there = tuple(tool for tool in tools if any(tool in row for row in rows.values()))
    return Table(about, unit, there, {name: tuple(map(row.get, there)) for name, row in rows.items()})


def _calls(rounds: int, progress: Progress) -> Table:
    rows = {}
    for side, channels, dtype in ((SIDES[0], 1, "float32"), *((side, 3, "uint8") for side in SIDES)):
        name = f"{side}×{side} {'RGB' if channels == 3 else dtype}"
        progress(name)
        times = _turns(_contenders(picture(side, side, channels, dtype)), rounds, time.process_time)
        rows[name] = {tool: seconds * 1e6 for tool, seconds in times.items()}
    return _table("edge_enhance 3×3", "µs of CPU a call", CALLS, rows)


def _contenders(array: np.ndarray[Any, Any]) -> dict[str, Run]:
    """tool -> the call that one would write."""
    from PIL import Image

    kernel = kernel_for("dense", 0)
    calls: dict[str, Run] = {
        "correlate, Kernel": partial(correlate, array, kernel),
        "correlate, name": partial(correlate, array, "edge_enhance"),
    }
    if array.dtype == np.uint8:
        image = Image.fromarray(array)
        calls["imgconv.apply"] = partial(apply, image, "edge_enhance")
        calls["PillowFilter"] = partial(image.filter, PillowFilter("edge_enhance"))
    task = WORKS[1].task._replace(mode="RGB" if array.dtype == np.uint8 else "")
    for name in ("pillow", "opencv", "scipy", "scikit-image"):
        with suppress(ImportError, Unsupported):
            calls[PEERS[name].name] = PEERS[name].prepare(task, array, np.empty_like(array), 1)
    return calls


def _files(settings: Settings, photos: int, progress: Progress) -> Table:
    """Files by a loop of commands, as many as a tenth of the small ones are; and these by one command."""
    (alone,) = (work for work in WORKS if work.name == "small-png")
    (many,) = (folder for folder in folders.folders(5 * photos, 1, 1) if folder.name == "small-pngs")
    rows: dict[str, dict[str, float]] = {}
    turn = max(1, min(TURN, many.files // 10))
    turns = max(1, min(LOOP, many.files // 10) // turn)
    if row := commands.measure(alone, replace(settings, rounds=turns), progress, tuple(ALONE), turn):
        rows[f"{turns * turn} PNGs of 512×512, a command for each"] = _seconds(row, ALONE, 1 / turn)
    row = folders.measure(many, settings.rounds, settings.threads, progress, tuple(TOGETHER)).row
    rows[f"{row.work.about}, a command for all"] = _seconds(row, TOGETHER, 1 / many.files)
    rates = {name: {tool: 1 / seconds for tool, seconds in times.items()} for name, times in rows.items()}
    return _table("edge_enhance", "files a second", ALONE.values(), rates)


def _seconds(row: Row, names: Mapping[str, str], part: float = 1.0) -> dict[str, float]:
    return {names[timing.tool]: timing.median_s * part for timing in row.timings if timing.median_s}


def _installed(settings: Settings, photos: int, progress: Progress) -> Table:
    """What a script that was written for Pillow takes, as it is and with one line more."""
    from PIL import Image, ImageFilter

    filters: dict[str, Any] = {
        "EDGE_ENHANCE": ImageFilter.EDGE_ENHANCE,
        "GaussianBlur(2)": ImageFilter.GaussianBlur(2),
        "BoxBlur(2.5)": ImageFilter.BoxBlur(2.5),
        "UnsharpMask(2, 150, 3)": ImageFilter.UnsharpMask(2, 150, 3),
    }
    rows: dict[str, dict[str, float]] = {}
    for lines, columns in (settings.shape[:2], (THUMBNAIL, THUMBNAIL)):
        image = Image.fromarray(picture(lines, columns, 3, "uint8"))
        for name, filter in filters.items():
            progress(name)

            def installed(image: Image.Image = image, filter: Any = filter) -> Image.Image:
                with under_imgconv():
                    return image.filter(filter)

            calls: dict[str, Run] = dict(zip(POOLS.values(), (partial(image.filter, filter), installed), strict=True))
            rows[f"{name}, RGB {columns}×{lines}"] = _turns(calls, settings.rounds, time.perf_counter)
    folder = folders.folders(photos, *shape_of(PHOTO_MP))[0]
    row = folders.measure(folder, settings.rounds, settings.threads, progress, tuple(POOLS)).row
    rows[f"EDGE_ENHANCE, {row.work.about}, a Pool"] = _seconds(row, POOLS)
    table = {name: {tool: seconds * 1e3 for tool, seconds in times.items()} for name, times in rows.items()}
    for name, times in rows.items():
        if len(times) == len(POOLS):
            plain, under = times.values()
            table[name]["times as fast"] = plain / under
    return _table("Pillow's own calls", "ms", (*POOLS.values(), "times as fast"), table)
