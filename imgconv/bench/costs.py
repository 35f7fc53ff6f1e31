"""The planner's constants against the clock, with one thread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TypeVar

from imgconv.bench.measure import Settings, Timing, plans, take_turns
from imgconv.bench.works import EDGE_BORDER, picture
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.plan import WORTH, plan
from imgconv.engine.run import execute, prepare
from imgconv.kernels.spec import kernel
from imgconv.recipe.settings import correlation


def _dense(n: int) -> str:
    rows = [[(7 * i + 3 * j) % 11 / 10 + 0.15 for j in range(n)] for i in range(n)]
    total = sum(map(sum, rows))
    return "; ".join(" ".join(str(weight / total) for weight in row) for row in rows)


CASES = {
    **{name: name for name in ("edge_enhance", "laplacian", "sobel_x", "blur", "smooth_more")},
    **{f"dense {n}×{n}": _dense(n) for n in (3, 5, 7, 11)},
    **{f"gaussian, sigma {s}": f"gaussian:sigma={s}" for s in (0.5, 1, 2, 5)},
    **{f"box, radius {r}": f"box:radius={r}" for r in (1, 2, 7, 15)},
}
DTYPES = ("uint8", "uint16", "float32")
NOTEWORTHY = 1.15  # the planner's choice takes that many times as long as the fastest that it may choose
LONGEST_COST = 400  # estimated cycles: beyond, the method is out of the question


@dataclass(frozen=True)
class Tried:
    """A method that was tried on a kernel."""

    kernel: str
    method: str
    taps: int
    chosen: bool  # by the planner
    allowed: bool  # it gives the direct method's bytes, or the kernel does not promise them
    error_bound: float  # how far it may be from these

    @property
    def row(self) -> tuple[Any, ...]:
        raise NotImplementedError

    @property
    def time(self) -> float:
        """How long it took, in a unit that a row has in common."""
        raise NotImplementedError


@dataclass(frozen=True)
class Cost(Tried):
    """One method on one kernel over samples of one type."""

    dtype: str
    measured_ns: float  # for 16 samples, the fastest of all rounds
    estimate: float  # the planner's, in cycles for 16 samples

    @property
    def row(self) -> tuple[str, str]:
        return self.kernel, self.dtype

    @property
    def time(self) -> float:
        return self.measured_ns

    @property
    def tap_ns(self) -> float:
        """For 16 samples and one tap."""
        return self.measured_ns / self.taps

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tap_ns": self.tap_ns}


def costs(settings: Settings, names: tuple[str, ...] = tuple(CASES), dtypes: tuple[str, ...] = DTYPES) -> list[Cost]:
    """Every method on every kernel that it can take, turn by turn for each kernel."""
    found = []
    for dtype in dtypes:
        source = picture(*settings.shape, dtype)
        for name in names:
            c = correlation(kernel(CASES[name]), EDGE_BORDER)
            choice = plan(c, dtype).method
            taps = int((c.weights != 0).sum())
            runs = []
            for p in plans(c, dtype).values():
                if p.cost < LONGEST_COST or p.method == choice:
                    prepare(p)
                    execute(p, source, 1)
                    runs.append((p, Timing("imgconv", p.method), partial(execute, p, source, 1)))
            take_turns([(timing, run, settings.rounds) for _, timing, run in runs], settings.rounds)
            for p, timing, _ in runs:
                ns = min(timing.times_s) * 1e9 / (source.size / 16)
                tried = name, p.method, taps, p.method == choice, may_choose(c, p), p.error_bound
                found.append(Cost(*tried, dtype, ns, p.cost))
    return found


def cycle_ns(found: list[Cost]) -> float:
    """What the planner's unit is worth on this machine: the median over all 8-bit methods."""
    eight = [cost for cost in found if cost.dtype == "uint8"] or found
    return statistics.median(cost.measured_ns / cost.estimate for cost in eight)


T = TypeVar("T", bound=Tried)


def regrets(found: Sequence[T]) -> list[tuple[T, T]]:
    """(the planner's choice, the fastest that it may choose) for each row.

    A method that may be off by a level must be so much faster that it is worth it, as the planner has it; where a
    kernel promises the direct method's bytes, as Pillow's do, it may not be chosen at all.
    """
    pairs = []
    for choice in (tried for tried in found if tried.chosen):
        allowed = [
            tried for tried in found
            if tried.row == choice.row
            and tried.allowed
            and (tried.error_bound <= choice.error_bound or tried.time < WORTH * choice.time)
        ]  # fmt: skip
        pairs.append((choice, min(allowed, key=lambda tried: tried.time)))
    return pairs


def is_wrong(choice: Tried, fastest: Tried) -> bool:
    """Whether the planner would better have chosen the other."""
    return choice.time > NOTEWORTHY * fastest.time


def may_choose(c: Correlation, chosen: Plan) -> bool:
    """Whether a plan gives the direct method's bytes, or the kernel does not promise them."""
    return not (c.exact and chosen.error_bound)
