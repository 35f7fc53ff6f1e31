"""How time grows: with the picture, with the kernel for every method, and how it falls with threads."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from imgconv.bench.measure import once, plans, shape_of
from imgconv.bench.works import EDGES, made, picture
from imgconv.engine.correlation import Plan
from imgconv.engine.plan import plan
from imgconv.engine.run import execute, prepare
from imgconv.kernels.spec import kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe.settings import correlation
from imgconv.threads import available_cores

SIZES = (0.25, 1.0, 4.0, 12.0, 50.0, 200.0)  # megapixels
SIDES = (3, 5, 7, 9, 11, 15, 21, 31, 45, 63, 101)  # taps
SAME = {  # what sizes and threads are tried on
    "edge_enhance": kernel("edge_enhance"), "dense 7×7": made("dense", 7), "gaussian, sigma 5": made("gaussian", 5),
}  # fmt: skip
LONGEST_S = 2.0  # what takes longer at one side is not tried at larger ones


@dataclass(frozen=True)
class Point:
    """One measurement."""

    what: str  # "size", "threads" or "kernel"
    kernel: str
    method: str
    megapixels: float
    threads: int
    taps: int  # on a side of the kernel
    chosen: bool  # by the planner
    median_s: float

    @property
    def ms_per_megapixel(self) -> float:
        """Of three channels of 8 bits."""
        return self.median_s * 1e3 / self.megapixels

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"ms_per_megapixel": self.ms_per_megapixel}


FAMILIES: dict[str, Callable[[int], Kernel]] = {
    "dense": partial(made, "dense"),
    "gaussian": lambda side: kernel(f"gaussian:sigma={side / 8:g},radius={side // 2}"),  # out to four sigma
    "box": lambda side: made("box", side // 2),
}


def measure(largest: float, rounds: int, threads: int, tell: Callable[[str], None] = lambda _: None) -> Iterator[Point]:
    """Every point, as soon as it is there.

    Parameters
    ----------
    largest : float
        Megapixels: larger pictures are left out. Kernels and threads are tried on 12 of them, or this if it is less.
    rounds : int
        Of which the median is taken.
    threads : int
        For sizes and kernels.
    """
    sizes = [size for size in SIZES if size <= largest] or [largest]
    for size in sizes:
        tell(f"{size:g} megapixels")
        source = picture(*shape_of(size), 3, "uint8")
        for name, each in SAME.items():
            yield _point("size", name, _plan(each), source, size, threads, rounds)
    middle = min(largest, 12.0)
    source = picture(*shape_of(middle), 3, "uint8")
    for count in sorted({1, *(2**n for n in range(1, available_cores().bit_length())), available_cores()}):
        tell(f"{count} threads")
        for name, each in SAME.items():
            yield _point("threads", name, _plan(each), source, middle, count, rounds)
    slow: set[tuple[str, str]] = set()
    for side in SIDES:
        for family, make in FAMILIES.items():
            c = correlation(make(side), EDGES)
            chosen = plan(c, "uint8").method
            for method, found in plans(c, "uint8").items():
                if (family, method) in slow:
                    continue
                tell(f"{family} {side}×{side} {method}")
                point = _point("kernel", family, found, source, middle, threads, rounds, side, method == chosen)
                if point.median_s > LONGEST_S:
                    slow.add((family, method))
                yield point


def _plan(each: Kernel) -> Plan:
    return plan(correlation(each, EDGES), "uint8")


def _point(
    what: str, name: str, found: Plan, source: Any, size: float, threads: int, rounds: int, side: int = 0,
    chosen: bool = True,
) -> Point:  # fmt: skip
    prepare(found)
    run = partial(execute, found, source, threads)
    first_s = once(run)
    times = [once(run) for _ in range(rounds if first_s < LONGEST_S else 1)]
    taps = side or max(found.correlation.weights.shape)
    return Point(what, name, found.method, size, threads, taps, chosen, statistics.median(times))
