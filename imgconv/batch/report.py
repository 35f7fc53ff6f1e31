"""What became of the jobs, and what the command's exit status is."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from imgconv.batch.targets import Job
from imgconv.record import dataclass

if TYPE_CHECKING:
    from imgconv.recipe.chained import Report
    from imgconv.recipe.recipe import Recipe


@dataclass(eq=False)
class Outcome:
    """What became of a job: words and numbers, which go from one process to another.

    Times are in seconds; where reading and filtering go on side by side, that of waiting.
    """

    job: Job
    status: str = "done"  # done, failed, skipped
    error: str | None = None
    notes: list[str] = field(default_factory=list)
    shape: tuple[int, ...] | None = None  # of the input
    mode: str = ""  # Pillow's; "" for arrays
    dtype: str = ""
    frames: int | None = None  # that were done
    result_shape: tuple[int, ...] | None = None
    result_mode: str = ""
    border: str | None = None
    method: str | None = None
    how: str = ""  # the method and the kernel's size, or how many kernels there were
    plans: tuple[str, ...] = ()  # how each kernel was computed, why, and how exact that is
    threads: int = 1
    clipped: int | None = None  # samples
    strip_rows: int = 0  # of the result, where it was never in memory as a whole
    read_s: float = 0.0
    filter_s: float | None = None
    write_s: float = 0.0
    compile_s: float = 0.0
    total_s: float = 0.0
    trace: str = ""  # where it went wrong, when nobody foresaw that
    section: dict[str, Any] | None = None  # what a page has of it, as `page.section` gives it

    def __getstate__(self) -> dict[str, Any]:
        """Without the job, which whoever gave it out has."""
        return {name: value for name, value in vars(self).items() if name != "job"}

    @property
    def megapixels(self) -> float:
        """Of the input, where its result was written."""
        return self.shape[0] * self.shape[1] * (self.frames or 1) / 1e6 if self.shape and self.status == "done" else 0.0

    def put_down(self, report: Report) -> None:
        """What filtering a frame has reported."""
        first, last = report.plans[0], report.plans[-1]
        self.border, self.method = first.correlation.border, first.method
        rows, columns = last.correlation.weights.shape
        self.how = f"{last.method} {rows}×{columns}"
        if report.vary:
            self.how = f"{len(report.plans)} levels"
        elif report.kernels > 1:
            self.how = f"{report.kernels} kernels"
        lines = (f"{plan.method}: {plan.reason}; {plan.exactness}" for plan in report.plans)
        self.plans = (*filter(None, [report.vary]), *dict.fromkeys(lines))
        self.filter_s = (self.filter_s or 0.0) + report.filter_s
        self.clipped = (self.clipped or 0) + report.clipped
        self.frames, self.threads = (self.frames or 0) + 1, report.threads

    def as_dict(self, recipe: Recipe) -> dict[str, Any]:
        """What `--json` prints of it."""
        shape = self.shape
        return {
            "input": self.job.input,
            "output": None if self.job.problem else self.job.output,
            "kernel": recipe.name,
            "mode": recipe.options.mode,
            "border": self.border or recipe.options.border,
            "method": self.method,
            "size": [shape[1], shape[0]] if shape else None,
            "channels": (*shape, 1)[2] if shape else None,
            "dtype": self.dtype or None,
            "frames": self.frames,
            "read_s": round(self.read_s, 6),
            "filter_s": None if self.filter_s is None else round(self.filter_s, 6),
            "write_s": round(self.write_s, 6),
            "compile_s": round(self.compile_s, 6),
            "total_s": round(self.total_s, 6),
            "clipped": self.clipped,
            "notes": self.notes,
            "status": self.status,
            "error": self.error,
        }


class Count:
    """How many jobs came to which end, over how many pixels, and where the time went."""

    def __init__(self) -> None:
        self.done = self.failed = self.skipped = 0
        self.megapixels = 0.0
        self.seconds = dict.fromkeys(("read", "compile", "filter", "write"), 0.0)
        self.errors: list[str] = []

    def add(self, outcome: Outcome) -> None:
        self.done += outcome.status == "done"
        self.failed += outcome.status == "failed"
        self.skipped += outcome.status == "skipped"
        self.megapixels += outcome.megapixels
        times = (outcome.read_s, outcome.compile_s, outcome.filter_s or 0.0, outcome.write_s)
        for step, seconds in zip(self.seconds, times, strict=True):
            self.seconds[step] += seconds
        if outcome.error:
            self.errors.append(outcome.error)

    @property
    def total(self) -> int:
        return self.done + self.failed + self.skipped

    @property
    def exit_status(self) -> int:
        """0 when nothing failed, else 1."""
        return int(self.failed > 0)
