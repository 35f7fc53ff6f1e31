"""The steps of a recipe: each takes rows of a picture, gives rows of the next one, and changes nothing else.

A step is made for pictures of one shape and type, and everything is settled by then. Kernels that are plain
correlations go through a picture together, in one step; each other kernel is one, and so are all that are combined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import channels
from imgconv.engine.blur import Passes, blurred, boxes
from imgconv.engine.plan import LARGEST_KEPT
from imgconv.engine.stage import Span
from imgconv.errors import PictureError, UsageError
from imgconv.memory import empty
from imgconv.recipe.chained import HALO_SHARE, About, Chained, Done, View
from imgconv.recipe.filtering import Filter, FloatingFilter
from imgconv.recipe.settings import correlation, pillow_blur
from imgconv.threads import available_cores, in_threads

if TYPE_CHECKING:
    from imgconv.kernels.family import Family
    from imgconv.kernels.value import Blur, Kernel
    from imgconv.recipe.layout import Layout
    from imgconv.recipe.options import Options

PIECE_SAMPLES = 2**17  # that a thread computes at once: what lies between the parts of a step stays in the cache
PILLOW_BLURS = ("", "L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX", "CMYK")  # modes; "" for bare arrays


class Floating:
    """Kernels whose sums are floating on the way: over channels, weighed by alpha, in light, combined, masked.

    It has what `Chained` has. Only the last kernel of a chain is stretched, masked or left floating.
    """

    takes_padding = False

    def __init__(
        self, filters: Sequence[Filter], last: bool, mixed: Sequence[Filter], family: Family | None = None
    ) -> None:
        first, s, o = filters[0], filters[-1].settings, filters[0].options
        self.mixed = mixed
        self.filters, self.last, self.family, self.settings, self.options = filters, last, family, s, o
        self.count, self.step = len(filters), o.stride[0]
        self.mask = o.mask if last else None
        # where a mask is 1, the bytes of the fast way: it may round ties otherwise
        self.fast = _chained(filters) if self.mask is not None and self.count == 1 and first.is_correlation else None
        self.parts = [FloatingFilter(item) for item in (filters[-1:] if family else filters)]
        correlators = [correlator for part in self.parts for correlator in part.all_correlators]
        self.plans = tuple(correlator.plan for correlator in correlators)
        self.target_shape = self.parts[0].target_shape
        if len({part.target_shape for part in self.parts}) > 1:
            raise UsageError("combined kernels must give results of the same size; use padding same")
        self.layout = first.layout.of_channels(self.target_shape[2])
        self.floating = last and s.after == "float"
        self.dtype = self.parts[0].dtype if self.floating else self.layout.back if last else first.kind
        if self.mask is not None:
            self.mask.check(*first.shape[:2])
            before = mixed[0].shape if mixed else first.shape
            if family is None and self.target_shape != before:
                raise UsageError(
                    f"a mask mixes the result with the picture, but the result has {self.target_shape[2]} channels,"
                    f" the picture {before[2]}"
                )
        self.halo = self.least_rows = max(item.correlation.weights.shape[0] - 1 for item in filters)
        self.local = (
            family is None
            and all(correlator.local for correlator in correlators)
            and all(item.settings.after != "minmax" and item.settings.padding != "full" for item in filters)
            and (self.count == 1 or o.padding != "valid")
            and (self.fast is None or self.fast.local)
        )

    def needed(self, rows: Span) -> Span:
        """The rows of the picture that rows of the result are computed from."""
        spans = [part.needed(self._unstrided(rows)) for part in self.parts]
        return Span(min(span.start for span in spans), max(span.stop for span in spans))

    def run(
        self, view: View, rows: Span | None, threads: int | None, before: View, target: Array | None = None
    ) -> Done:
        """Rows of the result, or all, in pieces where that can be; `before` is what a mask mixes them with."""
        wanted = rows or Span(0, self.target_shape[0])
        if not self.local:
            return self._piece(view, wanted, threads, before)
        count, workers = wanted.stop - wanted.start, threads or available_cores()
        row_samples = view.samples[0].size * self.step
        height = max(1, PIECE_SAMPLES // row_samples, min(2 * self.halo // self.step, -(-count // workers)))
        result = empty((count, *self.target_shape[1:]), self.dtype) if target is None else target

        def work(piece: Span) -> int:
            near = self.needed(piece)
            part = View(view.samples[near.start - view.first : near.stop - view.first], near.start)
            done = self._piece(part, piece, 1, before)
            result[piece.start - wanted.start : piece.stop - wanted.start] = done.samples
            return done.clipped

        pieces = [Span(start, min(start + height, wanted.stop)) for start in range(*wanted, height)]
        clipped = in_threads(lambda: work, pieces, min(workers, len(pieces)))
        return Done(result, clipped, self.plans)

    def _unstrided(self, rows: Span) -> Span:
        return Span(rows.start * self.step, (rows.stop - 1) * self.step + 1)

    def _piece(self, view: View, rows: Span, threads: int | None, before: View) -> Done:
        plans, rows = self.plans, self._unstrided(rows)
        if self.family is not None and self.mask is not None:
            from imgconv.recipe.masked import vary

            values, plans = vary(view.samples, self.mask, self.family, self.filters)
        else:
            results = [part.run(view, rows, threads) for part in self.parts]
            values = results[0]
            if self.options.combine:
                values = combined(results, self.options.combine, self.filters[0].layout.has_alpha)
        full = self._finish(values, rows, before)
        if self.floating:
            return Done(values, 0, plans)
        samples, clipped = channels.to_samples(values, self.layout.back, self.settings.rounding)
        # float64 would round 64-bit integers
        samples = samples if self.last else samples.astype(self.dtype, copy=False)
        if self.fast is not None and full is not None and full.any():
            whole = self.fast.run(view, rows, threads, view)
            np.copyto(samples, whole.samples, "unsafe", where=full[:, :, None])
        return Done(samples, clipped, plans)

    def _finish(self, values: Array, rows: Span, before: View) -> Array | None:
        """Stretches and masks the sums where they lie; gives the pixels that take nothing of the picture before."""
        s, layout, signed = self.settings, self.layout, self.filters[-1].signed
        if self.last and s.after != "float":  # a picture's alpha is in its range already
            colours = values[:, :, : values.shape[2] - layout.has_alpha]
            if signed and s.after in ("minmax", "offset128"):  # 0 is their middle: they can be seen as they are
                colours = colours[:, :, :1]
            colours[:] = channels.after(colours, s.after, layout.top, layout.back.kind == "f")
        if signed:
            values[:, :, 1:] += 128
        if self.mask is None or self.family is not None:
            return None
        from imgconv.recipe.masked import mix

        return mix(values, before.samples[rows.start - before.first :], self.mask, self.mixed, rows.start)


class Blurred:
    """Pillow's own blur, passes of boxes that are rounded in between. It has what `Chained` has."""

    count, local, floating, takes_padding = 1, True, False, True

    def __init__(self, kernel: Kernel, blur: Blur, about: About) -> None:
        options, self.layout, self.target_shape, self.dtype, _ = about
        if self.layout.back != np.uint8 or self.layout.mode not in PILLOW_BLURS:
            kind = f"mode {self.layout.mode}" if self.layout.back == np.uint8 else f"type {self.layout.back}"
            raise PictureError(
                f"like pillow is Pillow's own blur, which takes 8 bits of grey, RGB or CMYK, not samples of {kind};"
                " without like every picture can be blurred"
            )
        self.boxes = boxes(*blur[:5])
        self.halo = self.boxes.halo
        self.least_rows = HALO_SHARE * self.halo
        c = replace(correlation(kernel, options), border="edge")
        self.plans = (Passes(c, f"{blur.passes} along rows and {blur.passes} along columns, rounded after each"),)

    def needed(self, rows: Span) -> Span:
        """The rows of the picture that rows of the result are computed from."""
        return Span(max(0, rows.start - self.halo), min(self.target_shape[0], rows.stop + self.halo))

    def run(
        self, view: View, rows: Span | None, threads: int | None, before: View, target: Array | None = None
    ) -> Done:
        """Rows of the result, or all."""
        start, stop = rows or (0, self.target_shape[0])
        wanted = Span(start - view.first, stop - view.first)
        return Done(blurred(view.samples, wanted, self.boxes, threads, target), 0, self.plans)


Step = Chained | Floating | Blurred


def next_step(kernels: Sequence[Kernel], family: Family | None, about: About, mixed: Sequence[Filter] = ()) -> Step:
    """The step with the first of the kernels that are still to be applied, and with all that can go with it.

    `mixed` are, for a mask, all filters of the recipe over the picture that its result is mixed with, where they are
    several.
    """
    options, layout, shape, dtype, opaque = about
    if family is None and options.mask is None and sum(kernel.weights.size for kernel in kernels) <= LARGEST_KEPT:
        given = tuple(kernels), options, layout, shape, dtype
        return _kept_step(*given, None) or _kept_step(*given, opaque()) or _new_step(kernels, family, about, mixed)
    return _new_step(kernels, family, about, mixed)


def step_of_any_alpha(
    kernels: tuple[Kernel, ...], options: Options, layout: Layout, shape: tuple[int, int, int], dtype: np.dtype[Any]
) -> Step | None:
    """As `next_step`, without a mask; None where it depends on whether alpha is full everywhere, or is too large."""
    if sum(kernel.weights.size for kernel in kernels) > LARGEST_KEPT:
        return None
    return _kept_step(kernels, options, layout, shape, dtype, None)


class _AskedForAlpha(Exception):
    """A step depends on whether alpha is full everywhere."""


