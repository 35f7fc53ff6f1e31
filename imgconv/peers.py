"""Other tools that filter pictures: what each can do, and how it is called. `compare`, `bench` and the tests use it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial, reduce
from importlib.util import find_spec
from operator import add
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.channels import to_samples
from imgconv.engine.correlation import Correlation
from imgconv.formats.image import blur_filter, from_array
from imgconv.ipp import IPP_KINDS, ipp_is_there, ipp_library
from imgconv.threads import available_cores

if TYPE_CHECKING:
    from imgconv.kernels.blur import Blur
    from imgconv.recipe.settings import Settings

Array = Array
Step = tuple[Correlation, "Settings | None"]  # without settings the peer rounds as it does by itself
Run = Callable[[], Any]


class Task(NamedTuple):
    """What a peer is asked for."""

    kind: str  # "copy"; "dense", a chain; "gaussian" or "box", which peers may have functions of their own for
    steps: tuple[Step, ...]
    mode: str = ""  # Pillow's, of the picture; "" for arrays
    sigma: float = 0  # of a gaussian
    blurs: tuple[Blur | None, ...] = ()  # for each step, where it is Pillow's own

    @property
    def weights(self) -> Array:
        """Weights of the first step over the scale, as they are slid: shape (rows, columns)."""
        c, _ = self.steps[0]
        return c.weights / c.scale

    @property
    def taps(self) -> Array:
        """For gaussians and boxes: the 1-D weights whose outer product with themselves is the kernel."""
        middle = self.weights[self.radius]
        return np.asarray(middle / middle.sum())

    @property
    def radius(self) -> int:
        """Rows that the window of the first step reaches from its middle."""
        return self.steps[0][0].weights.shape[0] // 2 if self.steps else 0


class Unsupported(Exception):
    """The peer cannot do the work; the text says why."""


class Peer(NamedTuple):
    """A tool, what it can do, and how it is called.

    `make` takes a task, a source, memory for the result or None, and threads (0: as many as it likes). With memory the
    fastest of the tool's own ways counts, with settings in the steps the nearest to imgconv's.
    """

    name: str
    module: str
    distributions: tuple[str, ...]  # that may bring the module
    make: Callable[[Task, Array, Array | None, int], Run]
    kinds: tuple[str, ...] = ("dense", "gaussian", "box")  # of tasks
    types: Collection[str] = "iuf"  # of samples, by NumPy's names or kinds
    borders: Mapping[str, str] = {"edge": "edge"}  # the tool's words for them; none: it has a border of its own
    sides: Collection[int] = ()  # of its dense kernels, which are square then
    centred: bool = True  # the anchor is the middle, and the result as large as the picture
    pictures: bool = False  # it takes images, not arrays
    refusal: str = "it does not filter {dtype}"

    @property
    def installed(self) -> bool:
        """Whether its module is there."""
        return ipp_is_there() if self.make is _ipp else find_spec(self.module) is not None

    def border(self, c: Correlation) -> str:
        """Its word for the border of a correlation; "" where it has none."""
        return self.borders.get(c.border, "") or self.borders.get(border_name(c), "")

    def prepare(self, task: Task, source: Array, target: Array | None = None, threads: int = 0) -> Run:
        """A call that does the task and gives an array, or Pillow's image; raises Unsupported."""
        if task.kind not in self.kinds:
            raise Unsupported(f"it has no {task.kind}")
        blurs = task.blurs or (None,) * len(task.steps)
        if any(blurs) and self.make is not _pillow:
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


def border_name(c: Correlation) -> str:
    """As --border has it: "edge", "constant:9"."""
    return f"constant:{c.outside + 0.0:g}" if c.border == "constant" else c.border  # 0.0 for -0.0


