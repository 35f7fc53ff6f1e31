"""The same work in other tools, for comparison: Pillow, SciPy (ndimage) and OpenCV."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.engine.channels import to_samples
from imgconv.engine.plan import Correlation
from imgconv.picture.image import from_array, to_array
from imgconv.picture.value import Picture
from imgconv.recipe import Recipe
from imgconv.recipe.settings import Settings, correlation, settle

Array = npt.NDArray[Any]
Step = tuple[Correlation, Settings]

PEERS = {"pillow": "Pillow", "scipy": "SciPy", "opencv": "OpenCV"}
MODULES = {"pillow": "PIL", "scipy": "scipy", "opencv": "cv2"}
# options that no peer has a counterpart of, and the value with which they do nothing
BEYOND = {
    "stride": (1, 1), "channels": "each", "after": "clip", "alpha": "straight", "linear": False, "combine": None,
    "mask": None, "vary": None,
}  # fmt: skip
NDIMAGE_BORDERS = {
    "edge": "nearest", "reflect": "mirror", "symmetric": "reflect", "wrap": "wrap", "constant": "constant",
}  # fmt: skip
OPENCV_BORDERS = {"edge": "REPLICATE", "reflect": "REFLECT_101", "symmetric": "REFLECT", "constant": "CONSTANT"}
OPENCV_TYPES = ("uint8", "uint16", "int16", "float32", "float64")
CLOSE = {"float32": 1e-5, "float64": 1e-12}  # floating sums in another order: of the largest magnitude in the result


@dataclass(frozen=True)
class Comparison:
    """imgconv beside a peer on one picture.

    Attributes
    ----------
    equal : bool
        The same bytes; floating results: up to rounding.
    pixels, all_pixels : int
        How many differ in any channel, of how many that were compared.
    largest : float
        Difference, in levels.
    only_border : bool
        Whether all that differ have a window that leaves the picture.
    imgconv_s, peer_s : float
        Medians, in seconds.
    lacks : str
        The border that the peer does not have, so that only pixels inside were compared; or "".
    impossible : str
        Why the peer cannot do it, or "".
    """

    equal: bool = False
    pixels: int = 0
    all_pixels: int = 0
    largest: float = 0
    only_border: bool = False
    imgconv_s: float = 0.0
    peer_s: float = 0.0
    lacks: str = ""
    impossible: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Every field, and the ratio of the times."""
        return asdict(self) | {"ratio": self.peer_s / self.imgconv_s if self.imgconv_s else None}


class Lacking(Exception):
    """The peer cannot do the work; the text says why."""


def available(peer: str) -> bool:
    """Whether a peer of `PEERS` can be imported."""
    return find_spec(MODULES[peer]) is not None


def compare(peer: str, picture: Picture, recipe: Recipe, rounds: int = 5) -> Comparison:
    """Filters with imgconv and with a peer of `PEERS`, turn by turn, and compares every sample."""
    if not available(peer):
        return Comparison(impossible="it is not installed")
    try:
        steps = _steps(picture, recipe)
        lacks, theirs = {"pillow": _pillow, "scipy": _scipy, "opencv": _opencv}[peer](picture, steps)
    except Lacking as why:
        return Comparison(impossible=str(why))
    ours_s, theirs_s = [], []
    recipe.apply(picture.array, picture.mode)  # compiles, if that is to do
    for _ in range(rounds):
        started = time.perf_counter()
        result, _, _ = recipe.apply(picture.array, picture.mode)
        ours_s.append(time.perf_counter() - started)
        started = time.perf_counter()
        other = theirs()
        theirs_s.append(time.perf_counter() - started)
    return _judge(result, np.asarray(to_array(other) if peer == "pillow" else other), steps, lacks, ours_s, theirs_s)


def _judge(
    ours: Array, theirs: Array, steps: list[Step], lacks: str, ours_s: list[float], theirs_s: list[float]
) -> Comparison:
    theirs = theirs.reshape(ours.shape)
    difference = np.abs(ours.astype(np.float64) - theirs)
    differs: Array = difference > 0
    if ours.dtype.kind == "f":
        difference[(ours == theirs) | (np.isnan(ours) & np.isnan(theirs))] = 0  # infinities too
        largest = float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0))
        near = CLOSE.get(ours.dtype.name, 1e-3) * largest
        differs = np.asarray(~(difference <= near))
    differs = np.asarray(differs.reshape(*differs.shape[:2], -1).any(axis=2))
    before, beyond = [0, 0], [0, 0]  # how far windows reach
    for c, _ in steps:
        if c.padding == "same":
            before = [b + a for b, a in zip(before, c.anchor, strict=True)]
            beyond = [b + k - 1 - a for b, k, a in zip(beyond, c.weights.shape, c.anchor, strict=True)]
    window = tuple(slice(b, max(b, size - e)) for b, e, size in zip(before, beyond, differs.shape, strict=True))
    inside = differs[window]
    if lacks:
        differs, difference = inside, difference[window]
    return Comparison(
        equal=not differs.any(),
        pixels=int(np.count_nonzero(differs)),
        all_pixels=differs.size,
        largest=float(difference.max(initial=0)) if ours.dtype.kind == "f" else int(difference.max(initial=0)),
        only_border=bool(differs.any() and not inside.any()),
        imgconv_s=statistics.median(ours_s),
        peer_s=statistics.median(theirs_s),
        lacks=lacks,
    )


