"""A kernel for people: in words, and what it does to waves and to an edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.notebook import Look, curves, matrix

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel

SIDE_SHOWN, EDGE_SHOWN = 15, 3  # of more rows or columns than the former, the latter at either end, as NumPy does
LARGEST_RANKED = 256  # taps on a side, whose rank is found at once
WAVES = 64  # samples of the frequency response along an axis


def facts(kernel: Kernel) -> dict[str, str]:
    """What there is to say of a kernel besides its weights."""
    total = float(kernel.weights.sum())
    over = f" (over the scale: {total / kernel.scale:g})" if kernel.scale != 1 else ""
    said = {
        "size": size(kernel),
        "scale": f"{kernel.scale:g}",
        "offset": f"{kernel.offset:g}",
        "sum": f"{total:g}{over}",
        "symmetric": "yes, under a turn by 180°" if kernel.is_symmetric else "no",
    }
    if max(kernel.shape) <= LARGEST_RANKED:
        said["separable"] = "yes" if kernel.rank == 1 else f"no (rank {kernel.rank})"
    said["correlation and convolution"] = f"{'agree' if kernel.is_symmetric else 'differ'} for this kernel"
    if kernel.anchor is not None:
        said["anchor"] = f"row {kernel.anchor[0]}, column {kernel.anchor[1]}"
    if kernel.border is not None:
        said["border"] = kernel.border
    if kernel.like == "pillow":
        said["like"] = "pillow: flipped vertically before it is slid; border keep"
    if kernel.source:
        said["source"] = kernel.source
    return said


def size(kernel: Kernel) -> str:
    """Rows, columns, and channels where it has any: 3×3."""
    return "×".join(map(str, kernel.weights.shape))


def shown_lines(count: int) -> list[int | None]:
    """Which rows or columns are shown: of many the first and the last, and None for those between."""
    every: list[int | None] = [*range(count)]
    return every if count <= SIDE_SHOWN else [*every[:EDGE_SHOWN], None, *every[-EDGE_SHOWN:]]


def cells(plane: Any) -> list[list[float | None]]:
    """A plane of weights as it is shown."""
    rows, columns = (shown_lines(count) for count in plane.shape)
    return [[None if y is None or x is None else float(plane[y, x]) for x in columns] for y in rows]


def look(kernel: Kernel) -> Look:
    """What notebooks show."""
    every = planes(kernel)
    grid = response(every[0], WAVES)
    half = WAVES // 2
    along = {"across": grid[half, half:].tolist(), "down": grid[half:, half].tolist()}
    weights = matrix(cells(every[0] * kernel.scale), "weights" + (" of the first channel" if len(every) > 1 else ""))
    said = ({"about": kernel.about} if kernel.about else {}) | facts(kernel)
    drawn = weights + curves(along, "frequency response, cycles a pixel", ("0", "1/2"))
    return Look(f"Kernel {kernel.title or kernel.name}", said, drawn)


def planes(kernel: Kernel) -> Array:
    """The weights over the scale as matrices, shape (planes, rows, columns); of channels each by itself."""
    weights = kernel.weights.reshape(*kernel.shape, -1) / kernel.scale
    return np.moveaxis(weights, 2, 0)


def response(weights: Array, size: int = 64) -> Array:
    """How much waves are amplified, shape (size + 1, size + 1): |H| of frequencies from -1/2 to 1/2 cycle a pixel.

    H(v, u) = sum over i, j of w[i, j] * exp(2πi (v i + u j)), of which the magnitude does not depend on flips by 180°,
    nor on the anchor. Rows are vertical frequencies. The middle is the even surface, where |H| is the sum.
    """
    frequencies = np.linspace(-0.5, 0.5, size + 1)
    down, across = (np.exp(2j * np.pi * np.outer(frequencies, np.arange(taps))) for taps in weights.shape)
    return np.asarray(np.abs(down @ weights @ across.T))


def step_response(weights: Array, axis: int) -> Array:
    """What becomes of an edge from 0 to 1 across an axis (0: rows), beginning before the first tap meets it."""
    profile = weights.sum(axis=1 - axis)
    return np.concatenate([[0.0], np.cumsum(profile[::-1]), [profile.sum()]])
