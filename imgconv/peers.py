"""The same work in another tool, for comparison."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from imgconv.picture.image import from_array, to_array
from imgconv.picture.value import Picture
from imgconv.recipe import Recipe, correlation

# options that Pillow has no counterpart of, and the value with which they do nothing
BEYOND_PILLOW = {
    "stride": (1, 1), "channels": "each", "after": "clip", "alpha": "straight", "linear": False, "combine": None,
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """imgconv beside Pillow on one picture."""

    equal: bool = False
    pixels: int = 0  # that differ in any channel
    all_pixels: int = 0
    largest: int = 0  # difference, in levels
    only_border: bool = False  # all that differ have a window that leaves the picture
    imgconv_s: float = 0.0  # medians
    pillow_s: float = 0.0
    impossible: str = ""  # why Pillow cannot do it

    def as_dict(self) -> dict[str, Any]:
        """Every field, and the ratio of the times."""
        return asdict(self) | {"ratio": self.pillow_s / self.imgconv_s if self.imgconv_s else None}


def compare_with_pillow(picture: Picture, recipe: Recipe, rounds: int = 5) -> Comparison:
    """Filters with both, turn by turn, and compares every byte."""
    for option, plain in BEYOND_PILLOW.items():
        if getattr(recipe.options, option) not in (None, plain):
            return Comparison(impossible=f"it has no --{option}")
    filters = []
    margin = 0
    for kernel in recipe.kernels:
        if kernel.weights.ndim > 2:
            return Comparison(impossible=f"it filters each channel with the same weights, {kernel.name} has more")
        c = correlation(kernel, recipe.options)
        rows, columns = c.weights.shape
        if (rows, columns) not in ((3, 3), (5, 5)):
            return Comparison(impossible=f"its kernels are 3×3 or 5×5, {kernel.name} is {rows}×{columns}")
        if c.anchor != (rows // 2, columns // 2):
            return Comparison(impossible="its anchor is always the middle")
        if c.padding != "same":
            return Comparison(impossible="its result always has the size of the picture")
        from PIL import ImageFilter

        # Pillow flips a kernel vertically before it slides it
        weights = c.weights[::-1].ravel().tolist()
        filters.append(ImageFilter.Kernel((columns, rows), weights, c.scale, c.offset))
        margin += rows // 2
    if picture.array.dtype != np.uint8 or not picture.mode:
        what = f"{picture.mode or 'arrays of'} {picture.array.dtype}"
        return Comparison(impossible=f"it filters 8-bit pictures, not {what}")
    image = from_array(picture.array, picture.mode)
    image.load()
    ours, theirs = [], []
    recipe.apply(picture.array, picture.mode)  # compiles, if that is to do
    for _ in range(rounds):
        started = time.perf_counter()
        result, _, _ = recipe.apply(picture.array, picture.mode)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        other = image
        for each in filters:
            other = other.filter(each)
        theirs.append(time.perf_counter() - started)
    difference = np.abs(result.astype(np.int16) - to_array(other))
    differs = difference.reshape(*difference.shape[:2], -1).any(axis=2)
    inside = differs[margin : max(margin, differs.shape[0] - margin), margin : max(margin, differs.shape[1] - margin)]
    return Comparison(
        equal=not differs.any(),
        pixels=int(np.count_nonzero(differs)),
        all_pixels=differs.size,
        largest=int(difference.max()),
        only_border=bool(differs.any() and not inside.any()),
        imgconv_s=statistics.median(ours),
        pillow_s=statistics.median(theirs),
    )
