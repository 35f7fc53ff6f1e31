"""Arrays filtered block by block: Dask's and xarray's, against whole arrays, SciPy and sums of NumPy."""

from __future__ import annotations

import re
import subprocess
import sys

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.ndimage
import xarray
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracle import pad

import imgconv
from imgconv.conventions import BORDERS

TYPES = ("uint8", "uint16", "int32", "float32", "float64", "int16", "float16", "bool")


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="sync"):
        yield


def picture(shape, kind, seed=0):
    return (np.random.default_rng(seed).random(shape) * (2 if kind == "bool" else 200)).astype(kind)


def same(got, want):
    """Whether two arrays are the same to the last bit; NaN has many."""
    return got.dtype == want.dtype and got.shape == want.shape and np.array_equal(got, want, want.dtype.kind == "f")


@st.composite
def works(draw):
    """(array, its chunks, kernel, options)."""
    some = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 40)), *draw(st.sampled_from([(), (1,), (3,)])))
    array = picture(shape, draw(st.sampled_from(TYPES)), some)
    if array.dtype.kind == "f" and draw(st.booleans()):
        array[tuple(some.integers(0, shape))] = np.nan
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    weights = {
        "whole": some.integers(-2, 5, size),
        "even": np.ones(size),
        "smooth": np.outer(*(np.exp(-(np.linspace(-2, 2, 3 * n) ** 2)) for n in size)),
        "by channel": some.integers(-2, 5, (*size, array.shape[2] if array.ndim == 3 else 1)),
        "across channels": some.integers(-2, 5, (*size, array.shape[2] if array.ndim == 3 else 1, 2)),
    }[draw(st.sampled_from(["whole", "whole", "even", "smooth", "by channel", "across channels"]))]
    options = {
        "border": st.sampled_from([*BORDERS, "constant:7", "constant:0.5"]),
        "padding": st.sampled_from(["same", "same", "valid", "full", "tf-same"]),
        "stride": st.sampled_from([1, 1, 1, 2, (3, 1), (1, 2)]),
        "dilation": st.sampled_from([1, 1, 2, (1, 3)]),
        "anchor": st.sampled_from(["low", "high", (0, 0), tuple(n - 1 for n in weights.shape[:2])]),
        "channels": st.sampled_from(["each", "each", "each", "sum", "r"]),
        "scale": st.sampled_from([None, 6, "abs-sum" if weights.ndim == 2 else 10]),
        "after": st.sampled_from([None, None, "abs", "float", "offset128"]),
        "like": st.sampled_from([None, None, None, "pillow", "ndimage", "keras", "imagemagick"]),
        "linear": st.sampled_from([False, False, False, True]),
        "bias": st.sampled_from([None, None, 3.5]),
    }
    chosen = {name: draw(choice) for name, choice in options.items()}
    chunks = tuple(tuple(cut(draw, n)) for n in shape)
    return array, chunks, weights, chosen, draw(st.sampled_from(["correlate", "convolve"]))


def cut(draw, size):
    """Uneven chunks, up to four of them."""
    at = sorted(draw(st.sets(st.integers(1, size - 1), max_size=3))) if size > 1 else []
    return [int(n) for n in np.diff([0, *at, size])]


@settings(max_examples=50, deadline=None)
@given(works())
def test_blocks_are_those_of_the_whole_array(work):
    array, chunks, weights, options, mode = work
    blocks = da.from_array(array, chunks=chunks)
    try:
        want = getattr(imgconv, mode)(array, weights, **options)
    except imgconv.ImgconvError as problem:
        with pytest.raises(type(problem), match=re.escape(str(problem))):
            imgconv.map_blocks(blocks, weights, mode=mode, **options)
        return
    try:
        lazy = imgconv.map_blocks(blocks, weights, mode=mode, **options)
    except imgconv.UsageError as problem:
        assume("whole rows" not in str(problem) and "takes all channels here" not in str(problem))
        raise
    assert (lazy.shape, lazy.dtype) == (want.shape, want.dtype)
    assert same(lazy.compute(), want)


