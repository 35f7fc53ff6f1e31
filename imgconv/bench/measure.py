"""Runs the contenders turn by turn, and looks at what they made."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.bench.works import EDGES, Reference, Work, picture
from imgconv.conventions import METHODS
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.plan import plan
from imgconv.errors import UsageError
from imgconv.kernels.value import Kernel
from imgconv.native.cpu import cpu
from imgconv.peers import PEERS, Lacking
from imgconv.recipe import Recipe
from imgconv.threads import available_cores

Array = npt.NDArray[Any]
Maker = Callable[[Array, Array, int], Callable[[], Any]]

SHARE = 16  # of the rows: a trial on this part tells how long all of it takes
TOO_LONG_S = 15.0  # what takes longer is not run, only estimated from its trial
PATIENCE_S = 4.0  # for all rounds of one contender


@dataclass
class Timing:
    """What one contender took for one piece of work."""

    tool: str
    method: str = ""  # imgconv's
    chosen: bool = True  # the row that stands for its tool; not so for methods that the plan did not choose
    times_s: list[float] = field(default_factory=list)
    error: float | None = None  # largest difference from the float64 sums, in levels
    estimated: bool = False  # from a part of the picture
    size_bytes: int | None = None  # of the file that a command wrote
    problem: str = ""

    @property
    def median_s(self) -> float | None:
        """Seconds; None where it did not run."""
        return statistics.median(self.times_s) if self.times_s else None

    @property
    def min_s(self) -> float | None:
        """Seconds of the fastest run."""
        return min(self.times_s) if self.times_s else None

    @property
    def name(self) -> str:
        """Tool and method, as a table has them."""
        return self.tool if self.chosen or not self.method else f"{self.tool} {self.method}"


@dataclass
class Row:
    """A piece of work and everybody's times."""

    work: Work
    timings: list[Timing]

    @property
    def base_s(self) -> float | None:
        """The median of imgconv's own choice, which ratios are taken to."""
        return next((t.median_s for t in self.timings if t.tool == "imgconv" and t.chosen), None)

    def ratio(self, timing: Timing) -> float | None:
        """How many times as long as imgconv it took."""
        return timing.median_s / self.base_s if timing.median_s and self.base_s else None

    def as_dict(self) -> dict[str, Any]:
        """Everything in milliseconds, for --json."""

        def ms(seconds: float | None) -> float | None:
            return None if seconds is None else round(seconds * 1e3, 4)

        return {
            "work": self.work.name,
            "about": self.work.about,
            "dtype": self.work.dtype,
            "kind": "command" if self.work.kind == "command" else "library",
            "results": [
                {
                    "tool": t.tool, "method": t.method or None, "chosen": t.chosen, "median_ms": ms(t.median_s),
                    "min_ms": ms(t.min_s), "ratio": self.ratio(t), "rounds": len(t.times_s), "error": t.error,
                    "estimated": t.estimated, "size_bytes": t.size_bytes, "problem": t.problem or None,
                }
                for t in self.timings
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    rows: int
    columns: int
    channels: int = 3
    rounds: int = 7
    threads: int = 1


def shape_of(megapixels: float) -> tuple[int, int]:
    """Rows and columns of a picture with sides as 3 to 4."""
    rows = max(1, round((megapixels * 1e6 * 3 / 4) ** 0.5))
    return rows, max(1, round(rows * 4 / 3))


def plans(c: Correlation, dtype: str) -> dict[str, Plan]:
    """Of every method that can do a correlation."""
    found = {}
    for method in METHODS[1:]:
        with suppress(UsageError):
            found[method] = plan(c, dtype, method)
    return found


def _imgconv(kernel: Kernel, method: str, source: Array, target: Array, threads: int) -> Callable[[], Array]:
    recipe = Recipe((kernel,), replace(EDGES, method=method, threads=threads))
    return lambda: recipe.apply(source)[0]  # it takes no target


def measure(work: Work, source: Array, settings: Settings, tell: Callable[[str], None] = lambda _: None) -> Row:
    """One piece of work by every library that is installed and can do it; tells the name of each before its trial."""
    target = np.empty_like(source)
    task = work.task._replace(mode=("L", "LA", "RGB", "RGBA")[source.shape[2] - 1])
    part = max(min(len(source), 2 * task.radius + 1), len(source) // SHARE)
    makers: list[tuple[str, str, Maker]] = []
    for c, _ in task.steps:
        chosen = plan(c, work.dtype).method  # goes first
        methods = sorted(plans(c, work.dtype), key=lambda method: method != chosen)
        makers = [("imgconv", method, partial(_imgconv, work.kernel, method)) for method in methods]
    makers += [(peer.name, "", partial(peer.prepare, task)) for peer in PEERS.values()]
    reference = Reference(work, source)
    runs: list[Contender] = []
    timings: list[Timing] = []
    for number, (tool, method, maker) in enumerate(makers):
        timing = Timing(tool, method, chosen=number == 0 or tool != "imgconv")
        tell(timing.name)
        try:
            trial = maker(source[:part], target[:part], settings.threads)
            trial()  # compiles, fills caches
            estimate = once(trial) * len(source) / part
            if estimate > TOO_LONG_S:
                timing.times_s, timing.estimated = [estimate], True
            else:
                run = maker(source, target, settings.threads)
                started = time.perf_counter()
                result = run()
                warm_s = time.perf_counter() - started
                timing.error = reference.error(np.asarray(result).reshape(source.shape))
                del result
                if warm_s > PATIENCE_S:
                    timing.times_s = [warm_s]
                else:
                    runs.append((timing, run, int(PATIENCE_S / max(warm_s, 1e-9))))
        except (ImportError, Lacking):
            continue
        except Exception as problem:  # whatever a peer raises is shown in its place
            timing.problem = f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
        timings.append(timing)
    turns(runs, settings.rounds)
    return Row(work, timings)


Contender = tuple[Timing, Callable[[], Any], int]  # the last is the most rounds that it may take


def once(run: Callable[[], Any]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def turns(runs: list[Contender], rounds: int) -> None:
    """All of them turn by turn, so that a slow moment of the machine hits all; slow ones sit out later rounds."""
    for number in range(rounds):
        for timing, run, most in runs:
            if number < max(1, most):
                timing.times_s.append(once(run))


class Source:
    """The picture that all works of a type share; one is held at a time."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.array: Array | None = None

    def of(self, dtype: str) -> Array:
        """The picture in a type."""
        if self.array is None or self.array.dtype != dtype:
            self.array = None
            self.array = picture(self.settings.rows, self.settings.columns, self.settings.channels, dtype)
        return self.array


def machine(threads: int) -> dict[str, Any]:
    """What the numbers depend on: CPU, cores, threads, system, versions, date."""
    versions = {"imgconv": version("imgconv"), "python": platform.python_version()}
    for peer in PEERS.values():
        for package in peer.distributions:
            with suppress(PackageNotFoundError):
                versions.setdefault(peer.name, version(package))
    return {
        "cpu": _cpu(),
        "cores": available_cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
        "date": datetime.now(UTC).date().isoformat(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _cpu() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or cpu().name
