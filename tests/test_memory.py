import gc
import mmap
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from makers import imgconv, noise
from PIL import Image

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


def both(shape, dtype, seed=0, gap=0):
    """Samples, and an array with the same."""
    whole = *shape[:-1], shape[-1] + gap
    array = np.random.default_rng(seed).integers(0, 100, whole).astype(dtype)
    samples = memory.empty(whole, memory.SampleType(dtype))
    samples.data[:] = array.tobytes()
    return samples.over(shape, gap), array[..., : shape[-1]]


@given(
    shape=st.tuples(*[st.integers(1, 9)] * 3), dtype=st.sampled_from(sorted(memory.CODES)), gap=st.integers(0, 2),
    data=st.data(),
)  # fmt: skip
def test_samples_are_what_an_array_is(shape, dtype, gap, data):
    samples, array = both(shape, dtype, gap=gap)
    assert (samples.shape, samples.ndim, samples.size, samples.nbytes) == (shape, 3, array.size, array.nbytes)
    assert (samples.itemsize, samples.strides, len(samples)) == (array.itemsize, array.strides, len(array))
    assert samples.dtype == array.dtype == samples.dtype
    assert samples.dtype != np.dtype("bool") != samples.dtype
    assert samples.tolist() == array.tolist()
    np.testing.assert_array_equal(samples, array)
    np.testing.assert_array_equal(samples[0, :, -1], array[0, :, -1])
    np.testing.assert_array_equal(samples[::2], array[::2])
    assert (samples.sum(), samples.max()) == (array.sum(), array.max())  # whatever else
    for other in (samples, array, array[:1, :1, :1], array.max(), array.tolist()):
        np.testing.assert_array_equal(samples == other, array == np.asarray(other))
        np.testing.assert_array_equal(samples != other, array != np.asarray(other))
        np.testing.assert_array_equal(other == samples, array == np.asarray(other))
    for other in ((array.size,), (-1, shape[2]), (shape[0], -1), shape):
        np.testing.assert_array_equal(samples.reshape(other), array.reshape(other))
        np.testing.assert_array_equal(samples.reshape(*other), array.reshape(other))
    np.testing.assert_array_equal(memory.contiguous(samples, dtype), array)
    assert (memory.contiguous(samples) is samples) == (gap == 0)
    start, stop = (data.draw(st.one_of(st.none(), st.integers(-9, 9))) for _ in range(2))
    part = samples[start:stop]
    np.testing.assert_array_equal(part, array[start:stop])
    part[:] = part[::-1].copy()
    part[:1] = part[-1:]
    part[1:2, :1] = 5
    view = array[start:stop]
    view[:] = view[::-1].copy()
    view[:1] = view[-1:]
    view[1:2, :1] = 5
    np.testing.assert_array_equal(samples, array)  # a part is a view
    assert np.shares_memory(samples, samples[:1])


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
def test_no_samples_are_numbers_too(shape):
    assert memory.empty(shape, memory.SampleType("int64")).tolist() == np.empty(shape).tolist()


def test_a_kernel_without_taps_is_found_again(tmp_path):
    Image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "a.png")
    for name in ("first.png", "again.png"):  # by a plan that was kept
        done = imgconv("apply", "a.png", "-k", "0 0 0", "-k", "1 1", "--offset", "3", "-o", name, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        with Image.open(tmp_path / name) as image:
            assert np.array_equal(image, np.full((9, 9), 9))


@given(st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_the_byte_behind_pixels_is_seen_in_samples_as_in_arrays(size):
    for pixels in both((*size, 4), "uint8"):
        colours = memory.without_padding(pixels)
        assert type(colours) is type(pixels)
        np.testing.assert_array_equal(colours, np.asarray(pixels)[:, :, :3])
        np.testing.assert_array_equal(memory.with_padding(colours), pixels)
        assert memory.address_of(memory.with_padding(colours)) == memory.address_of(pixels)
        assert memory.with_padding(pixels) is None
        assert memory.with_padding(both((*size, 3), "uint8")[0]) is None


@pytest.mark.parametrize(
    "kept",
    [lambda samples: samples[10:20], lambda samples: samples.reshape(-1, 3), lambda samples: np.asarray(samples)[3:],
     lambda samples: samples.buffer],
)  # fmt: skip
def test_memory_of_samples_is_used_again_only_when_nobody_has_it(kept):
    memory._idle.clear()
    samples = memory.empty(SHAPE, memory.SampleType("uint8"))
    where, held = memory.address_of(samples), kept(samples)
    del samples
    gc.collect()
    assert memory.address_of(memory.empty(SHAPE, memory.SampleType("uint8"))) != where
    del held
    gc.collect()
    assert memory.address_of(memory.empty(SHAPE, np.dtype(np.uint8))) == where


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no process is forked here")
def test_a_forked_process_writes_into_memory_of_its_own():
    code = (
        "import os\nfrom imgconv.memory import SMALLEST, fresh\nmemory = fresh(SMALLEST)\n"
        "child = os.fork()\nmemory[5] = 0 if child else 7\n"
        "assert not child or os.waitpid(child, 0)[1] == 0\nassert memory[5] == (0 if child else 7)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_that_is_not_there_is_told():
    with pytest.raises(MemoryError):
        memory.fresh(2**62)


def test_samples_that_are_not_read_are_one_zero():
    unread = memory.Samples((5, 10**9, 3), memory.SampleType("uint16"))
    assert (unread.shape, unread.nbytes, unread.strides) == ((5, 10**9, 3), 3 * 10**10, (0, 0, 0))
    assert not unread[2:4, :7].any()
    assert unread[1:].shape == (4, 10**9, 3)
    with pytest.raises(AttributeError):
        unread.nothing  # noqa: B018
    with pytest.raises(TypeError, match="unhashable"):
        hash(unread)  # nor is an array's
    assert not np.asarray(unread).flags.writeable


@given(st.tuples(*[st.integers(1, 12)] * 4), st.integers(1, 4), st.sampled_from(["uint8", "uint16"]), st.data())
def test_pixels_are_copied_where_numpy_would(sizes, channels, dtype, data):
    target, expected = both((*sizes[:2], channels), dtype, 0)
    source, array = both((*sizes[2:], channels), dtype, 1)
    to, at = [], []
    for here, there in zip(sizes[:2], sizes[2:], strict=True):
        count = data.draw(st.integers(0, min(here, there)))
        starts = data.draw(st.integers(0, here - count)), data.draw(st.integers(0, there - count))
        for places, start in zip((to, at), starts, strict=True):
            places.append(slice(start, start + count))
    memory.copy_pixels(target, tuple(to), source, tuple(at))
    expected[tuple(to)] = array[tuple(at)]
    np.testing.assert_array_equal(target, expected)
    memory.copy_pixels(expected, tuple(to), array, tuple(at))
    np.testing.assert_array_equal(target, expected)
