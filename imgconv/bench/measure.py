"""Times contenders in turns, and compares what they made with the float64 sums."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, partial
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.bench.works import EDGE_BORDER, Work, error_from
from imgconv.conventions import METHODS
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.plan import plan
from imgconv.errors import UsageError
from imgconv.native.cpu import cpu
from imgconv.peers.table import PEERS
from imgconv.peers.task import Run, Unsupported
from imgconv.recipe.recipe import Recipe
from imgconv.threads import available_cores

Maker = Callable[[Array, Array, int], Run]  # of a source, a target and threads
Progress = Callable[[str], None]  # is given the name of what is tried next

SHARE = 16  # of the rows: a trial on this part tells how long all of it takes
TOO_LONG_S = 6.0  # what takes longer is not run, only estimated from its trial
PATIENCE_S = 3.0  # for all rounds of one contender
VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "asimd": "NEON"}  # what a CPU has -> its name


@dataclass
class Timing:
    """What one contender took for one piece of work."""

    tool: str
    method: str = ""  # imgconv's
    chosen: bool = True  # the row that stands for its tool; not so for methods that the plan did not choose
    filters: bool = True  # not so for codecs alone
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

    def frames_per_s(self, timing: Timing) -> float | None:
        return self.work.frames / timing.median_s if timing.median_s and self.work.frames else None

    @property
    def floor_s(self) -> float | None:
        """The median of the fastest codecs alone."""
        return min((t.median_s for t in self.timings if t.median_s and not t.filters), default=None)

    def over_codecs(self, timing: Timing) -> float | None:
        """How many times as long as these it took."""
        return timing.median_s / self.floor_s if timing.median_s and self.floor_s and timing.filters else None

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
                    "min_ms": ms(t.min_s), "ratio": self.ratio(t), "codecs_ratio": self.over_codecs(t),
                    "rounds": len(t.times_s), "error": t.error, "estimated": t.estimated, "size_bytes": t.size_bytes,
                    "problem": t.problem or None, "frames_per_s": self.frames_per_s(t),
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

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.rows, self.columns, self.channels


class Contender(NamedTuple):
    """Somebody who is to be timed.

    `estimate` tries it, so that it compiles and fills caches, and gives the seconds that a run will take about;
    `prepare` gives what is timed.
    """

    timing: Timing
    estimate: Callable[[], float]
    prepare: Callable[[], Run]


def compete(
    work: Work,
    contenders: Iterable[Contender],
    check: Callable[[Timing, Any], None],
    rounds: int,
    progress: Progress,
    limits_s: tuple[float, float] | None = None,
    clean: Callable[[], None] = lambda: None,
) -> Row:
    """Times contenders in turns, after `check` has looked at the result of each one's first run.

    Those that take too long are only estimated, or run once; `limits_s` are other ones than TOO_LONG_S and PATIENCE_S.
    `clean` is called before each run. Missing ones are left out, failing ones are shown.
    """
    too_long_s, patience_s = limits_s or (TOO_LONG_S, PATIENCE_S)
    timings: list[Timing] = []
    runs: list[tuple[Timing, Run, int]] = []
    for timing, estimate, prepare in contenders:
        progress(timing.name)
        try:
            first_s = estimate()
            timing.estimated = first_s > too_long_s
            if not timing.estimated:
                run = prepare()
                clean()
                started = time.perf_counter()
                result = run()
                first_s = time.perf_counter() - started
                check(timing, result)
                del result
            timing.times_s = [first_s]
            if not timing.estimated:
                runs.append((timing, run, int(patience_s / max(first_s, 1e-9)) - 1))
        except (ImportError, Unsupported):
            continue
        except Exception as problem:  # whatever a peer raises is shown in its place
            kind = "" if work.kind == "command" else f"{type(problem).__name__}: "
            timing.problem = kind + " ".join(str(problem).split())[:200]
        timings.append(timing)
    take_turns(runs, rounds - 1, clean)
    return Row(work, timings)


def once(run: Run) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def take_turns(runs: list[tuple[Timing, Run, int]], rounds: int, clean: Callable[[], None] = lambda: None) -> None:
    """Runs all in turns, so that a slow moment of the machine hits all; each at most as often as its number says."""
    for number in range(rounds):
        for timing, run, most in runs:
            if number < most:
                clean()
                timing.times_s.append(once(run))


def measure(work: Work, source: Array, settings: Settings, progress: Progress = lambda _: None) -> Row:
    """One piece of work by every library that is installed and can do it."""
    target = np.empty_like(source)
    task = work.task._replace(mode=("L", "LA", "RGB", "RGBA")[source.shape[2] - 1])
    part = max(min(len(source), 2 * task.radius + 1), len(source) // SHARE)

    def imgconv(method: str, source: Array, target: Array, threads: int) -> Run:
        recipe = Recipe((work.kernel,), replace(EDGE_BORDER, method=method, threads=threads))
        return lambda: recipe.apply(source)[0]  # it takes no target

    def contender(timing: Timing, make: Maker, rows: int) -> Contender:
        made = cache(partial(make, source, target, settings.threads))

        def estimate() -> float:
            trial = made() if rows == len(source) else make(source[:rows], target[:rows], settings.threads)
            trial()
            return once(trial) * len(source) / rows

        return Contender(timing, estimate, made)

    def check(timing: Timing, result: Any) -> None:
        timing.error = error(np.asarray(result).reshape(source.shape))

    contenders = []
    for c, _ in task.steps:
        chosen = plan(c, work.dtype).method
        for method in sorted(plans(c, work.dtype), key=lambda method: method != chosen):  # the chosen one goes first
            contenders.append(contender(Timing("imgconv", method, method == chosen), partial(imgconv, method), part))
    for peer in PEERS.values():
        rows = len(source) if peer.compiles else part
        contenders.append(contender(Timing(peer.name), partial(peer.prepare, task), rows))
    error = error_from(work, source)
    return compete(work, contenders, check, settings.rounds, progress)


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


def machine(threads: int) -> dict[str, Any]:
    """What the numbers depend on: CPU, cores, threads, system, versions, date."""
    versions = {"imgconv": version("imgconv"), "python": platform.python_version()}
    versions |= {peer.name: peer.version for peer in PEERS.values() if peer.version}
    return {
        "cpu": cpu().name,
        "vectors": next((name for feature, name in VECTORS.items() if feature in cpu().features), ""),
        "cores": available_cores(),
        "threads": threads,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions,
        "date": datetime.now(UTC).date().isoformat(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }
