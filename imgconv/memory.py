"""Large arrays whose memory is used again when nobody holds them any more.

Touching a new 36 MB buffer for the first time costs as much as a 3×3 filter over it: the system clears every page.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from typing import Any

import numpy as np

from imgconv.arrayfile import Array

SMALLEST = 2**20  # bytes; below that the allocator of the C library does as well
MOST_IDLE = 2  # blocks that are kept without a user: what a loop that drops its last result needs
LARGEST_IDLE = 2**28  # bytes

_idle: list[Array] = []
_lock = threading.RLock()  # the collector may end a loan while this thread holds it
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class _LentBlock:
    """Hands out a block through the array interface; gives it back when the last array over it has gone."""

    def __init__(self, block: Array, size: int) -> None:
        self.block = block
        self.__array_interface__ = block[:size].__array_interface__

    def __del__(self) -> None:
        if self.block.nbytes <= LARGEST_IDLE:
            with _lock:
                _idle.append(self.block)
                del _idle[:-MOST_IDLE]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array as `numpy.empty` makes it, from memory that was used before if some fits."""
    size = math.prod(shape) * dtype.itemsize
    if size < SMALLEST:
        return np.empty(shape, dtype)
    with _lock:
        fitting = [i for i, block in enumerate(_idle) if size <= block.nbytes <= 2 * size]
        block = _idle.pop(fitting[-1]) if fitting else None
    if block is None:
        block = np.empty(size, np.uint8)
    return np.asarray(_LentBlock(block, size)).view(dtype).reshape(shape)


def address_of(array: Array) -> int:
    """Where an array's samples begin; NumPy's own word for it takes three times as long."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    except (TypeError, ValueError):  # read-only, or without samples
        return array.ctypes.data


def with_padding(array: Array) -> Array | None:
    """Pixels of three 8-bit samples that have a fourth byte behind them, as Pillow's have: all four samples.

    None of all others. What Pillow itself puts there is 255.
    """
    if array.ndim != 3 or array.shape[2] != 3 or array.strides != (4 * array.shape[1], 4, 1):
        return None
    return np.lib.stride_tricks.as_strided(array, (*array.shape[:2], 4), array.strides)
