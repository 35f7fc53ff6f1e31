"""The interior, which does not know the border: flip, anchor, scale, offset and rounding, on a few tiles of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.match.question import SMALL, TILE, Pair, Place, Question, Tile, Tone, starts

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

TILES = 3
SCREEN = 300  # samples that a hypothesis must pass before it sees the tiles
MOST_RANKED = 384  # that see the tiles


class Inner(NamedTuple):
    """A convention but for its border, and what it costs a sample."""

    place: Place
    tone: Tone
    cost: float


def rank_interior(q: Question, places: list[Place]) -> list[Inner]:
    """Flips, anchors and tones by how well they explain the interior, the best first."""
    known = _tones(q)
    found: list[tuple[float, bool, Place, Tone]] = []
    samples: dict[Place, tuple[Array, Array]] = {}
    for place, sums, seen in _interiors(q, places):
        samples[place] = sums, seen
        few, few_seen = _few(sums), _few(seen)
        for scale, offset in _screened(q, few, few_seen, known):
            for rounding in q.roundings:
                if rounding == "cut" and (scale, offset - 0.5) in known:
                    continue  # the same as rounding
                tone = Tone(scale, offset, rounding)
                found.append((*q.cost(few, few_seen, tone), place, tone))
    if not any(fits for _, fits, _, _ in found):
        for place, (sums, seen) in samples.items():
            for tone in _fitted(q, sums, seen):
                found.append((*q.cost(_few(sums), _few(seen), tone), place, tone))
    found.sort(key=lambda each: each[0] / max(1, min(SCREEN, samples[each[2]][0].size)))
    ranked = []
    for _, _, place, tone in found if q.seen.size <= SMALL else found[:MOST_RANKED]:
        cost, _ = q.cost(*samples[place], tone)
        ranked.append(Inner(place, tone, cost / max(1, samples[place][0].size)))
    ranked.sort(key=lambda each: each.cost)
    return ranked


def explains(q: Question, place: Place, tone: Tone) -> bool:
    """Whether nothing in the interior tiles speaks against it."""
    return all(q.cost(sums, seen, tone)[1] for _, sums, seen in _interiors(q, [place]))


def _few(samples: Array) -> Array:
    """An even share of them, for the first look."""
    return samples[:: -(-samples.size // SCREEN) or 1]


def _interiors(q: Question, places: list[Place]) -> Iterator[tuple[Place, Array, Array]]:
    """For each place, the sums and the samples of the interior tiles. One pass over the taps serves all anchors."""
    groups: dict[tuple[str, str, Pair], list[Place]] = {}
    for place in places:
        groups.setdefault(place[:3], []).append(place)
    for group in groups.values():
        base = group[0]._replace(anchor=(0, 0))
        taps = q.taps[base.flip]
        sums: dict[Place, list[Array]] = {place: [] for place in group}
        seen: dict[Place, list[Array]] = {place: [] for place in group}
        for rows, columns in _interior_tiles(q, group):
            # every window start that any of the anchors needs, as one block of stride 1
            begin, end = [], []
            for axis, part in enumerate((rows, columns)):
                step = base.stride[axis]
                firsts = [q.first(place)[axis] for place in group]
                begin.append(max(0, part.start * step + min(firsts)))
                end.append(min(q.source.shape[axis], (part.stop - 1) * step + max(firsts) + taps.shape[axis]))
            if any(end[axis] - begin[axis] < taps.shape[axis] for axis in (0, 1)):
                continue
            values = q.slide(q.source[begin[0] : end[0], begin[1] : end[1]].astype(np.float64), taps)
            for place in group:
                inner = q.inside(place)
                y = slice(max(rows.start, inner[0].start), min(rows.stop, inner[0].stop))
                x = slice(max(columns.start, inner[1].start), min(columns.stop, inner[1].stop))
                if y.stop <= y.start or x.stop <= x.start:
                    continue
                first = q.first(place)
                at_y = np.arange(y.start, y.stop) * place.stride[0] + first[0] - begin[0]
                at_x = np.arange(x.start, x.stop) * place.stride[1] + first[1] - begin[1]
                sums[place].append(values[np.ix_(at_y, at_x)].ravel())
                seen[place].append(q.seen[y, x].astype(np.float64).ravel())
        for place in group:
            empty = [np.zeros(0)]
            yield place, np.concatenate(sums[place] or empty), np.concatenate(seen[place] or empty)


def _interior_tiles(q: Question, group: list[Place]) -> list[Tile]:
    """A few tiles of the result, those with the most texture and the fewest clipped samples."""
    insides = [q.inside(place) for place in group]
    rows = slice(max(i[0].start for i in insides), min(i[0].stop for i in insides))
    columns = slice(max(i[1].start for i in insides), min(i[1].stop for i in insides))
    if max(q.seen.shape[:2]) <= 2 * TILE or rows.stop <= rows.start or columns.stop <= columns.start:
        return [(slice(0, q.seen.shape[0]), slice(0, q.seen.shape[1]))]
    spots = []
    for y, x in product(starts(rows, 7), starts(columns, 7)):
        tile = slice(y, min(y + TILE, rows.stop)), slice(x, min(x + TILE, columns.stop))
        part = q.seen[tile].astype(np.float64)
        free = np.mean((part > 0) & (part < q.top)) if q.whole else 1.0
        spots.append((-float(part.std() * free), y, x, tile))
    return [tile for *_, tile in sorted(spots, key=lambda spot: spot[:3])[:TILES]]


def _screened(q: Question, sums: Array, seen: Array, known: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The scales and offsets that are not far off, or the one that is nearest."""
    if sums.size == 0:
        return known
    values = sums / np.array([s for s, _ in known])[:, None] + np.array([o for _, o in known])[:, None]
    far = np.abs(values - seen)
    if q.roundings[0] != "float":
        limits = np.iinfo(q.kind)
        span = float(limits.max) - float(limits.min) + 1
        around = np.abs((values - 0.5 - seen + span / 2) % span - span / 2)
        clipped = np.abs(np.clip(values, limits.min, limits.max) - seen)
        far = np.minimum(far, np.minimum(around, clipped))
    least = 1.75 if q.whole else 0.0
    bounds = [max(least, q.error(Tone(*pair, "float"))) for pair in known]
    near = [pair for pair, worst, bound in zip(known, far.max(axis=1), bounds, strict=True) if worst <= bound]
    return near or [known[int(far.mean(axis=1).argmin())]]


