"""Which convention made a result: flip, anchor, border, scale, offset, rounding, padding.

The interior does not know the border, so the two are told apart one after the other: flip, anchor, scale, offset and
rounding on tiles whose windows lie inside the picture; the border on tiles along its frame; then the candidates that
are left are applied to the whole picture by a Recipe, so that what is reported is what the command really gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgconv.conventions import LIKES, MODES
from imgconv.engine.channels import to_samples
from imgconv.errors import ImgconvError, PictureError, UsageError
from imgconv.kernels.value import Kernel
from imgconv.recipe import Recipe
from imgconv.recipe.layout import LETTERS
from imgconv.recipe.options import Options
from imgconv.recipe.settings import correlation, settle

Array = npt.NDArray[Any]
Pair = tuple[int, int]

# the ways in which tools turn a kernel, simplest first
FLIPS: dict[str, Callable[[Array], Array]] = {
    "none": lambda w: w,
    "both": lambda w: w[::-1, ::-1],
    "vertical": lambda w: w[::-1],
    "horizontal": lambda w: w[:, ::-1],
    "transposed": lambda w: w.swapaxes(0, 1),
    "transposed both": lambda w: w.swapaxes(0, 1)[::-1, ::-1],
}
FLIP_WORDS = {
    "none": "correlation",
    "both": "convolution (kernel flipped on both axes)",
    "vertical": "correlation, kernel flipped vertically",
    "horizontal": "correlation, kernel flipped horizontally",
    "transposed": "correlation, kernel transposed",
    "transposed both": "convolution, kernel transposed",
}
# what the tools themselves can do: turn a kernel by 180°, and give results of other sizes
TURNING = ("scipy", "ndimage", "imagemagick")
PADDING = {"scipy": ("same", "valid", "full"), "keras": ("same", "valid")}
BORDERS = ("edge", "constant", "reflect", "symmetric", "wrap", "keep", "renormalize")
TILE = 40  # result pixels on a side
TILES = 3  # in the interior
SCREEN = 300  # samples that a hypothesis must pass before it sees the tiles
ALL_ANCHORS = 49  # taps of a kernel up to which every anchor is tried
MOST_PLACES = 24  # flips and anchors that are tried with every border
FAR_PLACES = 2  # of those that are clearly worse: one of them may be the runner-up
MOST_CHECKS = 12  # candidates applied to the whole picture
LARGE = 2_000_000  # samples of a result from which only half as many are
TAPS_IN_PLACE = 4096  # weights that a command can hold
WORDS = ("like", "mode", "border", "padding", "anchor", "stride", "scale", "offset", "after", "alpha", "channels")
FAR = 8.0  # a difference counts for no more than that: a few wild samples must not hide a good candidate
FOURIER_TAPS = 400


class Place(NamedTuple):
    """A flip of the kernel, and where its windows lie."""

    flip: str
    padding: str
    stride: Pair
    anchor: Pair  # in the flipped kernel; (0, 0) when the padding leaves it no say


class Tone(NamedTuple):
    """What happens to a window's sum: divided, moved, rounded."""

    scale: float
    offset: float
    rounding: str  # half-up, half-even, cut, wrap, or float: none


@dataclass(frozen=True)
class Explanation:
    """A convention, as options for a Recipe, and how far its result is from the one that was given.

    Attributes
    ----------
    flip, padding, border, anchor, rounding : str
        `anchor` is "low", "high" or "row,column".
    stride : (int, int)
    scale, offset : float
    options : Options
        What gives it; with `matrix` in place of the kernel where no option can turn the kernel so.
    matrix : str
        The turned kernel as -k takes it, or "".
    samples, differing, interior, interior_differing : int
        How many samples the result has and how many differ; the same for windows that lie inside the picture.
    largest : float
        Difference, in levels.
    fit : str
        "exact"; "rounding" when no sample is further off than rounding explains; or "".
    """

    flip: str
    padding: str
    border: str
    anchor: str
    rounding: str
    stride: Pair
    scale: float
    offset: float
    options: Options
    matrix: str
    samples: int
    differing: int
    interior: int
    interior_differing: int
    largest: float
    fit: str

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {key: value for key, value in self.__dict__.items() if key != "options"} | {
            "options": option_words(self.options)
        }


@dataclass(frozen=True)
class Match:
    """The best explanation of a result, and what else is to be said about it.

    Attributes
    ----------
    best, runner_up : Explanation
        The runner-up is the best of those that give something else; None when there is none.
    like : tuple of str
        The tools whose convention it is, as options: "--like scipy --mode convolve".
    notes : tuple of str
        What the pictures do not tell, one sentence each.
    """

    best: Explanation
    runner_up: Explanation | None
    like: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass
class _Candidate:
    """A convention with what it cost on the tiles."""

    place: Place
    tone: Tone
    border: str
    outside: float
    cost: float
    order: int
    spoken: _Spoken | None = field(default=None, repr=False)


class _Spoken(NamedTuple):
    """A convention as options."""

    kernel: Kernel
    matrix: str
    options: Options
    words: int


