"""Arrays that come and go block by block: Dask's, and xarray's. Every value is that of the whole array.

A block of the result is computed from a part of the array: what lies under its windows, with the borders where the
array ends, and what is computed too much is cut off. Under borders that wrap, what comes from the other end is put
beside it first. Sums do not depend on what lies next to their windows, with two exceptions: some methods take them on a
grid (`Plan.grid`), so the part begins on it; and border "renormalize" weighs otherwise as soon as any sample of the
array is missing.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple, overload

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.stage import border_map, by_axis
from imgconv.errors import PictureError, UsageError
from imgconv.formats.picture import unread
from imgconv.recipe.chained import About, Chained
from imgconv.recipe.filtering import OrderedCorrelator
from imgconv.recipe.layout import layout_of
from imgconv.recipe.recipe import Recipe, recipe_from
from imgconv.recipe.steps import Blurred, next_step

if TYPE_CHECKING:
    from typing import Unpack

    import dask.array
    import xarray

    from imgconv.engine.stage import Stage
    from imgconv.kernels.spec import KernelLike
    from imgconv.recipe.filtering import Correlator
    from imgconv.recipe.signature import ApplyOptions

CHANNELS = ("band", "bands", "channel", "channels")  # what dimensions of channels are called
WRAPPING = ("wrap", "wrap-x")


class Part(NamedTuple):
    """A block of the result along rows or columns."""

    source: Array  # which rows or columns of the array it is computed from
    wanted: slice  # of what is computed from that
    free: int | None  # a row or column of the source that the block does not depend on: its first (0), last (-1), none


@overload
def map_blocks(array: dask.array.Array, kernel: KernelLike, **options: Unpack[ApplyOptions]) -> dask.array.Array: ...
@overload
def map_blocks(
    array: xarray.DataArray,
    kernel: KernelLike,
    *,
    dims: tuple[Hashable, Hashable] | None = None,
    channel_dim: Hashable | None = None,
    **options: Unpack[ApplyOptions],
) -> xarray.DataArray: ...
def map_blocks(
    array: Any,
    kernel: KernelLike,
    *,
    dims: tuple[Hashable, Hashable] | None = None,
    channel_dim: Hashable | None = None,
    **options: Unpack[ApplyOptions],
) -> Any:
    """Slides a kernel over a Dask array or an xarray.DataArray, block by block; nothing is computed yet.

    Each block takes from its neighbours what lies under the kernel. The values are, bit for bit, those of
    `imgconv.correlate` on the whole array, whatever its chunks are.

    Parameters
    ----------
    array : dask.array.Array or xarray.DataArray
        A Dask array of shape (rows, columns) or (rows, columns, channels). A DataArray may have more dimensions: each
        plane of rows and columns is filtered by itself. One that holds a NumPy array is filtered at once.
    kernel : str, path, Kernel or array_like
        As `imgconv.kernel` takes it.
    dims : (row dimension, column dimension), optional
        Of a DataArray. By default the last two that are not of channels.
    channel_dim : hashable, optional
        Of a DataArray: the dimension of channels. By default one of "band", "bands", "channel" and "channels".
    **options
        Those of `imgconv.correlate`, and mode : {"correlate", "convolve"}; but neither `mask` nor `vary`, nor what
        depends on the whole array: after="minmax", and with like="ndimage" sums that are not cut at once. `threads` is
        1 by default where there are blocks: they are computed side by side.

    Returns
    -------
    dask.array.Array or xarray.DataArray
        What it was given, with its dimensions, coordinates and attributes. Chunks are those of the array, but all
        channels lie in one. Where the result has other places than the array (padding valid, stride), coordinates are
        those of the places; where there are none (padding full, other channels), coordinates along them are left out.

    Raises
    ------
    KernelError
        When the kernel cannot be found or used.
    PictureError
        When the array is no picture, or its chunks have unknown sizes.
    UsageError
        When options contradict each other, are out of range, or need the whole array.

    Examples
    --------
    >>> import dask.array
    >>> map_blocks(dask.array.ones((4000, 4000), chunks=1000), "1 2 1").sum().compute()
    np.float64(64000000.0)
    """
    if _is(array, "dask.array", "Array") and dims is None and channel_dim is None:
        if array.ndim not in (2, 3):
            raise PictureError(
                f"a Dask array of {array.ndim} dimensions is no picture; it takes (rows, columns[, channels])"
            )
        result = _filtered(array if array.ndim == 3 else array[:, :, None], kernel, options)[0]
        return result[:, :, 0] if array.ndim == 2 and result.shape[2] == 1 else result
    if _is(array, "xarray", "DataArray"):
        return _labelled(array, kernel, dims, channel_dim, options)
    if _is(array, "dask.array", "Array"):
        raise UsageError("a Dask array has no names for its dimensions; they are (rows, columns[, channels])")
    kind = f"{type(array).__module__.partition('.')[0]}.{type(array).__name__}"
    raise PictureError(f"map_blocks() takes a Dask array or an xarray.DataArray, not {kind}; correlate() takes others")


def _is(array: Any, module: str, name: str) -> bool:
    """Whether it is of a class of a module, which is not imported for that."""
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and isinstance(array, known)


def _labelled(
    array: xarray.DataArray,
    kernel: KernelLike,
    dims: tuple[Hashable, Hashable] | None,
    channel_dim: Hashable | None,
    options: ApplyOptions,
) -> xarray.DataArray:
    """A DataArray, with its names put in order for `_filtered` and back."""
    if channel_dim is None:
        channel_dim = next((dim for dim in array.dims if dim in CHANNELS and dim not in (dims or ())), None)
    if dims is None:
        others = [dim for dim in array.dims if dim != channel_dim]
        if len(others) < 2:
            raise PictureError(f"an array with dimensions {array.dims} is no picture; it has no rows and columns")
        dims = others[-2], others[-1]
    named = [*dims] if channel_dim is None else [*dims, channel_dim]
    for dim in named:
        if dim not in array.dims or named.count(dim) > 1:
            raise UsageError(f"dims and channel_dim are different ones of the array's, {array.dims}; not {dim!r}")
    ordered = array.transpose(..., *named).variable
    samples = ordered.data if channel_dim is not None else ordered.data[..., None]
    result, places = _filtered(samples, kernel, options)
    if channel_dim is None:
        channel_dim = "channel"
    if channel_dim not in array.dims and result.shape[-1] == 1:
        result = result[..., 0]
    names = [*ordered.dims] if result.ndim == ordered.ndim else [*ordered.dims, channel_dim]
    kept = {dim: at for dim, at in zip(dims, places, strict=True) if at[0] >= 0 and at[-1] < array.sizes[dim]}
    lost = {*dims} - {*kept}
    if channel_dim in array.dims and result.shape[-1] != array.sizes[channel_dim]:
        lost.add(channel_dim)
    coords = array.coords.to_dataset().drop_vars([name for name in array.coords if lost & {*array.coords[name].dims}])
    coords = coords.isel({dim: slice(at[0], at[-1] + 1, at.step) for dim, at in kept.items()}, missing_dims="ignore")
    made = type(array)(result, coords.coords, names, array.name, array.attrs)
    return made.transpose(*array.dims, ...)


def _filtered(array: Any, kernel: KernelLike, options: ApplyOptions) -> tuple[Any, tuple[range, ...]]:
    """An array of shape (…, rows, columns, channels), of Dask or NumPy; and the rows and columns where results lie."""
    recipe = recipe_from("map_blocks", kernel, options)
    if len(recipe.kernels) != 1 or recipe.options.mask is not None:
        raise UsageError("map_blocks() takes one kernel, and neither mask nor vary; call it for each of a chain")
    if any(math.isnan(size) for size in array.shape):
        raise PictureError("the chunks of the array have unknown sizes; array.compute_chunk_sizes() finds them")
    if 0 in array.shape:
        raise PictureError(f"an array of shape {array.shape} has no pixels")
    dtype, layout = layout_of(unread(array.shape[-3:], array.dtype), "")
    about = About(recipe.options, layout, array.shape[-3:], dtype, lambda: False)
    step = next_step(recipe.kernels, None, about)
    if isinstance(step, Blurred):
        raise UsageError("map_blocks() takes weights, and like pillow is Pillow's own blur: leave it out")
    correlators = [] if isinstance(step, Chained) else step.parts[0].all_correlators
    _check(recipe, correlators)
    stage = step.stage if isinstance(step, Chained) else correlators[0].stage
    strides = recipe.options.stride
    places = tuple(range(*span, stride) for span, stride in zip(stage.window, strides, strict=True))
    if not _is(array, "dask.array", "Array"):
        samples = np.asarray(array)
        planes = [recipe.apply(samples[place])[0] for place in np.ndindex(array.shape[:-3])]
        return np.reshape(planes, (*array.shape[:-3], *planes[0].shape)), places
    from dask.array import isnan, map_blocks

    first = array.ndim - 3  # the axis of rows
    array = array.rechunk({first + 2: -1})
    incomplete = stage.plan.correlation.border == "renormalize" and array.dtype.kind == "f"
    parts, tiles, chunks = [], array, list(array.chunks)
    for axis, at in enumerate(places):
        made = _parts(array.chunks[first + axis], stage, axis, at, incomplete)
        tiles = _overlapping(tiles, first + axis, made)
        chunks[first + axis] = tuple(part.wanted.stop - part.wanted.start for part in made)
        parts.append(made)
    chunks[-1] = (step.target_shape[2],)
    settled = replace(recipe.options, threads=recipe.options.threads or 1)
    if stage.plan.correlation.border in WRAPPING:
        settled = replace(settled, padding="valid")
    back = step.dtype if step.floating and layout.back.kind != "f" else layout.back
    result = map_blocks(
        partial(filtered_block, recipe=Recipe(recipe.kernels, settled), parts=tuple(parts)),
        tiles,
        *([isnan(array).any(axis=(first, first + 1), keepdims=True)] if incomplete else []),
        dtype=back, chunks=tuple(chunks), meta=np.empty((0,) * array.ndim, back),
    )  # fmt: skip
    return result, places


def _check(recipe: Recipe, correlators: Sequence[Correlator]) -> None:
    """Raises UsageError where a block depends on more of the array than is near."""
    o, (_, s) = recipe.options, recipe.settled(picture=False)[0]
    if s.after == "minmax":
        raise UsageError("after minmax stretches the whole array, of which a block knows nothing")
    if s.padding == "tf-same" and s.border in WRAPPING and o.channels not in ("each", "sum"):
        raise UsageError(f"padding tf-same under border {s.border} takes all channels here, not {o.channels}")
    unsure = any(isinstance(correlator, OrderedCorrelator) and correlator.bound for correlator in correlators)
    if unsure and (s.after not in ("clip", "abs", "relu") or s.bias or o.linear or o.combine or len(correlators) > 1):
        raise UsageError(
            "the last bits of sums as ndimage takes them depend on whole rows here; method direct has none"
        )


def _parts(chunks: Sequence[int], stage: Stage, axis: int, places: range, incomplete: bool) -> list[Part]:
    """The blocks of the result along an axis (0: rows): one for each chunk of the array on which any of it lies.

    `places` are those of the results, in the array's coordinates. Where `incomplete`, a row or column is wanted that
    does not matter.
    """
    c, size, stride, grid = stage.plan.correlation, stage.shape[axis], places.step, stage.plan.grid[axis]
    border, taps, anchor = by_axis(c.border)[axis], c.weights.shape[axis], c.anchor[axis]
    before, after = stage.plan.halo if axis == 0 else (0, 0)
    begin, count = stage.inner[axis].start, stage.inner[axis].stop - stage.inner[axis].start
    ends = list(accumulate(chunks))
    starts = [min(0, places[0]), *ends[:-1]]
    ends[-1] = max(size, places[-1] + 1)
    parts = []
    for bounds in zip(starts, ends, strict=True):
        first, stop = (len(range(places.start, min(bound, places.stop), stride)) for bound in bounds)
        if first == stop:
            continue
        # what is computed, counted from `begin`: whole tiles of the grid, and one more, for the last may be a short one
        low, high = places[first] - begin, places[stop - 1] - begin + 1
        low = max((low - before - (grid if grid > 1 else 0)) // grid, -before // grid) * grid
        high = min(-(-(high + after) // grid) * grid, count + after)
        near, end = begin + low - anchor, begin + high - 1 - anchor + taps
        if c.border in WRAPPING:
            skipped = (places[first] - begin - low) // stride
            source, free = np.array(border_map(near, end - near, size, border)), None
        else:
            near, end = min(near, places[first] - anchor), max(end, places[stop - 1] - anchor + taps)
            under = [at for at in border_map(near, end - near, size, border) if at >= 0]
            near, end = min([near, *under]), max([end - 1, *under]) + 1
            more = stride if incomplete else 0
            near = min(max(near - more, 0), size - 1) // (stride * grid) * (stride * grid)
            end = size - (size - min(max(end + more, 1), size)) // stride * stride
            skipped = first - near // stride
            source, free = np.arange(near, end), 0 if near > 0 else -1 if end < size else None
        parts.append(Part(source, slice(skipped, skipped + stop - first), free))
    return parts


def _overlapping(array: dask.array.Array, axis: int, parts: Sequence[Part]) -> dask.array.Array:
    """What the parts are computed from, one after the other along an axis, each in a chunk of its own."""
    from dask.array import concatenate

    pieces = []
    for part in parts:
        for run in np.split(part.source, np.flatnonzero(np.diff(part.source) != 1) + 1):
            pieces.append(array[(slice(None),) * axis + (slice(int(run[0]), int(run[-1]) + 1),)])
    joined = concatenate(pieces, axis)
    return joined.rechunk({axis: tuple(len(part.source) for part in parts)}, method="tasks")


def filtered_block(
    tile: Array,
    missing: Array | None = None,
    *,
    recipe: Recipe,
    parts: tuple[Sequence[Part], ...],
    block_id: tuple[int, ...],
) -> Array:
    """A block of the result. `missing` says for each plane and channel whether a sample of the whole array is NaN."""
    part = [some[number] for some, number in zip(parts, block_id[-3:-1], strict=True)]
    if missing is not None and bool(missing.any()):
        tile, (row, column) = tile.copy(), (some.free for some in part)
        place = (..., row, slice(None), slice(None)) if row is not None else (..., column, slice(None))
        if row is not None or column is not None:
            line = tile[place]
            line[np.broadcast_to(missing.squeeze((-3, -2))[..., None, :], line.shape)] = np.nan
    wanted = part[0].wanted, part[1].wanted
    planes = [recipe.apply(tile[place])[0][wanted] for place in np.ndindex(tile.shape[:-3])]
    return np.reshape(planes, (*tile.shape[:-3], *planes[0].shape))
