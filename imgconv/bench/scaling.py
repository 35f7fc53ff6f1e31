"""How time grows: with the picture, with the kernel for every method, and how it falls with threads."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from imgconv.bench.costs import Tried, may_choose
from imgconv.bench.measure import Progress, once, plans, shape_of
from imgconv.bench.works import EDGE_BORDER, kernel_for, picture
from imgconv.engine.correlation import Plan
from imgconv.engine.plan import plan
from imgconv.engine.run import execute, prepare
from imgconv.kernels.spec import kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe.settings import correlation
from imgconv.threads import available_cores

SIZES = (0.25, 1.0, 4.0, 12.0, 50.0, 200.0)  # megapixels
SIDES = (3, 5, 7, 9, 11, 15, 21, 31, 45, 63, 101)  # taps
COMMON = {  # kernels on which sizes and threads are tried
    "edge_enhance": kernel("edge_enhance"),
    "dense 7×7": kernel_for("dense", 7),
    "gaussian, sigma 5": kernel_for("gaussian", 5),
}
FAMILIES: dict[str, Callable[[int], Kernel]] = {
    "dense": partial(kernel_for, "dense"),
    "gaussian": lambda side: kernel(f"gaussian:sigma={side / 8:g},radius={side // 2}"),  # out to four sigma
    "box": lambda side: kernel_for("box", side // 2),
}
LONGEST_S = 2.0  # what takes longer at one side is not tried at larger ones


@dataclass(frozen=True)
class Point(Tried):
    """One measurement; `taps` are those on a side of the kernel."""

    what: str  # "size", "threads" or "kernel"
    megapixels: float
    threads: int
    median_s: float

    @property
    def row(self) -> tuple[str, str, int, float, int]:
        return self.what, self.kernel, self.taps, self.megapixels, self.threads

    @property
    def time(self) -> float:
        return self.median_s

    @property
    def ms_per_megapixel(self) -> float:
        """Of three channels of 8 bits."""
        return self.median_s * 1e3 / self.megapixels

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"ms_per_megapixel": self.ms_per_megapixel}


def measure(largest: float, rounds: int, threads: int, progress: Progress = lambda _: None) -> Iterator[Point]:
    """Every point, as soon as it is there: the median of `rounds`, by so many `threads` for sizes and kernels.

    Pictures of more than `largest` megapixels are left out; kernels and threads are tried on 12, or this if it is less.
    """

    def point(what: str, name: str, planned: Plan, side: int, megapixels: float, count: int, chosen: bool) -> Point:
        prepare(planned)
        run = partial(execute, planned, source, count)
        times = [once(run) for _ in range(rounds if once(run) < LONGEST_S else 1)]
        tried = name, planned.method, side, chosen, may_choose(planned.correlation, planned), planned.error_bound
        return Point(*tried, what, megapixels, count, statistics.median(times))

    def common(what: str, megapixels: float, count: int) -> Iterator[Point]:
        for name, weights in COMMON.items():
            c = correlation(weights, EDGE_BORDER)
            yield point(what, name, plan(c, "uint8"), max(c.weights.shape), megapixels, count, True)

    for size in [size for size in SIZES if size <= largest] or [largest]:
        progress(f"{size:g} megapixels")
        source = picture(*shape_of(size), 3, "uint8")
        yield from common("size", size, threads)
    middle, cores = min(largest, 12.0), available_cores()
    source = picture(*shape_of(middle), 3, "uint8")
    for count in sorted({*(2**n for n in range(cores.bit_length())), cores}):
        progress(f"{count} threads")
        yield from common("threads", middle, count)
    slow: set[tuple[str, str]] = set()
    for side in SIDES:
        for family, make in FAMILIES.items():
            c = correlation(make(side), EDGE_BORDER)
            chosen = plan(c, "uint8").method
            for method, planned in plans(c, "uint8").items():
                if (family, method) in slow:
                    continue
                progress(f"{family} {side}×{side} {method}")
                one = point("kernel", family, planned, side, middle, threads, method == chosen)
                if one.median_s > LONGEST_S:
                    slow.add((family, method))
                yield one
