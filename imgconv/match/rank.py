"""Candidates by what they cost on a few tiles: first in the interior, which does not know the border, then along it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, product

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import BORDERS
from imgconv.engine.stage import border_map, by_axis
from imgconv.match.problem import LARGEST, Candidate, Geometry, Problem, Scaling, Tile

LIKELY_FIRST = sorted(BORDERS, key=lambda border: border not in ("edge", "constant"))
TILE = 40  # result pixels on a side
TILES = 3
SMALL = 4096  # samples of a result up to which nothing is left out
SCREEN = 300  # samples that a hypothesis must pass before it sees the tiles
MOST_RANKED = 384  # that see the tiles
MOST_GEOMETRIES = 24  # that are tried with every border
FAR_GEOMETRIES = 2  # of those that are clearly worse: one of them may be the runner-up
CLEARLY = 0.1  # levels a sample
WRAPPED = 64  # samples of the frame on which every value outside is tried where sums wrap


def rank_interior(p: Problem, geometries: list[Geometry]) -> list[Candidate]:
    """Flips, anchors and scalings by how well they explain the interior, the best first."""
    samples = dict(_interior(p, geometries))
    found: list[Candidate] = []
    for proposed in (_usual, _fitted):
        fits = False
        for geometry, (sums, seen) in samples.items():
            few, few_seen = _few(sums), _few(seen)
            for scaling in proposed(p, sums, seen):
                cost, fit = p.cost(few, few_seen, scaling)
                found.append(Candidate(geometry, scaling, cost / max(1, min(SCREEN, sums.size))))
                fits |= fit
        if fits:
            break
    found.sort(key=lambda c: c.cost)
    likely = found if p.seen.size <= SMALL else found[:MOST_RANKED]
    costs = [p.cost(*samples[c.geometry], c.scaling)[0] / max(1, samples[c.geometry][0].size) for c in likely]
    return sorted((c._replace(cost=cost) for c, cost in zip(likely, costs, strict=True)), key=lambda c: c.cost)


def explains_interior(p: Problem, geometry: Geometry, scaling: Scaling) -> bool:
    """Whether nothing in the interior tiles speaks against it."""
    return all(p.cost(sums, seen, scaling)[1] for _, (sums, seen) in _interior(p, [geometry]))


def _few(samples: Array) -> Array:
    """An even share of them, for the first look."""
    return samples[:: -(-samples.size // SCREEN) or 1]


def _interior(p: Problem, geometries: list[Geometry]) -> Iterator[tuple[Geometry, tuple[Array, Array]]]:
    """The sums and the samples of the interior tiles. One pass over the taps serves all anchors."""
    for _, group in groupby(geometries, key=lambda g: g[:3]):
        insides = {g: p.inside(g) for g in group}
        taps = p.taps[next(iter(insides)).flip]
        found: dict[Geometry, tuple[list[Array], list[Array]]] = {g: ([np.zeros(0)], [np.zeros(0)]) for g in insides}
        for tile in _interior_tiles(p, list(insides.values())):
            parts = {g: _overlap([tile, inside]) for g, inside in insides.items()}
            parts = {g: part for g, part in parts.items() if all(span.start < span.stop for span in part)}
            if not parts:
                continue
            starts = {g: p.windows(g, part) for g, part in parts.items()}
            top, left = (min(at[axis].start for at in starts.values()) for axis in (0, 1))
            end, right = (max(at[axis][-1] for at in starts.values()) + taps.shape[axis] for axis in (0, 1))
            sums = p.slide(p.source[top:end, left:right].astype(np.float64), taps)
            for g, (rows, columns) in starts.items():
                found[g][0].append(sums[np.ix_(np.array(rows) - top, np.array(columns) - left)].ravel())
                found[g][1].append(p.seen[parts[g]].astype(np.float64).ravel())
        for g, (some_sums, some_seen) in found.items():
            yield g, (np.concatenate(some_sums), np.concatenate(some_seen))


def _overlap(tiles: list[Tile]) -> Tile:
    """What tiles have in common."""
    rows, columns = (
        slice(max(s.start for s in spans), min(s.stop for s in spans)) for spans in zip(*tiles, strict=True)
    )
    return rows, columns


def _tiles(area: Tile, count: int) -> Iterator[Tile]:
    """Up to count² tiles that are spread evenly over an area, without overlap."""

    def spans(whole: slice) -> list[slice]:
        last = whole.stop - TILE
        if last <= whole.start:
            return [whole]
        most = min(count, -(-(whole.stop - whole.start) // TILE))
        starts = [whole.start + (last - whole.start) * i // (most - 1) for i in range(most)]
        return [slice(start, start + TILE) for start in starts]

    return product(spans(area[0]), spans(area[1]))


def _interior_tiles(p: Problem, insides: list[Tile]) -> list[Tile]:
    """A few tiles of the result, those with the most texture and the fewest clipped samples."""
    rows, columns = common = _overlap(insides)
    if max(p.seen.shape[:2]) <= 2 * TILE or rows.stop <= rows.start or columns.stop <= columns.start:
        return [(slice(0, p.seen.shape[0]), slice(0, p.seen.shape[1]))]

    def worth(tile: Tile) -> float:
        part = p.seen[tile].astype(np.float64)
        free = np.mean((part > 0) & (part < p.top)) if p.whole else 1.0
        return float(part.std() * free)

    return sorted(_tiles(common, 7), key=worth, reverse=True)[:TILES]


def _usual(p: Problem, sums: Array, seen: Array) -> list[Scaling]:
    """Of the kernel's own scale and offset and those that people use, what is not far off, or is the nearest."""
    scales, offsets = [p.kernel.scale, 1.0], [p.kernel.offset, 0.0, 0.5, 128.0]
    if p.kernel.weights.ndim == 2:
        scales += [float(p.kernel.weights.sum()), float(np.abs(p.kernel.weights).sum())]
    if p.whole:
        offsets += [(p.top + 1) / 2, 127.0]
    usual = list(product(dict.fromkeys(s for s in scales if s != 0), dict.fromkeys(offsets)))
    near, sums, seen = usual, _few(sums), _few(seen)
    if sums.size:
        scale, offset = np.array(usual).T[:, :, None]
        values = sums / scale + offset
        far = np.abs(values - seen)
        if p.roundings[0] != "float":
            clipped = np.abs(np.clip(values, p.low, p.top) - seen)
            far = np.minimum(far, np.minimum(p.wrapped(values - 0.5 - seen), clipped))
        least = 1.75 if p.whole else 0.0
        bounds = [max(least, p.error(Scaling(*pair, "float"))) for pair in usual]
        near = [pair for pair, worst, bound in zip(usual, far.max(axis=1), bounds, strict=True) if worst <= bound]
        near = near or [usual[int(far.mean(axis=1).argmin())]]
    return [
        Scaling(scale, offset, rounding)
        for (scale, offset), rounding in product(near, p.roundings)
        if rounding != "cut" or (scale, offset - 0.5) not in usual  # which is the same as rounding
    ]


