"""What a mask does: it mixes a result with the picture, or the levels of a family with each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.errors import UsageError
from imgconv.masks import Mask, Shape, Space, around, blend, strips, tiles
from imgconv.recipe.settings import correlation

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.kernels.family import Family
    from imgconv.recipe.filtering import Filter

    Array = npt.NDArray[Any]


def mix(values: Array, before: Array, mask: Shape | Mask, filters: Sequence[Filter]) -> Array:
    """Puts in + mask · (filtered − in) in the place of the filtered `values`; returns which pixels take all of them."""
    if values.shape != before.shape:
        raise UsageError(
            f"a mask mixes the result with the picture, but the result has {values.shape[2]} channels,"
            f" the picture {before.shape[2]}"
        )
    first = filters[0]
    size, start = (first.whole(before)[0], values.shape[1]), first.part.rows.start if first.part else 0
    full = np.empty(values.shape[:2], bool)
    space = _space(before, filters)
    for rows in strips(values.shape[0]):
        here = slice(rows.start + start, min(rows.stop, len(values)) + start)
        share = mask.strengths(size, here, slice(None)).astype(values.dtype)
        full[rows] = share == 1
        values[rows] = blend([(1 - share, before[rows].astype(values.dtype)), (share, values[rows])], space)
    return full


def vary(samples: Array, mask: Shape | Mask, family: Family, filters: Sequence[Filter]) -> Array:
    """The kernel of each pixel, mixed out of the levels of a family, of which `filters` has one each.

    By tiles: only the levels that a tile asks for are computed there, and none is held for the whole picture.
    """
    space = _space(samples, filters)
    reach = [0, 0]
    for each in filters:
        c = correlation(each.kernel, each.options, each.settings)
        reach = [max(r, a, k - 1 - a) for r, a, k in zip(reach, c.anchor, c.weights.shape, strict=True)]
    size = (samples.shape[0], samples.shape[1])
    result: Array | None = None
    for window in tiles(size, reach):
        part, inside = around(samples, window, reach, wraps=filters[0].settings.border == "wrap")
        places = np.interp(mask.strengths(size, *window), family.strengths, family.places)
        terms = []
        for number in range(int(places.min()), int(np.ceil(places.max())) + 1):
            share = np.maximum(0, 1 - np.abs(places - number))
            if share.any():
                level, plans = filters[number], list(filters[number].plans)
                terms.append((share, level.values(part)[inside]))
                level.plans = plans or level.plans  # every tile makes the same ones
        mixture = blend(terms, space)
        if result is None:
            result = np.empty((*size, mixture.shape[2]), mixture.dtype)
        result[window] = mixture
    assert result is not None
    return result


def _space(samples: Array, filters: Sequence[Filter]) -> Space:
    """In which terms results are mixed: those in which the kernels add."""
    options, layout = filters[0].options, filters[0].layout
    weigh = (
        layout.has_alpha
        and not layout.premultiplied
        and options.channels == "each"
        and any(each.alpha_way(samples) in ("premultiply", "mean") for each in filters)
    )
    return Space(options.linear, layout.has_alpha, weigh, layout.top)
