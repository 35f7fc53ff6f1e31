"""What a mask does: it mixes a result with the picture, or the levels of a family with each other."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.stage import by_axis
from imgconv.masks import GeneratedMask, Mask, MixingSpace, around, blend, row_blocks, tiles
from imgconv.recipe.chained import About, View
from imgconv.recipe.filtering import Filter, FloatingFilter

if TYPE_CHECKING:
    from imgconv.engine.plan import Plan
    from imgconv.kernels.family import Family


def mix(values: Array, before: Array, mask: GeneratedMask | Mask, filters: Sequence[Filter], start: int) -> Array:
    """Puts in + mask · (filtered − in) in the place of the filtered `values`; returns which pixels take all of them.

    Both begin with row `start` of the picture.
    """
    size = filters[0].shape[0], values.shape[1]
    full = np.empty(values.shape[:2], bool)
    space = mixing_space(filters)
    for rows in row_blocks(values.shape[0]):
        here = slice(rows.start + start, min(rows.stop, len(values)) + start)
        share = mask.strengths(size, here, slice(None)).astype(values.dtype)
        full[rows] = share == 1
        values[rows] = blend([(1 - share, before[rows].astype(values.dtype)), (share, values[rows])], space)
    return full


def vary(
    samples: Array, mask: GeneratedMask | Mask, family: Family, filters: Sequence[Filter]
) -> tuple[Array, tuple[Plan, ...]]:
    """The kernel of each pixel, mixed out of the levels of a family, of which `filters` has one each; floating results.

    By tiles: only the levels that a tile asks for are computed there, and none is held for the whole picture. The plans
    are those of each level.
    """
    space, first = mixing_space(filters), filters[0]
    reach = [0, 0]
    for item in filters:
        c = item.correlation
        reach = [max(r, a, k - 1 - a) for r, a, k in zip(reach, c.anchor, c.weights.shape, strict=True)]
    size = (samples.shape[0], samples.shape[1])
    made: dict[tuple[int, tuple[int, ...], bool], FloatingFilter] = {}
    result: Array | None = None
    for window in tiles(size, reach):
        part, inside = around(samples, window, reach, by_axis(first.settings.border))
        opaque = first.layout.has_alpha and bool((part[:, :, -1] == first.layout.top).all())
        about = About(first.options, first.layout, part.shape, part.dtype, partial(bool, opaque))
        places = np.interp(mask.strengths(size, *window), family.strengths, family.places)
        terms = []
        for number in range(int(places.min()), int(np.ceil(places.max())) + 1):
            share = np.maximum(0, 1 - np.abs(places - number))
            if share.any():
                key = number, part.shape, opaque
                if key not in made:
                    made[key] = FloatingFilter(Filter(filters[number].kernel, about))
                terms.append((share, made[key].run(View(part))[inside]))
        mixture = blend(terms, space)
        if result is None:
            result = np.empty((*size, mixture.shape[2]), mixture.dtype)
        result[window] = mixture
    assert result is not None
    levels = {number: level for (number, *_), level in sorted(made.items(), key=lambda item: item[0][0])}
    plans = tuple(correlator.plan for level in levels.values() for correlator in level.all_correlators)
    return result, plans


def mixing_space(filters: Sequence[Filter]) -> MixingSpace:
    """In which terms results are mixed: those in which the kernels add."""
    options, layout = filters[0].options, filters[0].layout
    weigh = not layout.premultiplied and options.channels == "each"
    weigh = weigh and any(item.alpha in ("premultiply", "mean") for item in filters)
    return MixingSpace(options.linear, layout.has_alpha, weigh, layout.top, options.portable)
