"""Memory for samples: arrays whose memory is used again, and what stands for arrays where NumPy is not imported.

Touching a new 36 MB buffer for the first time costs as much as a 3×3 filter over it: the system clears every page.
Importing NumPy takes longer than filtering a small picture: a command that needs nothing of it goes without.
"""

from __future__ import annotations

import ctypes
import math
import os
import threading
from struct import calcsize
from typing import Any, cast

import numpy as np

from imgconv.arrayfile import Array

SMALLEST = 2**20  # bytes; below that the allocator of the C library does as well
MOST_IDLE = 2  # blocks that are kept without a user: what a loop that drops its last result needs
LARGEST_IDLE = 2**28  # bytes
# names of types -> as the module struct calls them
CODES = {"uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "int64": "q", "float32": "f", "float64": "d"}
ITEMSIZES = {name: calcsize(code) for name, code in CODES.items()}
ANY_BUFFER = 0x11C  # PyBUF_FULL_RO: also read-only, and of any strides
WRITABLE = 0x200  # PyBUF_WRITE

_view_of = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)(
    ("PyMemoryView_FromMemory", ctypes.pythonapi)
)
_idle: list[Any] = []
_lock = threading.RLock()  # the collector may end a loan while this thread holds it
if hasattr(os, "register_at_fork"):  # a child must not wait for a thread that it does not have
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


class SampleType:
    """A type of samples, such as uint8, without NumPy; equal to NumPy's, which does whatever else is asked of it."""

    def __init__(self, name: str) -> None:
        self.name, self.kind, self.itemsize = name, name[0], ITEMSIZES[name]

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's."""
        return np.dtype(self.name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dtype, name)

    def __eq__(self, other: object) -> bool:
        return other.name == self.name if isinstance(other, SampleType) else bool(self.dtype == other)

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name


class Samples:
    """An array without NumPy, C-contiguous, as far as reading, filtering and writing a picture need it.

    NumPy's functions take it for an array, and an array does whatever else is asked of it. `data` are its bytes;
    without any, all its samples are one 0, as `formats.picture.unread` has them. Behind each pixel there may be a `gap`
    of some samples that are none of its own: see `with_padding`. The memory may be an `owner`'s: then it is there as
    long as these samples, parts of them, or arrays made of them, whoever has their `data`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: SampleType,
        data: memoryview | None = None,
        gap: int = 0,
        owner: object = None,
    ) -> None:
        self.shape, self.dtype, self._data, self.gap, self.owner = shape, dtype, data, gap, owner
        self.ndim, self.itemsize, self.size = len(shape), dtype.itemsize, math.prod(shape)
        self.nbytes = self.size * self.itemsize

    @property
    def data(self) -> memoryview:
        return memoryview(bytes(self.nbytes)) if self._data is None else self._data

    @property
    def buffer(self) -> Any:
        """Its bytes, which are there as long as this is."""
        if self.owner is None:
            return self.data
        memory: Any = (ctypes.c_ubyte * self.data.nbytes).from_address(address_of(self.data))
        memory.owner = self.owner
        return memory

    @property
    def strides(self) -> tuple[int, ...]:
        """In bytes."""
        if self._data is None:
            return (0,) * self.ndim
        strides: tuple[int, ...] = ()
        step = self.itemsize
        for size in (self.shape[-1] + self.gap, *self.shape[-2::-1]):
            strides, step = (step, *strides), step * size
        return strides

    @property
    def __array_interface__(self) -> dict[str, Any]:
        unread = self._data is None
        address = address_of(_NOTHING if self._data is None else self._data) if self.size else 0
        place = {"data": (address, unread or self.data.readonly), "strides": self.strides}
        return {"version": 3, "shape": self.shape, "typestr": self.dtype.str, **place}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)

    def __eq__(self, other: object) -> Any:
        """Of each sample, as an array's."""
        return np.asarray(self) == other

    def __ne__(self, other: object) -> Any:
        return np.asarray(self) != other

    def tolist(self) -> list[Any]:
        """As Python's numbers."""
        if self.gap or not self.size:  # none, as of a kernel without taps, are nothing that memoryview casts
            return cast(list[Any], np.asarray(self).tolist())
        numbers: list[Any] = self.data.cast(CODES[self.dtype.name], self.shape).tolist()  # type: ignore[call-overload]
        return numbers

    def reshape(self, *shape: Any) -> Any:
        """As an array's."""
        wanted: tuple[int, ...] = shape[0] if isinstance(shape[0], tuple) else shape
        if self.gap or math.prod(wanted) != self.size:
            return np.asarray(self).reshape(wanted)
        return self.over(wanted)

    def over(self, shape: tuple[int, ...], gap: int = 0, start: int = 0, stop: int | None = None) -> Samples:
        """Samples of another shape over the same memory, or some bytes of it."""
        return Samples(shape, self.dtype, None if self._data is None else self._data[start:stop], gap, self.owner)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        """Rows, which are a view of these."""
        if not isinstance(index, slice) or index.step is not None or self._data is None:
            return np.asarray(self)[index]
        start, stop, _ = index.indices(len(self))
        row, count = self.strides[0], max(0, stop - start)
        return self.over((count, *self.shape[1:]), self.gap, start * row, (start + count) * row)

    def __setitem__(self, index: Any, value: Any) -> None:
        part = self[index] if isinstance(index, slice) and isinstance(value, Samples) else None
        if part is not None and (part.shape, part.strides) == (value.shape, value.strides):
            part.data[:] = value.data
        else:
            np.asarray(self)[index] = value