@lru_cache(maxsize=32)
def _kept_step(
    kernels: tuple[Kernel, ...],
    options: Options,
    layout: Layout,
    shape: tuple[int, int, int],
    dtype: np.dtype[Any],
    opaque: bool | None,
) -> Step | None:
    """The step, kept: for a small picture, making it takes longer than filtering. None where `opaque` must be known."""

    def known() -> bool:
        if opaque is None:
            raise _AskedForAlpha
        return opaque

    try:
        return _new_step(kernels, None, About(options, layout, shape, dtype, known), ())
    except _AskedForAlpha:
        return None


def _new_step(kernels: Sequence[Kernel], family: Family | None, about: About, mixed: Sequence[Filter]) -> Step:
    options = about.options
    blur = pillow_blur(kernels[0], options)
    if blur is not None:
        return Blurred(kernels[0], blur, about)
    if family is not None or options.combine:
        filters = [Filter(kernel, about) for kernel in kernels]
        return Floating(filters, True, filters, family)
    first, last = Filter(kernels[0], about), len(kernels) == 1
    if not first.is_correlation or (last and options.mask is not None):
        return Floating([first], last, mixed or [first])
    linked = [first]
    if first.links:
        unknown = about._replace(opaque=lambda: False)  # of what comes out of the first
        for kernel in kernels[1 : None if options.mask is None else -1]:
            following = Filter(kernel, unknown)
            if not following.links or pillow_blur(kernel, options):
                break
            linked.append(following)
    return _chained(linked)


def _chained(filters: Sequence[Filter]) -> Chained:
    first, correlators = filters[0], [item.correlator for item in filters]
    local = all(correlator.local for correlator in correlators)
    plans = [correlator.plan for correlator in correlators]
    return Chained(plans, first.layout, first.shape, first.kind, None if local else correlators[0])


def combined(results: list[Array], how: str, has_alpha: bool) -> Array:
    """Several results of the same shape as one: their hypot (root of the sum of squares), sum, max or mean."""
    stack = np.stack(results)
    ways: dict[str, Any] = {"hypot": _hypot, "sum": np.sum, "max": np.max, "mean": np.mean}
    values = np.asarray(ways[how](stack, axis=0))
    if has_alpha:  # each has its own; the root of two squares makes no sense of them
        values[:, :, -1] = stack[:, :, :, -1].max(axis=0)
    return values


def _hypot(stack: Array, axis: int) -> Array:
    return np.asarray(np.sqrt((stack * stack).sum(axis=axis)))
