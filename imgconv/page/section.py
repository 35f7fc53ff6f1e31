"""One picture's part of a page: previews, true samples of small regions, histograms."""

from __future__ import annotations

import zlib
from base64 import b64encode
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.difference import gaps
from imgconv.engine.stage import border_map, by_axis
from imgconv.formats.preview import as_bytes, shown_range, webp
from imgconv.page import sums
from imgconv.recipe.layout import samples_of

if TYPE_CHECKING:
    from imgconv.engine.correlation import Correlation
    from imgconv.formats.picture import Picture
    from imgconv.recipe.recipe import Recipe

SIDE, SMALL_SIDE = 1400, 320  # pixels of a preview: for one picture on a page, and for one of many
REGION_BYTES = 2**17  # of true samples in one region
MOST_CHANNELS = 32  # of which true samples are kept
BINS = 256
LARGEST = float(np.finfo(np.float32).max)  # what a difference from no number counts as


def section(
    before: Picture, after: Array | None, mode: str, recipe: Recipe | None, *, small: bool = False
) -> dict[str, Any]:
    """What the page has of a picture, and of the result: `after` with Pillow's `mode`, or what the recipe makes of it.

    There is no recipe where no kernel is known that makes one of the other. A `small` one, of many, has no true
    samples.
    """
    clipped, given = None, after
    if recipe is not None:
        made, made_mode, report = recipe.apply(before.array, before.mode)
        if given is None:
            after, mode, clipped = made, made_mode, report.clipped if made.dtype.kind in "iub" else None
        elif made.shape != given.shape:  # the sums would be those of other samples
            recipe = None
    assert after is not None
    one, other = before.array, after
    low, high = shown_range(one, other) if one.dtype == other.dtype else shown_range(one)
    same = one.dtype == other.dtype or one.dtype in (np.uint8, np.uint16)  # sums of levels are levels
    ends = (low, high) if same else shown_range(other)
    side = SMALL_SIDE if small else SIDE
    shown = as_bytes(one, low, high), as_bytes(other, *ends)
    data: dict[str, Any] = {
        "size": [one.shape[0], one.shape[1]],
        "result_size": [other.shape[0], other.shape[1]],
        "before": _data(webp(shown[0], before.mode, side)),
        "after": _data(webp(shown[1], mode, side)),
        "scale": -(-max(one.shape[:2]) // side),
        "range": None if one.dtype in (np.uint8, np.uint16) else [low, high],
        "dtype": other.dtype.name,
        "letters": (mode.partition(";")[0] if mode else ""),
        "channels": [1 if a.ndim == 2 else a.shape[2] for a in (one, other)],
        "clipped": clipped,
        "samples": other.size,
        "histograms": [histogram(one, low, high), histogram(other, *ends)],
        "ends": [[low, high], list(ends)],
    }
    change = changes(one, other)
    if change is not None:
        largest = float(change.max())
        data["largest"] = largest
        data["differing"] = int(np.count_nonzero(change))
        scaled = (change * (255 / largest if largest else 0)).astype(np.uint8)
        data["difference"] = _data(webp(_blocks(scaled, data["scale"]), "", side))
    if not small:
        data |= _regions(before, other, recipe, change)
    return data


def _data(data: bytes) -> str:
    return "data:image/webp;base64," + b64encode(data).decode()


def changes(one: Array, other: Array) -> Array | None:
    """The largest difference over the channels of each pixel, float32; None where shapes do not allow that."""
    if one.shape != other.shape:
        return None
    largest = np.empty(one.shape[:2], np.float32)
    for start, apart in gaps(one, other):
        over = reduce(np.maximum, np.moveaxis(apart.reshape(*apart.shape[:2], -1), 2, 0))
        largest[start : start + len(over)] = np.minimum(over, LARGEST)
    return largest


def _blocks(array: Array, size: int) -> Array:
    """The largest of each block of size × size pixels: single pixels stay to be seen."""
    rows = np.maximum.reduceat(array, np.arange(0, array.shape[0], size), axis=0)
    return np.asarray(np.maximum.reduceat(rows, np.arange(0, array.shape[1], size), axis=1))


def histogram(array: Array, low: float, high: float) -> list[list[int]]:
    """For each channel how many samples lie in each of 256 equal parts of the range; more channels than 4 as one."""
    channels = array.reshape(*array.shape[:2], -1)
    if channels.shape[2] > 4:
        channels = channels.reshape(channels.shape[0], -1, 1)
    counts = np.zeros((channels.shape[2], BINS), np.int64)
    for row in range(0, len(channels), 64):
        part = as_bytes(channels[row : row + 64], low, high)
        for number in range(part.shape[2]):
            counts[number] += np.bincount(part[:, :, number].ravel(), minlength=BINS)
    return [[int(count) for count in channel] for channel in counts]


def _regions(before: Picture, after: Array, recipe: Recipe | None, change: Array | None) -> dict[str, Any]:
    """True samples of the corner, where the border is seen, and of where most changes; and what they are sums of."""
    array, mode, c, found = before.array, before.mode, None, "no kernel is known that makes one of the other"
    stride = recipe.options.stride if recipe else (1, 1)
    summing: dict[str, Any] | None = None
    if recipe is not None:
        samples, layout = recipe.before_last(*samples_of(array, mode))
        array, mode = layout.finished(samples, False), layout.mode_of(samples.shape[2], layout.back)
        answer = sums.sums_of(recipe, array, mode)
        if isinstance(answer, str):
            found = answer
        else:
            summing, c = answer
    if c is None and array.shape[:2] != after.shape[:2]:
        return {"regions": [], "sum": None, "why": found}
    pixel = max(a.reshape(*a.shape[:2], -1).shape[2] * a.dtype.itemsize for a in (array, after))
    side = max(4, int((REGION_BYTES / pixel) ** 0.5))
    if pixel > MOST_CHANNELS * 8:
        return {"regions": [], "sum": None, "why": f"the true samples of so many channels are not kept; {found}"}
    corner = (0, 0)
    spots = {corner: "the top left corner, where the border is seen"}
    if max(after.shape[:2]) <= side:
        spots = {corner: "the whole result"}
    elif change is not None and change.max() > 0:
        spots = {_liveliest(change, side): "where most changes", **spots}
    return {
        "regions": [
            {"name": name} | _region(array, after, spot, side, c, stride) for spot, name in spots.items()
        ],
        "sum": summing,
        "why": found,
    }  # fmt: skip


def _liveliest(change: Array, side: int) -> tuple[int, int]:
    """Where the region begins in which pixels change most."""
    rows, columns = (max(1, size // side) for size in change.shape)
    tops = [min(row * side, max(0, change.shape[0] - side)) for row in range(rows)]
    lefts = [min(column * side, max(0, change.shape[1] - side)) for column in range(columns)]
    spots = [(top, left) for top in tops for left in lefts]
    return max(spots, key=lambda spot: float(change[spot[0] : spot[0] + side, spot[1] : spot[1] + side].mean()))


def _region(
    before: Array, after: Array, spot: tuple[int, int], side: int, c: Correlation | None, stride: tuple[int, int]
) -> dict[str, Any]:
    """The result's samples from a pixel on, and all that their windows lie on, with what the border makes up."""
    result = after[spot[0] : spot[0] + side, spot[1] : spot[1] + side]
    firsts, maps = [], []
    for axis in (0, 1):
        taps, anchor = (c.weights.shape[axis], c.anchor[axis]) if c else (1, 0)
        start = 0  # where the first window's anchor lies in the picture
        if c and c.padding != "same":
            start = anchor if c.padding == "valid" else anchor + 1 - taps
        first = spot[axis] * stride[axis] + start - anchor
        count = (result.shape[axis] - 1) * stride[axis] + taps
        firsts.append(first)
        maps.append(border_map(first, count, before.shape[axis], by_axis(c.border if c else "edge")[axis]))
    windows = before[np.maximum(maps[0], 0)][:, np.maximum(maps[1], 0)]
    return {
        "at": list(spot),
        "first": firsts,
        "size": list(before.shape[:2]),
        "maps": maps,
        "step": list(stride),
        "before": _packed(windows),
        "after": _packed(result),
    }


def _packed(array: Array) -> dict[str, Any]:
    """An array as the page unpacks it; of types that JavaScript lacks as float64."""
    kind = array.dtype.newbyteorder("=")
    if kind == np.bool_:
        kind = np.dtype(np.uint8)
    elif kind.itemsize == 8 or kind == np.float16:
        kind = np.dtype(np.float64)
    data = np.ascontiguousarray(array, kind.newbyteorder("<"))
    shape = [*data.shape, 1][:3]
    return {"shape": shape, "type": kind.name, "data": b64encode(zlib.compress(data.tobytes(), 9)).decode()}
