"""A recipe over a picture that comes and goes some rows at a time; memory does not grow with its height."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.engine.stage import Span
from imgconv.recipe.application import Application
from imgconv.recipe.layout import as_samples, layout_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.engine.run import Chain
    from imgconv.recipe import Recipe, Report

    Array = npt.NDArray[Any]
    # rows of a picture; the first one's number; the rows of the result that are computed from them
    Part = tuple[Array, int, Span]

STRIP_BYTES = 2**22  # of a result
WINDOWS = 2  # one is filtered while the next one is read
HALO_SHARE = 4  # a strip of a chain has this many times the rows that its neighbours compute again


class InStrips:
    """A recipe that is one chain of correlations, over a picture of a shape and type.

    Attributes
    ----------
    shape : tuple of int
        Of the result; its type is the picture's.
    strip_rows : int
        Of the result, in each strip but the last.
    waited_s : float
        Seconds in which no row was there to be filtered.
    """

    def __init__(self, recipe: Recipe, job: Application, chain: Chain, array: Array, kind: np.dtype[Any]) -> None:
        self.recipe = recipe
        self.job = job
        self.chain = chain
        self.kind = kind
        self.source_shape = (*array.shape, 1)[:3]
        self.flat = array.ndim == 2
        self.shape: tuple[int, ...] = chain.target_shape[:2] if self.flat else chain.target_shape
        self.strip_rows = 0
        self.windows: list[tuple[Span, Span]] = []
        self.waited_s = self.filter_s = 0.0

    def run(self, read: Callable[[Array], None], step: int) -> Generator[Array]:
        """The result, strip by strip, each of a multiple of `step` rows but the last.

        `read` fills an array of shape (some, columns, channels) of the picture's type with its next rows; it is called
        in a thread of its own.
        """
        rows, columns, channels = self.chain.target_shape
        back = self.job.layout.back
        # in a chain, strips compute the rows of their halo twice
        least = self.chain.halo * (HALO_SHARE if len(self.chain.stages) > 1 else 1)
        height = max(STRIP_BYTES // (columns * channels * self.kind.itemsize), least, step)
        self.strip_rows = min(rows, height // step * step)
        self.windows = self._windows()
        with closing(self._ahead(read)) as parts:
            started = time.perf_counter()
            for samples, first, wanted in parts:
                now = time.perf_counter()
                self.waited_s += now - started
                result = self.job.narrow(*self.chain.run(samples, first, wanted, self.recipe.options.threads))
                strip = (result[:, :, 0] if self.flat else result).astype(back, copy=False)
                self.filter_s += time.perf_counter() - now
                yield strip
                started = time.perf_counter()

    def report(self) -> Report:
        """What was done."""
        return self.recipe.report(self.job, self.filter_s)

    def _windows(self) -> list[tuple[Span, Span]]:
        """For each strip, the rows of the picture that must be there, and those of the result. All rows are read.

        None begins or ends above the one before it, though later rows may reach further back, under borders that
        reflect.
        """
        rows = self.chain.target_shape[0]
        strips = [Span(start, min(start + self.strip_rows, rows)) for start in range(0, rows, self.strip_rows)]
        needed = [self.chain.needed(strip) for strip in strips]
        starts = list(accumulate((need.start for need in reversed(needed)), min))[::-1]
        stops = list(accumulate((need.stop for need in needed), max))
        stops[-1] = self.source_shape[0]
        starts = [min(start, stop) for start, stop in zip(starts, [0, *stops], strict=False)]
        return [(Span(*near), strip) for *near, strip in zip(starts, stops, strips, strict=True)]

    def _parts(self, read: Callable[[Array], None], free: Callable[[], Array | None]) -> Iterator[Part]:
        """What each strip is computed from, in memory that `free` gives; what two of them need is read once."""
        have = Span(0, 0)
        before: Array | None = None
        for near, wanted in self.windows:
            memory = free()
            if memory is None:  # nobody wants more
                return
            kept = have.stop - near.start
            if before is not None:
                memory[:kept] = before[near.start - have.start : have.stop - have.start]
            if near.stop > have.stop:
                self._fill(read, memory[kept : near.stop - near.start])
            have, before = near, memory
            yield memory[: near.stop - near.start], near.start, wanted

    def _fill(self, read: Callable[[Array], None], target: Array) -> None:
        back = self.job.layout.back
        if back == self.kind:
            read(target)
        else:
            own = np.empty(target.shape, back)
            read(own)
            target[...] = as_samples(own, self.kind)

    def _ahead(self, read: Callable[[Array], None]) -> Generator[Part]:
        """The parts, made in a thread that is one ahead. A part's memory is used again when the next one is taken."""
        height = max(near.stop - near.start for near, _ in self.windows)
        shape = (height, *self.source_shape[1:])
        memories = [np.empty(shape, self.kind) for _ in range(min(WINDOWS, len(self.windows)))]
        if len(self.windows) == 1:
            yield from self._parts(read, lambda: memories[0])
            return
        from queue import SimpleQueue  # here, because small pictures go without

        free: SimpleQueue[Array | None] = SimpleQueue()
        ready: SimpleQueue[Part | BaseException | None] = SimpleQueue()
        for memory in memories:
            free.put(memory)

        def work() -> None:
            try:
                for part in self._parts(read, free.get):
                    ready.put(part)
                ready.put(None)
            except BaseException as problem:
                ready.put(problem)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            number = 0
            while (part := ready.get()) is not None:
                if isinstance(part, BaseException):
                    raise part
                yield part
                free.put(memories[number % WINDOWS])
                number += 1
        finally:
            free.put(None)
            thread.join()


def in_strips(recipe: Recipe, array: Array, mode: str) -> InStrips | None:
    """The recipe for a picture of the shape and type of `array`, or None where it must be there as a whole.

    Parameters
    ----------
    recipe : Recipe
    array : ndarray
        Its samples are not looked at.
    mode : str
        As `Recipe.apply` takes it.

    Raises
    ------
    PictureError, UsageError
        As `Recipe.apply` does.
    """
    kind, layout = layout_of(array, mode)
    job = Application(recipe, layout)
    chain = job.chain(np.broadcast_to(np.zeros((), kind), (*array.shape, 1)[:3]))
    return None if chain is None else InStrips(recipe, job, chain, array, kind)
