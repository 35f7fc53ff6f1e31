"""The one table of other tools: `compare`, `bench` and the tests use it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib.metadata import distributions
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import border_text
from imgconv.engine.channels import to_samples
from imgconv.engine.correlation import Correlation
from imgconv.peers import halide, ipp, pillow
from imgconv.peers.task import Run, Task, Unsupported, chained

if TYPE_CHECKING:
    from imgconv.recipe.settings import Settings


class Peer(NamedTuple):
    """A tool, what it can do, and how it is called.

    `make` takes a task, a source, memory for the result or None, and threads (0: as many as it likes). With memory the
    fastest of the tool's own ways counts, with settings in the steps the nearest to imgconv's.
    """

    name: str
    module: str
    distributions: tuple[str, ...]  # that may bring it
    make: Callable[[Task, Array, Array | None, int], Run]
    kinds: tuple[str, ...] = ("dense", "gaussian", "box")  # of tasks
    types: Collection[str] = "iuf"  # of samples, by NumPy's names or kinds
    borders: Mapping[str, str] = {"edge": "edge"}  # the tool's words for them; none: it has a border of its own
    sides: Collection[int] = ()  # of its dense kernels, which are square then
    centred: bool = True  # the anchor is the middle, and the result as large as the picture
    pictures: bool = False  # it takes images, not arrays
    blurs: bool = False  # it has Pillow's own
    compiles: bool = False  # for each task and shape, which takes seconds
    refusal: str = "it does not filter {dtype}"
    there: Callable[[], bool] | None = None  # where more than the module tells

    @property
    def installed(self) -> bool:
        """Whether it can be called here."""
        return self.there() if self.there else find_spec(self.module) is not None

    @property
    def version(self) -> str:
        """Of the distribution that is there, or ""."""
        places = [*sys.path, str(pillow.FOLDER)]
        return next((one.version for name in self.distributions for one in distributions(name=name, path=places)), "")

    def border(self, c: Correlation) -> str:
        """Its word for the border of a correlation; "" where it has none."""
        return self.borders.get(c.border, "") or self.borders.get(border_text(c.border, c.outside), "")

    def prepare(self, task: Task, source: Array, target: Array | None = None, threads: int = 0) -> Run:
        """A call that does the task and gives an array, or Pillow's image; raises Unsupported."""
        if task.kind not in self.kinds:
            raise Unsupported(f"it has no {task.kind}")
        blurs = task.blurs or (None,) * len(task.steps)
        if any(blurs) and not self.blurs:
            raise Unsupported("it has no such passes of boxes as Pillow")
        for c, _ in (step for step, blur in zip(task.steps, blurs, strict=True) if blur is None):
            rows, columns = c.weights.shape
            if task.kind == "dense" and self.sides and (rows != columns or rows not in self.sides):
                sides = " or ".join(f"{side}×{side}" for side in self.sides)
                raise Unsupported(f"its kernels are {sides}, this one is {rows}×{columns}")
            if self.centred and c.anchor != (rows // 2, columns // 2):
                raise Unsupported("its anchor is always the middle")
            if self.centred and c.padding != "same":
                raise Unsupported("its result always has the size of the picture")
        if not {source.dtype.name, source.dtype.kind} & {*self.types} or (self.pictures and not task.mode):
            raise Unsupported(self.refusal.format(dtype=source.dtype, mode=task.mode or "arrays of"))
        return self.make(task, source, target, threads)


def _numpy(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    result = np.empty_like(source) if target is None else target

    def run() -> Array:
        np.copyto(result, source)
        return result

    return run


def _opencv(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """filter2D as it is: it rounds ties to even; GaussianBlur, blur."""
    import cv2

    if threads:
        cv2.setNumThreads(threads)
    side = 2 * task.radius + 1
    if task.kind == "gaussian":
        return partial(cv2.GaussianBlur, source, (side, side), task.sigma, dst=target, borderType=cv2.BORDER_REPLICATE)
    if task.kind == "box":
        return partial(cv2.blur, source, (side, side), dst=target, borderType=cv2.BORDER_REPLICATE)
    weight_type = np.float64 if target is None else np.float32  # the latter is the faster way
    source = np.ascontiguousarray(source)

    def filter2d(c: Correlation, s: Settings | None) -> Callable[[Array], Array]:
        border = getattr(cv2, f"BORDER_{PEERS['opencv'].border(c) or 'REPLICATE'}")
        weights = (c.weights / c.scale).astype(weight_type)
        floating = s is not None and s.after == "float" and source.dtype.kind != "f"
        given = cv2.CV_64F if floating else -1, weights, target, c.anchor[::-1], c.offset, border
        return lambda array: _inner(cv2.filter2D(array, *given), c)

    return chained([filter2d(*step) for step in task.steps], source)


def _scipy(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """scipy.ndimage, one thread: by itself it cuts toward zero.

    With settings it sums in float64, then the sums are rounded and clipped as those say; it has no such step itself.
    """
    from scipy import ndimage

    reach = (task.radius, task.radius, 0)
    if task.kind == "gaussian":
        sigmas = (task.sigma, task.sigma, 0)
        return partial(ndimage.gaussian_filter, source, sigmas, output=target, mode="nearest", radius=reach)
    if task.kind == "box":
        return partial(ndimage.uniform_filter, source, [2 * r + 1 for r in reach], target, "nearest")

    def correlate(c: Correlation, s: Settings | None) -> Callable[[Array], Array]:
        around = (1,) * (source.ndim - 2)
        origin = [a - k // 2 for a, k in zip((*c.anchor, *[0] * len(around)), c.weights.shape + around, strict=True)]
        weights = (c.weights / c.scale).reshape(c.weights.shape + around)
        wraps = s is not None and s.rounding == "wrap" and not c.offset
        output = target if s is None else source.dtype if wraps else np.float64
        given = weights, output, PEERS["scipy"].border(c) or "nearest", c.outside, origin

        def samples(array: Array) -> Array:
            values = _inner(ndimage.correlate(array, *given), c)
            if s is None or wraps:
                return values
            values += c.offset
            return values if s.after == "float" else to_samples(values, source.dtype, s.rounding)[0]

        return samples

    return chained([correlate(*step) for step in task.steps], source)


def _skimage(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """filters.gaussian and correlate_sparse; floating results, one thread."""
    from skimage import filters

    if task.kind == "gaussian":
        return partial(
            filters.gaussian, source, task.sigma, out=np.empty(source.shape, np.float32), mode="nearest",
            preserve_range=True, truncate=task.radius / task.sigma, channel_axis=-1,
        )  # fmt: skip
    weights = task.weights[:, :, None]
    return lambda: filters.correlate_sparse(source.astype(np.float32), weights, "nearest")


VIPS_FORMATS = {"uint8": "uchar", "uint16": "ushort", "float32": "float"}


def _libvips(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """conv, convsep and gaussblur; integers for integers."""
    os.environ["VIPS_CONCURRENCY"] = str(threads)  # read when it starts; 0: the cores
    import pyvips

    dtype = source.dtype
    ((c, _),) = task.steps
    pyvips.cache_set_max(0)
    image = pyvips.Image.new_from_memory(source.data, *source.shape[1::-1], source.shape[2], VIPS_FORMATS[dtype.name])
    precision = "float" if dtype == np.float32 else "integer"
    if task.kind == "gaussian":
        make = partial(image.gaussblur, task.sigma, min_ampl=0.001, precision=precision)
    elif task.kind == "box":
        row = [1] * (2 * task.radius + 1)
        make = partial(image.convsep, pyvips.Image.new_from_array([row], scale=len(row)), precision=precision)
    else:
        weights, scale = c.weights, c.scale
        if precision == "integer" and (weights != np.rint(weights)).any():  # it would round them to whole numbers
            weights = np.rint(weights * 8192 / scale)
            scale = weights.sum()
        matrix = pyvips.Image.new_from_array(weights.tolist(), scale=float(scale))
        make = partial(image.conv, matrix, precision=precision)
    return lambda: np.frombuffer(make().write_to_memory(), dtype).reshape(source.shape)


def _inner(array: Array, c: Correlation) -> Array:
    """For padding valid the part whose windows lie inside."""
    if c.padding == "same":
        return array
    (rows, columns), (y, x) = c.weights.shape, c.anchor
    return np.ascontiguousarray(array[y : array.shape[0] - (rows - 1 - y), x : array.shape[1] - (columns - 1 - x)])


PILLOW = Peer(
    "Pillow", "PIL", ("pillow",), pillow.prepare, types=("uint8",), borders={}, sides=(3, 5), pictures=True, blurs=True,
    refusal="it filters 8-bit pictures, not {mode} {dtype}",
)  # fmt: skip
PEERS = {
    "numpy": Peer("NumPy", "numpy", ("numpy",), _numpy, kinds=("copy",)),
    "pillow": PILLOW,
    "pillow-simd": PILLOW._replace(
        name="pillow-simd", distributions=("pillow-simd",), make=pillow.prepare_simd, there=pillow.FOLDER.is_dir
    ),
    "opencv": Peer(
        "OpenCV", "cv2", ("opencv-python-headless", "opencv-python", "opencv-contrib-python"), _opencv,
        types=("uint8", "uint16", "int16", "float32", "float64"),
        borders={"edge": "REPLICATE", "reflect": "REFLECT_101", "symmetric": "REFLECT", "constant:0": "CONSTANT"},
        centred=False,
    ),
    "scipy": Peer(
        "SciPy", "scipy", ("scipy",), _scipy, types=("i", "u", "float32", "float64"), centred=False,
        refusal="it is not compared on {dtype}",
        borders={
            "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap", "constant": "constant",
        },
    ),
    "scikit-image": Peer(
        "scikit-image", "skimage", ("scikit-image",), _skimage, kinds=("dense", "gaussian"), sides=range(1, 8)
    ),
    "libvips": Peer("libvips", "pyvips", ("pyvips-binary", "pyvips"), _libvips, types=VIPS_FORMATS),
    # every tap is written out, and compiled
    "halide": Peer(
        "Halide", "halide", ("halide",), halide.prepare, types=VIPS_FORMATS, sides=range(1, 8), compiles=True
    ),
    # beyond 15 rows its results are wrong (2026.1)
    "ipp": Peer("IPP", "", ("ipp-static",), ipp.prepare, types=VIPS_FORMATS, sides=range(1, 16), there=ipp.is_there),
}  # fmt: skip