def _steps(picture: Picture, recipe: Recipe) -> list[Step]:
    """Every kernel as one correlation, or Lacking what no peer has."""
    for option, plain in BEYOND.items():
        if getattr(recipe.options, option) not in (None, plain):
            raise Lacking(f"it has no --{option}")
    steps = []
    for kernel in recipe.kernels:
        if kernel.weights.ndim > 2:
            raise Lacking(f"it filters each channel with the same weights, {kernel.name} has more")
        s = settle(kernel, recipe.options, picture=bool(picture.mode))
        if s.bias:
            raise Lacking("it adds the same to every channel")
        c = correlation(kernel, recipe.options, s, shape=picture.array.shape)
        if c.padding == "full":
            raise Lacking("its result never has more than the size of the picture")
        steps.append((c, s))
    return steps


def _pillow(picture: Picture, steps: list[Step]) -> tuple[str, Callable[[], Any]]:
    from PIL import ImageFilter

    filters = []
    for c, _ in steps:
        rows, columns = c.weights.shape
        if (rows, columns) not in ((3, 3), (5, 5)):
            raise Lacking(f"its kernels are 3×3 or 5×5, this one is {rows}×{columns}")
        if c.anchor != (rows // 2, columns // 2):
            raise Lacking("its anchor is always the middle")
        if c.padding != "same":
            raise Lacking("its result always has the size of the picture")
        # Pillow flips a kernel vertically before it slides it
        filters.append(ImageFilter.Kernel((columns, rows), c.weights[::-1].ravel().tolist(), c.scale, c.offset))
    if picture.array.dtype != np.uint8 or not picture.mode:
        raise Lacking(f"it filters 8-bit pictures, not {picture.mode or 'arrays of'} {picture.array.dtype}")
    image = from_array(picture.array, picture.mode)
    image.load()

    def run() -> Any:
        result = image
        for each in filters:
            result = result.filter(each)
        return result

    return "", run


def _scipy(picture: Picture, steps: list[Step]) -> tuple[str, Callable[[], Array]]:
    """scipy.ndimage.correlate in float64, then rounded and clipped as the settings say; it has no such step itself."""
    from scipy import ndimage

    if picture.array.dtype.kind not in "iuf":
        raise Lacking(f"it is not compared on {picture.array.dtype}")

    def one(array: Array, c: Correlation, s: Settings) -> Array:
        size = c.weights.shape
        levels = (1,) * (array.ndim - 2)
        origin = tuple(a - k // 2 for a, k in zip(c.anchor, size, strict=True)) + (0,) * len(levels)
        weights = (c.weights / c.scale).reshape(*size, *levels)
        border = NDIMAGE_BORDERS.get(c.border, "nearest")
        wraps = s.rounding == "wrap" and not c.offset
        values = ndimage.correlate(
            array, weights, array.dtype if wraps else np.float64, border, cval=c.outside, origin=origin
        )
        values = _inner(values, c) if c.padding == "valid" else values
        if wraps or s.after == "float":
            return np.asarray(values + c.offset if c.offset else values)
        if array.dtype.kind == "f":
            return np.asarray((values + c.offset).astype(array.dtype))
        return to_samples(values + c.offset, array.dtype, s.rounding)[0]

    return _missing(steps, NDIMAGE_BORDERS), lambda: _chain(picture.array, steps, one)


def _opencv(picture: Picture, steps: list[Step]) -> tuple[str, Callable[[], Array]]:
    """cv2.filter2D as it is: it rounds ties to even."""
    import cv2

    if picture.array.dtype.name not in OPENCV_TYPES:
        raise Lacking(f"it does not filter {picture.array.dtype}")

    def one(array: Array, c: Correlation, s: Settings) -> Array:
        border = getattr(cv2, f"BORDER_{OPENCV_BORDERS.get(c.border, 'REPLICATE')}")
        floating = s.after == "float" and array.dtype.kind != "f"
        depth = cv2.CV_64F if floating else -1
        result = cv2.filter2D(
            array, depth, c.weights / c.scale, anchor=c.anchor[::-1], delta=c.offset, borderType=border
        )
        result = result.reshape(array.shape)
        return _inner(result, c) if c.padding == "valid" else result

    borders = {name: way for name, way in OPENCV_BORDERS.items() if name != "constant"}
    if all(c.outside == 0 for c, _ in steps):
        borders["constant"] = OPENCV_BORDERS["constant"]  # filter2D takes no other value
    array = np.ascontiguousarray(picture.array)
    return _missing(steps, borders), lambda: _chain(array, steps, one)


def _missing(steps: list[Step], borders: dict[str, str]) -> str:
    """The first border that a peer does not have; where no window leaves the picture none is needed."""
    for c, _ in steps:
        if c.border not in borders and c.padding == "same":
            return f"border {c.border}" + (f":{c.outside:g}" if c.border == "constant" else "")
    return ""


def _chain(array: Array, steps: list[Step], one: Callable[[Array, Correlation, Settings], Array]) -> Array:
    for c, s in steps:
        array = one(array, c, s)
    return array


def _inner(array: Array, c: Correlation) -> Array:
    """The part whose windows lie inside: padding valid."""
    (rows, columns), (y, x) = c.weights.shape, c.anchor
    return np.ascontiguousarray(array[y : array.shape[0] - (rows - 1 - y), x : array.shape[1] - (columns - 1 - x)])
