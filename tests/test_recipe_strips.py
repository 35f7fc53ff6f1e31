"""A recipe in strips gives what it gives for the whole picture, to the byte and to the clipped sample."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace

import numpy as np
import pytest
from cases import PILLOW
from makers import noise

from imgconv.errors import PictureError
from imgconv.formats.limits import DEFAULT
from imgconv.formats.picture import Frame, Picture, unread
from imgconv.formats.write import encode
from imgconv.kernels.spec import kernel
from imgconv.kernels.value import Kernel
from imgconv.masks import to_mask
from imgconv.memory import Samples, SampleType, with_padding
from imgconv.recipe import strips as module
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.strips import InStrips, filter_frame
from imgconv.threads import available_cores


@pytest.fixture(params=[1, 300, 4000])
def _few_bytes(request, monkeypatch):
    monkeypatch.setattr(module, "STRIP_BYTES", request.param)


few_bytes = pytest.mark.usefixtures("_few_bytes")


def frame_of(array, mode="", read=None):
    """A picture that is still to be read."""
    rows, done = array.reshape(*array.shape[:2], -1), 0

    def following(target):
        nonlocal done
        assert target.flags.c_contiguous
        target[...] = rows[done : done + len(target)]
        done += len(target)

    blank = unread(array.shape, array.dtype)
    return Frame(Picture(blank, mode, "PNG"), array.nbytes, read or following, lambda: frame_of(array, mode))


def most_threads():
    """How many there may be afterwards: those that computed wait for the next picture."""
    return max(threading.active_count(), available_cores() + 2)


def same(recipe, array, mode="", step=1):
    threads = most_threads()
    work = filter_frame(recipe, frame_of(array, mode), DEFAULT)
    assert isinstance(work, InStrips)
    work.plan(step, DEFAULT)
    strips = [strip.copy() for strip in work.run()]
    assert all(len(strip) % step == 0 for strip in strips[:-1])
    found, (whole, whole_mode, report) = np.concatenate(strips), recipe.apply(array, mode)
    assert work.shape == found.shape == whole.shape
    assert work.dtype == found.dtype == whole.dtype
    assert work.mode == whole_mode
    np.testing.assert_array_equal(found, whole)
    assert work.report().clipped == report.clipped
    assert {plan.method for plan in work.report().plans} == {plan.method for plan in report.plans}
    assert threading.active_count() <= threads


BORDERS = ("edge", "reflect", "symmetric", "wrap-x", "constant:9", "keep")
ODD = Kernel(np.array([[1.0, -2, 1], [2, 0, -3], [0, 7, 1], [1, 1, 1]]), scale=5, offset=3)
TALL = Kernel(np.arange(-20.0, 21)[:, None], scale=9)
WIDE = Kernel(np.arange(-8.0, 9)[None])


@few_bytes
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("padding", ["same", "valid", "full", "tf-same"])
def test_every_border_and_padding(dtype, border, padding):
    if (border, padding) == ("keep", "full"):
        pytest.skip("keep has nothing to copy there")
    for made, shape, step in itertools.product((ODD, WIDE), ((31, 23, 3), (19, 18)), (1, 4)):
        same(Recipe((made,), Options(border=border, padding=padding)), noise(*shape).astype(dtype), step=step)


@few_bytes
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("anchor", ["low", "high", (0, 0), (40, 0)])
def test_pictures_smaller_than_the_kernel(border, anchor):
    for rows in (1, 2, 3, 19, 20, 21, 22, 40, 41, 42, 83):
        same(Recipe((TALL,), Options(border=border, anchor=anchor)), noise(rows, 3, 2))
        if border != "keep":
            same(Recipe((TALL,), Options(border=border, anchor=anchor, padding="full")), noise(rows, 3, 2))


@few_bytes
@pytest.mark.parametrize("name", PILLOW)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_pillows_filters(name, mode):
    shape = (33, 21) if mode == "L" else (33, 21, len(mode))
    same(Recipe((kernel(name),)), noise(*shape), mode)


@few_bytes
@pytest.mark.parametrize(
    "spec", ["gaussian:sigma=2", "box:radius=3", "laplacian", "motion:length=9,angle=30", "unsharp", "sobel_x"]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_other_methods(spec, dtype):
    for options in (Options(), Options(mode="convolve", dilation=2), Options(scale=3.0, offset=-20.0, threads=1)):
        same(Recipe((kernel(spec),), options), noise(65, 43, 3).astype(dtype))


@few_bytes
@pytest.mark.parametrize("names", [["sharpen", "blur"], ["emboss", "find_edges", "detail"], ["gaussian:sigma=2"] * 4])
@pytest.mark.parametrize("border", [None, "reflect", "constant:77"])
def test_chains(names, border):
    recipe = Recipe(tuple(kernel(name) for name in names), Options(border=border))
    for rows in (1, 5, 64, 130):
        same(recipe, noise(rows, 17, 3))
        same(recipe, noise(rows, 17), step=7)


@few_bytes
@pytest.mark.parametrize("spec", ["gaussian:0.7", "gaussian:5", "box:radius_x=3,radius_y=1.5", "box:0", "unsharp:3"])
def test_pillows_own_blurs(spec):
    for rows in (1, 9, 130):
        same(Recipe((kernel(spec),), Options(like="pillow")), noise(rows, 17, 3), "RGB")


@few_bytes
@pytest.mark.parametrize("dtype", ["bool", "int8", "int16", "uint32", "int64", "uint64", "float16", ">u2", ">f8"])
def test_types_that_are_computed_in_wider_ones(dtype):
    array = noise(30, 11, 2) % 2 if dtype == "bool" else noise(30, 11, 2) // 2
    same(Recipe((ODD,)), array.astype(dtype).astype(np.dtype(dtype).newbyteorder("=")))


@few_bytes
def test_alpha_that_is_filtered_like_a_colour():
    same(Recipe((ODD,), Options(alpha="straight")), noise(30, 20, 4), "RGBA")
    same(Recipe((ODD,), Options(like="pillow")), noise(30, 20, 2), "LA")


OTHERS = [
    {"after": "abs"}, {"after": "relu"}, {"after": "offset128"}, {"after": "float"}, {"linear": True}, {"stride": 2},
    {"stride": (3, 1)}, {"stride": (5, 7)}, {"channels": "rg"}, {"channels": "sum"}, {"bias": (1.0, 2.0, 3.0)},
    {"mask": "radial"}, {"mask": "linear:band=0.4"}, {"like": "ndimage"}, {"like": "opencv"}, {"like": "keras"},
    {"mode": "convolve", "anchor": (0, 0), "after": "abs"}, {"mask": "radial", "linear": True},
]  # fmt: skip


@few_bytes
@pytest.mark.parametrize("options", OTHERS, ids=str)
@pytest.mark.parametrize("padding", [None, "valid", "tf-same"])
def test_what_is_no_plain_correlation(options, padding, monkeypatch):
    monkeypatch.setattr("imgconv.recipe.steps.PIECE_SAMPLES", 700)
    if "mask" in options and padding == "valid":
        pytest.skip("a mask takes the size of the picture")
    border = {} if "like" in options else {"border": "reflect"}
    recipe = Recipe((ODD,), Options(**options, **border, padding=padding))
    for rows in (4, 29, 64):
        same(recipe, noise(rows, 23, 3), "RGB")
    same(recipe, noise(29, 23, 3, dtype="uint16").astype("int32"))
    if "linear" not in options:
        same(recipe, noise(29, 23, 3).astype("float64"))


@few_bytes
@pytest.mark.parametrize("how", ["hypot", "sum", "max", "mean"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_combined_kernels(how, mode, monkeypatch):
    monkeypatch.setattr("imgconv.recipe.steps.PIECE_SAMPLES", 700)
    kernels = (kernel("sobel_x"), kernel("sobel_y"), TALL)
    array = noise(50, 23) if mode == "L" else noise(50, 23, len(mode))
    same(Recipe(kernels, Options(combine=how)), array, mode)
    same(Recipe(kernels, Options(combine=how, border="edge", after="abs", mask="radial")), array, mode, step=3)


@few_bytes
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize("alpha", ["auto", "keep", "straight", "premultiply"])
@pytest.mark.parametrize("full", [True, False])
def test_alpha(mode, alpha, full):
    array = noise(40, 19, len(mode))
    if full:
        array[:, :, -1] = 255
    for spec in ("gaussian:sigma=2", "box:radius=2", "1 2 1"):
        for border in ("edge", "constant:9"):
            same(Recipe((kernel(spec),), Options(alpha=alpha, border=border)), array, mode)
    if alpha in ("auto", "keep"):
        same(Recipe((kernel("laplacian"),), Options(alpha=alpha)), array, mode)


def test_a_mask_from_an_array():
    mask = noise(60, 20) * (noise(60, 20, seed=1) > 99)
    mask[30:] = 255
    for linear in (False, True):
        same(Recipe((kernel("sharpen"),), Options(mask=mask, linear=linear)), noise(60, 20, 3), "RGB")


def test_weights_of_several_levels():
    for weights, mode in ((noise(3, 3, 3), "RGB"), (noise(3, 3, 3, 2), "RGB"), (noise(5, 3, 4, 4), "RGBA")):
        made = Kernel(weights.astype(float) - 90, scale=999)
        same(Recipe((made,)), noise(30, 20, len(mode)), mode)
        same(Recipe((made,), Options(channels="sum")), noise(30, 20, len(mode)), mode)


@pytest.mark.parametrize(
    ("names", "options", "mode"),
    [
        (["blur"], {"border": "wrap"}, "RGB"),
        (["blur"], {"after": "minmax"}, "RGB"),
        (["blur", "laplacian"], {"after": "abs"}, "RGB"),
        (["blur"], {"linear": True, "padding": "full"}, "RGB"),
        (["gaussian:sigma=2"], {"border": "renormalize"}, "RGB"),
        (["sharpen", "gaussian:sigma=2"], {"border": "wrap"}, "RGB"),
        ([], {"vary": "gaussian:sigma=0..3", "mask": "radial"}, "RGB"),
    ],
)
def test_what_needs_the_whole_picture(names, options, mode):
    recipe = Recipe(tuple(kernel(name) for name in names), Options(**options))
    array = noise(9, 9, len(mode))
    work = filter_frame(recipe, frame_of(array, mode), DEFAULT)
    assert not isinstance(work, InStrips)
    np.testing.assert_array_equal(next(work.run()), recipe.apply(array, mode)[0])


def test_what_lies_in_memory_does_not_grow_with_the_picture(monkeypatch):
    monkeypatch.setattr(module, "STRIP_BYTES", 10_000)
    sizes = set()
    for rows in (2000, 20_000):
        work = filter_frame(Recipe((TALL,)), frame_of(unread((rows, 50), np.dtype("uint8")), "L"), DEFAULT)
        work.plan(1, DEFAULT)
        parts = work.run()
        assert sum(len(strip) for strip in parts) == rows
        sizes.add(max(near.stop - near.start for near, _ in work.windows))
    assert sizes == {200 + 40}


def test_a_broken_picture_stops_it(monkeypatch):
    monkeypatch.setattr(module, "STRIP_BYTES", 100)

    def read(target, left=[5]):  # noqa: B006
        left[0] -= 1
        if not left[0]:
            raise PictureError("is broken")
        target[...] = 0

    threads = most_threads()
    work = filter_frame(Recipe((ODD,)), frame_of(noise(100, 10), "L", read), DEFAULT)
    work.plan(1, DEFAULT)
    with pytest.raises(PictureError, match="is broken"):
        list(work.run())
    assert threading.active_count() <= threads


def test_who_stops_early_leaves_no_thread(monkeypatch):
    monkeypatch.setattr(module, "STRIP_BYTES", 100)
    threads = most_threads()
    for count in range(4):
        work = filter_frame(Recipe((ODD,)), frame_of(noise(100, 10), "L"), DEFAULT)
        work.plan(1, DEFAULT)
        strips = work.run()
        assert len([next(strips) for _ in range(count)]) == count
        strips.close()
        assert threading.active_count() <= threads


def test_what_cannot_be_is_told_before_a_row_is_read():
    with pytest.raises(PictureError, match="leaves nothing"):
        filter_frame(Recipe((TALL,), Options(padding="valid")), frame_of(noise(40, 10), "L", id), DEFAULT)


def test_numbers_that_are_not_exact_are_told():
    array = np.zeros((100, 10), np.int64)
    array[99, 9] = 2**53 + 2
    work = filter_frame(Recipe((ODD,)), frame_of(array), DEFAULT)
    work.plan(1, DEFAULT)
    with pytest.raises(PictureError, match=r"beyond 2\*\*53"):
        list(work.run())


@pytest.mark.parametrize(
    ("kernels", "options", "stays"),
    [
        ((kernel("edge_enhance"),), {}, True),
        ((kernel("find_edges"),), {}, True),
        ((kernel("emboss"),), {"border": "keep"}, True),
        ((ODD,), {"border": "wrap", "padding": "valid"}, False),  # what is behind is clipped, and would be counted
        ((kernel("box:3"), kernel("edge_enhance")), {"border": "reflect", "padding": "same"}, True),
        ((kernel("find_edges"), kernel("edge_enhance")), {"border": "keep"}, False),
        ((kernel("box:3"),), {"border": "constant:9"}, False),
        ((kernel("gaussian:sigma=2"),), {"like": "pillow"}, True),
        ((kernel("box:3"), kernel("gaussian:sigma=2")), {"like": "pillow"}, False),
        ((kernel("gaussian:sigma=2"),), {"method": "fourier"}, True),
        ((kernel("box:3"),), {"linear": True}, False),
        ((kernel("box:3"),), {"channels": "rb"}, False),
        ((kernel("box:3"),), {"channels": "sum"}, False),
        ((kernel("box:3"),), {"mask": to_mask("radial")}, False),
    ],
)
def test_pixels_are_filtered_with_the_byte_that_pillow_has_behind_them(kernels, options, stays):
    pixels = noise(40, 50, 4)
    pixels[:, :, 3] = 255
    before, recipe = pixels.copy(), Recipe(kernels, Options(**options))
    frame = Frame(Picture(pixels[:, :, :3], "RGB", "JPEG"), 0)
    work = filter_frame(recipe, frame, DEFAULT, padded=True)
    work.plan(None, DEFAULT)
    (found,) = work.run()
    expected, mode, report = recipe.apply(np.ascontiguousarray(pixels[:, :, :3]), "RGB")
    np.testing.assert_array_equal(found, expected)
    assert (work.mode, work.report().clipped) == (mode, report.clipped)
    assert (with_padding(found) is not None) == stays
    assert np.array_equal(pixels, before)
    files = [encode(Picture(array, mode, ""), "JPEG")[0] for array in (found, expected)]
    assert files[0] == files[1]


def test_only_who_asks_for_it_gets_pixels_with_a_byte_behind():
    pixels = noise(40, 50, 4)
    frame, given = Frame(Picture(pixels[:, :, :3], "RGB", "JPEG"), 0), pixels[:, :, :3].copy()
    assert np.array_equal(frame.whole(DEFAULT, padded=True).array, given)
    found = frame.whole(DEFAULT).array
    assert found.flags.c_contiguous
    assert np.array_equal(found, given)
    frame.about = replace(frame.about, array=Samples(given.shape, SampleType("uint8"), memoryview(given.tobytes())))
    assert isinstance(frame.whole(DEFAULT, plain=True).array, Samples)
    found = frame.whole(DEFAULT).array
    assert type(found) is np.ndarray
    assert np.array_equal(found, given)
    assert Recipe((kernel("edge_enhance"),)).apply(pixels[:, :, :3])[0].flags.c_contiguous
