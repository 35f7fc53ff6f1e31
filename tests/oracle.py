"""A slow, plain correlation to test against. Imports nothing of imgconv; borders are numpy.pad's own."""

from __future__ import annotations

import numpy as np

# for rows, and for columns
PAD_MODES = {mode: (mode, mode) for mode in ("edge", "reflect", "symmetric", "wrap", "constant")}
PAD_MODES["wrap-x"] = "edge", "wrap"


def pad(src, around, border, **value):
    """numpy.pad with a mode for each axis."""
    rows, columns = PAD_MODES[border]
    src = np.pad(src, ((0, 0), around[1], (0, 0)), columns, **value)
    return np.pad(src, (around[0], (0, 0), (0, 0)), rows, **value)


def padded(src, kernel_shape, anchor, border, outside, padding):
    """The picture with everything around it that windows can reach."""
    (rows, columns), (ay, ax) = kernel_shape, anchor
    if padding == "valid":
        return src
    if padding == "full":
        around = ((rows - 1, rows - 1), (columns - 1, columns - 1), (0, 0))
    else:
        around = ((ay, rows - 1 - ay), (ax, columns - 1 - ax), (0, 0))
    return pad(src, around, border, **({"constant_values": outside} if border == "constant" else {}))


def correlate(src, weights, scale=1.0, offset=0.0, anchor=None, border="edge", outside=0.0, padding="same"):
    """The definition of the direct method, in its order of adding, for src of shape (rows, columns, channels)."""
    kind = src.dtype
    sum_type = np.float32 if kind in (np.uint8, np.uint16, np.float32) else np.float64
    rows, columns = weights.shape
    anchor = anchor or ((rows - 1) // 2, (columns - 1) // 2)
    w = weights.astype(sum_type) / sum_type(scale)
    around = padded(src.astype(sum_type), (rows, columns), anchor, border, outside, padding)
    height, width = around.shape[0] - rows + 1, around.shape[1] - columns + 1
    total = np.full((height, width, src.shape[2]), sum_type(offset + (0.5 if kind.kind in "ui" else 0)))
    for i in reversed(range(rows)):
        partial = None
        for j in range(columns):
            if w[i, j] != 0:
                product = w[i, j] * around[i : i + height, j : j + width]
                partial = product if partial is None else partial + product
        if partial is not None:
            total = total + partial
    if kind.kind == "f":
        return total
    limits = np.iinfo(kind)
    return np.clip(np.floor(total.astype(np.float64)), limits.min, limits.max).astype(kind)


def clipped_count(src, weights, **options):
    """How many samples lie outside the range of their type before they are clipped, in exact arithmetic of float64."""
    whole = np.floor(correlate(src.astype(np.float64), weights, **options) + 0.5)
    limits = np.iinfo(src.dtype)
    return int(np.count_nonzero((whole < limits.min) | (whole > limits.max)))


def renormalized(src, weights, anchor):
    """Border "renormalize" for padding same, pixel by pixel: only taps inside count, rescaled by their sum."""
    height, width, channels = src.shape
    rows, columns = weights.shape
    out = np.zeros(src.shape)
    for y in range(height):
        for x in range(width):
            for c in range(channels):
                total = share = 0.0
                for i in range(rows):
                    for j in range(columns):
                        v, u = y + i - anchor[0], x + j - anchor[1]
                        if 0 <= v < height and 0 <= u < width and not np.isnan(src[v, u, c]):
                            total += weights[i, j] * src[v, u, c]
                            share += weights[i, j]
                out[y, x, c] = total * weights.sum() / share if share else np.nan
    return out
