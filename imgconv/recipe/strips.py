"""A recipe over a picture that comes and goes some rows at a time; memory does not grow with its height."""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import closing, nullcontext
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.stage import Span
from imgconv.formats.limits import Limits, check_memory
from imgconv.formats.picture import Frame
from imgconv.memory import Samples, empty
from imgconv.native.kept import clock
from imgconv.recipe.chained import About, View
from imgconv.recipe.layout import as_samples
from imgconv.threads import ahead

if TYPE_CHECKING:
    from imgconv.engine.blur import Passes
    from imgconv.engine.plan import Plan
    from imgconv.recipe.chained import Report
    from imgconv.recipe.recipe import Recipe
    from imgconv.recipe.steps import Step

STRIP_BYTES = 2**22  # of a result
WINDOWS = 2  # one is filtered while the next one is read
ROWS_AROUND = 5  # that reading, filtering and writing hold together


class InStrips:
    """A recipe over a picture of a shape and type, strip by strip; `shape`, `dtype` and `mode` are the result's."""

    def __init__(self, recipe: Recipe, step: Step, about: About, frame: Frame) -> None:
        self.recipe, self.step, self.about, self.frame = recipe, step, about, frame
        self.dtype: np.dtype[Any] = step.dtype if step.floating and about.layout.back.kind != "f" else about.layout.back
        self.mode = step.layout.mode_of(step.target_shape[2], self.dtype)
        self.flat = frame.about.array.ndim == 2 and step.target_shape[2] == 1
        self.shape: tuple[int, ...] = step.target_shape[:2] if self.flat else step.target_shape
        self.strip_rows = self.clipped = 0  # of the result, in each strip but the last; samples so far
        self.windows: list[tuple[Span, Span]] = []
        self.waited_s = self.filter_s = 0.0  # in the former, no row was there to be filtered
        self.plans: tuple[Plan | Passes, ...] = ()

    def plan(self, step: int | None, limits: Limits) -> None:
        """Decides how many rows a strip has: a multiple of `step`, or all.

        Raises PictureError when that needs more memory than the limits allow.
        """
        rows, columns, channels = self.step.target_shape
        if step is None:
            self.strip_rows = rows
            self.frame.check_whole(limits)
        else:
            height = max(STRIP_BYTES // (columns * channels * self.dtype.itemsize), self.step.least_rows, step)
            self.strip_rows = min(rows, height // step * step)
            check_memory(self._memory(), self.frame.size, limits)

    def _memory(self) -> int:
        """About how many bytes it takes in strips, the source's and the sink's rows included."""
        row = max(math.prod(shape[1:]) for shape in (self.about.shape, self.step.target_shape))
        rows = min(self.about.shape[0], WINDOWS * (2 * self.step.halo + 1)) + ROWS_AROUND
        return int(8 * STRIP_BYTES + rows * row * max(self.about.dtype.itemsize, self.dtype.itemsize))

    def run(self) -> Generator[Array]:
        """The result, strip by strip; what comes next is read in a thread of its own, if there may be two."""
        self.windows = self._windows()
        made = self._parts()
        relay = len(self.windows) > 1 and self.recipe.options.threads != 1
        with closing(ahead(made, WINDOWS) if relay else made) as parts:
            started = clock()
            for view, wanted in parts:
                now = clock()
                self.waited_s += now - started
                strip = self._filtered(view, wanted)
                self.filter_s += clock() - now
                yield strip.reshape(strip.shape[:2]) if self.flat else strip
                started = clock()

    def _filtered(self, view: View, rows: Span) -> Array:
        plain = isinstance(view.samples, Samples)
        with nullcontext() if plain else np.errstate(all="ignore"):  # NaN and infinities are the user's own
            done = self.step.run(view, rows, self.recipe.options.threads, view)
        self.clipped += done.clipped
        self.plans = done.plans
        return self.step.layout.finished(done.samples, self.step.floating)

    def report(self) -> Report:
        return self.recipe.report(self.plans, self.filter_s, self.clipped)

    def _windows(self) -> list[tuple[Span, Span]]:
        """For each strip, the rows of the picture that must be there, and those of the result. All rows are read.

        None begins or ends above the one before it, though later rows may reach further back, under borders that
        reflect.
        """
        rows = self.step.target_shape[0]
        if self.strip_rows >= rows:
            return [(Span(0, self.about.shape[0]), Span(0, rows))]
        strips = [Span(start, min(start + self.strip_rows, rows)) for start in range(0, rows, self.strip_rows)]
        needed = [self.step.needed(strip) for strip in strips]
        starts = list(accumulate((need.start for need in reversed(needed)), min))[::-1]
        stops = list(accumulate((need.stop for need in needed), max))
        stops[-1] = self.about.shape[0]
        starts = [min(start, stop) for start, stop in zip(starts, [0, *stops], strict=False)]
        return [(Span(*near), strip) for *near, strip in zip(starts, stops, strips, strict=True)]

    def _parts(self) -> Generator[tuple[View, Span]]:
        """What each strip is computed from; rows that two of them need are read once.

        A part's memory is used again for the one WINDOWS further on.
        """
        height = max(near.stop - near.start for near, _ in self.windows)
        shape = (height, *self.about.shape[1:])
        memories = [empty(shape, self.about.dtype) for _ in range(min(WINDOWS, len(self.windows)))]
        have, before = Span(0, 0), memories[-1]
        for number, (near, wanted) in enumerate(self.windows):
            memory = memories[number % WINDOWS]
            kept = have.stop - near.start
            memory[:kept] = before[near.start - have.start : have.stop - have.start]
            if near.stop > have.stop:
                self._fill(memory[kept : near.stop - near.start])
            have, before = near, memory
            yield View(memory[: near.stop - near.start], near.start), wanted

    def _fill(self, target: Array) -> None:
        layout, kind, read = self.about.layout, self.about.dtype, self.frame.read
        assert read is not None
        if layout.back == kind:
            read(target)
            layout.shift(target)
        else:
            own = np.empty(target.shape, layout.back)
            read(own)
            target[...] = as_samples(own, kind)


class AtOnce:
    """A recipe over a picture that is in memory: what `InStrips` is, with one strip, which is there already."""

    strip_rows = 0

    def __init__(self, recipe: Recipe, frame: Frame, limits: Limits, *, padded: bool = False) -> None:
        started = clock()
        picture = frame.whole(limits, padded=padded, plain=True)
        self.waited_s = clock() - started
        self.array, self.mode, self.done = recipe.apply(picture.array, picture.mode, padded=padded)
        self.shape, self.dtype = self.array.shape, self.array.dtype

    def plan(self, step: int | None, limits: Limits) -> None:
        """There is nothing to decide."""

    def run(self) -> Generator[Array]:
        yield self.array

    def report(self) -> Report:
        return self.done


def filter_frame(recipe: Recipe, frame: Frame, limits: Limits, *, padded: bool = False) -> InStrips | AtOnce:
    """The recipe over a picture: in strips where it is still to be read, and the recipe needs only near rows for each.

    The result may be `padded`, see `memory.with_padding`.

    Raises PictureError or UsageError as `Recipe.apply` does, and when what must be in memory as a whole is more than
    the limits allow.
    """
    if frame.read is not None and (found := recipe.strip_step(frame)):
        return InStrips(recipe, *found, frame)
    return AtOnce(recipe, frame, limits, padded=padded)
