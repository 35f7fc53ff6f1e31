"""The planner's constants against the clock, with one thread."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from imgconv.bench.measure import Settings, once, plans
from imgconv.bench.works import EDGES, picture
from imgconv.engine.plan import WORTH, plan
from imgconv.engine.run import execute, prepare
from imgconv.kernels.spec import kernel
from imgconv.recipe.settings import correlation

DENSE = {n: "; ".join(" ".join(str((7 * i + 3 * j) % 11 / 10 + 0.15) for j in range(n)) for i in range(n))
         for n in (3, 5, 7, 11)}  # fmt: skip
CASES = {
    "edge_enhance": "edge_enhance",
    "laplacian": "laplacian",
    "sobel_x": "sobel_x",
    "blur": "blur",
    "smooth_more": "smooth_more",
    **{f"dense {n}×{n}": f"{text}" for n, text in DENSE.items()},
    **{f"gaussian, sigma {s}": f"gaussian:sigma={s}" for s in (0.5, 1, 2, 5)},
    **{f"box, radius {r}": f"box:radius={r}" for r in (1, 2, 7, 15)},
}
DTYPES = ("uint8", "uint16", "float32")
NOTEWORTHY = 1.15  # the planner's choice takes that many times as long as the fastest that it may choose
LONGEST_COST = 400  # estimated cycles: beyond, the method is out of the question


@dataclass(frozen=True)
class Cost:
    """One method on one kernel."""

    kernel: str
    dtype: str
    method: str
    taps: int
    measured_ns: float  # for 16 samples, the fastest of all rounds
    estimate: float  # the planner's, in cycles for 16 samples
    error_bound: float
    chosen: bool
    allowed: bool  # it gives the direct method's bytes, or the kernel does not promise them

    @property
    def tap_ns(self) -> float:
        """For 16 samples and one tap."""
        return self.measured_ns / self.taps

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return asdict(self) | {"tap_ns": self.tap_ns}


def costs(settings: Settings, names: tuple[str, ...] = tuple(CASES), dtypes: tuple[str, ...] = DTYPES) -> list[Cost]:
    """Every method on every kernel that it can take, turn by turn for each kernel."""
    found = []
    for dtype in dtypes:
        source = picture(settings.rows, settings.columns, settings.channels, dtype)
        for name in names:
            c = correlation(kernel(CASES[name]), EDGES)
            choice = plan(c, dtype)
            tried = plans(c, dtype).values()
            kept = [each for each in tried if each.cost < LONGEST_COST or each.method == choice.method]
            for each in kept:
                prepare(each)
                execute(each, source, 1)
            times: dict[str, list[float]] = {each.method: [] for each in kept}
            for _ in range(settings.rounds):
                for each in kept:
                    times[each.method].append(once(partial(execute, each, source, 1)))
            taps = int((c.weights != 0).sum())
            for each in kept:
                ns = min(times[each.method]) * 1e9 / (source.size / 16)
                allowed = not (c.exact and each.error_bound)
                chosen = each.method == choice.method
                found.append(Cost(name, dtype, each.method, taps, ns, each.cost, each.error_bound, chosen, allowed))
    return found


def cycle_ns(found: list[Cost]) -> float:
    """What the planner's unit is worth on this machine: the median over all 8-bit methods."""
    eight = [cost for cost in found if cost.dtype == "uint8"] or found
    return statistics.median(cost.measured_ns / cost.estimate for cost in eight)


def misjudged(found: list[Cost]) -> list[tuple[Cost, Cost]]:
    """(chosen, faster) where the planner's choice is not the fastest of those that it may choose.

    A method that may be off by a level must be so much faster that it is worth it, as the planner has it; where a
    kernel promises the direct method's bytes, as Pillow's do, it may not be chosen at all.
    """
    pairs = []
    for choice in (cost for cost in found if cost.chosen):
        others = [cost for cost in found if (cost.kernel, cost.dtype) == (choice.kernel, choice.dtype)]
        allowed = [
            cost for cost in others
            if cost.allowed
            and (cost.error_bound <= choice.error_bound or cost.measured_ns < WORTH * choice.measured_ns)
        ]  # fmt: skip
        fastest = min(allowed, key=lambda cost: cost.measured_ns)
        if choice.measured_ns > NOTEWORTHY * fastest.measured_ns:
            pairs.append((choice, fastest))
    return pairs
