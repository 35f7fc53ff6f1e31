"""The border, on tiles along the frame of the picture, with the best of what the interior leaves open."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import plain
from imgconv.match.interior import Inner
from imgconv.match.question import FAR, SMALL, TILE, Place, Question, Tile, Tone, starts

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

BORDERS = ("edge", "constant", "reflect", "symmetric", "wrap", "keep", "renormalize")  # the likeliest first
MOST_PLACES = 24  # flips and anchors that are tried with every border
FAR_PLACES = 2  # of those that are clearly worse: one of them may be the runner-up
CLEARLY = 0.1  # levels a sample
WRAPPED = 64  # samples of the frame on which every value outside is tried where sums wrap


@dataclass
class Candidate:
    """A convention with what it cost on the tiles; one of a tool, whose sums have their own type, is said as such."""

    place: Place
    tone: Tone
    border: str
    outside: float
    cost: float
    order: int = 0
    like: str | None = None

    @property
    def border_words(self) -> str:
        """As an option has it: "wrap", "constant:255"."""
        return self.border + (f":{plain(self.outside)}" if self.border == "constant" else "")


def rank_borders(q: Question, ranked: list[Inner]) -> list[Candidate]:
    """Every border with the best of the interiors."""
    groups: dict[Place, list[tuple[Tone, float]]] = {}
    best = ranked[0].cost
    for place, tone, cost in ranked:
        most = MOST_PLACES if cost <= best + CLEARLY else FAR_PLACES
        if place in groups or len(groups) < most or (cost == best and q.seen.size <= SMALL):
            groups.setdefault(place, []).append((tone, cost))
    found: list[Candidate] = []
    for place, tones in groups.items():
        if tones[0][1] > best + CLEARLY:
            tones = tones[:1]  # only for comparison
        tiles = list(frame_tiles(q, place))
        if not tiles:
            found += [Candidate(place, tone, "", 0.0, cost) for tone, cost in tones]
            continue
        for border in BORDERS:
            found += with_border(q, place, tones, tiles, border)
    for order, each in enumerate(found):
        each.order = order
    return found


def with_border(
    q: Question, place: Place, tones: list[tuple[Tone, float]], tiles: list[Tile], border: str
) -> Iterator[Candidate]:
    """What one border costs under every tone."""
    seen = np.concatenate([q.seen[tile].astype(np.float64).ravel() for tile in tiles])
    if border == "keep":
        if place.padding != "same" or q.seen.shape[2] != q.source.shape[2]:
            return
        source = q.source[:: place.stride[0], :: place.stride[1]]
        kept = np.concatenate([source[tile].astype(np.float64).ravel() for tile in tiles])
        cost = float(np.minimum(np.abs(kept - seen) / q.unit, FAR).mean())
        yield from (Candidate(place, tone, border, 0.0, inner + cost) for tone, inner in tones)
        return
    parts = [_sums(q, place, tile, border) for tile in tiles]
    sums = np.concatenate([total.ravel() for total, _ in parts])
    if border == "renormalize" and np.isnan(sums).any():
        return
    weigh = np.concatenate([w.ravel() for _, w in parts]) if border == "constant" else np.zeros(1)
    for tone, inner in tones:
        for outside in _outsides(q, sums, weigh, seen, tone) if border == "constant" else [0.0]:
            cost, _ = q.cost(sums + outside * weigh, seen, tone)
            yield Candidate(place, tone, border, outside, inner + cost / seen.size)


def _outsides(q: Question, sums: Array, weigh: Array, seen: Array, tone: Tone) -> list[float]:
    """Values for border constant: 0, the top of the range, and the plainest other one, if that explains the frame."""
    tried = [0.0, q.top]

    def fits(value: float) -> bool:
        return q.cost(sums + value * weigh, seen, tone)[1]

    if any(map(fits, tried)):
        return tried
    strong = np.flatnonzero(np.abs(weigh) >= max(np.abs(weigh).max() / 2, 1e-30))
    if tone.rounding == "wrap" and q.top < 2**16:
        strong = strong[:: -(-strong.size // WRAPPED) or 1]
        every = np.arange(q.top + 1)
        values = (sums[strong] + every[:, None] * weigh[strong]) / tone.scale + tone.offset
        span = q.top + 1
        far = np.abs((values - 0.5 - seen[strong] + span / 2) % span - span / 2)
        guesses = [float(every[np.minimum(far, FAR).sum(axis=1).argmin()])]
    else:
        if tone.rounding != "float":
            strong = strong[(seen[strong] > 0) & (seen[strong] < q.top)]
        if not strong.size:
            return tried
        cut = 0.5 if tone.rounding == "cut" else 0.0  # what is cut lies half a level below, on the average
        rest = (seen[strong] + cut - tone.offset) * tone.scale - sums[strong]
        value = float((weigh[strong] @ rest) / (weigh[strong] @ weigh[strong]))
        guesses = [float(round(value))] + ([] if q.whole else [float(f"{value:.{digits}g}") for digits in (3, 6, 12)])
    return [*tried, *islice(filter(fits, guesses), 1)]


def frame_tiles(q: Question, place: Place) -> Iterator[Tile]:
    """Tiles along the frame: corners and pieces of the sides, only pixels whose windows leave the picture."""
    rows, columns = q.inside(place)
    height, width = q.seen.shape[:2]
    strips = [
        (slice(0, rows.start), slice(0, width)),
        (slice(rows.stop, height), slice(0, width)),
        (slice(rows.start, rows.stop), slice(0, columns.start)),
        (slice(rows.start, rows.stop), slice(columns.stop, width)),
    ]
    for strip in strips:
        if any(part.stop <= part.start for part in strip):
            continue
        for y, x in product(starts(strip[0], 3), starts(strip[1], 3)):
            yield slice(y, min(y + TILE, strip[0].stop)), slice(x, min(x + TILE, strip[1].stop))


def _sums(q: Question, place: Place, tile: Tile, border: str) -> tuple[Array, Array]:
    """The windows' sums for a tile of the result, and what their taps outside weigh (for border constant)."""
    taps = q.taps[place.flip]
    index, known = [], []
    for axis, part in enumerate(tile):
        size, step = q.source.shape[axis], place.stride[axis]
        start = q.first(place)[axis] + part.start * step
        stop = q.first(place)[axis] + (part.stop - 1) * step + taps.shape[axis]
        at = np.arange(start, stop)
        known.append((at >= 0) & (at < size))
        pad = max(0, -start), max(0, stop - size)
        how: Any = border if border in ("reflect", "symmetric", "wrap") else "edge"
        index.append(np.pad(np.arange(size), pad, mode=how)[start + pad[0] : stop + pad[0]])
    values = q.source[np.ix_(*index)].astype(np.float64)
    step_y, step_x = place.stride
    if border not in ("constant", "renormalize"):
        return q.slide(values, taps)[::step_y, ::step_x], np.zeros(1)
    mask = (known[0][:, None] & known[1])[:, :, None].astype(np.float64)
    ones = np.ones((1, 1, values.shape[2]))
    inside = q.slide(mask * ones, taps)[::step_y, ::step_x]
    everything = q.slide(np.ones_like(mask) * ones, taps)[::step_y, ::step_x]
    total = q.slide(values * mask, taps)[::step_y, ::step_x]
    if border == "constant":
        return total, everything - inside
    share = np.where(np.abs(inside) < 1e-12 * np.abs(taps).sum(), np.nan, inside)
    return total * everything / share, np.zeros(1)