def copy_pixels(target: Array, to: tuple[slice, slice], source: Array, at: tuple[slice, slice]) -> None:
    """Copies rows and columns of pixels of one array into another's, of the same type and channels."""
    if not isinstance(target, Samples):
        target[to] = source[at]
        return
    pixel = target.shape[2] * target.itemsize
    rows, columns = (axis.stop - axis.start for axis in to)
    wide, width, gap = target.shape[1] * pixel, columns * pixel, source.shape[1] * pixel
    into, out = (
        a.data[place[0].start * row + place[1].start * pixel :]
        for a, place, row in ((target, to, wide), (source, at, gap))
    )
    if width == wide == gap:
        into[: rows * wide] = out[: rows * wide]
    elif width < rows:
        for byte in range(width):
            into[byte : rows * wide : wide] = out[byte : rows * gap : gap]
    else:
        for row in range(rows):
            into[row * wide : row * wide + width] = out[row * gap : row * gap + width]


class _LentBlock:
    """Hands out a block through the array interface; gives it back when the last array over it has gone."""

    def __init__(self, block: Any, size: int) -> None:
        self.block = block
        data = address_of(block), False
        self.__array_interface__ = {"version": 3, "data": data, "shape": (size,), "typestr": "|u1"}

    def __del__(self) -> None:
        if self.block.nbytes <= LARGEST_IDLE:
            with _lock:
                _idle.append(self.block)
                del _idle[:-MOST_IDLE]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any] | SampleType) -> Array:
    """An array as `numpy.empty` makes it, from memory that was used before if some fits; or `Samples`, by its type."""
    size = math.prod(shape) * dtype.itemsize
    plain = dtype if isinstance(dtype, SampleType) else None
    if size < SMALLEST:
        return cast(Array, Samples(shape, plain, fresh(size))) if plain else np.empty(shape, dtype)
    with _lock:
        fitting = [i for i, block in enumerate(_idle) if size <= block.nbytes <= 2 * size]
        block = _idle.pop(fitting[-1]) if fitting else None
    if block is None:
        block = fresh(size) if plain else np.empty(size, np.uint8)
    loan = _LentBlock(block, size)
    if plain:
        return cast(Array, Samples(shape, plain, bytes_at(address_of(block), size), owner=loan))
    return np.asarray(loan).view(dtype).reshape(shape)


def fresh(size: int) -> memoryview:
    """So many bytes, whatever is in them; those of a large block are touched by whoever fills it."""
    if size < SMALLEST:
        return memoryview(bytearray(size))
    import mmap

    # a process that is forked has its own; and the system gives shared ones in small pages
    private = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}
    try:
        pages = mmap.mmap(-1, size, **private)
    except OSError:
        raise MemoryError from None
    if hasattr(mmap, "MADV_HUGEPAGE"):  # as NumPy does
        pages.madvise(mmap.MADV_HUGEPAGE)
    return memoryview(pages)


def bytes_at(address: int, size: int) -> memoryview:
    """The bytes there, as long as they are: for `Samples` with an owner."""
    view: memoryview = _view_of(address, size, WRITABLE)
    return view


def address_of(array: Any) -> int:
    """Where the samples of an array, or a buffer's bytes, begin; NumPy's own word for it takes three times as long."""
    if isinstance(array, Samples):
        array = array.data
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    except (TypeError, ValueError):  # no buffer itself; or one that is read-only, has gaps, or is empty
        view = (ctypes.c_void_p * 16)()  # a Py_buffer, which begins with the address, and room behind it
        ctypes.pythonapi.PyObject_GetBuffer(ctypes.py_object(array), view, ANY_BUFFER)
        address = view[0]
        ctypes.pythonapi.PyBuffer_Release(view)
        return address or 0


_NOTHING = memoryview(bytearray(max(ITEMSIZES.values())))  # what samples that were not read are


def with_padding(array: Array) -> Array | None:
    """Pixels of three 8-bit samples that have a fourth byte behind them, as Pillow's have: all four samples.

    None of all others. What Pillow itself puts there is 255.
    """
    if array.ndim != 3 or array.shape[2] != 3 or array.strides != (4 * array.shape[1], 4, 1):
        return None
    if isinstance(array, Samples):
        return cast(Array, array.over((*array.shape[:2], 4)))
    return np.lib.stride_tricks.as_strided(array, (*array.shape[:2], 4), array.strides)


def without_padding(pixels: Array) -> Array:
    """What `with_padding` gave these pixels for."""
    if isinstance(pixels, Samples):
        return cast(Array, pixels.over((*pixels.shape[:2], 3), gap=1))
    return pixels[:, :, :3]


def contiguous(array: Array, dtype: Any = None) -> Array:
    """As `numpy.ascontiguousarray`; `Samples` stay what they are."""
    if isinstance(array, Samples) and not array.gap and dtype in (None, array.dtype.name):
        return array
    return np.ascontiguousarray(array, dtype)
