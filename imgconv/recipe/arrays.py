"""Arrays filtered as the library has them: one, a batch, or a list, small ones by what was prepared for their kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import PADDINGS
from imgconv.engine.run import workers_for
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.kernels.value import Kernel
from imgconv.recipe import prepared
from imgconv.recipe.options import options_from
from imgconv.recipe.recipe import Recipe
from imgconv.threads import in_threads


def filter_array(array: Any, kernel: Any, function: str, out: Any, options: Mapping[str, Any]) -> Any:
    """What `correlate` and `convolve` give, by the function's name."""
    key = prepared.key_of(function, kernel, options)
    if out is not None:
        _check_out(out)
    if type(array) is np.ndarray and array.ndim < 4:
        ready = prepared.find(key, array) if key else None
        if ready is not None and (out is None or ready.takes(array, out)):
            return ready.run(array, out)
    recipe = _recipe_of_one(kernel, function, options)
    if isinstance(array, (list, tuple)) and array and all(isinstance(a, np.ndarray) and a.ndim > 1 for a in array):
        if out is not None:
            raise UsageError("out goes with one array; a list of arrays gives a list")
        return _each(list(array), [None] * len(array), recipe)
    try:
        samples = np.asarray(array)
    except (TypeError, ValueError) as problem:
        raise PictureError(f"{function}() takes an array of numbers: {problem}") from None
    if samples.ndim == 4:
        return _batch(samples, out, recipe)
    result = recipe.apply(samples, out=out)[0]
    if key:
        prepared.keep(key, recipe, samples)
    return result


def _recipe_of_one(kernel: Any, function: str, options: Mapping[str, Any]) -> Recipe:
    """What `correlate` and `convolve` were asked for."""
    if "mode" in options:
        padding = f"padding={options['mode']!r} says how large the result is" if options["mode"] in PADDINGS else ""
        raise UsageError(f"{function}() takes no mode; {padding or 'correlate() and convolve() are the two'}")
    if isinstance(kernel, (list, tuple)) and any(isinstance(item, (str, Kernel, PathLike)) for item in kernel):
        raise KernelError(f"{function}() takes one kernel; call it for each of a chain, or apply() to a Pillow image")
    kernels = () if kernel is None else (to_kernel(kernel),)
    return Recipe(kernels, replace(options_from(function, options), mode=function))


def _each(arrays: list[Array], outs: list[Array | None], recipe: Recipe) -> list[Array]:
    """The result of each array: of small ones each by one thread, of others one after the other by all."""
    arrays = [np.require(array, requirements=("C", "A")) for array in arrays]
    kinds = {(array.shape, array.dtype): array for array in arrays}
    ready = {kind: prepared.prepare(recipe, array) for kind, array in kinds.items()}
    ways = [ready[array.shape, array.dtype] for array in arrays]
    if not all(ways):
        return [recipe.apply(array, out=out)[0] for array, out in zip(arrays, outs, strict=True)]
    results: list[Any] = outs

    def one(number: int) -> int:
        way = ways[number]
        assert way is not None
        results[number] = way.run(arrays[number], outs[number])
        return 0

    work = sum(way.work for way in ways if way)
    in_threads(lambda: one, range(len(arrays)), workers_for(work, len(arrays), recipe.options.threads))
    return results


def _batch(array: Array, out: Array | None, recipe: Recipe) -> Array:
    """The results of an array of shape (n, rows, columns, channels), as such an array."""
    if not len(array):
        raise PictureError("a batch of no pictures has no results")
    first = recipe.apply(array[0])[0]
    shape = len(array), *first.shape
    if out is not None and (out.shape, out.dtype) != (shape, first.dtype):
        raise UsageError(f"out must be an array of {first.dtype} of shape {shape}, not {out.dtype} of {out.shape}")
    result = np.empty(shape, first.dtype) if out is None or np.may_share_memory(array, out) else out
    result[0] = first
    _each(list(array[1:]), list(result[1:]), recipe)
    if out is not None and result is not out:
        np.copyto(out, result)
        result = out
    return result


def _check_out(out: Any) -> None:
    if type(out) is not np.ndarray or not out.flags.c_contiguous or not out.flags.writeable:
        raise UsageError("out must be a NumPy array that is C-contiguous and can be written")