# sums of these come to the very middle between two levels, where the last bit of a transform decides; and tiles of the
# transform (256 or 512 a side) and rows that are interpolated between (every third or so) begin inside the chunks
@pytest.mark.parametrize(("method", "border", "padding"), [
    *(("fourier", border, "same") for border in BORDERS),
    *(("fourier", border, "valid") for border in ("edge", "wrap", "keep")),
    *(("fourier", border, "full") for border in ("reflect", "wrap-x", "constant", "renormalize")),
    *(("decimated", border, "same") for border in BORDERS if border != "renormalize"),
    *(("decimated", border, "valid") for border in ("reflect", "wrap")),
    *(("decimated", border, "full") for border in ("symmetric", "wrap", "constant")),
])  # fmt: skip
def test_sums_on_a_grid_begin_where_those_of_the_whole_array_do(method, border, padding):
    array = np.repeat(picture((61, 65), "uint8"), 10, 0).repeat(10, 1)[:, :601]
    weights = np.random.default_rng(1).integers(-2, 5, (40, 33)) if method == "fourier" else "gaussian:sigma=9.3"
    options = dict(border=border, padding=padding, method=method, scale=500.0 if method == "fourier" else None)
    want = imgconv.correlate(array, weights, **options)
    lazy = imgconv.map_blocks(da.from_array(array, chunks=((77, 533), (310, 291))), weights, **options)
    assert same(lazy.compute(), want)


@pytest.mark.parametrize("border", [*sorted({*BORDERS} - {"wrap-x", "keep", "renormalize"})])
def test_blocks_are_sums_over_a_padded_array(border):
    array, weights = picture((23, 31), "float64"), picture((4, 3), "float64", 1)
    mode = {"edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "grid-wrap"}.get(border, border)
    want = scipy.ndimage.correlate(array, weights, mode=mode, origin=(-1, 0))  # its middle is k // 2
    around = pad(array[:, :, None], ((1, 2), (1, 1)), border)[:, :, 0]
    windows = np.lib.stride_tricks.sliding_window_view(around, (4, 3))
    lazy = imgconv.map_blocks(da.from_array(array, chunks=(5, 7)), weights, border=border).compute()
    np.testing.assert_allclose(lazy, (windows * weights).sum((2, 3)), rtol=1e-12)
    np.testing.assert_allclose(lazy, want, rtol=1e-12)


def test_nothing_is_computed_before_it_is_asked_for_and_blocks_take_only_what_is_near():
    taken = []

    def chunk(block_id):
        taken.append(block_id)
        return np.full((10, 10), block_id[0], np.uint8)

    array = da.map_blocks(chunk, chunks=((10,) * 9, (10,) * 9), meta=np.empty((0, 0), np.uint8))
    lazy = imgconv.map_blocks(array, "blur", border="wrap")
    assert not taken
    assert lazy[40:50, 40:50].mean().compute() == 4
    assert set(taken) == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}
    taken.clear()
    lazy[:10, :10].compute()
    assert set(taken) == {(y, x) for y in (8, 0, 1) for x in (8, 0, 1)}


def test_a_missing_sample_weighs_on_every_block():
    """Where any sample is not a number, sums are taken in another way, whose last bits are others."""
    array = picture((60, 60, 2), "float32")
    array[50, 50, 1] = np.nan
    options = dict(border="renormalize", scale=7.3)
    for weights in (picture((5, 5), "float64"), picture((5, 5, 2), "float64")):
        want = imgconv.correlate(array, weights, **options)
        lazy = imgconv.map_blocks(da.from_array(array, chunks=(20, 25, 1)), weights, **options)
        assert same(lazy.compute(), want)


def labelled(shape=(2, 3, 24, 30), chunks=None, **names):
    """A DataArray of times, bands, y and x."""
    samples = picture(shape, "uint8")
    coords = {"time": [10, 20], "band": [1, 2, 3], "y": np.arange(24) * -0.5, "x": np.arange(30) * 0.5}
    coords |= {"lon": (("y", "x"), np.zeros((24, 30))), "crs": 7}
    array = xarray.DataArray(samples, coords, ("time", "band", "y", "x"), "red", {"units": "K"})
    return array if chunks is None else array.chunk(chunks)


@pytest.mark.parametrize("chunks", [None, {"time": 1, "band": 2, "y": 7, "x": 11}])
@pytest.mark.parametrize("border", ["edge", "wrap", "keep"])
def test_a_data_array_keeps_its_names(chunks, border):
    array = labelled(chunks=chunks)
    result = imgconv.map_blocks(array, "sharpen", border=border)
    assert isinstance(result.data, np.ndarray if chunks is None else da.Array)
    xarray.testing.assert_identical(result.copy(data=array.data).compute(), array.compute())
    for n in range(2):
        want = imgconv.correlate(np.moveaxis(array.values[n], 0, 2), "sharpen", border=border)
        assert same(np.moveaxis(result.values[n], 0, 2), want)