def match(before: Array, kernel: Kernel, result: Array, mode: str = "") -> Match:
    """Finds the convention under which `kernel` makes `result` out of `before`.

    Parameters
    ----------
    before, result : ndarray, shape (rows, columns) or (rows, columns, channels)
    kernel : Kernel
    mode : str
        Pillow's mode of `before`, "" for a bare array; it tells which channel is alpha.

    Returns
    -------
    Match

    Raises
    ------
    PictureError
        When no padding or stride gives a result of that size, or the channels cannot go together.
    """
    return _Search(before, kernel, result, mode).run()


def option_words(options: Options) -> list[str]:
    """Options as the command line has them, only those that differ from the defaults."""
    words = []
    for key in (
        "like",
        "mode",
        "border",
        "padding",
        "anchor",
        "stride",
        "scale",
        "offset",
        "after",
        "alpha",
        "channels",
    ):
        value = getattr(options, key)
        if value != getattr(Options(), key):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else _number(value)
            # click would take a leading minus for an option
            words += [f"--{key}={text}"] if text.startswith("-") else [f"--{key}", text]
    return words


class _Search:
    """One question: what is known, and the steps to the answer."""

    def __init__(self, before: Array, kernel: Kernel, result: Array, mode: str) -> None:
        self.before = before
        self.kernel = kernel
        self.mode = mode
        self.source, self.seen, self.channels, self.result = _paired(before, kernel, result, mode)
        self.kind = np.dtype(np.uint8) if self.source.dtype == bool else self.source.dtype
        whole = self.seen.dtype.kind in "iub"
        self.roundings: tuple[str, ...] = ()
        if self.kind.kind in "iu" and (self.seen.dtype == self.source.dtype or _holds(self.kind, self.seen)):
            self.roundings = ("half-up", "half-even", "cut", "wrap")[: 4 if self.kind.kind == "u" else 2]
        if self.seen.dtype != self.source.dtype or not whole:
            self.roundings += ("float",)
        # whole numbers of another type: the tool may have rounded floating sums, or cut them
        self.slack = 1.0 if whole and self.seen.dtype != self.source.dtype else 0.0
        self.top = float(np.iinfo(self.kind).max) if self.kind.kind in "iu" else 1.0
        self.peak = float(max(abs(float(self.source.max())), abs(float(self.source.min())), 1e-30))
        if not (np.isfinite(self.peak) and np.isfinite(self.seen).all()):
            raise PictureError("the pictures hold nan or inf; match takes finite samples")
        self.unit = 1.0 if self.kind.kind in "iu" else max(float(self.seen.std()), 1e-30) / 64
        self.taps: dict[str, Array] = {}
        self.same_taps: dict[str, list[str]] = {}
        for flip, turn in FLIPS.items():
            taps = np.ascontiguousarray(turn(kernel.weights))
            twin = next((name for name, other in self.taps.items() if np.array_equal(other, taps)), None)
            if twin is None:
                self.taps[flip] = taps
            self.same_taps.setdefault(twin or flip, []).append(flip)

    def run(self) -> Match:
        places = self.places()
        if not places:
            rows, columns = self.kernel.shape
            raise PictureError(
                f"no padding or stride makes {_size(self.seen)} out of {_size(self.source)} with a {rows}×{columns}"
                " kernel (rows × columns)"
            )
        ranked = self.rank_interior(places)
        candidates = self.rank_borders(ranked)
        candidates.sort(key=lambda each: (each.cost, each.order))
        checked = self.check(candidates)
        checked.sort(key=_merit)
        first, best = checked[0]
        equal = [pair for pair in checked if pair[1].fit and pair[1].differing == best.differing] or checked[:1]
        others = [pair for pair in checked[1:] if not best.fit or pair[1].differing > best.differing]
        # another flip, anchor or border says more than another rounding
        others.sort(key=lambda pair: _kind(pair[1]) == _kind(best))
        return Match(
            best=best,
            runner_up=others[0][1] if others else None,
            like=self.tools([pair[0] for pair in equal], candidates, first) if best.fit else (),
            notes=self.notes(best, [pair[1] for pair in equal]),
        )

    # where windows lie

    def places(self) -> list[Place]:
        """Every flip, padding, stride and anchor that gives a result of this size."""
        found = []
        for flip, taps in self.taps.items():
            seen: set[tuple[str, Pair]] = set()
            for padding, stride in _paddings(self.source.shape, taps.shape, self.seen.shape):
                if (padding, stride) in seen:
                    continue
                seen.add((padding, stride))
                for anchor in _anchors(taps.shape) if padding == "same" else [(0, 0)]:
                    found.append(Place(flip, padding, stride, anchor))
        return found

    def first(self, place: Place) -> Pair:
        """Row and column where the window of the first result pixel starts."""
        rows, columns = self.taps[place.flip].shape[:2]
        if place.padding == "full":
            return 1 - rows, 1 - columns
        return (0, 0) if place.padding == "valid" else (-place.anchor[0], -place.anchor[1])

    def inside(self, place: Place) -> tuple[slice, slice]:
        """Rows and columns of the result whose windows lie inside the picture."""
        found = []
        for axis in (0, 1):
            start, step = self.first(place)[axis], place.stride[axis]
            last = self.source.shape[axis] - self.taps[place.flip].shape[axis]  # a window can start here at most
            begin = -(start // step)
            end = min(self.seen.shape[axis], (last - start) // step + 1)
            found.append(slice(min(begin, self.seen.shape[axis]), max(begin, end)))
        return found[0], found[1]

    def sums(self, place: Place, rows: slice, columns: slice, border: str) -> tuple[Array, Array]:
        """The windows' sums for a tile of the result, and what their taps outside weigh (for border constant)."""
        taps = self.taps[place.flip]
        index, known = [], []
        for axis, part in enumerate((rows, columns)):
            size, step = self.source.shape[axis], place.stride[axis]
            start = self.first(place)[axis] + part.start * step
            stop = self.first(place)[axis] + (part.stop - 1) * step + taps.shape[axis]
            at = np.arange(start, stop)
            known.append((at >= 0) & (at < size))
            pad = max(0, -start), max(0, stop - size)
            how: Any = border if border in ("reflect", "symmetric", "wrap") else "edge"
            index.append(np.pad(np.arange(size), pad, mode=how)[start + pad[0] : stop + pad[0]])
        values = self.source[np.ix_(*index)].astype(np.float64)
        step_y, step_x = place.stride
        if border not in ("constant", "renormalize"):
            return self.slide(values, taps)[::step_y, ::step_x], np.zeros(1)
        mask = (known[0][:, None] & known[1])[:, :, None].astype(np.float64)
        ones = np.ones((1, 1, values.shape[2]))
        inside = self.slide(mask * ones, taps)[::step_y, ::step_x]
        everything = self.slide(np.ones_like(mask) * ones, taps)[::step_y, ::step_x]
        total = self.slide(values * mask, taps)[::step_y, ::step_x]
        if border == "constant":
            return total, everything - inside
        share = np.where(np.abs(inside) < 1e-12, np.nan, inside)
        return total * everything / share, np.zeros(1)

    def slide(self, values: Array, taps: Array) -> Array:
        """The valid correlation of float64 values, over the channels as the kernel or the result wants."""
        count = values.shape[2]
        summed = self.channels == "sum"
        if taps.ndim == 2 and taps.size > FOURIER_TAPS:
            shape = values.shape[:2]
            ahead = np.fft.rfft2(values, shape, axes=(0, 1))
            back = np.fft.rfft2(taps[::-1, ::-1], shape, axes=(0, 1))[:, :, None]
            total = np.fft.irfft2(ahead * back, shape, axes=(0, 1))[taps.shape[0] - 1 :, taps.shape[1] - 1 :]
            return total.sum(axis=2, keepdims=True) if summed else total
        height, width = values.shape[0] - taps.shape[0] + 1, values.shape[1] - taps.shape[1] + 1
        total = np.zeros((height, width, taps.shape[3] if taps.ndim == 4 else count))
        for i, j in zip(*np.nonzero(taps.reshape(*taps.shape[:2], -1).any(axis=2)), strict=True):
            part = values[i : i + height, j : j + width]
            total += part @ taps[i, j] if taps.ndim == 4 else part * taps[i, j]
        return total.sum(axis=2, keepdims=True) if summed and taps.ndim < 4 else total

    # what happens to the sums

    def error(self, tone: Tone) -> float:
        """How far a tool's sums may be off when it adds in float32."""
        size = float(np.abs(self.kernel.weights).reshape(self.kernel.weights.size, -1).sum()) * self.peak
        bound = (self.kernel.weights.size + 2) * 2.0**-24 * (size / abs(tone.scale) + abs(tone.offset))
        return bound if tone.rounding == "float" else min(bound, 0.25)

    def tones(self) -> list[tuple[float, float]]:
        """Scales and offsets that are worth a try: the kernel's own, and what people use."""
        scales = [self.kernel.scale, 1.0]
        if self.kernel.weights.ndim == 2:
            scales += [float(self.kernel.weights.sum()), float(np.abs(self.kernel.weights).sum())]
        offsets = [self.kernel.offset, 0.0, 0.5, 128.0]
        if self.kind.kind in "iu":
            offsets += [(self.top + 1) / 2, 127.0]
        return list(product(dict.fromkeys(s for s in scales if s != 0), dict.fromkeys(offsets)))

    def cost(self, sums: Array, seen: Array, tone: Tone) -> tuple[float, bool]:
        """How badly sums explain samples (0 is best), and whether rounding explains the rest."""
        if sums.size == 0:
            return 0.0, True
        values = sums / tone.scale + tone.offset
        return self.cost_of(values, seen, tone)

    def cost_of(self, values: Array, seen: Array, tone: Tone) -> tuple[float, bool]:
        """The same for values that are scaled and moved already."""
        error = self.error(tone)
        if tone.rounding == "float":
            far = np.abs(values - seen)
            worst = float(far.max())
            far = np.where(far <= error, 0, far)
            return float(np.minimum(far / self.unit, FAR).sum()), worst <= max(error, self.slack)
        far = np.minimum(*(np.abs(_rounded(values + e, tone.rounding, self.kind) - seen) for e in (-error, error)))
        return float(np.minimum(far, FAR).sum()), float(far.max()) <= 1

    # the steps

    def rank_interior(self, places: list[Place]) -> list[tuple[Place, Tone, float]]:
        """Flips, anchors and tones by how well they explain the interior, the best first."""
        known = self.tones()
        found: list[tuple[float, bool, Place, Tone]] = []
        samples: dict[Place, tuple[Array, Array]] = {}
        tiles: dict[Any, list[tuple[slice, slice]]] = {}
        for place, sums, seen in self.interiors(places, tiles):
            samples[place] = sums, seen
            step = -(-sums.size // SCREEN) or 1
            few, few_seen = sums[::step], seen[::step]
            for scale, offset in self.screened(few, few_seen, known):
                for rounding in self.roundings:
                    if rounding == "cut" and (scale, offset - 0.5) in known:
                        continue  # the same as rounding
                    tone = Tone(scale, offset, rounding)
                    found.append((*self.cost(few, few_seen, tone), place, tone))
        if not any(fits for _, fits, _, _ in found):
            for place, (sums, seen) in samples.items():
                for tone in self.free(sums, seen):
                    step = -(-sums.size // SCREEN) or 1
                    found.append((*self.cost(sums[::step], seen[::step], tone), place, tone))
        found.sort(key=lambda each: each[0] / max(1, min(SCREEN, samples[each[2]][0].size)))
        small = self.seen.size <= 4096
        keep = found if small else found[: 16 * MOST_PLACES]
        ranked = []
        for _, _, place, tone in keep:
            cost, _ = self.cost(*samples[place], tone)
            ranked.append((place, tone, cost / max(1, samples[place][0].size)))
        ranked.sort(key=lambda each: each[2])
        return ranked

    def interiors(
        self, places: list[Place], tiles: dict[Any, list[tuple[slice, slice]]]
    ) -> Iterator[tuple[Place, Array, Array]]:
        """For each place, the sums and the samples of the interior tiles. One pass over the taps serves all anchors."""
        groups: dict[tuple[str, str, Pair], list[Place]] = {}
        for place in places:
            groups.setdefault(place[:3], []).append(place)
        for group in groups.values():
            base = group[0]._replace(anchor=(0, 0))
            taps = self.taps[base.flip].shape
            sums: dict[Place, list[Array]] = {place: [] for place in group}
            seen: dict[Place, list[Array]] = {place: [] for place in group}
            for rows, columns in self.interior_tiles(group):
                # every window start that any of the anchors needs, as one block of stride 1
                spans = []
                for axis, part in enumerate((rows, columns)):
                    step = base.stride[axis]
                    starts = [self.first(place)[axis] for place in group]
                    low = max(0, part.start * step + min(starts))
                    high = min(self.source.shape[axis] - taps[axis], (part.stop - 1) * step + max(starts))
                    spans.append((low, high + 1))
                if any(high <= low for low, high in spans):
                    continue
                (top, bottom), (left, right) = spans
                block = self.source[top : bottom + taps[0] - 1, left : right + taps[1] - 1].astype(np.float64)
                values = self.slide(block, self.taps[base.flip])
                for place in group:
                    inner = self.inside(place)
                    y = slice(max(rows.start, inner[0].start), min(rows.stop, inner[0].stop))
                    x = slice(max(columns.start, inner[1].start), min(columns.stop, inner[1].stop))
                    if y.stop <= y.start or x.stop <= x.start:
                        continue
                    first = self.first(place)
                    at_y = np.arange(y.start, y.stop) * place.stride[0] + first[0] - top
                    at_x = np.arange(x.start, x.stop) * place.stride[1] + first[1] - left
                    sums[place].append(values[np.ix_(at_y, at_x)].ravel())
                    seen[place].append(self.seen[y, x].astype(np.float64).ravel())
            for place in group:
                empty = [np.zeros(0)]
                yield place, np.concatenate(sums[place] or empty), np.concatenate(seen[place] or empty)

    def interior_tiles(self, group: list[Place]) -> list[tuple[slice, slice]]:
        """A few tiles of the result, those with the most texture and the fewest clipped samples."""
        insides = [self.inside(place) for place in group]
        rows = slice(max(i[0].start for i in insides), min(i[0].stop for i in insides))
        columns = slice(max(i[1].start for i in insides), min(i[1].stop for i in insides))
        if max(self.seen.shape[:2]) <= 2 * TILE or rows.stop <= rows.start or columns.stop <= columns.start:
            return [(slice(0, self.seen.shape[0]), slice(0, self.seen.shape[1]))]
        spots = []
        for y, x in product(_starts(rows, 7), _starts(columns, 7)):
            tile = slice(y, min(y + TILE, rows.stop)), slice(x, min(x + TILE, columns.stop))
            part = self.seen[tile].astype(np.float64)
            free = np.mean((part > 0) & (part < self.top)) if self.kind.kind in "iu" else 1.0
            spots.append((-float(part.std() * free), y, x, tile))
        return [tile for *_, tile in sorted(spots, key=lambda spot: spot[:3])[:TILES]]

    def screened(self, sums: Array, seen: Array, known: list[tuple[float, float]]) -> list[tuple[float, float]]:
        """The scales and offsets that are not far off, or the one that is nearest."""
        if sums.size == 0:
            return known
        values = sums / np.array([s for s, _ in known])[:, None] + np.array([o for _, o in known])[:, None]
        far = np.abs(values - seen)
        if self.roundings[0] != "float":
            limits = np.iinfo(self.kind)
            span = float(limits.max) - float(limits.min) + 1
            around = np.abs((values - 0.5 - seen + span / 2) % span - span / 2)
            clipped = np.abs(np.clip(values, limits.min, limits.max) - seen)
            far = np.minimum(far, np.minimum(around, clipped))
        worst = far.max(axis=1)
        limit = 1.75 if self.kind.kind in "iu" else 0.0
        limits_each = [max(limit, self.error(Tone(s, o, "float"))) for s, o in known]
        near = [pair for pair, w, bound in zip(known, worst, limits_each, strict=True) if w <= bound]
        return near or [known[int(far.mean(axis=1).argmin())]]

    def free(self, sums: Array, seen: Array) -> list[Tone]:
        """A scale and an offset by least squares, as round as the samples allow."""
        if self.roundings[0] != "float":
            limits = np.iinfo(self.kind)
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
        rough.insert(0, (rough[0][0], self.kernel.offset))
        for (scale, shift), rounding in product(rough, self.roundings):
            tone = Tone(scale, shift, rounding)
            if rounding != "wrap" and self.cost(sums, seen, tone)[0] == 0:
                return [tone]
        return [Tone(1 / float(factor), float(offset), self.roundings[0])]

    def rank_borders(self, ranked: list[tuple[Place, Tone, float]]) -> list[_Candidate]:
        """Every border with the best of the interiors."""
        groups: dict[Place, list[tuple[Tone, float]]] = {}
        best = ranked[0][2]
        for place, tone, cost in ranked:
            most = MOST_PLACES if cost <= best + 0.1 else FAR_PLACES
            if place in groups or len(groups) < most or (cost == best and self.seen.size <= 4096):
                groups.setdefault(place, []).append((tone, cost))
        found: list[_Candidate] = []
        for place, tones in groups.items():
            if _far(tones, best):
                tones = tones[:1]  # only for comparison
            tiles = list(self.frame_tiles(place))
            if not tiles:
                found += [_Candidate(place, tone, "", 0.0, cost, 0) for tone, cost in tones]
                continue
            seen = np.concatenate([self.seen[tile].astype(np.float64).ravel() for tile in tiles])
            for border in BORDERS:
                if border == "keep" and (place.padding != "same" or self.seen.shape[2] != self.source.shape[2]):
                    continue
                found += self.with_border(place, tones, tiles, seen, border)
        for order, each in enumerate(found):
            each.order = order
        return found

    def with_border(
        self, place: Place, tones: list[tuple[Tone, float]], tiles: list[tuple[slice, slice]], seen: Array, border: str
    ) -> Iterator[_Candidate]:
        """What one border costs under every tone."""
        if border == "keep":
            source = self.source[:: place.stride[0], :: place.stride[1]]
            kept = [source[tile] for tile in tiles]
            away = np.abs(np.concatenate([part.astype(np.float64).ravel() for part in kept]) - seen)
            cost = float(np.minimum(away / self.unit, FAR).mean())
            yield from (_Candidate(place, tone, border, 0.0, inner + cost, 0) for tone, inner in tones)
            return
        parts = [self.sums(place, y, x, border) for y, x in tiles]
        sums = np.concatenate([total.ravel() for total, _ in parts])
        if border == "renormalize" and np.isnan(sums).any():
            return
        weigh = np.concatenate([w.ravel() for _, w in parts]) if border == "constant" else np.zeros(1)
        for tone, inner in tones:
            outsides = self.outsides(sums, weigh, seen, tone) if border == "constant" else [0.0]
            for outside in outsides:
                cost, _ = self.cost(sums + outside * weigh, seen, tone)
                yield _Candidate(place, tone, border, outside, inner + cost / seen.size, 0)

    def outsides(self, sums: Array, weigh: Array, seen: Array, tone: Tone) -> list[float]:
        """Values for border constant: 0, the top of the range, and what least squares say."""
        free = weigh != 0
        if tone.rounding != "float":
            free &= (seen > 0) & (seen < self.top)
        tried = [0.0, self.top]
        if free.any():
            rest = (seen[free] - tone.offset) * tone.scale - sums[free]
            value = float((weigh[free] @ rest) / (weigh[free] @ weigh[free]))
            tried += [float(round(value)), float(f"{value:.3g}")]
        return list(dict.fromkeys(tried))

    def frame_tiles(self, place: Place) -> Iterator[tuple[slice, slice]]:
        """Tiles along the frame: corners and pieces of the sides, only pixels whose windows leave the picture."""
        rows, columns = self.inside(place)
        height, width = self.seen.shape[:2]
        strips = [
            (slice(0, rows.start), slice(0, width)),
            (slice(rows.stop, height), slice(0, width)),
            (slice(rows.start, rows.stop), slice(0, columns.start)),
            (slice(rows.start, rows.stop), slice(columns.stop, width)),
        ]
        for strip in strips:
            if any(part.stop <= part.start for part in strip):
                continue
            for y, x in product(_starts(strip[0], 3), _starts(strip[1], 3)):
                yield slice(y, min(y + TILE, strip[0].stop)), slice(x, min(x + TILE, strip[1].stop))

    # the whole picture

    def check(self, candidates: list[_Candidate]) -> list[tuple[_Ranked, Explanation]]:
        """The likeliest candidates, applied by a Recipe to the whole picture."""
        best = candidates[0].cost
        equal = [each for each in candidates if each.cost <= best]
        for each in equal[:400]:
            each.spoken = self.speak(each)
        equal.sort(key=lambda each: (each.spoken is None, each.spoken.words if each.spoken else 0, each.order))
        most = MOST_CHECKS if self.seen.size < LARGE else MOST_CHECKS // 2
        done: list[tuple[_Ranked, Explanation]] = []
        tried: set[Any] = set()

        def apply(each: _Candidate) -> Explanation | None:
            spoken = each.spoken or self.speak(each)
            if spoken is None or (spoken.options, spoken.matrix) in tried:
                return None
            tried.add((spoken.options, spoken.matrix))
            explained = self.explain(each, spoken)
            if explained is not None:
                done.append((_Ranked(each, spoken.words, each.order), explained))
            return explained

        def slow(each: _Candidate) -> bool:
            return self.seen.size >= LARGE and each.tone.rounding in ("half-even", "wrap")

        exact = False
        for each in equal[: 4 * most]:
            if len(done) >= most or (exact and slow(each)):
                continue
            explained = apply(each)
            exact = exact or (explained is not None and explained.fit == "exact")
        # the runner-up: another flip, anchor or border says more than another rounding
        known = {(each.place, each.border) for each in equal}
        others = 0
        for each in candidates:
            if each.cost <= best or (exact and (slow(each) or (each.place, each.border) in known)):
                continue
            if others >= (1 if exact else most // 2):
                break
            known.add((each.place, each.border))
            others += apply(each) is not None
        if not done:
            raise PictureError("nothing that imgconv can compute comes near this result")
        return done

    def speak(self, candidate: _Candidate) -> _Spoken | None:
        """A candidate as the fewest options that give it; None when none do."""
        best: _Spoken | None = None
        turned = FLIPS[candidate.place.flip](self.kernel.weights)
        matrix = ""
        kernels = [(self.kernel, "")]
        if turned.ndim == 2 and turned.size <= TAPS_IN_PLACE:
            matrix = "; ".join(" ".join(_number(x) for x in row) for row in turned)
            matrix += ";" if len(turned) == 1 else ""
            kernels.append((Kernel(turned, name="matrix"), matrix))
        for kernel, text in kernels:
            for like, mode in product((None, *LIKES), MODES):
                options = self.options_for(kernel, candidate, like, mode)
                if options is None:
                    continue
                words = len(option_words(options))
                if best is None or words < best.words:
                    best = _Spoken(kernel, text, options, words)
            if best is not None:
                return best
        return None

    def options_for(self, kernel: Kernel, candidate: _Candidate, like: str | None, mode: str) -> Options | None:
        """Options that give a candidate under a tool's convention, or None where they cannot."""
        place, tone = candidate.place, candidate.tone
        options = Options(like=like, mode=mode, stride=place.stride, channels=self.channels)
        s = settle(kernel, options, picture=bool(self.mode))
        weights = kernel.weights[::-1] if s.flip == "vertical" else kernel.weights
        weights = weights[::-1, ::-1] if mode == "convolve" else weights
        if not np.array_equal(weights, self.taps[place.flip]):
            return None
        rounding = {"cut": "half-up", "float": s.rounding}.get(tone.rounding, tone.rounding)
        if s.rounding != rounding:
            return None
        change: dict[str, Any] = {}
        after = "float" if tone.rounding == "float" else "clip"
        if s.after != after and not (after == "float" and self.kind.kind == "f" and not self.mode):
            change["after"] = after
        if candidate.border and (s.border, s.outside) != (candidate.border, candidate.outside):
            outside = f":{_number(candidate.outside)}" if candidate.border == "constant" else ""
            change["border"] = candidate.border + outside
        if s.padding != place.padding and (s.padding, place.padding) != ("tf-same", "same"):
            change["padding"] = place.padding
        if s.scale != tone.scale:
            change["scale"] = self.scale_word(tone.scale)
        # half up after half a level less is a cut, for numbers that are not negative
        offset = tone.offset - 0.5 if tone.rounding == "cut" else tone.offset
        if s.offset != offset:
            change["offset"] = offset
        shape = self.source.shape
        try:
            options = replace(options, **change)
            if place.padding != "same":
                correlation(kernel, options, shape=shape)
                return options
            for anchor in (None, "low", "high", place.anchor, self.mirrored(place)):
                tried = options if anchor is None else replace(options, anchor=anchor)
                if correlation(kernel, tried, shape=shape).anchor == place.anchor:
                    return tried
        except UsageError:
            return None
        return None

    def scale_word(self, scale: float) -> float | str:
        """A scale as the shortest that --scale takes."""
        if scale == 1:
            return "none"
        if self.kernel.weights.ndim == 2:
            if scale == self.kernel.weights.sum():
                return "sum"
            if scale == np.abs(self.kernel.weights).sum():
                return "abs-sum"
        return scale

    def mirrored(self, place: Place) -> Pair:
        """The anchor, counted in the kernel before it is turned by 180°."""
        rows, columns = self.taps[place.flip].shape[:2]
        return rows - 1 - place.anchor[0], columns - 1 - place.anchor[1]

    def explain(self, candidate: _Candidate, spoken: _Spoken) -> Explanation | None:
        """A candidate's real differences, with the alpha that suits best."""
        letters = LETTERS.get(self.mode.partition(";")[0], "")
        alphas = (None, "straight", "keep", "premultiply") if letters.endswith("a") and len(letters) > 1 else (None,)
        found: Explanation | None = None
        for alpha in alphas:
            options = replace(spoken.options, alpha=alpha)
            try:
                made, _, _ = Recipe((spoken.kernel,), options).apply(self.before, self.mode)
            except ImgconvError:
                continue
            made = made.reshape(*made.shape[:2], -1)
            if made.shape != self.result.shape:
                continue
            each = self.compared(candidate, spoken._replace(options=options), made)
            if found is None or each.differing < found.differing:
                found = each
            if found.differing == 0:
                break
        return found

    def compared(self, candidate: _Candidate, spoken: _Spoken, made: Array) -> Explanation:
        """A result beside the one that was given."""
        place, tone = candidate.place, candidate.tone
        differs = made != self.result
        far = np.abs(made[differs].astype(np.float64) - self.result[differs].astype(np.float64))
        error = self.error(tone._replace(rounding="float"))
        largest = float(far.max()) if far.size else 0.0
        allowed = max(error, self.slack) if tone.rounding == "float" else 1.0
        if tone.rounding == "float" and far.size:
            differs[differs] = far > error
        rows, columns = self.inside(place)
        interior = differs[rows, columns]
        anchor = self.mirrored(place) if place.flip in ("both", "transposed both") else place.anchor
        border = candidate.border + (f":{_number(candidate.outside)}" if candidate.border == "constant" else "")
        return Explanation(
            flip=place.flip,
            padding=place.padding,
            border=border,
            anchor=_anchor_word(anchor, self.taps[place.flip].shape) if place.padding == "same" else "",
            rounding=tone.rounding,
            stride=place.stride,
            scale=tone.scale,
            offset=tone.offset,
            options=spoken.options,
            matrix=spoken.matrix,
            samples=differs.size,
            differing=int(np.count_nonzero(differs)),
            interior=interior.size,
            interior_differing=int(np.count_nonzero(interior)),
            largest=largest,
            fit="exact" if not far.size else "rounding" if largest <= allowed else "",
        )

    # what is to be said

    def tools(self, equal: list[_Ranked], candidates: list[_Candidate], first: _Ranked) -> tuple[str, ...]:
        """The tools whose convention gives the same, as options."""
        best = first.candidate
        same = [ranked.candidate for ranked in equal]
        same += [
            each
            for each in candidates
            if each.cost == best.cost
            and (each.place, each.border, each.outside) == (best.place, best.border, best.outside)
        ]
        found = []
        for like, mode in product(LIKES, MODES):
            if (mode == "convolve" and like not in TURNING) or best.place.padding not in PADDING.get(like, ("same",)):
                continue
            if best.place.stride != (1, 1) and like != "keras":
                continue
            for each in same:
                free = LIKES[like].get("after") == "float" or each.tone.rounding == "float"
                if free:  # floating sums; what came of them was somebody else's doing
                    tone = each.tone._replace(rounding=LIKES[like].get("rounding", "half-up"))
                    options = self.options_for(self.kernel, replace(each, tone=tone), like, mode)
                else:
                    options = self.options_for(self.kernel, each, like, mode)
                if options is None:
                    continue
                told = option_words(replace(options, after=None, channels="each"))
                more = {word for word in told if word.startswith("--")} - {"--like", "--mode", "--padding", "--stride"}
                if not more:
                    found.append(" ".join(told))
                    break
        # where correlation will do, convolution is no news
        plain = {words.split()[1] for words in found if "--mode" not in words}
        return tuple(words for words in found if "--mode" not in words or words.split()[1] not in plain)

    def notes(self, best: Explanation, equal: list[Explanation]) -> tuple[str, ...]:
        """What the pictures do not tell."""
        said = []
        if float(np.ptp(self.seen)) == 0:
            said.append("the result is flat, so it tells little")
        twins = next(names for names in self.same_taps.values() if best.flip in names)
        straight = {"none", "both", "vertical", "horizontal"}
        if straight <= set(twins) or {"none", "both"} == set(twins) & straight:
            said.append("flip does not matter: the kernel is symmetric")
        elif len(set(twins) & straight) > 1:
            said.append(
                f"flips {' and '.join(name for name in twins if name in straight)} are the same for this kernel"
            )
        if not best.border:
            said.append("border does not show: no window leaves the picture")
        else:
            borders = {each.border for each in equal if each.border.split(":")[0] != best.border.split(":")[0]}
            if borders:
                said.append(f"border {' or '.join(sorted(borders))} gives the same here")
        for key, word in (("flip", "flip"), ("anchor", "anchor"), ("stride", "stride")):
            others = {str(getattr(each, key)) for each in equal} - {str(getattr(best, key))}
            if others:
                said.append(f"{word} {' or '.join(sorted(others))} gives the same here")
        return tuple(said)


class _Ranked(NamedTuple):
    """A candidate that was applied."""

    candidate: _Candidate
    words: int
    order: int


def _kind(one: Explanation) -> tuple[str, ...]:
    return one.flip, one.border, one.anchor


def _merit(pair: tuple[_Ranked, Explanation]) -> tuple[Any, ...]:
    """What makes one explanation better than another: fewer differences, then fewer words."""
    ranked, one = pair
    # where nothing fits, a few differences more or less mean nothing
    differing = one.differing if one.fit else round(20 * one.differing / one.samples)
    return not one.fit, differing, ranked.words, ranked.order


def _far(tones: list[tuple[Tone, float]], best: float) -> bool:
    """Whether a place is clearly worse than the best one."""
    return tones[0][1] > best + 0.1


def _paired(before: Array, kernel: Kernel, result: Array, mode: str) -> tuple[Array, Array, str, Array]:
    """Both as (rows, columns, channels) without alpha, whether channels are added up, and the result with alpha."""
    source = before.reshape(*before.shape[:2], -1)
    seen = result.reshape(*result.shape[:2], -1)
    weights = kernel.weights
    if weights.ndim == 2 and source.shape[2] == 1 < seen.shape[2] and (seen == seen[:, :, :1]).all():
        seen = seen[:, :, :1]  # grey, saved as colour
    out = weights.shape[3] if weights.ndim == 4 else source.shape[2]
    if weights.ndim > 2 and weights.shape[2] != source.shape[2]:
        raise PictureError(
            f"the kernel's weights are for {weights.shape[2]} channels, the picture has {source.shape[2]}"
        )
    if seen.shape[2] == out:
        letters = LETTERS.get(mode.partition(";")[0], "")
        if weights.ndim == 2 and letters in ("la", "rgba"):
            return source[:, :, :-1], seen[:, :, :-1], "each", seen
        return source, seen, "each", seen
    if seen.shape[2] == 1 and weights.ndim < 4:
        return source, seen, "sum", seen
    raise PictureError(f"the input has {source.shape[2]} channels and the result {seen.shape[2]}; convert one of them")


def _paddings(size: tuple[int, ...], taps: tuple[int, ...], out: tuple[int, ...]) -> Iterator[tuple[str, Pair]]:
    """Paddings and strides that give a result of that size; two paddings of the same extent count once."""
    known = set()
    for padding, more in (("same", 0), ("valid", -1), ("full", 1)):
        extent = tuple(n + more * (k - 1) for n, k in zip(size[:2], taps[:2], strict=True))
        if min(extent) > 0 and extent not in known:
            known.add(extent)
            for down, across in product(_strides(extent[0], out[0]), _strides(extent[1], out[1])):
                yield padding, (down, across)


def _strides(extent: int, out: int) -> range:
    """Strides that leave `out` of `extent` pixels, a few of the smallest."""
    if not 0 < out <= extent:
        return range(0)
    least = -(-extent // out)
    most = (extent - 1) // (out - 1) if out > 1 else least
    return range(least, min(most, least + 2) + 1)


def _anchors(taps: tuple[int, ...]) -> list[Pair]:
    """Anchors to try, the common ones first; for large kernels no others."""
    rows, columns = taps[:2]
    common = [((rows - 1) // 2, (columns - 1) // 2), (rows // 2, columns // 2)]
    common += list(product(dict.fromkeys((0, rows - 1)), dict.fromkeys((0, columns - 1))))
    if rows * columns <= ALL_ANCHORS:
        common += list(product(range(rows), range(columns)))
    return list(dict.fromkeys(common))


def _starts(span: slice, count: int) -> list[int]:
    """Where up to `count` tiles start that are spread evenly over a span, without overlap."""
    last = span.stop - TILE
    if last <= span.start:
        return [span.start]
    count = min(count, -(-(span.stop - span.start) // TILE))
    return [span.start + (last - span.start) * i // (count - 1) for i in range(count)]


def _rounded(values: Array, rounding: str, kind: np.dtype[Any]) -> Array:
    if rounding == "cut":
        return np.clip(np.floor(values), np.iinfo(kind).min, np.iinfo(kind).max)
    return to_samples(values, kind, rounding)[0].astype(np.float64)


def _holds(kind: np.dtype[Any], seen: Array) -> bool:
    """Whether samples of another type could have been of this one."""
    limits = np.iinfo(kind)
    within = float(limits.min) <= float(seen.min()) and float(seen.max()) <= float(limits.max)
    return within and bool((np.floor(seen) == seen).all())


def _anchor_word(anchor: Pair, taps: tuple[int, ...]) -> str:
    if anchor == ((taps[0] - 1) // 2, (taps[1] - 1) // 2):
        return "low"
    return "high" if anchor == (taps[0] // 2, taps[1] // 2) else f"{anchor[0]},{anchor[1]}"


def _number(value: Any) -> str:
    """A number as text that reads back to it, whole ones without a point; words stay."""
    if not isinstance(value, (float, np.floating)):
        return str(value)
    number = float(value)
    return str(int(number)) if number == int(number) and abs(number) < 2**53 else repr(number)


def _size(array: Array) -> str:
    return f"{array.shape[0]}×{array.shape[1]}"
