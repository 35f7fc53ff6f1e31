"""A table of results as Markdown, and as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgconv.bench.measure import Row, Timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OFF = 1.05  # levels: cutting instead of rounding is off by less than one, more is another result
OURS, OUR_OTHERS, THEIRS = "#0b7285", "#66b2c0", "#adb5bd"


def duration(ms: float) -> str:
    """A time as people read it, at three digits."""
    if ms >= 999.5:
        return f"{ms / 1e3:.3g} s"
    return f"{ms:.{0 if ms >= 99.5 else 1 if ms >= 9.95 else 2}f} ms"


def error_text(row: Row, timing: Timing) -> str:
    """The largest difference; floating samples go from 0 to 1, so theirs is small."""
    if timing.error is None:
        return ""
    return f"{timing.error:.0e}" if row.work.dtype == "float32" else f"{timing.error:.3g}"


def is_off(row: Row, timing: Timing) -> bool:
    """Whether the result is another one, not only rounded otherwise."""
    if timing.error is None:
        return False
    return timing.error > (1e-4 if row.work.dtype == "float32" else OFF)


def caption(facts: dict[str, Any], shape: tuple[int, int, int]) -> str:
    """What the numbers depend on, in a line."""
    rows, columns, channels = shape
    cores = f"{facts['cores']} core{'s' if facts['cores'] > 1 else ''}"
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''}"
    size = f"{columns}×{rows}×{channels}"
    return f"{size} samples; {facts['cpu']}, {cores}, {threads}; {facts['system']}; {facts['date']}"


def markdown(rows: list[Row], facts: dict[str, Any], shape: tuple[int, int, int]) -> str:
    """Tables with a row for each work and a column for each tool: median, and how many times imgconv's."""
    parts = []
    for commands in (False, True):
        some = [row for row in rows if (row.work.kind == "command") == commands]
        tools = list(dict.fromkeys(t.tool for row in some for t in row.timings if t.chosen))
        if not tools:
            continue
        heading = "whole command" if commands else "in memory"
        lines = [f"| {heading} | {' | '.join(tools)} |", f"|---|{'---:|' * len(tools)}"]
        for row in some:
            cells = {t.tool: _cell(row, t) for t in row.timings if t.chosen}
            lines.append(f"| {row.work.about} | {' | '.join(cells.get(tool, '–') for tool in tools)} |")
        parts.append("\n".join(lines))
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    note = (
        "Medians; in brackets how many times as long as imgconv."
        f" “off by” is the largest difference from the float64 sums, in levels, where it is more than {OFF:.0f}."
    )
    parts.append(f"{note}\n{caption(facts, shape)}; {versions}.")
    return "\n\n".join(parts) + "\n"


def _times(row: Row, timing: Timing) -> str:
    """How many times as long as imgconv another tool takes: "12×", or ""."""
    ratio = row.ratio(timing)
    return f"{ratio:.{1 if ratio < 9.95 else 0}f}×" if ratio and timing.tool != "imgconv" else ""


def _cell(row: Row, timing: Timing) -> str:
    if timing.median_s is None:
        return "failed"
    text = ("≈ " if timing.estimated else "") + duration(timing.median_s * 1e3)
    if timing.tool == "imgconv":
        return f"**{text}**"
    text += f" ({times})" if (times := _times(row, timing)) else ""
    return text + (f", off by {timing.error:.2g}" if is_off(row, timing) else "")


def figure(rows: list[Row], facts: dict[str, Any], shape: tuple[int, int, int]) -> Figure:
    """The medians as bars."""
    from imgconv.plots import bars_figure

    groups = []
    for row in rows:
        bars = []
        for t in sorted((t for t in row.timings if t.median_s), key=lambda t: t.median_s or 0):
            ms = (t.median_s or 0) * 1e3
            off = f"off by {error_text(row, t)}" if is_off(row, t) else ""
            words = filter(None, (("about " if t.estimated else "") + duration(ms), _times(row, t), off))
            colour = THEIRS if t.tool != "imgconv" else OURS if t.chosen else OUR_OTHERS
            bars.append((t.name, ms, " · ".join(words), colour))
        groups.append((row.work.about, bars))
    return bars_figure("imgconv bench: time per picture, shorter is better", caption(facts, shape), groups)
