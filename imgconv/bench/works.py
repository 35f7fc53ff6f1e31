"""The works: one table that feeds the benchmark and its tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from imgconv.arrayfile import Array
from imgconv.kernels.spec import kernel
from imgconv.kernels.value import Kernel
from imgconv.peers.task import Task
from imgconv.recipe.options import Options
from imgconv.recipe.settings import correlation

STRIP = 16  # rows and columns of the two strips on which results are checked
EDGE_BORDER = Options(border="edge")  # every peer has it
EDGE_ENHANCE = [[-1, -1, -1], [-1, 10, -1], [-1, -1, -1]]


@dataclass(frozen=True)
class Work:
    """One piece of work on a picture."""

    name: str
    about: str
    kind: str  # of a task for peers, or "command" for whole programs
    size: float = 0  # rows of a dense kernel, sigma of a gaussian, radius of a box
    dtype: str = "uint8"
    ending: str = ""  # of a command's files
    frames: int = 0  # in each of them, where they are animations

    @property
    def kernel(self) -> Kernel:
        """What imgconv is given."""
        return kernel_for(self.kind, self.size)

    @property
    def task(self) -> Task:
        """What peers are asked for."""
        if self.kind == "copy":
            return Task("copy", ())
        kind = "dense" if self.kind == "command" else self.kind
        return Task(kind, ((correlation(self.kernel, EDGE_BORDER), None),), sigma=self.size)


@cache
def kernel_for(kind: str, size: float) -> Kernel:
    """The kernel of a work; 0 rows are edge_enhance."""
    if kind == "gaussian":
        return kernel(f"gaussian:sigma={size:g}")
    if kind == "box":
        return kernel(f"box:radius={size:g}")
    if size == 0:
        return Kernel(np.array(EDGE_ENHANCE, np.float64), scale=2, name="edge_enhance")
    # no two weights are alike, and none is a whole number
    weights = np.random.default_rng(int(size)).random((int(size), int(size))) + 0.05
    return Kernel(weights / weights.sum(), name=f"dense{size:g}")


WORKS = (
    Work("copy", "copy the picture: the limit", "copy"),
    Work("edge_enhance", "edge_enhance 3×3", "dense"),
    *(Work(f"{n}x{n}", f"dense asymmetric {n}×{n}", "dense", n) for n in (3, 5, 7, 15, 31)),
    Work("gaussian5", "gaussian, sigma 5", "gaussian", 5),
    Work("gaussian20", "gaussian, sigma 20", "gaussian", 20),
    Work("box15", "box, radius 15", "box", 15),
    Work("3x3-16bit", "dense asymmetric 3×3, 16 bits", "dense", 3, "uint16"),
    Work("7x7-16bit", "dense asymmetric 7×7, 16 bits", "dense", 7, "uint16"),
    Work("3x3-float", "dense asymmetric 3×3, float32", "dense", 3, "float32"),
    Work("7x7-float", "dense asymmetric 7×7, float32", "dense", 7, "float32"),
    Work("png", "edge_enhance, PNG to PNG", "command", ending=".png"),
    Work("jpeg", "edge_enhance, JPEG to JPEG", "command", ending=".jpg"),
    Work("animation", "edge_enhance, GIF to GIF", "command", ending=".gif"),
    Work("raw-video", "edge_enhance, raw to raw", "command", ending=".raw"),
    Work("small-png", "edge_enhance, PNG to PNG, 512×512", "command", ending=".png"),
)


def picture(rows: int, columns: int, channels: int, dtype: str) -> Array:
    """A picture with a photo's spectrum: noise in octaves, whose amplitude falls about as 1 over the frequency.

    Integers use their whole range, floating numbers 0 to 1.
    """
    rng = np.random.default_rng(0)
    steps = [2**n for n in range(max(1, min(rows, columns).bit_length() - 1))]
    weights = [step**0.25 for step in steps]  # nearest pixels of photographs differ by about 5 levels
    spread = float(np.sqrt(sum(w * w for w in weights)))
    top = 1.0 if dtype[0] == "f" else float(np.iinfo(dtype).max)
    out = np.empty((rows, columns, channels), dtype)
    for channel in range(channels):
        plane = np.zeros((-(-rows // steps[-1]), -(-columns // steps[-1])), np.float32)
        for step, weight in zip(reversed(steps), reversed(weights), strict=True):
            size = -(-rows // step), -(-columns // step)
            if plane.shape != size:
                plane = plane.repeat(2, 0).repeat(2, 1)[: size[0], : size[1]]
            plane = plane + np.float32(weight) * rng.standard_normal(size, np.float32)
        plane *= top / (5 * spread)
        plane += top / 2
        out[:, :, channel] = np.clip(plane, 0, top, out=plane)
    return out


def error_from(work: Work, source: Array) -> Callable[[Array], float | None]:
    """A function for the largest difference of a result from the float64 sums, in levels; None if all windows leave.

    Compared are two strips that cross the picture, where no window leaves it.
    """
    parts = list(_sums(work.task, source)) if work.kind != "copy" else []
    # floating results of integer pictures are not clipped yet
    low, high = (0, np.iinfo(work.dtype).max) if work.dtype[0] == "u" else (-np.inf, np.inf)

    def error(result: Array) -> float | None:
        differences = (np.clip(sums, low, high) - np.clip(result[window], low, high) for window, sums in parts)
        return max((float(np.abs(difference).max()) for difference in differences), default=None)

    return error


def _sums(task: Task, source: Array) -> Iterator[tuple[tuple[slice, slice], Array]]:
    reach = task.radius
    inner = [slice(reach, size - reach) for size in source.shape[:2]]
    if min(span.stop - span.start for span in inner) <= 0:
        return
    across, down = (
        slice(max(span.start, size // 2 - STRIP // 2), min(span.stop, size // 2 + STRIP // 2))
        for span, size in zip(inner, source.shape, strict=False)
    )
    for window in ((across, inner[1]), (inner[0], down)):
        around = tuple(slice(span.start - reach, span.stop + reach) for span in window)
        sums = source[around].astype(np.float64)
        for weights in [task.weights] if task.kind == "dense" else [task.taps[:, None], task.taps[None]]:
            windows = np.lib.stride_tricks.sliding_window_view(sums, weights.shape, (0, 1))
            sums = np.asarray(sum(weight * windows[..., i, j] for (i, j), weight in np.ndenumerate(weights)))
        yield window, sums
