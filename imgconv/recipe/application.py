"""One application of a recipe to a picture: its kernels in turn, or all at once, and samples again in the end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.engine import channels
from imgconv.engine.run import Chain
from imgconv.errors import UsageError
from imgconv.recipe.filtering import Filter
from imgconv.recipe.settings import settle

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.recipe import Recipe
    from imgconv.recipe.layout import Layout

    Array = npt.NDArray[Any]


class Application:
    """What is known about the picture, and what is found out on the way.

    Attributes
    ----------
    filters : list of Filter
        One for each kernel, or for each level of the family.
    clipped : int
        Samples outside the range of their type, over all kernels.
    floating : bool
        Whether the result is left floating.
    """

    def __init__(self, recipe: Recipe, layout: Layout) -> None:
        self.options = recipe.options
        self.family = recipe.family
        self.layout = layout
        self.filters = [
            Filter(kernel, settle(kernel, recipe.options, picture=bool(layout.mode)), recipe.options, layout)
            for kernel in (self.family.kernels if self.family else recipe.kernels)
        ]
        self.clipped = 0
        self.floating = False
        self.before: Array | None = None  # what the result is to be mixed with
        self.full: Array | None = None  # pixels where it takes nothing of that

    def run(self, samples: Array) -> Array:
        """Every kernel in turn, or all of them on the same picture when they are to be combined."""
        mask, last = self.options.mask, self.filters[-1]
        if mask is not None:
            mask.check(*last.whole(samples)[:2])
            if self.family is not None:
                from imgconv.recipe.masked import vary

                values = vary(samples, mask, self.family, self.filters)
                return self.finish(values, samples.dtype, last, last=True)
            self.before = samples
            if last.part is not None:
                self.before = samples[last.part.rows.start - last.part.first : last.part.rows.stop - last.part.first]
        if self.options.combine:
            results = [each.values(samples) for each in self.filters]
            values = combined(results, self.options.combine)
            if self.layout.has_alpha:  # each has its own; the root of two squares makes no sense of them
                values[:, :, -1] = combined([result[:, :, -1] for result in results], "max")
            return self.finish(values, samples.dtype, last, last=True)
        waiting = list(self.filters)
        while waiting:
            linked = self.linked(waiting, samples)
            if len(linked) > 1:
                plans = [each.ready(each.plain(samples), samples.dtype) for each in linked]
                samples = self.narrow(*Chain(plans, samples.shape).run(samples, threads=self.options.threads))
                del waiting[: len(linked)]
                continue
            each = waiting.pop(0)
            plain = each.is_plain(samples)
            if plain and (mask is None or each is not last):
                samples = self.narrow(*each.plainly(samples))
                continue
            result = self.finish(each.values(samples), samples.dtype, each, last=each is last)
            if plain:  # where the mask is 1, the bytes of the fast way: it may round ties otherwise
                self.put_full(result, samples, each)
            samples = result
        return samples

    def chain(self, samples: Array) -> Chain | None:
        """All kernels as one chain, where each is one correlation from samples to samples whatever the pixels are.

        Only the shape and the type of the samples are looked at; whether they are opaque must be known.
        """
        o, first = self.options, self.filters[0]
        if o.mask is not None or o.combine or self.family is not None:
            return None
        if len(self.linked(self.filters, samples)) == len(self.filters) or (
            len(self.filters) == 1 and first.is_plain(samples) and first.is_local(samples)
        ):
            return Chain([each.ready(each.plain(samples), samples.dtype) for each in self.filters], samples.shape)
        return None

    def linked(self, waiting: Sequence[Filter], samples: Array) -> list[Filter]:
        """The first of them, as many as can go through the picture together."""
        free = waiting if self.options.mask is None else waiting[:-1]
        return list(takewhile(lambda each: each.is_link(samples), free))

    def put_full(self, result: Array, samples: Array, last: Filter) -> None:
        """Puts the result of the fast way where the mask is 1."""
        if self.full is None or not self.full.any():
            return
        clipped, plans = self.clipped, list(last.plans)
        np.copyto(result, self.narrow(*last.plainly(samples)), "unsafe", where=self.full[:, :, None])
        self.clipped, last.plans = clipped, plans

    def finish(self, values: Array, kind: np.dtype[Any], each: Filter, last: bool) -> Array:
        """Unrounded results as samples again; only the last kernel of a chain is stretched, masked or left floating."""
        layout, s, signed = self.layout, each.settings, each.signed
        layout.count(values.shape[2])
        if last and s.after != "float":  # a picture's alpha is in its range already
            colours = values[:, :, : values.shape[2] - layout.has_alpha]
            if signed and s.after in ("minmax", "offset128"):  # 0 is their middle: they can be seen as they are
                colours = colours[:, :, :1]
            colours[:] = channels.after(colours, s.after, layout.top, layout.back.kind == "f")
        if signed:
            values[:, :, 1:] += 128
        if last and self.before is not None:
            from imgconv.recipe.masked import mix

            self.full = mix(values, self.before, self.options.mask, self.filters)
        if last and s.after == "float":
            self.floating = True
            return values
        samples, clipped = channels.to_samples(values, layout.back, s.rounding)
        self.clipped += clipped
        return samples if last else samples.astype(kind, copy=False)  # float64 would round 64-bit integers

    def narrow(self, samples: Array, clipped: int) -> Array:
        """Counts what was clipped; where a wider type was computed, clips to the range of the real one."""
        back = self.layout.back
        if samples.dtype != back and back.kind in "iub":
            kind = samples.dtype
            samples, clipped = channels.to_samples(samples.astype(np.float64, copy=False), back)
            samples = samples.astype(kind)
        self.clipped += clipped
        return samples


def combined(results: list[Array], how: str) -> Array:
    """Several results of the same shape as one: their hypot (root of the sum of squares), sum, max or mean."""
    if len({result.shape for result in results}) > 1:
        raise UsageError("combined kernels must give results of the same size; use padding same")
    stack = np.stack(results)
    if how == "hypot":
        return np.asarray(np.sqrt((stack * stack).sum(axis=0)))
    ways: dict[str, Any] = {"sum": np.sum, "max": np.max, "mean": np.mean}
    return np.asarray(ways[how](stack, axis=0))