def _numpy(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    result = np.empty_like(source) if target is None else target

    def run() -> Array:
        np.copyto(result, source)
        return result

    return run


def _pillow(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """One thread, as always; gaussians out of boxes."""
    from PIL import ImageFilter

    image = from_array(source, task.mode)
    image.load()
    if task.kind == "gaussian":
        return partial(image.filter, ImageFilter.GaussianBlur(task.sigma))
    if task.kind == "box":
        return partial(image.filter, ImageFilter.BoxBlur(task.radius))
    filters = [  # Pillow flips a kernel vertically before it slides it
        blur_filter(blur)
        if blur
        else ImageFilter.Kernel(c.weights.shape[::-1], c.weights[::-1].ravel().tolist(), c.scale, c.offset)
        for (c, _), blur in zip(task.steps, task.blurs or (None,) * len(task.steps), strict=True)
    ]
    return lambda: reduce(lambda result, kernel: result.filter(kernel), filters, image)


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

    def one(array: Array, step: Step) -> Array:
        c, s = step
        floating = s is not None and s.after == "float" and array.dtype.kind != "f"
        border = getattr(cv2, f"BORDER_{PEERS['opencv'].border(c) or 'REPLICATE'}")
        weights = (c.weights / c.scale).astype(weight_type)
        depth = cv2.CV_64F if floating else -1
        result = cv2.filter2D(array, depth, weights, target, c.anchor[::-1], c.offset, border)
        return _inner(result.reshape(array.shape), c)

    return partial(reduce, one, task.steps, source)


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

    def one(array: Array, step: Step) -> Array:
        c, s = step
        around = (1,) * (array.ndim - 2)
        origin = [a - k // 2 for a, k in zip((*c.anchor, *[0] * len(around)), c.weights.shape + around, strict=True)]
        weights = (c.weights / c.scale).reshape(c.weights.shape + around)
        wraps = s is not None and s.rounding == "wrap" and not c.offset
        output = target if s is None else array.dtype if wraps else np.float64
        border = PEERS["scipy"].border(c) or "nearest"
        values = _inner(ndimage.correlate(array, weights, output, border, c.outside, origin), c)
        if s is None or wraps:
            return values
        return values + c.offset if s.after == "float" else to_samples(values + c.offset, array.dtype, s.rounding)[0]

    return partial(reduce, one, task.steps, source)


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


HALIDE_SCHEDULES = (16, 1), (64, 1), (64, 2)  # rows of a band, and vectors at once
HALIDE_TRIALS = 4
LARGEST_INT16 = 2**15 - 1


def _halide(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """Bands of rows in parallel, each in vectors: the fastest of some schedules.

    Sums of 8-bit samples under whole weights are of 16 bits where these hold them, others are float32.
    """
    os.environ["HL_NUM_THREADS"] = str(threads)
    import halide as hl

    rows, samples, channels = source.shape[0], source.shape[1] * source.shape[2], source.shape[2]
    x, y, outer, inner = (hl.Var(name) for name in ("x", "y", "outer", "inner"))
    lines = hl.BoundaryConditions.repeat_edge(hl.Buffer(source.reshape(rows, samples)))
    reach, c = task.radius, task.steps[0][0]
    memory = np.empty_like(source) if target is None else target
    buffer = hl.Buffer(memory.reshape(rows, samples))
    whole = source.dtype == np.uint8 and task.kind == "dense" and (c.weights == np.rint(c.weights)).all()
    whole = whole and c.scale % 2 == 0 and 255 * np.abs(c.weights).sum() + c.scale < LARGEST_INT16

    def total(terms: Iterable[tuple[float, Any]]) -> Any:
        kind, number = (hl.i16, int) if whole else (hl.f32, float)
        return reduce(add, (kind(value) * kind(number(weight)) for weight, value in terms))

    def scheduled(height: int, vectors: int) -> Any:
        result, between = hl.Func("result"), hl.Func("between")
        if task.kind == "dense":
            taps = np.ndenumerate(c.weights if whole else task.weights)
            sums = total((w, lines[x + (j - reach) * channels, y + i - reach]) for (i, j), w in taps)
        else:
            between[x, y] = total((w, lines[x, y + i - reach]) for i, w in enumerate(task.taps))
            sums = total((w, between[x + (j - reach) * channels, y]) for j, w in enumerate(task.taps))
        if whole:
            half = hl.i16(int(c.scale) // 2)
            result[x, y] = hl.u8(hl.clamp((sums + half) / hl.i16(int(c.scale)), hl.i16(0), hl.i16(255)))
        elif source.dtype == np.float32:
            result[x, y] = sums
        else:
            cast = hl.u8 if source.dtype == np.uint8 else hl.u16
            result[x, y] = cast(hl.clamp(sums + 0.5, 0.0, float(np.iinfo(source.dtype).max)))
        natural = hl.get_host_target().natural_vector_size(hl.Int(16) if whole else hl.Float(32))
        lanes = min(vectors * natural, samples)
        result.split(y, outer, inner, min(height, rows)).parallel(outer).vectorize(x, lanes)
        if task.kind != "dense":
            between.compute_at(result, inner).vectorize(x, lanes)
        result.compile_jit()
        return result

    def seconds(made: Any) -> float:
        times = []
        for _ in range(HALIDE_TRIALS):
            started = perf_counter()
            made.realize(buffer)
            times.append(perf_counter() - started)
        return min(times)

    fastest = min((scheduled(*schedule) for schedule in HALIDE_SCHEDULES), key=seconds)

    def run() -> Array:
        fastest.realize(buffer)
        return memory

    return run


IPP_TILE = 64  # rows
WHOLE_WEIGHTS = 2**15  # 16 bits


def _ipp(task: Task, source: Array, target: Array | None, threads: int) -> Run:
    """FilterBorder, whose weights are whole numbers over a divisor where they can be; FilterGaussian, FilterBox."""
    try:
        library = ipp_library()
    except OSError as problem:
        raise Unsupported(str(problem)) from None
    if source.ndim != 3 or source.shape[2] != 3:
        raise Unsupported("it is called for three channels only")
    c = task.steps[0][0]
    result = np.empty_like(source) if target is None else target
    given = c.weights, np.array([c.scale])
    whole = None
    if source.dtype == np.uint8 and all(
        (part == np.rint(part)).all() and abs(part).max() < WHOLE_WEIGHTS for part in given
    ):
        whole = np.ascontiguousarray(c.weights, np.int16)
    weights = np.ascontiguousarray(task.weights, np.float32)
    source = np.ascontiguousarray(source)
    arguments = (
        *source.shape[:2], source.itemsize, IPP_KINDS[task.kind], len(weights),
        None if whole is None else whole.ctypes.data, weights.ctypes.data, int(c.scale), task.sigma, IPP_TILE,
        threads or available_cores(),
    )  # fmt: skip

    def run() -> Array:
        if status := library.filter(source.ctypes.data, result.ctypes.data, *arguments):
            raise Unsupported(f"it failed with status {status}")
        return result

    return run


def _inner(array: Array, c: Correlation) -> Array:
    """For padding valid the part whose windows lie inside."""
    if c.padding == "same":
        return array
    (rows, columns), (y, x) = c.weights.shape, c.anchor
    return np.ascontiguousarray(array[y : array.shape[0] - (rows - 1 - y), x : array.shape[1] - (columns - 1 - x)])


PEERS = {
    "numpy": Peer("NumPy", "numpy", ("numpy",), _numpy, kinds=("copy",)),
    "pillow": Peer(
        "Pillow", "PIL", ("pillow",), _pillow, types=("uint8",), borders={}, sides=(3, 5), pictures=True,
        refusal="it filters 8-bit pictures, not {mode} {dtype}",
    ),
    "opencv": Peer(
        "OpenCV", "cv2", ("opencv-python-headless", "opencv-python", "opencv-contrib-python"), _opencv,
        types=("uint8", "uint16", "int16", "float32", "float64"),
        borders={"edge": "REPLICATE", "reflect": "REFLECT_101", "symmetric": "REFLECT", "constant:0": "CONSTANT"},
        centred=False,
    ),
    "scipy": Peer(
        "SciPy", "scipy", ("scipy",), _scipy, centred=False, refusal="it is not compared on {dtype}",
        borders={
            "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap", "constant": "constant",
        },
    ),
    "scikit-image": Peer(
        "scikit-image", "skimage", ("scikit-image",), _skimage, kinds=("dense", "gaussian"), sides=range(1, 8)
    ),
    "libvips": Peer("libvips", "pyvips", ("pyvips-binary", "pyvips"), _libvips, types=VIPS_FORMATS),
    # every tap is written out, and compiled
    "halide": Peer("Halide", "halide", ("halide",), _halide, types=VIPS_FORMATS, sides=range(1, 8)),
    # beyond 15 rows its results are wrong (2026.1)
    "ipp": Peer("IPP", "", ("ipp-static",), _ipp, types=VIPS_FORMATS, sides=range(1, 16)),
}  # fmt: skip


def plain_calls(array: Array, weights: Array) -> dict[str, Run]:
    """name -> the one call that a script has for it, in one thread; of the libraries that are installed."""
    calls: dict[str, Run] = {}
    wide = weights.reshape(weights.shape + (1,) * (array.ndim - 2))
    if PEERS["opencv"].installed:
        import cv2

        cv2.setNumThreads(1)
        calls["OpenCV"] = partial(cv2.filter2D, array, -1, weights)
    if PEERS["scipy"].installed:
        from scipy import ndimage

        calls["SciPy"] = partial(ndimage.correlate, array, wide, mode="nearest")
    if PEERS["scikit-image"].installed:
        from skimage import filters

        calls["scikit-image"] = lambda: filters.correlate_sparse(array.astype(np.float32, copy=False), wide, "nearest")
    return calls
