"""How each library does a piece of work: the fastest of its own ways, into memory that is there already."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.bench.works import Work
from imgconv.conventions import METHODS
from imgconv.engine.plan import plan
from imgconv.errors import UsageError
from imgconv.recipe import Recipe
from imgconv.recipe.options import Options
from imgconv.recipe.settings import correlation

Array = npt.NDArray[Any]
Run = Callable[[], Array]
Maker = Callable[[Work, Array, Array, int], Run | None]

MAX_UNROLLED = 49  # taps that Halide is given one by one


def numpy(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """Copying is all that it is asked for."""
    if work.kind != "copy":
        return None

    def run() -> Array:
        np.copyto(target, source)
        return target

    return run


def imgconv_methods(work: Work) -> list[str]:
    """The methods that the plan offers for a work; the first is the one that it chooses."""
    if work.kind == "copy":
        return []
    c = correlation(work.kernel, Options(border="edge"))
    chosen = plan(c, work.dtype).method
    others = []
    for method in METHODS:
        if method not in ("auto", chosen):
            try:
                plan(c, work.dtype, method)
            except UsageError:
                continue
            others.append(method)
    return [chosen, *others]


def imgconv(method: str) -> Maker:
    """imgconv with one method; it takes no target."""

    def make(work: Work, source: Array, target: Array, threads: int) -> Run:
        recipe = Recipe((work.kernel,), Options(border="edge", method=method, threads=threads))
        return lambda: recipe.apply(source)[0]

    return make


def pillow(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """Kernels of 3×3 and 5×5; gaussians out of boxes; one thread, as always."""
    from PIL import Image, ImageFilter

    if work.dtype != "uint8" or source.shape[2] not in (1, 2, 3, 4):
        return None
    how: Any
    if work.kind == "gaussian":
        how = ImageFilter.GaussianBlur(work.size)
    elif work.kind == "box":
        how = ImageFilter.BoxBlur(work.size)
    elif work.kind == "dense" and work.radius <= 2:
        kernel = work.kernel
        how = ImageFilter.Kernel(kernel.shape[::-1], kernel.weights[::-1].ravel().tolist(), kernel.scale)
    else:
        return None
    image = Image.fromarray(source[:, :, 0] if source.shape[2] == 1 else source)
    return partial(image.filter, how)  # type: ignore[return-value]  # an array once it is looked at


def opencv(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """filter2D, GaussianBlur, blur."""
    import cv2

    cv2.setNumThreads(threads)
    border = cv2.BORDER_REPLICATE
    side = 2 * work.radius + 1
    if work.kind == "dense":
        return partial(cv2.filter2D, source, -1, work.weights.astype(np.float32), dst=target, borderType=border)
    if work.kind == "gaussian":
        return partial(cv2.GaussianBlur, source, (side, side), work.size, dst=target, borderType=border)
    if work.kind == "box":
        return partial(cv2.blur, source, (side, side), dst=target, borderType=border)
    return None


def scipy(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """scipy.ndimage, one thread; it cuts toward zero."""
    from scipy import ndimage

    side = 2 * work.radius + 1
    if work.kind == "dense":
        how = partial(ndimage.correlate, source, work.weights[:, :, None], target, "nearest")
    elif work.kind == "gaussian":
        reach = (work.radius, work.radius, 0)
        how = partial(
            ndimage.gaussian_filter, source, (work.size, work.size, 0), output=target, mode="nearest", radius=reach
        )
    elif work.kind == "box":
        how = partial(ndimage.uniform_filter, source, (side, side, 1), target, "nearest")
    else:
        return None

    def run() -> Array:
        how()
        return target

    return run


def skimage(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """filters.gaussian, and correlate_sparse for kernels up to 7×7; floating results, one thread."""
    from skimage import filters

    if work.kind == "gaussian":
        return partial(
            filters.gaussian, source, work.size, out=np.empty(source.shape, np.float32), mode="nearest",
            preserve_range=True, truncate=work.radius / work.size, channel_axis=-1,
        )  # fmt: skip
    if work.kind != "dense" or work.radius > 3:
        return None
    weights = work.weights[:, :, None]
    return lambda: np.asarray(filters.correlate_sparse(source.astype(np.float32), weights, "nearest"))


def libvips(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """conv, convsep and gaussblur; integers for integers."""
    os.environ["VIPS_CONCURRENCY"] = str(threads)  # read when it starts
    import pyvips

    if work.kind == "copy":
        return None
    formats = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}
    pyvips.cache_set_max(0)
    image = pyvips.Image.new_from_memory(source.data, *source.shape[1::-1], source.shape[2], formats[work.dtype])
    precision = "float" if work.dtype == "float32" else "integer"
    if work.kind == "gaussian":
        make = partial(image.gaussblur, work.size, min_ampl=0.001, precision=precision)
    elif work.kind == "box":
        row = pyvips.Image.new_from_array([[1] * (2 * work.radius + 1)], scale=2 * work.radius + 1)
        make = partial(image.convsep, row, precision=precision)
    else:
        weights, scale = work.kernel.weights, work.kernel.scale
        if precision == "integer" and (weights != np.rint(weights)).any():  # it would round them to whole numbers
            weights = np.rint(weights * 8192 / scale)
            scale = weights.sum()
        matrix = pyvips.Image.new_from_array(weights.tolist(), scale=float(scale))
        make = partial(image.conv, matrix, precision=precision)
    return lambda: np.frombuffer(make().write_to_memory(), work.dtype).reshape(source.shape)


def halide(work: Work, source: Array, target: Array, threads: int) -> Run | None:
    """Float32 sums, bands of rows in parallel, 16 lanes: the schedule that one writes first."""
    os.environ["HL_NUM_THREADS"] = str(threads)
    import halide as hl

    if work.kind == "copy" or (work.kind == "dense" and work.weights.size > MAX_UNROLLED):
        return None
    rows, samples, channels = source.shape[0], source.shape[1] * source.shape[2], source.shape[2]
    x, y, outer, inner = (hl.Var(name) for name in ("x", "y", "outer", "inner"))
    lines = hl.BoundaryConditions.repeat_edge(hl.Buffer(source.reshape(rows, samples)))
    reach = work.radius

    def total(terms: Any) -> Any:
        found = None
        for weight, value in terms:
            term = hl.f32(value) * hl.f32(float(weight))
            found = term if found is None else found + term
        return found

    result, between = hl.Func("result"), hl.Func("between")
    if work.kind == "dense":
        sums = total(
            (w, lines[x + (j - reach) * channels, y + i - reach]) for (i, j), w in np.ndenumerate(work.weights)
        )
    else:
        between[x, y] = total((w, lines[x, y + i - reach]) for i, w in enumerate(work.taps))
        sums = total((w, between[x + (j - reach) * channels, y]) for j, w in enumerate(work.taps))
    if work.dtype == "float32":
        result[x, y] = sums
    else:
        top = float(np.iinfo(work.dtype).max)
        cast = hl.u8 if work.dtype == "uint8" else hl.u16
        result[x, y] = cast(hl.clamp(sums + 0.5, 0.0, top))
    band = min(32, rows)
    lanes = min(16, samples)
    result.split(y, outer, inner, band).parallel(outer).vectorize(x, lanes)
    if work.kind != "dense":
        between.compute_at(result, inner).vectorize(x, lanes)
    flat = target.reshape(rows, samples)
    buffer = hl.Buffer(flat)
    result.compile_jit()

    def run() -> Array:
        result.realize(buffer)
        return target

    return run


LIBRARIES: dict[str, tuple[tuple[str, ...], Maker]] = {  # peer -> (packages that may bring it, how)
    "NumPy": (("numpy",), numpy),
    "Pillow": (("pillow",), pillow),
    "OpenCV": (("opencv-python-headless", "opencv-python", "opencv-contrib-python"), opencv),
    "SciPy": (("scipy",), scipy),
    "scikit-image": (("scikit-image",), skimage),
    "libvips": (("pyvips-binary", "pyvips"), libvips),
    "Halide": (("halide",), halide),
}