def _fitted(p: Problem, sums: Array, seen: Array) -> list[Scaling]:
    """A scale and an offset by least squares, as round as the samples allow."""
    if p.roundings[0] != "float":
        free = (seen > p.low) & (seen < p.top)
        sums, seen = sums[free], seen[free]
    if sums.size < 4 or float(np.ptp(sums)) == 0:
        return []
    factor, offset = np.polyfit(sums - sums.mean(), seen, 1)
    if factor == 0:
        return []
    rounded = []
    for digits in (1, 2, 3, 4, 6, 9):
        for scale in (float(f"{1 / factor:.{digits}g}"), 1 / float(f"{factor:.{digits}g}")):
            rest = float(np.mean(seen - sums / scale))
            rounded += [(scale, float(np.round(rest, places))) for places in (0, 1, 3, 6)]
    rounded.insert(0, (rounded[0][0], p.kernel.offset))
    for (scale, shift), rounding in product(dict.fromkeys(rounded), p.roundings):
        scaling = Scaling(scale, shift, rounding)
        if rounding != "wrap" and p.cost(sums, seen, scaling)[0] == 0:
            return [scaling]
    return [Scaling(1 / float(factor), float(offset - factor * sums.mean()), p.roundings[0])]


def rank_borders(p: Problem, ranked: list[Candidate]) -> list[Candidate]:
    """The best of the interior with every border, the best first."""
    groups: dict[Geometry, list[Candidate]] = {}
    best = ranked[0].cost
    for c in ranked:
        most = MOST_GEOMETRIES if c.cost <= best + CLEARLY else FAR_GEOMETRIES
        if c.geometry in groups or len(groups) < most or (c.cost == best and p.seen.size <= SMALL):
            groups.setdefault(c.geometry, []).append(c)
    found: list[Candidate] = []
    for geometry, group in groups.items():
        some = group[:1] if group[0].cost > best + CLEARLY else group  # one, only for comparison
        tiles = list(frame_tiles(p, geometry))
        found += [c for border in LIKELY_FIRST for c in with_border(p, some, tiles, border)] if tiles else some
    return sorted((c._replace(order=order) for order, c in enumerate(found)), key=lambda c: c.cost)


