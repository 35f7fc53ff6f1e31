"""A table of results as Markdown, and as a bar chart in SVG or PNG."""

from __future__ import annotations

import io
import math
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from imgconv.bench.measure import Row, Timing

OFF = 1.05  # levels: cutting instead of rounding is off by less than one, more is another result
WIDTH, LEFT, RIGHT = 900, 190, 130  # pixels: all of it, for names, for numbers
LINE, GAP, TOP = 20, 34, 92
INK, PALE, OURS, OUR_OTHERS, THEIRS, PAPER = "#1b1f24", "#d9dee3", "#0b7285", "#66b2c0", "#adb5bd", "#ffffff"


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


class Shape(NamedTuple):
    """A rectangle, or a text when there is one; a negative width makes the text end at x."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    text: str = ""


def drawing(rows: list[Row], facts: dict[str, Any], shape: tuple[int, int, int]) -> tuple[int, list[Shape]]:
    """(height, shapes in order) of a bar chart with a logarithmic axis that all works share."""
    shown = [(row, sorted((t for t in row.timings if t.median_s), key=lambda t: t.median_s or 0)) for row in rows]
    times = [(t.median_s or 0) * 1e3 for _, timings in shown for t in timings]
    low = math.floor(math.log10(min(times, default=1)))
    high = max(low + 1, math.ceil(math.log10(max(times, default=10))))
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    height = TOP + GAP * len(shown) + LINE * len(times) + 24
    shapes = [
        Shape(0, 0, WIDTH, height, PAPER),
        Shape(16, 16, 0, 17, INK, "imgconv bench: time per picture, shorter is better (logarithmic)"),
        Shape(16, 42, 0, 12, INK, caption(facts, shape)),
    ]
    for power in range(low, high + 1):
        x = LEFT + (power - low) * scale
        name = f"{10.0 ** (power - 3):g} s" if power >= 3 else f"{10.0**power:g} ms"
        shapes += [Shape(x, TOP - 6, 1, height - TOP - 10, PALE), Shape(x + 4, TOP - 20, 0, 11, INK, name)]
    y = TOP
    for row, timings in shown:
        shapes.append(Shape(16, y + 10, 0, 13, INK, row.work.about))
        y += GAP
        for t in timings:
            ms = (t.median_s or 0) * 1e3
            length = max(1.0, (math.log10(ms) - low) * scale)
            colour = THEIRS if t.tool != "imgconv" else OURS if t.chosen else OUR_OTHERS
            off = f"off by {error_text(row, t)}" if is_off(row, t) else ""
            words = filter(None, (("about " if t.estimated else "") + duration(ms), _times(row, t), off))
            shapes += [
                Shape(LEFT - 8, y + 2, -1, 12, INK, t.name),
                Shape(LEFT, y + 2, length, LINE - 6, colour),
                Shape(LEFT + length + 6, y + 2, 0, 12, INK, " · ".join(words)),
            ]
            y += LINE
    return height, shapes


def svg(height: int, shapes: list[Shape]) -> str:
    """The drawing as SVG."""

    def element(s: Shape) -> str:
        if not s.text:
            size = f'width="{s.width:.1f}" height="{s.height:.1f}"'
            return f'<rect x="{s.x:.1f}" y="{s.y:.1f}" {size} fill="{s.colour}"/>'
        place = f'x="{s.x:.1f}" y="{s.y + s.height * 0.85:.1f}" font-size="{s.height:g}"'
        end = ' text-anchor="end"' if s.width < 0 else ""
        return f'<text {place} fill="{s.colour}"{end}>{escape(s.text)}</text>'

    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">'
    return "\n".join([head, *map(element, shapes), "</svg>"]) + "\n"


def png(height: int, shapes: list[Shape], zoom: int = 2) -> bytes:
    """The drawing as PNG."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (WIDTH * zoom, height * zoom))
    draw = ImageDraw.Draw(image)
    for s in shapes:
        x, y = s.x * zoom, s.y * zoom
        if not s.text:
            draw.rectangle((x, y, (s.x + s.width) * zoom - 1, (s.y + s.height) * zoom - 1), s.colour)
            continue
        font = ImageFont.load_default(s.height * zoom)
        text = s.text.replace("×", "x")  # Pillow's font has none
        if isinstance(font, ImageFont.FreeTypeFont):
            draw.text((x, y), text, s.colour, font, "ra" if s.width < 0 else "la")
        else:  # Pillow without FreeType: small letters, ASCII only
            draw.text((x, y), text.encode("ascii", "replace").decode(), s.colour, font)
    memory = io.BytesIO()
    image.save(memory, "PNG")
    return memory.getvalue()
