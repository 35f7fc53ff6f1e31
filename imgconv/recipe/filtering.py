"""One kernel over one picture, in floating numbers: its channels, its alpha, its light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import channels
from imgconv.engine.plan import Correlation, plan
from imgconv.engine.run import Filtered, execute, is_local, prepare
from imgconv.engine.stage import Span, Stage, by_axis
from imgconv.errors import UsageError
from imgconv.recipe.chained import About, View, chain_of
from imgconv.recipe.layout import BY_COUNT, EXACT
from imgconv.recipe.settings import correlation, settle

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel
    from imgconv.recipe.layout import Layout
    from imgconv.recipe.options import Options

MAGICK_EPSILON = 1e-12  # of full alpha


class Correlator:
    """A correlation, planned for pictures of one shape."""

    def __init__(
        self, c: Correlation, kind: np.dtype[Any], shape: tuple[int, ...], options: Options, layout: Layout
    ) -> None:
        self.plan = plan(c, kind.name, options.method)
        prepare(self.plan)
        self.stage = Stage(self.plan, shape)  # where its windows lie
        self.layout = layout

    @property
    def local(self) -> bool:
        """Whether a row of the result depends on near rows only."""
        return is_local(self.plan)

    def run(self, view: View, rows: Span | None, threads: int | None, target: Array | None = None) -> Filtered:
        """Rows of the result, or all of them; they may be written into `target`."""
        c, samples = self.plan.correlation, view.samples
        if c.border != "renormalize":
            return chain_of((self.plan,), self.stage.shape).run(samples, view.first, rows, threads, target)
        done = execute(self.plan, samples, threads)
        if c.border == "renormalize" and samples.dtype.kind == "f" and self.layout.back.kind in "iub":
            done.array[np.isnan(done.array)] = c.offset  # nothing was known there, and integers have no NaN
        return done


class OrderedCorrelator(Correlator):
    """Sums that are to be cut, where the last bit shows: rows in which that could be are summed again, in order."""

    def __init__(
        self, c: Correlation, kind: np.dtype[Any], shape: tuple[int, ...], options: Options, layout: Layout
    ) -> None:
        super().__init__(c, kind, shape, options, layout)
        self.exact = partial(Correlator, replace(c, exact=True), kind, shape, options, layout)
        self.bound = self.plan.error_bound * min(layout.top + 1, EXACT)
        if c.border == "renormalize" or not self.bound:
            super().__init__(replace(c, exact=True), kind, shape, options, layout)
            self.bound = 0.0

    def run(self, view: View, rows: Span | None, threads: int | None, target: Array | None = None) -> Filtered:
        done = super().run(view, rows, threads, target)
        unsure = [y for y, row in enumerate(done.array) if self._is_unsure(row)] if self.bound else []
        if not unsure:
            return done
        start, exact = rows.start if rows else 0, self.exact()
        for run in np.split(unsure, np.flatnonzero(np.diff(unsure) > 1) + 1):
            span = Span(start + int(run[0]), start + int(run[-1]) + 1)
            done.array[run] = exact.run(view, span, threads).array
        return done

    def _is_unsure(self, row: Array) -> bool:
        near = np.rint(row)
        return bool(((np.abs(row - near) <= self.bound) & (near != 0)).any())  # near 0 both sides are cut to 0


class Filter:
    """A kernel with everything that is in force for it."""

    def __init__(self, kernel: Kernel, about: About) -> None:
        options, layout, shape, kind, opaque = about
        self.kernel, self.options, self.layout, self.shape, self.kind = kernel, options, layout, shape, kind
        self.settings = settings = settle(kernel, options, picture=bool(layout.mode))
        o, s, back = options, settings, layout.back
        self.gain = float(kernel.weights.sum()) / s.scale  # what it does to an even surface
        # whether a and b of LAB are filtered as what they are: Pillow's own kernels take them 128 higher
        self.signed = layout.letters == "lab" and not (s.flip == "vertical" and o.combine is None)
        weighable = layout.has_alpha and o.channels in ("each", "sum")
        self.alpha = self._alpha(opaque) if weighable else "straight"  # or "keep", "premultiply", "mean"
        # whether it is one correlation from samples to samples: the fast way
        self.is_correlation = (
            kernel.weights.ndim == 2
            and (o.channels, o.stride, o.linear, s.bias, self.alpha) == ("each", (1, 1), False, (), "straight")
            and (s.after == "clip" or (s.after == "float" and back.kind == "f"))
            and ((s.rounding, s.sums) == ("half-up", "float32") or kind == back == np.float64)
            # it makes no difference to a mean what 0 is
            and (not self.signed or (abs(self.gain - 1) < 1e-9 and s.after == "clip" and s.border != "constant"))
        )
        self.correlation = correlation(kernel, o, s, shape=shape)

    @property
    def links(self) -> bool:
        """Whether it can go through the picture together with others, band by band, whatever the pixels are."""
        s = self.settings
        return (
            self.is_correlation
            and self.kind == self.layout.back  # what was computed in a wider type is cut to its own in between
            and s.padding in ("same", "tf-same")
            and (not self.layout.has_alpha or s.alpha == "straight")
            and self.correlator.local
        )

    @cached_property
    def correlator(self) -> Correlator:
        return Correlator(self.correlation, self.kind, self.shape, self.options, self.layout)

    def _alpha(self, opaque: Callable[[], bool]) -> str:
        """How alpha is treated: opaque pictures need no weighing, nor do colours that are weighed already."""
        weights, s, gain, alpha = self.kernel.weights, self.settings, self.gain, self.settings.alpha
        if self.layout.mode == "RGBX" and alpha != "straight":  # what is no alpha weighs nothing
            return "keep"
        if weights.ndim > 2 or self.options.channels == "sum":
            if alpha == "premultiply":
                raise UsageError(
                    "alpha premultiply takes kernels of 2 levels, each channel by itself; use straight or keep"
                )
            if weights.ndim > 2:  # weights for one channel less are for the colours
                return "keep" if weights.shape[2] == self.shape[2] - 1 else "straight"
            return "straight" if alpha == "straight" else "keep"
        if alpha == "premultiply":
            if abs(weights.sum()) <= 1e-8 * np.abs(weights).sum():
                raise UsageError(
                    f"alpha premultiply needs weights that do not sum to 0 as those of {self.kernel.name} do"
                )
            if s.border == "keep" and (s.offset != 0 or s.bias or not np.isclose(gain, 1)):
                raise UsageError(
                    "alpha premultiply with border keep needs weights that sum to the scale, and no offset"
                )
            weighed = self.layout.premultiplied and not self.options.linear
            if weighed and np.isclose(gain, 1) and s.offset == 0 and not s.bias:
                return "straight"
            seen = s.offset != 0 or s.bias or s.border in ("constant", "keep") or s.padding == "full"
            if not seen and opaque():
                return "straight"
        return alpha


class FloatingFilter:
    """A filter's unrounded results, shape (rows, columns, channels), float32 or float64."""

    def __init__(self, given: Filter) -> None:
        self.filter = given
        o, s, count = given.options, given.settings, given.shape[2]
        if o.linear and given.layout.letters not in ("", *BY_COUNT.values()):
            raise UsageError(f"linear light needs grey or RGB samples, not {given.layout.letters.upper()}")
        wide = s.sums != "float32" or given.kind.name in ("int32", "float64")
        self.dtype: np.dtype[Any] = np.dtype(np.float64 if wide else np.float32)
        self.chosen = None if o.channels in ("each", "sum") else self._chosen(count)
        if self.chosen is not None:
            count = len(self.chosen)
        elif given.alpha == "keep":
            count -= 1
        self.offset = 0.0 if given.alpha in ("premultiply", "mean") else s.offset
        # for each channel of the sums, or for all in one, what is added up: channels of the picture, and how
        self.correlators = [
            [(channel, self._correlator(taps, channel, count, first=not n)) for n, (channel, taps) in enumerate(terms)]
            for terms in channels.terms(given.kernel.weights, count, o.channels == "sum")
        ]
        self.rows, columns, _ = self.all_correlators[0].stage.target_shape  # of the result, strides left aside
        sums = count if self.correlators[0][0][0] == slice(None) else len(self.correlators)
        left = given.shape[2] - count  # channels that are not filtered
        down, across = o.stride
        self.target_shape = -(-self.rows // down), -(-columns // across), sums + left
        self.bias = self._bias(s.bias, sums)

    def _correlator(self, taps: Array, channel: slice, count: int, first: bool) -> Correlator:
        f = self.filter
        settings = f.settings._replace(offset=self.offset if first else 0.0)
        c = correlation(f.kernel, f.options, settings, taps, f.shape)
        shape = (*f.shape[:2], len(range(*channel.indices(count))))
        kind = OrderedCorrelator if c.in_order and f.layout.back.kind != "f" else Correlator
        return kind(c, self.dtype, shape, f.options, f.layout)

    @property
    def all_correlators(self) -> list[Correlator]:
        return [correlator for terms in self.correlators for _, correlator in terms]

    def needed(self, rows: Span) -> Span:
        """The rows of the picture that rows of the result, strides left aside, are computed from."""
        spans = [correlator.stage.needed(rows) for correlator in self.all_correlators]
        return Span(min(span.start for span in spans), max(span.stop for span in spans))

    def run(self, view: View, rows: Span | None = None, threads: int | None = None) -> Array:
        """The results; channels that `--channels` does not name stay.

        `rows` are counted as if there were no strides; all by default.
        """
        f, has_alpha = self.filter, self.filter.layout.has_alpha
        at = _Place(view.first, rows or Span(0, self.rows), threads)
        values: Array = view.samples.astype(self.dtype)
        if f.signed:
            values[:, :, 1:] -= 128
        if self.chosen is None:
            if f.layout.premultiplied and (f.alpha != "straight" or f.options.linear):
                return weighed(self._in_light(weighed(values, f.layout.top, -1), at, has_alpha), f.layout.top)
            return self._in_light(values, at, has_alpha)
        result = self._unfiltered(values, at)
        last_is_alpha = has_alpha and self.chosen[-1] == values.shape[2] - 1
        result[:, :, self.chosen] = self._in_light(values[:, :, self.chosen], at, last_is_alpha)
        return result

    def _chosen(self, count: int) -> list[int]:
        """The channels that `--channels` names by letters."""
        wanted = self.filter.options.channels.lower()
        letters = self.filter.layout.letters or BY_COUNT.get(count, "")
        for letter in wanted:
            if letter not in letters:
                have = letters or f"{count} without letters"
                raise UsageError(f"channels {wanted!r}: {letter!r} is not among the picture's ({have})")
        return sorted({letters.index(letter) for letter in wanted})

    def _unfiltered(self, values: Array, at: _Place) -> Array:
        """The pixels under the anchor, one for each pixel of the result: for channels that are not filtered."""
        c = self.filter.correlation
        (above, left), (below, right) = c.anchor, (k - 1 - a for k, a in zip(c.weights.shape, c.anchor, strict=True))
        if c.padding == "full":
            modes: Any = by_axis("edge" if c.border == "renormalize" else c.border)
            outside = {"constant_values": c.outside} if c.border == "constant" else {}
            values = np.pad(values, ((below, above), (0, 0), (0, 0)), modes[0], **outside)
            values = np.pad(values, ((0, 0), (right, left), (0, 0)), modes[1], **outside)
        elif c.padding == "valid":
            values = values[above:, left : values.shape[1] - right]
        down, across = self.filter.options.stride
        return values[at.rows.start - at.first : at.rows.stop - at.first : down, ::across].copy()

    def _in_light(self, values: Array, at: _Place, alpha: bool) -> Array:
        """The results, taken in linear light if that was asked for; alpha, the last channel if there, is no light."""
        if not self.filter.options.linear:
            return self._covered(values, at)
        portable, light = self.filter.options.portable, self.filter.options.linear
        values, top = values.copy(), self.filter.layout.top
        colours = values[:, :, : values.shape[2] - alpha]
        colours[:] = channels.to_linear(colours / top, portable=portable, light=light) * top
        result = self._covered(values, at)
        colours = result[:, :, : max(1, result.shape[2] - alpha)]
        colours[:] = channels.from_linear(colours / top, portable=portable, light=light) * top
        return result

    def _covered(self, values: Array, at: _Place) -> Array:
        """The sums, with alpha treated in one of the ways of `--alpha`, or as ImageMagick does ("mean")."""
        f, top, gain = self.filter, self.filter.layout.top, self.filter.gain
        if f.alpha == "straight":
            return self._sums(values, at)
        colour, cover = values[:, :, :-1], values[:, :, -1:]
        if f.alpha == "keep":
            return np.concatenate([self._sums(colour, at), self._unfiltered(cover, at)], axis=2)
        # the mean of the colours, each weighed by its alpha, times what the kernel does to an even surface
        result = self._sums(np.concatenate([colour * (cover / top), cover], axis=2), at)
        colour, cover, offset = result[:, :, :-1], result[:, :, -1:], f.settings.offset
        if f.alpha == "mean":  # it carries transparency instead of alpha, and divides by no less than this
            least = np.where(cover < 0, -MAGICK_EPSILON, MAGICK_EPSILON) * top
            colour = colour * top / np.where(abs(cover) < abs(least), least, cover) + offset
            cover = cover + (1 - gain) * top
        else:
            colour = np.divide(colour * (top * gain), cover, out=np.zeros_like(colour), where=cover != 0) + offset
        return self._biased(np.concatenate([colour, cover], axis=2))

    def _sums(self, values: Array, at: _Place) -> Array:
        """The floating sums of every output channel, with offset, bias and stride."""

        def one(channel: slice, correlator: Correlator) -> Array:
            part = View(np.ascontiguousarray(values[:, :, channel]), at.first)
            return correlator.run(part, at.rows, at.threads).array

        totals = []
        for terms in self.correlators:
            totals.append(one(*terms[0]))
            for term in terms[1:]:
                totals[-1] += one(*term)
        result = totals[0] if len(totals) == 1 else np.concatenate(totals, axis=2)
        down, across = self.filter.options.stride
        result = result[::down, ::across]
        return result if self.filter.alpha in ("premultiply", "mean") else self._biased(result)

    def _bias(self, given: tuple[float, ...], count: int) -> Array | None:
        """The bias of each of the sums; alpha has none where only the colours' are given."""
        if not given:
            return None
        bias = given * count if len(given) == 1 else given
        if self.filter.layout.has_alpha and len(bias) == count - 1:
            bias = (*bias, 0.0)
        if len(bias) != count:
            raise UsageError(f"bias has {len(given)} numbers, the result has {count} channels")
        return np.asarray(bias, self.dtype)

    def _biased(self, result: Array) -> Array:
        return result if self.bias is None else np.asarray(result + self.bias)


class _Place(NamedTuple):
    """Which rows are there, which ones of the result are wanted, and by how many threads."""

    first: int
    rows: Span
    threads: int | None


def weighed(values: Array, top: float, power: int = 1) -> Array:
    """The colours of a picture times its alpha, or divided by it (`power` -1); they are 0 where alpha is."""
    colour, cover = values[:, :, :-1], values[:, :, -1:]
    share = cover / top
    if power < 0:
        share = np.divide(1, share, out=np.zeros_like(share), where=share != 0)
    return np.concatenate([colour * share, cover], axis=2)
