"""The kernel that best explains a picture made from another: least squares, then the simplest weights that do as well.

For every sample of AFTER that is not clipped, and whose window lies inside the picture,

    after = offset + sum over taps of w[i, j] * before[i, j],

is one linear equation; all channels share the kernel. Rounding makes an error of at most half a level in each, so a
kernel explains AFTER when no sample is off by more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import KernelError, PictureError, UsageError
from imgconv.kernels.value import Kernel, high_anchor, low_anchor
from imgconv.notebook import Look, Shown
from imgconv.recipe.layout import check_squares
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.settings import correlation

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
class Fit(Shown):
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

    def _look(self) -> Look:
        heading, facts, drawn = self.kernel._look()
        said = {f"fit {number}" if number else "fit": line for number, line in enumerate(self.lines())}
        return Look(f"Fit: {heading}", said | dict(facts), drawn)

    def lines(self) -> list[str]:
        """What is to be said about it."""
        rows, columns = self.kernel.shape
        what = self.name or f"a {rows}×{columns} kernel"
        how = "explains it within rounding" if self.explains else "is the nearest, but does not explain it"
        line = (
            f"{what} {how}: residual rms {self.rms:.3g}, largest {self.largest:.3g} levels"
            f" on {self.samples:,} samples ({self.left_out:,} clipped ones left out)"
        )
        return [line] + [self.ill_posed] * bool(self.ill_posed)


def fit(before: Array, after: Array, size: Pair | None = None) -> Fit:
    """As `imgconv.fit_kernel`, of arrays and a size (rows, columns)."""
    before, after = before.reshape(*before.shape[:2], -1), after.reshape(*after.shape[:2], -1)
    if before.shape[2] != after.shape[2]:
        raise PictureError(f"channels: BEFORE has {before.shape[2]} and AFTER {after.shape[2]}; convert one of them")
    check_squares("fit", before, after)
    if before.min() == before.max():
        raise PictureError("BEFORE is flat: every kernel of the same sum gives the same AFTER")
    fits: list[Fit] = []
    for tried in [size] if size else SIZES:
        try:
            fits.append(_best_anchor(before, after, tried))
        except PictureError:
            if not fits:
                raise
            break
        if fits[-1].explains:
            return fits[-1]
    return min(fits, key=lambda fit: fit.rms)


def _best_anchor(before: Array, after: Array, size: Pair) -> Fit:
    """The fit for one size; an even size has two middles."""
    if size[0] * size[1] > LARGEST_TAPS:
        raise UsageError(f"size {size[0]},{size[1]}: more than {LARGEST_TAPS} weights cannot be fitted")
    low, high = low_anchor(size), high_anchor(size)
    fit = _Problem(before, after, size, low).solve()
    if fit.explains or low == high or before.shape != after.shape:
        return fit
    return min(fit, _Problem(before, after, size, high).solve(), key=lambda fit: fit.rms)


class _Problem:
    """The pictures, a size and an anchor: from them to the kernel."""

    def __init__(self, before: Array, after: Array, size: Pair, anchor: Pair) -> None:
        (rows, columns), (y, x) = size, anchor
        height, width = before.shape[0] - rows + 1, before.shape[1] - columns + 1
        if min(height, width) < 1:
            raise PictureError(f"a {_size(before)} picture is too small for a {rows}×{columns} kernel")
        if after.shape not in (before.shape, (height, width, before.shape[2])):
            raise PictureError(f"AFTER is {_size(after)}, BEFORE {_size(before)} (rows × columns); they must be equal")
        self.size, self.anchor = size, anchor
        self.before, self.whole_after = before, after
        # the result of windows that lie inside
        self.after = after = after[y : y + height, x : x + width] if after.shape == before.shape else after
        self.free = np.ones(after.shape, bool)
        if after.dtype.kind in "iu":
            limits = np.iinfo(after.dtype)
            self.free = (after > limits.min) & (after < limits.max)
        self.error = 2.0**-22 * rows * columns * float(np.abs(before).max(initial=1))  # of sums in float32
        self.half = ROUNDING if after.dtype.kind in "iub" else 0.0
        self.windows, self.seen = self.equations()

    def equations(self) -> tuple[Array, Array]:
        """Windows (samples, taps) and samples, half of them with much texture; AFTER has no say in which are taken."""
        rows, columns = self.size
        most = max(4 * rows * columns, min(MOST_SAMPLES, MOST_CELLS // (rows * columns)))
        spots = np.flatnonzero(self.free)
        generator = np.random.default_rng(0)
        if spots.size > 4 * most:
            spots = np.sort(generator.choice(spots, 4 * most, replace=False))
        y, x, c = np.unravel_index(spots, self.after.shape)

        def under(i: int, j: int) -> Array:
            """The sample of every window under one tap."""
            return np.asarray(self.before[y + i, x + j, c].astype(np.float64))

        if spots.size > most:
            # how much a window changes from tap to tap: what tells its weights apart
            right, bottom, middle = columns - 1, rows - 1, under(rows // 2, columns // 2)
            around = {(0, 0), (0, right), (bottom, 0), (rows // 2, right), (bottom, columns // 2)}
            texture = np.asarray(sum(np.abs(under(i, j) - middle) for i, j in around))
            half = most // 2  # the other half from anywhere, so that plain parts have their say
            order = np.argsort(-texture, kind="stable")
            chosen = np.sort(np.concatenate([order[:half], generator.choice(order[half:], most - half, replace=False)]))
            y, x, c = y[chosen], x[chosen], c[chosen]
        windows = np.stack([under(i, j) for i in range(rows) for j in range(columns)], axis=1)
        return windows, self.after[y, x, c].astype(np.float64)

    def solve(self) -> Fit:
        """The kernel and how well it explains."""
        rows, columns = self.size
        taps = rows * columns
        if self.seen.size < 2 * (taps + 1):
            raise PictureError(
                f"only {self.seen.size} samples are neither clipped nor near the border; a"
                f" {rows}×{columns} kernel needs {2 * (taps + 1)} or more"
            )
        weights, offset, spread, unknown = self.least_squares()
        ill = f"ill-posed: BEFORE says nothing about {unknown} of {taps} combinations of the weights" if unknown else ""
        if self.within(self.windows @ weights + offset - self.seen, 3 * self.half):
            return self.judged(self.named(weights, spread) or self.simplest(weights, offset, spread), ill)
        # nothing simpler will do either
        return self.judged(self.kernel(np.array([float(f"{w:.6g}") for w in weights]), 1.0, offset), ill)

    def least_squares(self) -> tuple[Array, float, Array, int]:
        """Weights, offset, the weights' standard errors under rounding, and how many directions are unknown."""
        mean, seen_mean = self.windows.mean(axis=0), self.seen.mean()
        centred, target = self.windows - mean, self.seen - seen_mean
        values, vectors = np.linalg.eigh(centred.T @ centred)
        known = values > FLAT * values[-1]
        if values[-1] <= 0 or not known.any():
            raise PictureError("BEFORE is flat where AFTER is not clipped: no kernel can be told from another")
        inverse = (vectors[:, known] / values[known]) @ vectors[:, known].T
        weights = inverse @ (centred.T @ target)
        # once more for what the squared condition number has cost
        weights += inverse @ (centred.T @ (target - centred @ weights))
        noise = max(self.half / np.sqrt(3), 1e-9 * float(np.abs(self.seen).max(initial=1)))
        spread = noise * np.sqrt(np.abs(np.diag(inverse)))
        return weights, float(seen_mean - mean @ weights), spread, int(np.count_nonzero(~known))

    def within(self, residual: Array, half: float) -> bool:
        """Whether residuals are no larger than rounding makes them."""
        return float(np.abs(residual).max()) <= half + self.error

    def kernel(self, taps: Array, scale: float, offset: float) -> Kernel:
        """A kernel that was fitted."""
        anchor = self.anchor if self.anchor != low_anchor(self.size) else None
        about = "Fitted by least squares; slides as written (correlation)."
        return Kernel(taps.reshape(self.size), scale, offset, name="fit", anchor=anchor, about=about)

    def named(self, weights: Array, spread: Array) -> Kernel | None:
        """The kernel of the catalogue that explains the samples; the border tells namesakes apart."""
        found = []
        for kernel, taps in _catalogue(self.size, self.anchor):
            near = np.abs(taps - weights) <= 8 * spread + 1e-6
            if near.all() and self.within(self.windows @ taps + kernel.offset - self.seen, self.half):
                found.append(kernel)

        def differing(kernel: Kernel) -> int:
            return int(np.count_nonzero(Recipe((kernel,)).apply(self.before)[0] != self.whole_after))

        if len(found) > 1 and self.before.shape == self.whole_after.shape:
            return min(found, key=differing)
        return found[0] if found else None

    def simplest(self, weights: Array, offset: float, spread: Array) -> Kernel:
        """Small whole numbers over a scale, or few digits, if that explains the samples; else the weights."""
        for taps, scale in _simpler(weights, spread):
            if (moved := self.offset(taps / scale)) is not None:
                return self.kernel(taps, scale, moved)
        return self.kernel(weights, 1.0, offset)

    def offset(self, weights: Array) -> float | None:
        """The roundest offset under which the weights explain the samples, or None."""
        rest = self.seen - self.windows @ weights
        rounded = (float(np.round(rest.mean() * k) / k) for k in (1, 2, 10, 1000, 1e6))
        tried = (0.0, *rounded, float(rest.max() + rest.min()) / 2)
        return next((offset for offset in tried if self.within(rest - offset, self.half)), None)

    def judged(self, kernel: Kernel, ill_posed: str) -> Fit:
        """The kernel's residuals on all samples, or on an even share of rows of a large picture."""
        c = correlation(kernel, Options())
        taps = c.weights / c.scale
        step = -(-self.after.size // CHECK_SAMPLES)
        height, width = self.after.shape[:2]
        residual = np.full(self.after[::step].shape, float(c.offset))
        for i, j in zip(*np.nonzero(taps), strict=True):
            # a named kernel may be smaller than the window that was fitted
            y, x = self.anchor[0] - c.anchor[0] + i, self.anchor[1] - c.anchor[1] + j
            residual += taps[i, j] * self.before[y : y + height : step, x : x + width]
        residual = (residual - self.after[::step])[self.free[::step]]
        rms, largest = float(np.sqrt(np.mean(residual * residual))), float(np.abs(residual).max())
        # a tool that adds in float32 or in whole numbers is off by one now and then
        nearly = largest <= 2 * self.half + self.error and rms <= 0.7 * self.half + self.error
        explains = nearly or largest <= self.half + self.error
        name = "" if kernel.name == "fit" else kernel.name
        left_out = int(np.count_nonzero(~self.free))
        return Fit(kernel, name, explains, rms, largest, residual.size, left_out, ill_posed)


def _simpler(weights: Array, spread: Array) -> Iterator[tuple[Array, float]]:
    """Numbers over a scale that are as good as the weights, the simplest first."""
    for scale in range(1, LARGEST_SCALE + 1):
        whole = np.rint(weights * scale)
        # 1e-7: the scale that makes 0.111111 a ninth
        if (np.abs(whole / scale - weights) <= 6 * spread + 1e-7).all() and whole.any():
            if scale * float(spread.max()) > 0.15:  # any number is near a whole one by now
                break
            yield whole, scale
    for digits in range(1, 10):
        yield np.round(weights, digits), 1.0


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
        c = correlation(kernel, Options())
        before = [a - b for a, b in zip(anchor, c.anchor, strict=True)]
        after = [n - b - k for n, b, k in zip(size, before, c.weights.shape, strict=True)]
        if min(before + after) >= 0:
            yield kernel, np.pad(c.weights / c.scale, list(zip(before, after, strict=True))).ravel()


def _size(array: Array) -> str:
    return f"{array.shape[0]}×{array.shape[1]}"