def test_dimensions_can_be_named():
    array = labelled(chunks={"y": 5})
    weights = [[1, 2, -1]]
    result = imgconv.map_blocks(array, weights, dims=("x", "time"), channel_dim="y")
    assert result.dims == array.dims
    want = imgconv.correlate(array.transpose("band", "x", "time", "y").values[1], weights)
    assert same(result.transpose("band", "x", "time", "y").values[1], want)
    plain = xarray.DataArray(np.zeros((4, 5)))
    assert imgconv.map_blocks(plain, "blur").dims == plain.dims


@pytest.mark.parametrize("chunks", [None, {"y": 7, "x": 11}])
def test_coordinates_go_where_the_results_lie(chunks):
    array = labelled(chunks=chunks)
    valid = imgconv.map_blocks(array, np.ones((3, 5)), padding="valid", stride=(2, 1), scale=15)
    assert valid.shape == (2, 3, 11, 26)
    assert list(valid.y.values[:2]) == [-0.5, -1.5]
    assert list(valid.x.values) == list(np.arange(2, 28) * 0.5)
    assert valid.lon.shape == (11, 26)
    full = imgconv.map_blocks(array, np.ones((3, 1)), padding="full", scale=3)
    assert full.shape == (2, 3, 26, 30)
    assert set(full.coords) == {"time", "band", "x", "crs"}
    summed = imgconv.map_blocks(array, np.ones((1, 1)), channels="sum", scale=3)
    assert (summed.sizes["band"], set(summed.coords)) == (1, {"time", "y", "x", "lon", "crs"})
    assert same(
        summed.values[0, 0], imgconv.correlate(np.moveaxis(array.values[0], 0, 2), [[1 / 3]], channels="sum")[:, :, 0]
    )


def test_what_comes_out_can_have_other_channels():
    weights = np.ones((3, 3, 1, 2)) / 9
    array = picture((12, 13), "float32")
    want = imgconv.correlate(array, weights)
    assert want.shape == (12, 13, 2)
    assert same(imgconv.map_blocks(da.from_array(array, chunks=5), weights).compute(), want)
    labelled = imgconv.map_blocks(xarray.DataArray(array, dims=("y", "x")).chunk(5), weights)
    assert labelled.dims == ("y", "x", "channel")
    assert same(labelled.values, want)


@pytest.mark.parametrize(("given", "options", "words"), [
    (np.zeros((3, 3)), {}, "takes a Dask array or an xarray.DataArray, not numpy.ndarray; correlate"),
    (da.zeros((3, 3, 3, 3)), {}, "4 dimensions"),
    (da.zeros((0, 3)), {}, "has no pixels"),
    (da.zeros((3, 3), dtype=complex), {}, "complex128 cannot be filtered"),
    (da.zeros(9)[da.zeros(9) > 0][:, None], {}, "compute_chunk_sizes"),
    (da.zeros((3, 3)), {"dims": ("y", "x")}, "no names"),
    (xarray.DataArray(np.zeros(3)), {}, "no rows and columns"),
    (xarray.DataArray(np.zeros((3, 3))), {"dims": ("y", "x")}, "not 'y'"),
    (xarray.DataArray(np.zeros((3, 3)), dims=("y", "x")), {"dims": ("y", "y")}, "not 'y'"),
    (da.zeros((3, 3)), {"after": "minmax"}, "whole array"),
    (da.zeros((3, 3)), {"mask": np.ones((3, 3))}, "neither mask"),
    (da.zeros((3, 3)), {"boarder": "edge"}, "did you mean border?"),
    (da.zeros((3, 3)), {"like": "ndimage", "after": "float"}, None),
    (da.zeros((3, 3), dtype=np.uint8), {"like": "ndimage", "after": "float"}, "method direct"),
])  # fmt: skip
def test_what_cannot_be_done_is_said_before_anything_is_computed(given, options, words):
    if words is None:
        imgconv.map_blocks(given, "gaussian:sigma=0.7", **options)
        return
    with pytest.raises(imgconv.ImgconvError, match=words):
        imgconv.map_blocks(given, "gaussian:sigma=0.7", **options)


def test_a_chain_is_refused():
    with pytest.raises(imgconv.UsageError, match="one kernel"):
        imgconv.map_blocks(da.zeros((3, 3)), ["blur", "sharpen"])


def test_the_same_work_has_the_same_name():
    array = da.zeros((9, 9), chunks=4)
    names = [imgconv.map_blocks(array, kernel).name for kernel in ("blur", "blur", "sharpen")]
    assert names[0] == names[1] != names[2]


def test_neither_dask_nor_xarray_is_imported_before_it_is_used():
    code = (
        "import sys, imgconv, numpy\ntry:\n    imgconv.map_blocks(numpy.zeros((3, 3)), 'blur')\n"
        "except imgconv.PictureError:\n    sys.exit(bool({'dask', 'xarray', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
