"""What each sample of a result is the sum of, as numbers that the page adds up itself when a pixel is clicked.

It adds as the direct method does (`engine.plan`): rows of taps from the bottom one up, each from left to right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine import channels
from imgconv.engine.correlation import SUM_TYPES
from imgconv.recipe.filtering import Filter, FloatingFilter
from imgconv.recipe.layout import samples_of
from imgconv.recipe.recipe import about_of
from imgconv.recipe.settings import correlation, pillow_blur

if TYPE_CHECKING:
    from imgconv.engine.correlation import Correlation
    from imgconv.recipe.recipe import Recipe

MOST_TAPS = 1024  # of a kernel whose sums a page shows


def sums_of(recipe: Recipe, array: Array, mode: str) -> tuple[dict[str, Any], Correlation] | str:
    """What the page needs for the sums of the recipe's last kernel over an array, or why it cannot show them."""
    o = recipe.options
    kernel = recipe.all_kernels[-1]
    for name, meaning in (
        ("vary", "the kernel varies from pixel to pixel"),
        ("combine", f"the results of {len(recipe.kernels)} kernels are combined"),
        ("mask", "a mask mixes the sums with the picture"),
        ("linear", "the sums are taken in linear light"),
    ):
        if getattr(o, name):
            return meaning
    if pillow_blur(kernel, o):
        return "Pillow's blur is rounded between its passes, and so is no sum of one window"
    if np.prod(kernel.shape) > MOST_TAPS:
        return f"a sum of {kernel.shape[0]}×{kernel.shape[1]} products is too long for a page"
    samples, layout = samples_of(array, mode)
    f = Filter(kernel, about_of(samples, layout, o))
    s, count = f.settings, samples.shape[2]
    if s.after == "minmax":
        return "the whole picture is stretched to the range, which one window does not tell"
    if f.alpha in ("premultiply", "mean") or (layout.premultiplied and not f.is_correlation):
        return "colours are weighed by alpha, so each sample is a quotient of two sums"
    if layout.letters == "lab":
        return "a and b of LAB are filtered around 0"
    kind, bias, filtered = SUM_TYPES[f.kind.name], None, list(range(count))
    if f.is_correlation:
        plan = f.correlator.plan
    else:
        floating = FloatingFilter(f)
        plan = max((one.plan for one in floating.all_correlators), key=lambda plan: plan.error_bound)
        kind, bias = floating.dtype.name, floating.bias
        filtered = floating.chosen or filtered[: count - (f.alpha == "keep")]
    bound, how = plan.error_bound, f"{plan.method}: {plan.exactness}"
    if s.border == "renormalize":  # those are added by whatever way is quickest
        bound, how = max(bound, 1.0), "sums that are rescaled may be rounded the other way"
    planes: list[Any] = []
    outputs: list[dict[str, Any]] = []  # for each channel of the sums, planes and the channels that they lie on
    for terms in channels.terms(kernel.weights, len(filtered), o.channels == "sum"):
        first = len(planes)
        planes += [correlation(kernel, o, s, taps, samples.shape).weights.tolist() for _, taps in terms]
        on = [[filtered[n] for n in range(*channel.indices(len(filtered)))] for channel, _ in terms]
        several = on[0] if len(on) == 1 else [None]  # channels that share a plane
        for one in several:
            parts = [[c[0] if one is None else one, first + place] for place, c in enumerate(on)]
            outputs.append({"terms": parts, "bias": None if bias is None else float(bias[len(outputs)])})
    left = {number: {"copied": number} for number in range(count) if number not in filtered}
    if left and o.channels not in ("each", "sum"):
        numbered = dict(zip(filtered, outputs, strict=True)) | left
        outputs = [numbered[number] for number in range(count)]
    else:
        outputs += left.values()
    c = correlation(kernel, o, s, shape=samples.shape)
    back = layout.back
    whole = back.kind in "iub" and not (s.after == "float" and not f.is_correlation)
    limits = (0, 1) if back.kind == "b" else (np.iinfo(back).min, np.iinfo(back).max) if back.kind in "iu" else (0, 0)
    return (
        {
            "kernel": kernel.name,
            "planes": planes,
            "outputs": outputs,
            "anchor": c.anchor,
            "border": c.border,
            "outside": c.outside,
            "scale": c.scale,
            "offset": c.offset,
            "alpha": len(outputs) - 1 if layout.has_alpha else None,  # which channel --after leaves
            "sums": kind,
            "in_order": c.in_order and kind == "float64",
            "half_first": f.is_correlation and f.kind.kind in "iu",
            "rounding": s.rounding if not f.is_correlation else "half-up",
            "after": s.after,
            "middle": 0.5 if back.kind == "f" else (layout.top + 1) / 2,
            "whole": whole,
            "low": int(limits[0]),
            "high": int(limits[1]),
            "near": 0.0 if whole else float(np.finfo(back if back.kind == "f" else kind).eps) * 4,
            "bound": bound if whole else bound * float(np.abs(samples[np.isfinite(samples)]).max(initial=0)),
            "method": how,
            "before": "" if len(recipe.kernels) < 2 else " and ".join(k.name for k in recipe.kernels[:-1]),
        },
        c,
    )
