"""How values show themselves in notebooks: as HTML that suits light and dark pages, and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

CELL = "padding:2px 8px;text-align:right;border:1px solid rgba(128,128,128,.35)"
MORE, LESS = "0,140,160", "224,110,0"  # the colours of what is above 0 and below


def _escaped(text: str) -> str:
    from html import escape  # here: every command imports this module, and none this

    return escape(text)


class Look(NamedTuple):
    """What is shown of a value: a heading, facts by name, and HTML of what is drawn."""

    heading: str
    facts: Mapping[str, str]
    drawn: str = ""


class Shown:
    """A value that notebooks show by its `_look`."""

    __slots__ = ()

    def _look(self) -> Look:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        heading, facts, drawn = self._look()
        rows = "".join(
            f'<tr><th style="text-align:left;font-weight:normal;opacity:.75;padding:1px 16px 1px 0;'
            f'vertical-align:top">{_escaped(name)}</th>'
            f'<td style="text-align:left;padding:1px 0">{_escaped(fact)}</td></tr>'
            for name, fact in facts.items()
        )
        return (
            f'<div><p style="margin:0 0 6px"><strong>{_escaped(heading)}</strong></p>'
            '<div style="display:flex;flex-wrap:wrap;gap:12px 32px;align-items:flex-start">'
            f'<table style="border:0">{rows}</table>{drawn}</div></div>'
        )

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        """As HTML, and as text where that cannot be shown."""
        heading, facts, _ = self._look()
        width = max(map(len, facts), default=0)
        lines = [heading, *(f"{name:{width}}  {fact}" for name, fact in facts.items())]
        return {"text/plain": "\n".join(lines), "text/html": self._repr_html_()}


def matrix(rows: Sequence[Sequence[float | None]], caption: str) -> str:
    """Numbers as a table, shaded by their size; None for what is left out."""
    largest = max((abs(value) for row in rows for value in row if value is not None), default=0) or 1

    def cell(value: float | None) -> str:
        if value is None:
            return f'<td style="{CELL}">…</td>'
        shade = f";background:rgba({MORE if value > 0 else LESS},{0.4 * abs(value) / largest:.3f})" if value else ""
        return f'<td style="{CELL}{shade}">{value:.4g}</td>'

    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return (
        f'<table style="border-collapse:collapse"><caption style="text-align:left;caption-side:top;opacity:.75">'
        f"{_escaped(caption)}</caption>{lines}</table>"
    )


def curves(lines: Mapping[str, Sequence[float]], caption: str, ends: tuple[str, str]) -> str:
    """Curves over one axis, whose ends are named, as a small SVG; the first is solid, the second dashed."""
    top = max((value for values in lines.values() for value in values), default=0) or 1
    paths = ""
    for number, values in enumerate(lines.values()):
        points = " ".join(
            f"{30 + 190 * place / max(1, len(values) - 1):.1f},{105 - 90 * value / top:.1f}"
            for place, value in enumerate(values)
        )
        dashes = ' stroke-dasharray="5 3"' * number
        colour = f"rgb({(MORE, LESS)[number % 2]})"
        paths += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>'
    names = "; ".join(f"{name} {('solid', 'dashed')[number % 2]}" for number, name in enumerate(lines))
    return (
        f'<svg viewBox="0 0 230 145" width="230" height="145" role="img" aria-label="{_escaped(caption)}"'
        ' fill="currentColor" font-size="10" font-family="sans-serif">'
        f'<path d="M30,12V105H222" fill="none" stroke="currentColor" opacity=".5"/>{paths}'
        f'<text x="27" y="18" text-anchor="end">{top:.3g}</text><text x="27" y="108" text-anchor="end">0</text>'
        f'<text x="30" y="118">{_escaped(ends[0])}</text>'
        f'<text x="220" y="118" text-anchor="end">{_escaped(ends[1])}</text>'
        f'<text x="30" y="131">{_escaped(caption)}</text><text x="30" y="143">{_escaped(names)}</text></svg>'
    )


def bars(times: Mapping[str, float]) -> str:
    """Seconds as bars."""
    longest = max(times.values(), default=0) or 1
    rows = "".join(
        f'<tr><td style="text-align:left;padding:1px 12px 1px 0">{_escaped(name)}</td><td style="padding:1px 0">'
        f'<div style="display:inline-block;height:.8em;width:{160 * seconds / longest:.0f}px;background:rgb({MORE})">'
        f"</div> {seconds * 1e3:.3g} ms</td></tr>"
        for name, seconds in times.items()
    )
    return f'<table style="border:0">{rows}</table>'
