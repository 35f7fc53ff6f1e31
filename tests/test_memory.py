import gc
import mmap

import numpy as np
import pytest
from makers import noise

from imgconv import memory

SHAPE = (1024, 1100, 3)


def address(array):
    return array.ctypes.data


def test_memory_is_used_again_only_when_nobody_holds_it():
    memory._idle.clear()
    first = memory.empty(SHAPE, np.dtype(np.uint8))
    kept = first[10:20, 5:]  # a view holds the memory, too
    where = address(first)
    del first
    gc.collect()
    second = memory.empty(SHAPE, np.dtype(np.uint8))
    assert address(second) != where
    kept[...] = 7
    second[...] = 1
    assert (kept == 7).all()
    del kept
    gc.collect()
    third = memory.empty(SHAPE, np.dtype(np.uint8))
    assert address(third) == where


def test_arrays_are_as_numpy_makes_them():
    for dtype in ("uint8", "uint16", "float64"):
        made = memory.empty(SHAPE, np.dtype(dtype))
        assert (made.shape, made.dtype, made.flags.c_contiguous, made.flags.writeable) == (SHAPE, dtype, True, True)
        assert made.flags.aligned
    assert memory.empty((3, 4), np.dtype(np.uint8)).shape == (3, 4)


def test_idle_memory_is_bounded():
    memory._idle.clear()
    arrays = [memory.empty(SHAPE, np.dtype(np.uint8)) for _ in range(6)]
    del arrays
    gc.collect()
    assert len(memory._idle) == memory.MOST_IDLE
    huge = memory.empty((memory.LARGEST_IDLE + 1,), np.dtype(np.uint8))
    del huge
    gc.collect()
    assert all(block.nbytes <= memory.LARGEST_IDLE for block in memory._idle)


@pytest.mark.parametrize("array", [noise(5, 6, 3), noise(5, 6, 3).astype(">u2"), noise(5, 6, 3).astype(np.float16)])
def test_addresses_are_those_that_numpy_says(array):
    only_read = array.view()
    only_read.flags.writeable = False
    for base in (array, only_read):
        for view in (base, base[1:], base[::2, ::-1].T, base[:0]):
            assert memory.address_of(view) == memory.address_of(view.data) == address(view)


def test_buffers_that_are_no_arrays_have_addresses_too():
    with mmap.mmap(-1, 9) as mapped:
        for buffer in (bytes(9), bytearray(9), mapped):
            where = address(np.frombuffer(buffer, np.uint8))
            assert memory.address_of(buffer) == where
            for view in (memoryview(buffer), memoryview(buffer).toreadonly()):
                assert (memory.address_of(view), memory.address_of(view[4:])) == (where, where + 4)
                view.release()
