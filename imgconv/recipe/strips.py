"""A recipe over a picture that comes and goes some rows at a time; memory does not grow with its height."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.engine.run import Chain
from imgconv.engine.stage import Span
from imgconv.recipe.application import Application
from imgconv.recipe.layout import as_samples, layout_of
from imgconv.threads import ahead

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.recipe import Recipe, Report
    from imgconv.recipe.pieces import Pieces

    Array = npt.NDArray[Any]
    # rows of a picture; the first one's number; the rows of the result that are computed from them
    Part = tuple[Array, int, Span]

STRIP_BYTES = 2**22  # of a result
WINDOWS = 2  # one is filtered while the next one is read
ROWS_AROUND = 5  # that reading, filtering and writing hold together
HALO_SHARE = 4  # a strip of a chain has this many times the rows that its neighbours compute again


class InStrips:
    """A recipe over a picture of a shape and type, strip by strip.

    Attributes
    ----------
    shape, dtype, mode
        Of the result.
    strip_rows : int
        Of the result, in each strip but the last.
    waited_s : float
        Seconds in which no row was there to be filtered.
    """

    def __init__(
        self, recipe: Recipe, job: Application, way: Chain | Pieces, array: Array, kind: np.dtype[Any]
    ) -> None:
        self.recipe = recipe
        self.job = job
        self.way = way
        self.kind = kind
        self.source_shape = (*array.shape, 1)[:3]
        self.flat = array.ndim == 2 and way.target_shape[2] == 1
        self.shape: tuple[int, ...] = way.target_shape[:2] if self.flat else way.target_shape
        self.dtype: np.dtype[Any] = job.layout.back if isinstance(way, Chain) else way.dtype
        self.mode = job.layout.mode if isinstance(way, Chain) else way.mode
        self.strip_rows = 0
        self.windows: list[tuple[Span, Span]] = []
        self.waited_s = self.filter_s = 0.0

    @property
    def memory(self) -> int:
        """About how many bytes it takes while it runs, the source's and the sink's rows included."""
        row = max(math.prod(shape[1:]) for shape in (self.source_shape, self.way.target_shape))
        rows = min(self.source_shape[0], WINDOWS * (2 * self.way.halo + 1)) + ROWS_AROUND
        return int(8 * STRIP_BYTES + rows * row * max(self.kind.itemsize, self.dtype.itemsize))

    def run(self, read: Callable[[Array], None], step: int) -> Generator[Array]:
        """The result, strip by strip, each of a multiple of `step` rows but the last.

        `read` fills an array of shape (some, columns, channels) of the picture's type with its next rows; it is called
        in a thread of its own.
        """
        rows, columns, channels = self.way.target_shape
        # in a chain, strips compute the rows of their halo twice
        least = self.way.halo * (HALO_SHARE if len(self.job.filters) > 1 else 1)
        height = max(STRIP_BYTES // (columns * channels * self.dtype.itemsize), least, step)
        self.strip_rows = min(rows, height // step * step)
        self.windows = self._windows()
        made = self._parts(read)
        with closing(ahead(made, WINDOWS) if len(self.windows) > 1 else made) as parts:
            started = time.perf_counter()
            for samples, first, wanted in parts:
                now = time.perf_counter()
                self.waited_s += now - started
                strip = self._filtered(samples, first, wanted)
                self.filter_s += time.perf_counter() - now
                yield strip[:, :, 0] if self.flat else strip
                started = time.perf_counter()

    @np.errstate(all="ignore")  # NaN and infinities are the user's own
    def _filtered(self, samples: Array, first: int, rows: Span) -> Array:
        done = self.way.run(samples, first, rows, self.recipe.options.threads)
        if isinstance(self.way, Chain):
            return self.job.layout.shift(self.job.narrow(*done).astype(self.dtype, copy=False))
        self.job.clipped += done.clipped
        return self.job.layout.shift(done.array)

    def report(self) -> Report:
        """What was done so far."""
        return self.recipe.report(self.job, self.filter_s)

    def _windows(self) -> list[tuple[Span, Span]]:
        """For each strip, the rows of the picture that must be there, and those of the result. All rows are read.

        None begins or ends above the one before it, though later rows may reach further back, under borders that
        reflect.
        """
        rows = self.way.target_shape[0]
        strips = [Span(start, min(start + self.strip_rows, rows)) for start in range(0, rows, self.strip_rows)]
        needed = [self.way.needed(strip) for strip in strips]
        starts = list(accumulate((need.start for need in reversed(needed)), min))[::-1]
        stops = list(accumulate((need.stop for need in needed), max))
        stops[-1] = self.source_shape[0]
        starts = [min(start, stop) for start, stop in zip(starts, [0, *stops], strict=False)]
        return [(Span(*near), strip) for *near, strip in zip(starts, stops, strips, strict=True)]

    def _parts(self, read: Callable[[Array], None]) -> Generator[Part]:
        """What each strip is computed from; rows that two of them need are read once.

        A part's memory is used again for the one WINDOWS further on.
        """
        height = max(near.stop - near.start for near, _ in self.windows)
        shape = (height, *self.source_shape[1:])
        memories = [np.empty(shape, self.kind) for _ in range(min(WINDOWS, len(self.windows)))]
        have, before = Span(0, 0), memories[-1]
        for number, (near, wanted) in enumerate(self.windows):
            memory = memories[number % WINDOWS]
            kept = have.stop - near.start
            memory[:kept] = before[near.start - have.start : have.stop - have.start]
            if near.stop > have.stop:
                self._fill(read, memory[kept : near.stop - near.start])
            have, before = near, memory
            yield memory[: near.stop - near.start], near.start, wanted

    def _fill(self, read: Callable[[Array], None], target: Array) -> None:
        back = self.job.layout.back
        if back == self.kind:
            read(target)
            self.job.layout.shift(target)
        else:
            own = np.empty(target.shape, back)
            read(own)
            target[...] = as_samples(own, self.kind)


def in_strips(recipe: Recipe, array: Array, mode: str, opaque: Callable[[], bool] | None = None) -> InStrips | None:
    """The recipe for a picture of the shape and type of `array`, or None where it must be there as a whole.

    Parameters
    ----------
    recipe : Recipe
    array : ndarray
        Its samples are not looked at.
    mode : str
        As `Recipe.apply` takes it.
    opaque : callable, optional
        Finds out whether alpha is full everywhere. It is called where the result depends on that; where it is not
        given, there is None then.

    Raises
    ------
    PictureError, UsageError
        As `Recipe.apply` does.
    """
    kind, layout = layout_of(array, mode)
    job = Application(recipe, layout)
    nothing = np.broadcast_to(np.zeros((), kind), (*array.shape, 1)[:3])
    for each in job.filters:
        each.opaque = False
    asks = any(each.asks_whether_opaque for each in job.filters)
    if not asks and (chain := job.chain(nothing)) is not None:
        return InStrips(recipe, job, chain, array, kind)
    from imgconv.recipe.pieces import Pieces, suits  # here, because most recipes are chains

    if not suits(job, nothing) or (asks and opaque is None):
        return None
    if asks and opaque is not None and opaque():
        for each in job.filters:
            each.opaque = True
        if (chain := job.chain(nothing)) is not None:
            return InStrips(recipe, job, chain, array, kind)
    pieces = Pieces(recipe, nothing.shape, kind, layout, job.filters[0].opaque)
    return InStrips(recipe, pieces.job, pieces, array, kind)
