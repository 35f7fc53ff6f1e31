"""One pixel of a result as a worked sum: what lies under the kernel, the products in the order of adding, what follows.

Every number is what the engine has on the way. Where it sums in another order than the definition, the definition's is
worked, and the method's bound says how far the result may be from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import border_text
from imgconv.errors import UsageError
from imgconv.explain.pixel import Pixel
from imgconv.explain.result import PixelSum
from imgconv.recipe.filtering import Filter
from imgconv.recipe.layout import samples_of
from imgconv.recipe.recipe import about_of
from imgconv.recipe.settings import pillow_blur

if TYPE_CHECKING:
    from imgconv.recipe.recipe import Recipe

FLIPS = {
    (False, False): "", (False, True): "rotated by 180°", (True, False): "flipped top to bottom",
    (True, True): "flipped left to right",
}  # fmt: skip


def explain(array: Array, mode: str, recipe: Recipe, row: int, column: int) -> PixelSum:
    """One pixel of what a recipe makes of a picture, as a worked sum.

    Array and mode are as `Recipe.apply` takes them, row and column those of the result, counted from 0. Of a chain the
    last kernel is worked, over what the others make. Raises UsageError when the pixel lies outside the result, or it is
    no sum: with vary, or under Pillow's own blur; and what `Recipe.apply` does.
    """
    options, kernels = recipe.options, recipe.kernels
    if recipe.family is not None:
        raise UsageError("vary mixes a kernel for each pixel; give one of them to explain, such as gaussian:sigma=2")
    last = kernels if options.combine else kernels[-1:]
    for kernel in last:
        if pillow_blur(kernel, options):
            raise UsageError(
                f"{kernel.name}: like pillow is Pillow's own blur, which is rounded between its passes and no one sum;"
                " leave like out"
            )
    result, _, report = recipe.apply(array, mode)
    height, width = result.shape[:2]
    if not (0 <= row < height and 0 <= column < width):
        raise UsageError(
            f"row {row}, column {column} lies outside the result, which has {height} rows and {width} columns (counted"
            " from 0)"
        )
    given, layout = samples_of(array, mode)
    with np.errstate(all="ignore"):  # as in Recipe.apply
        mixed = recipe.mixed(given, layout)
        samples, layout = recipe.before_last(given, layout)
        filters = [Filter(kernel, about_of(samples, layout, options)) for kernel in last]
        mask = options.mask
        share = 1.0
        if mask is not None:
            share = float(mask.strengths(given.shape[:2], slice(row, row + 1), slice(column, column + 1))[0, 0])
        worked = Pixel(filters, samples, row, column)
        if filters[0].is_correlation and share == 1 and not options.combine:
            worked.correlation()
        else:
            worked.floating()
            if mask is not None:
                from imgconv.recipe.masked import mixing_space

                worked.mix(share, given[row, column], mixing_space(mixed or filters))
            worked.round()
    layout = filters[0].layout.of_channels(len(worked.values))
    if layout.letters == "lab":
        stored = layout.shift(worked.values[None, None].copy())[0, 0]
        worked.step("stored", stored, "as files have it: a and b have a sign")
    s, plan, home = filters[0].settings, report.plans[-1], worked.home
    return PixelSum(
        row=row,
        column=column,
        home=home,
        kernel="+".join(kernel.name for kernel in last),
        flip=FLIPS[s.flip == "vertical", options.mode == "convolve"],
        like=options.like or "",
        mode=options.mode,
        border=border_text(s.border, s.outside),
        padding=s.padding,
        before=tuple(kernel.name for kernel in kernels[: -len(last)]),
        method=plan.method,
        exactness=plan.exactness,
        channels=worked.channels(result[row, column]),
    )
