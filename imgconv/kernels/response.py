"""What a kernel does to waves: its frequency response, and to an edge: its step response."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel


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
