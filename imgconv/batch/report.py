"""What became of the jobs, and what the command's exit status is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgconv.batch.targets import Job

if TYPE_CHECKING:
    from imgconv.recipe import Recipe, Report


class Outcome:
    """What became of a job. Times are in seconds; where reading and filtering go on side by side, that of waiting."""

    status: str = "done"  # done, failed, skipped
    error: str | None = None
    shape: tuple[int, ...] | None = None  # of the input
    result_shape: tuple[int, ...] | None = None
    result_mode: str = ""
    mode: str = ""  # Pillow's; "" for arrays
    dtype: str = ""
    report: Report | None = None
    trace: str = ""  # where it went wrong, when nobody foresaw that
    compile_s: float = 0.0
    read_s: float = 0.0
    write_s: float = 0.0
    total_s: float = 0.0
    strip_rows: int = 0  # of the result, where it was never in memory as a whole

    def __init__(self, job: Job) -> None:
        self.job = job
        self.notes: list[str] = []


class Count:
    """How many jobs came to which end."""

    def __init__(self) -> None:
        self.done = self.failed = self.skipped = 0

    def add(self, outcome: Outcome) -> None:
        """Counts an outcome."""
        self.done += outcome.status == "done"
        self.failed += outcome.status == "failed"
        self.skipped += outcome.status == "skipped"

    @property
    def exit_status(self) -> int:
        """0 when nothing failed, else 1."""
        return int(self.failed > 0)


def as_json(outcome: Outcome, recipe: Recipe) -> dict[str, Any]:
    """What `--json` prints of an outcome."""
    report, shape = outcome.report, outcome.shape
    first = report.plans[0] if report and report.plans else None
    return {
        "input": outcome.job.input,
        "output": None if outcome.job.problem else outcome.job.output,
        "kernel": recipe.name,
        "mode": recipe.options.mode,
        "border": first.correlation.border if first else recipe.options.border,
        "method": first.method if first else None,
        "size": [shape[1], shape[0]] if shape else None,
        "channels": (*shape, 1)[2] if shape else None,
        "dtype": outcome.dtype or None,
        "read_s": round(outcome.read_s, 6),
        "filter_s": round(report.filter_s, 6) if report else None,
        "write_s": round(outcome.write_s, 6),
        "compile_s": round(outcome.compile_s, 6),
        "total_s": round(outcome.total_s, 6),
        "clipped": report.clipped if report else None,
        "status": outcome.status,
        "error": outcome.error,
    }