def with_border(p: Problem, candidates: list[Candidate], tiles: list[Tile], border: str) -> Iterator[Candidate]:
    """What one border costs with each of the candidates, which have their geometry in common."""
    geometry = candidates[0].geometry
    seen = np.concatenate([p.seen[tile].astype(np.float64).ravel() for tile in tiles])
    if border == "keep":
        if geometry.padding == "same" and p.seen.shape[2] == p.source.shape[2]:
            source = p.source[:: geometry.stride[0], :: geometry.stride[1]]
            kept = np.concatenate([source[tile].astype(np.float64).ravel() for tile in tiles])
            cost = float(np.minimum(np.abs(kept - seen) / p.unit, LARGEST).mean())
            yield from (c._replace(border=border, cost=c.cost + cost) for c in candidates)
        return
    parts = [_sums(p, geometry, tile, border) for tile in tiles]
    sums, weigh = (np.concatenate([part.ravel() for part in kind]) for kind in zip(*parts, strict=True))
    if border == "renormalize" and np.isnan(sums).any():
        return
    for c in candidates:
        for outside in _outsides(p, sums, weigh, seen, c.scaling) if border == "constant" else [0.0]:
            cost, _ = p.cost(sums + outside * weigh, seen, c.scaling)
            yield c._replace(border=border, outside=outside, cost=c.cost + cost / seen.size)


def _outsides(p: Problem, sums: Array, weigh: Array, seen: Array, scaling: Scaling) -> list[float]:
    """Values for border constant: 0, the top of the range, and the plainest other one, if that explains the frame."""
    tried = [0.0, p.top]

    def fits(value: float) -> bool:
        return p.cost(sums + value * weigh, seen, scaling)[1]

    if any(map(fits, tried)):
        return tried
    strong = np.flatnonzero(np.abs(weigh) >= max(np.abs(weigh).max() / 2, 1e-30))
    if scaling.rounding == "wrap" and p.top < 2**16:
        strong = strong[:: -(-strong.size // WRAPPED) or 1]
        every = np.arange(p.top + 1)
        values = (sums[strong] + every[:, None] * weigh[strong]) / scaling.scale + scaling.offset
        far = p.wrapped(values - 0.5 - seen[strong])
        guesses = [float(every[np.minimum(far, LARGEST).sum(axis=1).argmin()])]
    else:
        if scaling.rounding != "float":
            strong = strong[(seen[strong] > 0) & (seen[strong] < p.top)]
        if not strong.size:
            return tried
        cut = 0.5 if scaling.rounding == "cut" else 0.0  # what is cut lies half a level below, on the average
        rest = (seen[strong] + cut - scaling.offset) * scaling.scale - sums[strong]
        value = float((weigh[strong] @ rest) / (weigh[strong] @ weigh[strong]))
        guesses = [float(round(value))] + ([] if p.whole else [float(f"{value:.{digits}g}") for digits in (3, 6, 12)])
    return tried + [guess for guess in guesses if fits(guess)][:1]


def frame_tiles(p: Problem, geometry: Geometry) -> Iterator[Tile]:
    """Tiles along the frame: corners and pieces of the sides, only pixels whose windows leave the picture."""
    rows, columns = p.inside(geometry)
    height, width = p.seen.shape[:2]
    for side in (
        (slice(0, rows.start), slice(0, width)),
        (slice(rows.stop, height), slice(0, width)),
        (rows, slice(0, columns.start)),
        (rows, slice(columns.stop, width)),
    ):
        if all(span.start < span.stop for span in side):
            yield from _tiles(side, 3)


def _sums(p: Problem, geometry: Geometry, tile: Tile, border: str) -> tuple[Array, Array]:
    """The windows' sums for a tile of the result, and what their taps outside weigh, under border constant."""
    taps = p.taps[geometry.flip]
    index, known = [], []
    borders = by_axis("edge" if border in ("constant", "renormalize") else border)
    for axis, at in enumerate(p.windows(geometry, tile)):
        start, stop = at.start, at[-1] + taps.shape[axis]
        index.append(np.array(border_map(start, stop - start, p.source.shape[axis], borders[axis])))
        known.append(index[-1] == np.arange(start, stop))

    def slide(values: Array) -> Array:
        return p.slide(values, taps)[:: geometry.stride[0], :: geometry.stride[1]]

    values = p.source[np.ix_(*index)].astype(np.float64)
    if border not in ("constant", "renormalize"):
        total = slide(values)
        return total, np.zeros_like(total)
    mask = np.broadcast_to(np.logical_and.outer(*known)[:, :, None], values.shape).astype(np.float64)
    total, inside, everything = slide(values * mask), slide(mask), slide(np.ones_like(mask))
    if border == "constant":
        return total, everything - inside
    share = np.where(np.abs(inside) < 1e-12 * np.abs(taps).sum(), np.nan, inside)
    return total * everything / share, np.zeros_like(total)
