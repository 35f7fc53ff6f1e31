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


def table_lines(rows: list[list[str]], markdown: bool) -> list[str]:
    """Lines of a table whose first row are headings: as text, or as Markdown."""
    if markdown:
        lines = [f"| {' | '.join(cells)} |" for cells in rows]
        return [lines[0], f"|---|{'---:|' * (len(rows[0]) - 1)}", *lines[1:]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def heading(facts: dict[str, Any], what: str = "") -> str:
    """A machine, as a README has it above its tables."""
    return "### " + ", ".join(filter(None, (facts["cpu"], facts["vectors"], _cores(facts), what)))


def caption(facts: dict[str, Any], shape: tuple[int, int, int]) -> str:
    """What the numbers depend on, in a line."""
    rows, columns, channels = shape
    threads = f"{facts['threads']} thread{'s' * (facts['threads'] > 1)}"
    machine = ", ".join(filter(None, (facts["cpu"], facts["vectors"], _cores(facts), threads)))
    return f"{columns}×{rows}×{channels} samples; {machine}; {facts['system']}; {facts['date']}"


def _cores(facts: dict[str, Any]) -> str:
    return f"{facts['cores']} core{'s' * (facts['cores'] > 1)}"


def markdown(rows: list[Row], facts: dict[str, Any], shape: tuple[int, int, int]) -> str:
    """Tables with a row for each work and a column for each tool: median, and how many times imgconv's."""
    parts = [heading(facts)]
    for commands in (False, True):
        some = [row for row in rows if (row.work.kind == "command") == commands]
        tools = list(dict.fromkeys(_column(t) for row in some for t in row.timings if t.chosen))
        table = [["whole command" if commands else "in memory", *tools]]
        for row in some:
            cells = {_column(t): _cell(row, t) for t in reversed(_by_time(row)) if t.chosen}
            table.append([row.work.about, *(cells.get(tool, "–") for tool in tools)])
        if tools:
            parts.append("\n".join(table_lines(table, markdown=True)))
    ahead = []
    for row in rows:
        faster = [t for t in _by_time(row) if t.filters and t.tool != "imgconv" and (row.ratio(t) or 1) < 1]
        if faster:
            ahead.append(f"{row.work.about}: " + ", ".join(f"{t.tool} {_cell(row, t)}" for t in faster))
    versions = ", ".join(f"{name} {number}".rstrip() for name, number in facts["versions"].items())
    note = (
        "Medians; in brackets how many times as long as imgconv; for imgconv, as the fastest codecs alone."
        f" “off by” is the largest difference from the float64 sums, in levels, where it is more than {OFF:.0f}."
    )
    parts += [f"Faster than imgconv: {'; '.join(ahead) or 'nothing'}.", note, f"{caption(facts, shape)}; {versions}."]
    return "\n\n".join(parts) + "\n"


def _times(row: Row, timing: Timing) -> str:
    """How many times as long as imgconv another tool takes, and imgconv as codecs alone: "12×", or ""."""
    ours = timing.tool == "imgconv"
    ratio = row.over_codecs(timing) if ours else row.ratio(timing)
    return f"{ratio:.{2 if ratio < 1 else 1 if ratio < 9.95 else 0}f}×{' codecs' * ours}" if ratio else ""


def _column(timing: Timing) -> str:
    return timing.tool if timing.filters else "codecs alone"


def _by_time(row: Row) -> list[Timing]:
    """The fastest first; those that failed last."""
    return sorted(row.timings, key=lambda t: t.median_s or float("inf"))


def _cell(row: Row, timing: Timing) -> str:
    if timing.median_s is None:
        return "failed"
    text = ("≈ " if timing.estimated else "") + duration(timing.median_s * 1e3)
    if not timing.filters:
        return f"{text} ({timing.tool.rpartition(' ')[2]})"
    text = f"**{text}**" if timing.tool == "imgconv" else text
    text += f" ({times})" if (times := _times(row, timing)) else ""
    return text + (f", off by {timing.error:.2g}" if is_off(row, timing) else "")


def figure(rows: list[Row], facts: dict[str, Any], shape: tuple[int, int, int]) -> Figure:
    """The medians as bars."""
    from imgconv.plots import bars_figure

    groups = []
    for row in rows:
        bars = []
        for t in filter(lambda t: t.median_s, _by_time(row)):
            ms = (t.median_s or 0) * 1e3
            off = f"off by {error_text(row, t)}" if is_off(row, t) else ""
            words = filter(None, (("about " if t.estimated else "") + duration(ms), _times(row, t), off))
            colour = THEIRS if t.tool != "imgconv" else OURS if t.chosen else OUR_OTHERS
            bars.append((t.name, ms, " · ".join(words), colour))
        groups.append((row.work.about, bars))
    return bars_figure("imgconv bench: time per picture, shorter is better", caption(facts, shape), groups)
