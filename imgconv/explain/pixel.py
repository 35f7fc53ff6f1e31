"""A pixel on its way through a kernel: the sums of its channels, and what becomes of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import channels
from imgconv.engine.correlation import SUM_TYPES
from imgconv.engine.methods.direct import NDIMAGES_ZERO
from imgconv.engine.stage import Span, border_map, by_axis
from imgconv.explain.result import Channel, RowSum, Step, Term
from imgconv.recipe.chained import View
from imgconv.recipe.filtering import Correlator, Filter, FloatingFilter
from imgconv.recipe.steps import combined

if TYPE_CHECKING:
    from imgconv.engine.run import Filtered

ROUNDINGS = {
    "half-up": "to the nearest, halves up", "half-even": "to the nearest, halves to even", "wrap": "cut toward zero",
}  # fmt: skip


class Pixel:
    """A pixel on its way: the values of its channels, and what became of them step by step."""

    def __init__(self, filters: Sequence[Filter], samples: Array, row: int, column: int) -> None:
        first = filters[0]
        self.filters, self.samples, self.options = filters, samples, first.options
        self.result = row, column
        down, across = self.options.stride
        self.row, self.column = row * down, column * across  # as if there were no strides
        self.values: Array = np.empty(0)
        self.home = (0, 0)
        self.names: Sequence[str] = ()
        self.terms: list[list[Term]] = []
        self.steps: list[tuple[str, Array, str, Sequence[int]]] = []  # each with the channels that it is for

    def step(self, name: str, values: Array, says: str = "", of: Sequence[int] | None = None) -> None:
        """What the values become."""
        self.values = values
        self.steps.append((name, values, says, range(len(values)) if of is None else of))

    def channels(self, result: Array) -> tuple[Channel, ...]:
        """Each channel of the result with its own terms and steps."""
        found = np.atleast_1d(result)
        return tuple(
            Channel(
                name,
                tuple(self.terms[n]),
                tuple(Step(step, float(values[n]), says) for step, values, says, of in self.steps if n in of),
                float(self.values[n]),
                float(found[n]),
            )
            for n, name in enumerate(self.names)
        )

    def correlation(self) -> None:
        """One correlation from samples to samples: cut and clipped to the type's range."""
        f, count = self.filters[0], self.samples.shape[2]
        names = _names(f, count)
        self.names, self.terms = names, [[] for _ in names]
        totals = []
        for n in range(count):
            term = self._term(f, f.correlator, View(self.samples), n, names[n])
            self.terms[n] += [term] if term else []
            totals.append(term.total if term else float(self.samples[(*self.home, n)]))
        copied = not any(self.terms)
        values = np.array(totals, SUM_TYPES[f.kind.name])
        self.step("copied" if copied else "sum", values, "border keep: the window leaves the picture" * copied)
        back = f.layout.back
        if back.kind == "f":
            self.values = self.values.astype(back)
        elif f.kind.kind == "f":
            self.round()
        else:
            whole = np.floor(values.astype(np.float64))
            if not copied:
                self.step("rounded", whole, "down, after the ½ that it began with")
            self._clip(whole, channels.to_samples(whole, back)[0])

    def floating(self) -> None:
        """Floating sums, with what follows them: bias, alpha, light, several kernels' results as one, `after`."""
        o, f = self.options, self.filters[0]
        s, layout = self.filters[-1].settings, f.layout
        results = [self._part(item, whole=s.after == "minmax") for item in self.filters]
        values, line = results[0]
        if o.combine:
            values = combined([whole for whole, _ in results], o.combine, layout.has_alpha)
            self.step(o.combine, values[line, self.result[1]], f"of {len(results)} kernels' results")
        layout = layout.of_channels(values.shape[2])
        count, signed = values.shape[2] - layout.has_alpha, self.filters[-1].signed
        if s.after not in ("float", "clip"):
            if signed and s.after in ("minmax", "offset128"):
                count = 1
            here, at = self.values[None, None, :count], (0, 0)  # the worked sums; a stretch takes all of the picture
            if s.after == "minmax":
                here, at = values[:, :, :count], (line, self.result[1])
            become = self.values.copy()
            become[:count] = channels.after(here, s.after, layout.top, layout.back.kind == "f")[at]
            self.step(f"after {s.after}", become, of=range(count))
        if signed:
            shifted = self.values.copy()
            shifted[1:] += 128
            self.step("128 more", shifted, "a and b as bytes", of=range(1, len(shifted)))

    def mix(self, share: float, before: Array, space: Any) -> None:
        """Mixes the values with the picture's own."""
        from imgconv.masks import blend

        mine = self.values[None, None]
        strength = np.full((1, 1), share, mine.dtype)
        mixed = blend([(1 - strength, before[None, None].astype(mine.dtype)), (strength, mine)], space)[0, 0]
        self.step("mask", mixed, f"{share:.4g} of it, {1 - share:.4g} of the picture as it was")

    def round(self) -> None:
        """Floating values as samples, unless they are left floating."""
        s, back = self.filters[-1].settings, self.filters[0].layout.back
        if s.after == "float" or back.kind == "f":
            self.values = self.values.astype(back if back.kind == "f" else self.values.dtype)
            return
        values = self.values.astype(np.float64)
        if s.rounding == "wrap":
            whole = np.trunc(values)
        else:
            whole = np.rint(values) if s.rounding == "half-even" else np.floor(self.values + 0.5).astype(np.float64)
            whole = np.where(np.abs(values) < 2**52, whole, values)
        samples = channels.to_samples(self.values, back, s.rounding)[0]
        self.step("rounded", whole, ROUNDINGS[s.rounding])
        self._clip(whole, samples, "modulo the range" if s.rounding == "wrap" else "")

    def _clip(self, whole: Array, samples: Array, how: str = "") -> None:
        back = self.filters[0].layout.back
        outside = np.flatnonzero(samples.astype(np.float64) != whole).tolist()
        low, top = (0, 1) if back.kind == "b" else (np.iinfo(back).min, np.iinfo(back).max)
        self.step("wrapped" if how else "clipped", samples, how or f"to the range from {low} to {top}", of=outside)

    def _part(self, f: Filter, *, whole: bool) -> tuple[Array, int]:
        """The floating results of a kernel: all, or those of the pixel's row; and which of the rows is the pixel's."""
        part, o = FloatingFilter(f), self.options
        part.correlators = [[(channel, _Watched(inner)) for channel, inner in terms] for terms in part.correlators]
        local = f.settings.padding != "full" and all(inner.local for inner in part.all_correlators)
        if whole or o.combine or not local:
            values, line = part.run(View(self.samples), None, o.threads), self.result[0]
        else:
            rows = Span(self.row, self.row + 1)
            near = part.needed(rows)
            values, line = part.run(View(self.samples[near.start : near.stop], near.start), rows, o.threads), 0
        engine = values[line, self.result[1]].copy()
        names_in, count = _names(f, f.shape[2]), len(engine)
        self.names = _names(f, count)
        self.terms = self.terms or [[] for _ in range(count)]
        places = part.chosen or [*range(count - (f.alpha == "keep"))]
        sums, copied = engine.copy(), False
        for n, place in enumerate(places):
            together = part.correlators[0][0][0] == slice(None)
            total = None
            for channel, inner in part.correlators[0 if together else n]:
                source = n if together else channel.start
                name = names_in[part.chosen[source] if part.chosen else source]
                assert isinstance(inner, _Watched)
                term = self._term(f, inner, inner.seen, n if together else 0, name)
                if term is None:
                    copied = True
                    y, x = self.home
                    add = inner.seen.samples[y - inner.seen.first, x, n if together else 0]
                else:
                    self.terms[place].append(term)
                    add = term.total
                total = add if total is None else part.dtype.type(total) + part.dtype.type(add)
            assert total is not None
            sums[place] = total
        label = f.kernel.name if o.combine else "copied" if copied else "sum"
        says = self._about(f) or "border keep: the window leaves the picture" * copied
        if len(part.correlators[0]) > 1:
            says = f"of {len(part.correlators[0])} channels" + f"; {says}" * bool(says)
        self.step(label, sums, says, of=places)
        weighed = f.alpha in ("premultiply", "mean")
        if part.bias is not None and not weighed:
            become = self.values.copy()
            become[places] += part.bias
            self.step("bias", become, of=places)
        if weighed or o.linear or (f.layout.premultiplied and f.alpha != "straight"):
            said = ["colours over alpha's own sum" + ", with offset and bias" * (part.bias is not None)] * weighed
            said += ["linear light as sRGB again"] * o.linear
            self.step("alpha" if weighed else "light", engine, ", ".join(said))
        left = [n for n in range(count) if n not in places]
        if left:
            self.step("left", self.values, "the pixel's own: this channel is not filtered", of=left)
        return values, line

    def _about(self, f: Filter) -> str:
        """What the values of the window are, where they are not the picture's as they stand."""
        said = ["linear light"] * self.options.linear + ["colours times alpha"] * (f.alpha in ("premultiply", "mean"))
        return f"of {', '.join(said)}" if said else ""

    def _term(self, f: Filter, inner: Correlator, view: View, source: int, name: str) -> Term | None:
        """A channel of what a correlator was given under its weights; None where the border keeps the pixel."""
        c, stage, steps = inner.plan.correlation, inner.stage, self.options.dilation
        self.home = stage.window[0].start + self.row, stage.window[1].start + self.column
        at, lines = [], []
        for axis in (0, 1):
            start, size = self.home[axis] - c.anchor[axis], f.shape[axis]
            at.append(np.arange(start, start + c.weights.shape[axis])[:: steps[axis]])
            places = border_map(start, c.weights.shape[axis], size, by_axis(c.border)[axis])
            lines.append(np.array(places[:: steps[axis]]))
        out = [(place < 0) | (place >= size) for place, size in zip(at, f.shape, strict=False)]
        made = out[0][:, None] | out[1][None, :]
        if c.border == "keep" and not all(
            span.start <= place < span.stop for span, place in zip(stage.inner, self.home, strict=True)
        ):
            return None
        seen = view.samples[:, :, source]
        sum_type = np.dtype(SUM_TYPES[seen.dtype.name]).type
        rows, columns = lines[0] - view.first * (lines[0] >= 0), lines[1]
        known = (lines[0][:, None] >= 0) & (columns[None, :] >= 0)
        window = np.where(known, seen[rows[:, None], columns[None, :]], sum_type(c.outside)).astype(sum_type)
        partly = c.border == "renormalize" and bool((~known).any() or (seen.dtype.kind == "f" and np.isnan(seen).any()))
        if partly:
            known &= ~np.isnan(window)
            window[~known] = np.nan
        weights = c.weights[:: steps[0], :: steps[1]]
        over = weights.astype(sum_type) / sum_type(c.scale)
        used = np.abs(over) > (NDIMAGES_ZERO if c.in_order and sum_type is np.float64 else 0)
        products = np.where(used & (known | (not partly)), over * window, sum_type(0))
        half = 0.5 if seen.dtype.kind in "ui" else 0.0
        start = sum_type(0 if partly else c.offset + half)
        ordered = c.in_order and sum_type is np.float64
        sums = _row_sums(products, used, start, one_by_one=ordered)
        total = sums[-1].total if sums else start
        share = None
        if partly:
            counting = used & known
            ones = _row_sums(np.where(counting, over, sum_type(0)), used, sum_type(0), one_by_one=ordered)
            share = float(ones[-1].total) if ones else 0.0
            nothing = 0.0 if seen.dtype.kind in "ui" else math.nan
            total = sum_type(np.float64(total) * (over.sum(dtype=np.float64) / share) if share else nothing)
            total = sum_type(total + sum_type(c.offset) + sum_type(half))
            if math.isnan(total) and f.layout.back.kind in "iub":
                total = sum_type(c.offset)
        steps_of_sum = tuple(
            RowSum(row, None if own is None else float(own), float(so_far)) for row, own, so_far in sums
        )
        return Term(
            kernel=f.kernel.name,
            channel=name,
            rows=at[0],
            columns=at[1],
            window=window.astype(np.float64),
            made=made,
            weights=weights,
            scale=c.scale,
            products=products.astype(np.float64),
            offset=0.0 if partly else c.offset,
            start=float(start),
            sums=steps_of_sum,
            share=share,
            total=float(total),
            sum_type=np.dtype(sum_type).name,
        )


class _Watched(Correlator):
    """A correlator that keeps what it was given."""

    seen: View

    def __init__(self, inner: Correlator) -> None:
        self.inner, self.plan, self.stage, self.layout = inner, inner.plan, inner.stage, inner.layout

    def run(self, view: View, rows: Span | None, threads: int | None, target: Array | None = None) -> Filtered:
        self.seen = view
        return self.inner.run(view, rows, threads, target)


def _row_sums(products: Array, used: Array, start: Any, *, one_by_one: bool) -> list[RowSum]:
    """Sums as the direct method adds them: by rows, bottom one first, each from the left; or all taps one by one."""
    sums, total = [], start
    rows = range(len(products))
    for row in rows if one_by_one else reversed(rows):
        own = None
        for product in products[row, used[row]]:
            if one_by_one:
                total = total + product
            else:
                own = product if own is None else own + product
        if own is not None:
            total = total + own
        if used[row].any():
            sums.append(RowSum(row, own, total))
    return sums


def _names(f: Filter, count: int) -> Sequence[str]:
    """A name for each channel: the letter of a picture's, the number of an array's."""
    letters = f.layout.of_channels(count).letters
    return letters.upper() if len(letters) == count else [str(n) for n in range(count)] if count > 1 else [""]