def _fitted(q: Question, sums: Array, seen: Array) -> list[Tone]:
    """A scale and an offset by least squares, as round as the samples allow."""
    if q.roundings[0] != "float":
        limits = np.iinfo(q.kind)
        whole = (seen > limits.min) & (seen < limits.max)
        sums, seen = sums[whole], seen[whole]
    if sums.size < 4 or float(np.ptp(sums)) == 0:
        return []
    factor, offset = np.polyfit(sums - sums.mean(), seen, 1)
    offset -= factor * sums.mean()
    if factor == 0:
        return []
    rough = []
    for digits in (1, 2, 3, 4, 6, 9):
        for scale in dict.fromkeys((float(f"{1 / factor:.{digits}g}"), 1 / float(f"{factor:.{digits}g}"))):
            rest = float(np.mean(seen - sums / scale))
            rough += [(scale, float(np.round(rest, places))) for places in (0, 1, 3, 6)]
    rough = list(dict.fromkeys(rough))
    rough.insert(0, (rough[0][0], q.kernel.offset))
    for (scale, shift), rounding in product(rough, q.roundings):
        tone = Tone(scale, shift, rounding)
        if rounding != "wrap" and q.cost(sums, seen, tone)[0] == 0:
            return [tone]
    return [Tone(1 / float(factor), float(offset), q.roundings[0])]


def _tones(q: Question) -> list[tuple[float, float]]:
    """Scales and offsets that are worth a try: the kernel's own, and what people use."""
    scales = [q.kernel.scale, 1.0]
    if q.kernel.weights.ndim == 2:
        scales += [float(q.kernel.weights.sum()), float(np.abs(q.kernel.weights).sum())]
    offsets = [q.kernel.offset, 0.0, 0.5, 128.0]
    if q.whole:
        offsets += [(q.top + 1) / 2, 127.0]
    return list(product(dict.fromkeys(s for s in scales if s != 0), dict.fromkeys(offsets)))
