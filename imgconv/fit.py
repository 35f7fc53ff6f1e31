"""The kernel that best explains a picture made from another: least squares, then the simplest weights that do as well.

For every sample of AFTER that is not clipped, and whose window lies inside the picture,

    after = offset + sum over taps of w[i, j] * before[i, j],

is one linear equation; all channels share the kernel. Rounding makes an error of at most half a level in each, so a
kernel explains AFTER when no sample is off by more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.value import Kernel, high_anchor, low_anchor
from imgconv.recipe import Recipe
from imgconv.recipe.options import Options
from imgconv.recipe.settings import correlation

Array = npt.NDArray[Any]
Pair = tuple[int, int]

SIZES = ((3, 3), (5, 5), (7, 7))
LARGEST_TAPS = 1024  # unknowns; the work grows with their cube
MOST_SAMPLES = 60_000
MOST_CELLS = 2**23  # of the table of equations: 64 MiB
CHECK_SAMPLES = 3_000_000  # on which a kernel is checked in the end
LARGEST_SCALE = 1024
ROUNDING = 0.5
FLAT = 1e-10  # share of the largest eigenvalue below which the picture says nothing about a direction


@dataclass(frozen=True)
class Fit:
    """A kernel, and how well it explains.

    Attributes
    ----------
    kernel : Kernel
    name : str
        Of the catalogue, or "" where no named kernel does.
    explains : bool
        Whether no sample is further off than rounding explains.
    rms, largest : float
        Residual, in levels, before rounding.
    samples : int
        How many it was checked on.
    left_out : int
        Samples that are clipped.
    ill_posed : str
        Why the weights are not certain, or "".
    """

    kernel: Kernel
    name: str
    explains: bool
    rms: float
    largest: float
    samples: int
    left_out: int
    ill_posed: str = ""

    def lines(self) -> list[str]:
        """What is to be said about it."""
        rows, columns = self.kernel.shape
        what = self.name or f"a {rows}×{columns} kernel"
        how = "explains it within rounding" if self.explains else "is the nearest, but does not explain it"
        said = [
            f"{what} {how}: residual rms {self.rms:.3g}, largest {self.largest:.3g} levels"
            f" on {self.samples:,} samples ({self.left_out:,} clipped ones left out)"
        ]
        return said + [self.ill_posed] * bool(self.ill_posed)


class _Equations(NamedTuple):
    """Windows as rows, samples to explain, and which of the interior they are."""

    windows: Array  # float64, (samples, taps)
    seen: Array


def fit(before: Array, after: Array, size: Pair | None = None) -> Fit:
    """As `imgconv.fit_kernel`, of arrays and a size (rows, columns)."""
    first, second = before.reshape(*before.shape[:2], -1), after.reshape(*after.shape[:2], -1)
    if first.shape[2] != second.shape[2]:
        raise PictureError(f"BEFORE has {first.shape[2]} channels and AFTER {second.shape[2]}; convert one of them")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise PictureError("the pictures hold nan or inf; fit takes finite samples")
    if float(np.ptp(first)) == 0:
        raise PictureError("BEFORE is flat: every kernel of the same sum gives the same AFTER")
    if size is not None:
        return _best_anchor(first, second, size)
    nearest: Fit | None = None
    for each in SIZES:
        try:
            found = _best_anchor(first, second, each)
        except PictureError:
            if nearest is None:
                raise
            break
        if found.explains:
            return found
        nearest = found if nearest is None or found.rms < nearest.rms else nearest
    assert nearest is not None
    return nearest


def _best_anchor(before: Array, after: Array, size: Pair) -> Fit:
    """The fit for one size; an even size has two middles."""
    if size[0] * size[1] > LARGEST_TAPS:
        raise UsageError(f"size {size[0]},{size[1]}: more than {LARGEST_TAPS} weights cannot be fitted")
    low, high = low_anchor(size), high_anchor(size)
    found = _Problem(before, after, size, low).solve()
    if found.explains or low == high or before.shape != after.shape:
        return found
    other = _Problem(before, after, size, high).solve()
    return other if other.rms < found.rms else found


class _Problem:
    """The pictures, a size and an anchor: from them to the kernel."""

    def __init__(self, before: Array, after: Array, size: Pair, anchor: Pair) -> None:
        self.size, self.anchor = size, anchor
        rows, columns = size
        whole = after
        inside = before.shape[0] - rows + 1, before.shape[1] - columns + 1
        if min(inside) < 1:
            raise PictureError(f"a {_size(before)} picture is too small for a {rows}×{columns} kernel")
        if after.shape == before.shape:
            after = after[anchor[0] : anchor[0] + inside[0], anchor[1] : anchor[1] + inside[1]]
        elif after.shape[:2] != inside:
            raise PictureError(f"AFTER is {_size(after)}, BEFORE {_size(before)} (rows × columns); they must be equal")
        else:
            self.anchor = anchor = low_anchor(size)
        self.pictures = before, whole
        self.before, self.after = before, after  # the result of windows that lie inside
        self.integer = after.dtype.kind in "iub"
        free = np.ones(after.shape, bool)
        if self.integer and after.dtype.kind != "b":
            limits = np.iinfo(after.dtype)
            free = (after > limits.min) & (after < limits.max)
        self.free = free
        self.left_out = int(free.size - np.count_nonzero(free))
        self.error = 2.0**-22 * rows * columns * float(np.abs(before).max(initial=1))  # of sums in float32
        self.half = ROUNDING if self.integer else 0.0

    def solve(self) -> Fit:
        equations = self.equations(MOST_SAMPLES)
        taps = self.size[0] * self.size[1]
        if equations.seen.size < 2 * (taps + 1):
            raise PictureError(
                f"only {equations.seen.size} samples are neither clipped nor near the border; a"
                f" {self.size[0]}×{self.size[1]} kernel needs {2 * (taps + 1)} or more"
            )
        weights, offset, spread, unknown = self.least_squares(equations)
        ill = ""
        if unknown:
            ill = f"ill-posed: BEFORE says nothing about {unknown} of {taps} combinations of the weights"
        kernel, name = Kernel(weights.reshape(self.size), offset=offset, name="fit"), ""
        rest = equations.windows @ weights + offset - equations.seen
        if self.within(rest, 3 * self.half):  # otherwise nothing simpler will do either
            kernel, name = self.simplest(equations, weights, offset, spread) or (kernel, "")
        else:
            kernel = replace(kernel, weights=np.array([[float(f"{w:.6g}") for w in row] for row in kernel.weights]))
        return self.judged(kernel, name, ill)

    def equations(self, most: int) -> _Equations:
        """Windows and samples, those with the most texture around them; how they are chosen does not look at AFTER."""
        rows, columns = self.size
        most = max(4 * rows * columns, min(most, MOST_CELLS // (rows * columns)))
        spots = np.flatnonzero(self.free)
        generator = np.random.default_rng(0)
        if spots.size > 4 * most:
            spots = np.sort(generator.choice(spots, 4 * most, replace=False))
        y, x, c = np.unravel_index(spots, self.after.shape)
        if spots.size > most:
            # how much a window changes from tap to tap: what tells its weights apart
            middle = self.taken(y, x, c, rows // 2, columns // 2)
            texture = sum(
                np.abs(self.taken(y, x, c, i, j) - middle)
                for i, j in {
                    (0, 0),
                    (0, columns - 1),
                    (rows - 1, 0),
                    (rows // 2, columns - 1),
                    (rows - 1, columns // 2),
                }
            )
            half = most // 2  # the other half from anywhere, so that plain parts have their say
            order = np.argsort(-np.asarray(texture), kind="stable")
            chosen = np.sort(np.concatenate([order[:half], generator.choice(order[half:], most - half, replace=False)]))
            y, x, c = y[chosen], x[chosen], c[chosen]
        windows = np.stack([self.taken(y, x, c, i, j) for i in range(rows) for j in range(columns)], axis=1)
        return _Equations(windows, self.after[y, x, c].astype(np.float64))

    def taken(self, y: Array, x: Array, c: Array, i: int, j: int) -> Array:
        """The sample of every window under one tap."""
        taken: Array = self.before[y + i, x + j, c].astype(np.float64)
        return taken

    def least_squares(self, equations: _Equations) -> tuple[Array, float, Array, int]:
        """Weights, offset, the weights' standard errors under rounding, and how many directions are unknown."""
        mean, seen_mean = equations.windows.mean(axis=0), equations.seen.mean()
        centred = equations.windows - mean
        values, vectors = np.linalg.eigh(centred.T @ centred)
        known = values > FLAT * values[-1]
        if values[-1] <= 0 or not known.any():
            raise PictureError("BEFORE is flat where AFTER is not clipped: no kernel can be told from another")
        inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T
        weights = inverse @ (centred.T @ (equations.seen - seen_mean))
        # once more for what the squared condition number has cost
        weights += inverse @ (centred.T @ (equations.seen - seen_mean - centred @ weights))
        noise = max(self.half / np.sqrt(3), 1e-9 * float(np.abs(equations.seen).max(initial=1)))
        spread = noise * np.sqrt(np.abs(np.diag(inverse)))
        return weights, float(seen_mean - mean @ weights), spread, int(np.count_nonzero(~known))

    def within(self, rest: Array, half: float | None = None) -> bool:
        """Whether residuals are no larger than rounding makes them."""
        return float(np.abs(rest).max()) <= (self.half if half is None else half) + self.error

    def simplest(
        self, equations: _Equations, weights: Array, offset: float, spread: Array
    ) -> tuple[Kernel, str] | None:
        """A kernel of the catalogue, small whole numbers over a scale, or few digits, if that explains the samples."""
        named = []
        for kernel, taps in _catalogue(self.size, self.anchor):
            near = np.abs(taps.ravel() - weights) <= 8 * spread + 1e-6
            if near.all() and self.within(equations.windows @ taps.ravel() + kernel.offset - equations.seen):
                named.append(kernel)
        if named:
            kernel = min(named, key=self.differing) if len(named) > 1 else named[0]
            return kernel, kernel.name
        anchor = self.anchor if self.anchor != low_anchor(self.size) else None
        for scale in range(1, LARGEST_SCALE + 1):
            whole = np.rint(weights * scale)
            if (np.abs(whole / scale - weights) > 6 * spread + 1e-7).any() or not whole.any():
                continue
            if scale * float(spread.max()) > 0.15:  # any number is near a whole one by now
                break
            if (moved := self.offset(equations, whole / scale, offset)) is not None:
                # 1e-7: the scale that makes 0.111111 a ninth
                return Kernel(whole.reshape(self.size), scale, moved, name="fit", anchor=anchor), ""
        for digits in range(1, 10):
            short: Array = np.round(weights, digits)
            if (moved := self.offset(equations, short, offset)) is not None:
                return Kernel(short.reshape(self.size), 1.0, moved, name="fit", anchor=anchor), ""
        return Kernel(weights.reshape(self.size), 1.0, offset, name="fit", anchor=anchor), ""

    def differing(self, kernel: Kernel) -> int:
        """How many samples are others under a kernel, border and all: it tells namesakes apart."""
        before, after = self.pictures
        if before.shape != after.shape:
            return 0
        made, _, _ = Recipe((kernel,)).apply(before)
        return int(np.count_nonzero(made != after))

    def offset(self, equations: _Equations, weights: Array, offset: float) -> float | None:
        """The roundest offset under which the weights explain the samples, or None."""
        plain = equations.seen - equations.windows @ weights
        for tried in dict.fromkeys((0.0, *(float(np.round(plain.mean() * k) / k) for k in (1, 2, 10, 1000, 1e6)))):
            if self.within(plain - tried):
                return tried
        middle = float(plain.max() + plain.min()) / 2
        return middle if self.within(plain - middle) else None

    def judged(self, kernel: Kernel, name: str, ill: str) -> Fit:
        """The kernel's residuals on all samples, or on an even share of rows of a large picture."""
        taps, offset = _slid(kernel)
        top, left = _anchor_of(kernel, taps)
        step = -(-self.after.size // CHECK_SAMPLES)
        height, width = self.after.shape[:2]
        total = np.full((len(range(0, height, step)), width, self.after.shape[2]), float(offset))
        for i, j in zip(*np.nonzero(taps), strict=True):
            # a named kernel may be smaller than the window that was fitted
            y, x = self.anchor[0] - top + i, self.anchor[1] - left + j
            total += taps[i, j] * self.before[y : y + height : step, x : x + width]
        rest = (total - self.after[::step])[self.free[::step]]
        rms, largest = float(np.sqrt(np.mean(rest * rest))), float(np.abs(rest).max())
        # a tool that adds in float32 or in whole numbers is off by one now and then
        explains = largest <= self.half + self.error
        explains = explains or (largest <= 2 * self.half + self.error and rms <= 0.7 * self.half + self.error)
        kernel = kernel if name else replace(kernel, about="Fitted by least squares; slides as written (correlation).")
        return Fit(kernel, name, explains, rms, largest, rest.size, self.left_out, ill)


def _catalogue(size: Pair, anchor: Pair) -> Iterator[tuple[Kernel, Array]]:
    """Named kernels that fit into a window, as taps over their scale in it."""
    from imgconv.kernels.catalogue import named, names

    for name in names():
        try:
            kernel = named(name)
        except KernelError:
            continue
        if kernel.weights.ndim > 2:
            continue
        taps, _ = _slid(kernel)
        y, x = (a - b for a, b in zip(anchor, _anchor_of(kernel, taps), strict=True))
        if y < 0 or x < 0 or y + taps.shape[0] > size[0] or x + taps.shape[1] > size[1]:
            continue
        window = np.zeros(size)
        window[y : y + taps.shape[0], x : x + taps.shape[1]] = taps
        yield kernel, window


def _slid(kernel: Kernel) -> tuple[Array, float]:
    """A kernel's taps over its scale as they are slid, and its offset."""
    c = correlation(kernel, Options())
    return c.weights / c.scale, c.offset


def _anchor_of(kernel: Kernel, taps: Array) -> Pair:
    return correlation(kernel, Options()).anchor


def _size(array: Array) -> str:
    return f"{array.shape[0]}×{array.shape[1]}"
