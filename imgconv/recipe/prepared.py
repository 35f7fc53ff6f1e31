"""Small arrays: all that does not depend on their samples is found in one look-up.

A call takes some µs then, where putting options and kernel together takes a hundred.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.plan import LARGEST_KEPT
from imgconv.kernels.spec import names_file
from imgconv.kernels.value import Kernel
from imgconv.recipe.chained import Chained
from imgconv.recipe.layout import layout_of
from imgconv.recipe.steps import Blurred, Step, step_of_any_alpha

if TYPE_CHECKING:
    from imgconv.recipe.recipe import Recipe

MOST_KEPT = 64
LARGEST = 2**22  # bytes of a result: beyond, what is looked up here is no cost
BY_REPR = (str, int, float, bool, type(None))  # options that can be told from each other by what is written for them

Key = tuple[Any, ...]
T = TypeVar("T")


class Prepared(NamedTuple):
    """What a call does to every array of a shape and type, in one thread."""

    fill: Callable[[Array, Array], object]  # writes the result of one, C-contiguous, into another
    shape: tuple[int, ...]  # of the result
    dtype: np.dtype[Any]
    work: float  # cycles for 16 samples, times samples

    def run(self, array: Array, out: Array | None = None) -> Array:
        """The result, in `out` if it is given, which shares no memory with the array."""
        target = np.empty(self.shape, self.dtype) if out is None else out
        self.fill(array, target)
        return target

    def takes(self, array: Array, out: Array) -> bool:
        """Whether the result can be written into `out`, C-contiguous, while the array is read."""
        return out.shape == self.shape and out.dtype == self.dtype and not np.may_share_memory(array, out)


_kept: dict[Key, Prepared | None] = {}


def key_of(function: str, kernel: Any, options: Mapping[str, Any]) -> Key | None:
    """What a call can be looked up by, but for the array; None where it cannot."""
    kind = type(kernel)
    if kind is Kernel:
        if kernel.weights.size > LARGEST_KEPT:
            return None
    elif kind is np.ndarray and kernel.size <= LARGEST_KEPT and kernel.dtype.kind in "iuf":
        kernel = kernel.shape, kernel.dtype, kernel.tobytes()
    elif kind is not str:
        return None
    if not options:
        return function, kernel
    if any(type(value) not in BY_REPR for value in options.values()):
        return None
    return function, kernel, *((name, repr(value)) for name, value in options.items())  # 1, 1.0 and True are three


def may_change(kernel: Any) -> bool:
    """Whether the kernel is in a file, and may be another one at the next call."""
    return isinstance(kernel, str) and names_file(kernel)


def find(key: Key, array: Array) -> Prepared | None:
    """What was kept for such a call."""
    flags = array.flags
    return _kept.get((*key, array.shape, array.dtype)) if flags.c_contiguous and flags.aligned else None


def keep(key: Key, recipe: Recipe, array: Array) -> None:
    """Keeps what a recipe does to such arrays, where it can be prepared."""
    if may_change(key[1]) or array.nbytes > LARGEST:
        return
    put(_kept, (*key, array.shape, array.dtype), prepare(recipe, array))


def put(kept: dict[Key, T], key: Key, value: T) -> None:
    """Adds to what is kept, which does not grow without end."""
    if len(kept) >= MOST_KEPT:
        kept.clear()
    kept[key] = value


def prepare(recipe: Recipe, array: Array) -> Prepared | None:
    """What a recipe does to such arrays; None where it is more than one kernel, or work for several threads."""
    step = only_step(recipe, array, "")
    small = step.small() if isinstance(step, Chained) else None
    if small is None:
        return None
    shape = small.target_shape[:2] if array.ndim == 2 else small.target_shape
    return Prepared(small.fill, shape, array.dtype, small.work)


def only_step(recipe: Recipe, array: Array, mode: str) -> Step | None:
    """The step of a recipe over such an array, whatever its samples are; None where there is more to do."""
    if array.dtype.kind == "V":  # bfloat16, which goes through float32
        return None
    options, (dtype, layout) = recipe.options, layout_of(array, mode)
    if options.mask is not None or options.vary is not None or dtype != array.dtype or layout.letters == "lab":
        return None
    shape = array.shape[0], array.shape[1], 1 if array.ndim == 2 else array.shape[2]
    step = step_of_any_alpha(recipe.kernels, options, layout, shape, dtype)
    return step if isinstance(step, Chained | Blurred) and step.count == len(recipe.kernels) else None
