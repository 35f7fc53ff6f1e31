"""Carries out plans: chains of them over bands of rows in threads, on whole pictures and on parts of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.stage import Span, Stage, ThreadLoop, Window, by_axis, frame, inside
from imgconv.memory import ITEMSIZES, address_of, copy_pixels, empty
from imgconv.native import kept
from imgconv.threads import available_cores, in_threads

if TYPE_CHECKING:
    from imgconv.engine.correlation import Plan

BAND_ROWS = 128
HALO_SHARE = 8  # a band has this many times the rows that its neighbours compute again
WHOLE = Span(0, 0), Span(0, 0)  # where a whole picture begins
SMALL = 2**20  # bytes of a result: for larger ones, what threads need is made in no time, and takes memory
THREAD_WORK = 4e7  # with less than this (samples × cost), about 0.5 ms, a thread costs more than it saves


class Filtered(NamedTuple):
    """A result, and what is worth telling about it."""

    array: Array
    clipped: int  # samples outside the range of the type


def execute(chosen: Plan, source: Array, threads: int | None = None) -> Filtered:
    """Correlates `source`, shape (rows, columns, channels), C-contiguous, of the plan's dtype.

    Raises PictureError when padding "valid" leaves no pixel.
    """
    c = chosen.correlation
    if c.border != "renormalize":
        return _chain_of_one(chosen, source.shape).run(source, threads=threads)
    stage = Stage(chosen, source.shape)
    inner = stage.inner
    if source.dtype.kind == "f" and bool(np.isnan(source).any()):
        rows, columns = stage.window  # what is not known is missing everywhere
        inner = Span(rows.start, rows.start), Span(columns.start, columns.start)
    target, clipped = _chain_of_one(chosen, source.shape).run(source, threads=threads)
    for strip in frame(stage.window, inner):
        part, over = _renormalized(chosen, source, strip, threads)
        clipped += over
        target[inside(strip, stage.window)] = part
    return Filtered(target, clipped)


def prepare(chosen: Plan) -> float:
    """Loads the code that a plan needs; returns the seconds spent on compiling it, 0 when it was kept."""
    return kept.prepare(chosen.variant.function)


def is_local(chosen: Plan) -> bool:
    """Whether a row of the result depends on near rows only, so that it can be a link of a `Chain` of more than one."""
    return by_axis(chosen.correlation.border)[0] not in ("wrap", "renormalize")


@lru_cache(maxsize=8)
def _chain_of_one(chosen: Plan, shape: tuple[int, ...]) -> Chain:
    """Kept: for a small picture, making one takes longer than filtering."""
    return Chain([chosen], shape)


class Chain:
    """Plans one after the other, each on what the one before gives, over pictures of one shape.

    A band of rows goes through all of them before the next one is begun: what lies between two of them stays in the
    cache, and is never there as a whole. The bytes and the count of clipped samples are those of one plan at a time.
    """

    def __init__(self, plans: Sequence[Plan], shape: tuple[int, ...]) -> None:
        self.stages: list[Stage] = []
        for chosen in plans:
            self.stages.append(Stage(chosen, shape))
            shape = self.stages[-1].target_shape
        self.target_shape = self.stages[-1].target_shape
        # kept between parts, and what threads had of them between pictures
        self._loops = [stage.loop() for stage in self.stages]
        self._idle: list[list[ThreadLoop]] = []

    @cached_property
    def small(self) -> Small | None:
        """What filters a small picture, of one plan; None where several threads pay, or it has several plans."""
        stage = self.stages[0]
        work = math.prod(self.target_shape) * stage.plan.cost
        return Small(stage, self._loops[0], work) if len(self.stages) == 1 and work < THREAD_WORK else None

    @property
    def halo(self) -> int:
        """How many rows more than it gives a part takes, where no border is near."""
        return sum(stage.plan.correlation.weights.shape[0] - 1 + sum(stage.plan.halo) for stage in self.stages)

    def needed(self, rows: Span) -> Span:
        """The rows of the picture that rows `rows` of the result are computed from."""
        for stage in reversed(self.stages):
            rows = stage.needed(rows)
        return rows

    def run(
        self,
        source: Array,  # shape (rows, columns, channels), C-contiguous: at least those rows that are `needed`
        first: int = 0,  # the row of the picture that comes first in it
        rows: Span | None = None,
        threads: int | None = None,
        target: Array | None = None,  # where they are to be written, C-contiguous
    ) -> Filtered:
        """Rows of the result, all of them by default.

        Over parts that together are the whole result, clipped samples add up to those of the whole.
        """
        rows = rows or Span(0, self.target_shape[0])
        count = rows.stop - rows.start
        if target is None:
            target = empty((count, *self.target_shape[1:]), source.dtype)
        workers = workers_for(target.size * sum(stage.plan.cost for stage in self.stages), count, threads)
        one, stage = len(self.stages) == 1, self.stages[0]
        block = stage.plan.block if one else 1
        before = (rows.start + stage.window[0].start - stage.inner[0].start) % block  # bands begin where blocks do
        band = _band_rows(count + before, self.halo, workers, block, one=one)
        used: list[list[ThreadLoop]] = []

        def prepare_worker() -> Callable[[Span], int]:
            try:
                calls = self._idle.pop()
            except IndexError:
                calls = [make() for make in self._loops]
            used.append(calls)
            between: list[Array | None] = [None] * len(calls)

            def work(wanted: Span) -> int:
                # what each stage must give, and which rows of that are this band's own to count
                spans = [(wanted, wanted)]
                for stage in reversed(self.stages[1:]):
                    give, own = spans[0]
                    own = stage.home(own)
                    near = stage.needed(give)
                    spans.insert(0, (Span(min(near.start, own.start), max(near.stop, own.stop)), own))
                clipped, now, now_first = 0, source, first
                for number, (stage, (give, own)) in enumerate(zip(self.stages, spans, strict=True)):
                    if number == len(calls) - 1:
                        out = target[give.start - rows.start : give.stop - rows.start]
                    else:
                        size = give.stop - give.start
                        held = between[number]
                        if held is None or len(held) < size:
                            held = between[number] = empty((size, *stage.target_shape[1:]), source.dtype)
                        out = held[:size]
                    for part in (Span(give.start, own.start), own, Span(own.stop, give.stop)):
                        if part.stop > part.start:
                            over = _fill(stage, calls[number], now, now_first, out, give.start, part)
                            clipped += over if part is own else 0
                    now, now_first = out, give.start
                return clipped

            return work

        bands = _bands(rows, rows.start - before, band, 2 * workers if one else count)
        clipped = in_threads(prepare_worker, bands, workers)
        if target.nbytes <= SMALL:
            self._idle += used
        return Filtered(target, clipped)


class Small:
    """A plan over whole pictures of one shape, by the thread that calls it: what `Chain.run` comes to for small ones.

    `work` is samples of the result, times the plan's cost.
    """

    def __init__(self, stage: Stage, make: Callable[[], ThreadLoop], work: float) -> None:
        (top, left), (rows, columns) = (span.start for span in stage.window), stage.inner
        itemsize = ITEMSIZES[stage.plan.variant.dtype]
        self.target_shape, self.work = stage.target_shape, work
        self._make, self._rows = make, Span(0, rows.stop - rows.start)
        self._computes = rows.stop > rows.start and columns.stop > columns.start
        self._row_bytes = stage.target_shape[1] * stage.target_shape[2] * itemsize
        self._corner = (rows.start - top) * self._row_bytes + (columns.start - left) * stage.target_shape[2] * itemsize
        self._idle: list[ThreadLoop] = []
        keeps = stage.plan.correlation.border == "keep"
        strips = frame(stage.window, stage.inner) if keeps else ()
        # those of the result that are copied, and where they are in the source
        self._copied = [(inside(strip, stage.window), inside(strip, WHOLE)) for strip in strips]

    def fill(self, source: Array, target: Array) -> None:
        """Writes the result of a picture, shape (rows, columns[, channels]), C-contiguous, into `target`."""
        if self._computes:
            try:
                loop = self._idle.pop()
            except IndexError:
                loop = self._make()
            loop(address_of(source), address_of(target) + self._corner, self._row_bytes, self._rows)
            self._idle.append(loop)
        for to, at in self._copied:
            target[to] = source[at]


def _fill(
    stage: Stage, call: ThreadLoop, source: Array, first: int, target: Array, target_first: int, rows: Span
) -> int:
    """Computes rows of a stage's result, and copies those pixels that border "keep" keeps."""
    window, inner = stage.window, stage.inner
    by_loop = Span(inner[0].start - window[0].start, inner[0].stop - window[0].start)
    middle = rows.within(by_loop)
    clipped = 0
    if middle.stop > middle.start:
        # not the strides: those of an axis of length 1 may be anything
        pixel = source.shape[2] * source.itemsize
        row_bytes = target.shape[1] * pixel
        column = (inner[1].start - window[1].start) * pixel
        clipped = call(
            address_of(source) - first * source.shape[1] * pixel,
            address_of(target) + (by_loop.start - target_first) * row_bytes + column,
            row_bytes,
            Span(middle.start - by_loop.start, middle.stop - by_loop.start),
        )
    if stage.plan.correlation.border == "keep":
        start, (left, right), (begin, end) = window[0].start - first, window[1], inner[1]
        for top, bottom, near, far in (
            (rows.start, middle.start, left, right), (middle.stop, rows.stop, left, right),
            (*middle, left, begin), (*middle, end, right),
        ):  # fmt: skip
            if top < bottom and near < far:
                to = slice(top - target_first, bottom - target_first), slice(near - left, far - left)
                copy_pixels(target, to, source, (slice(top + start, bottom + start), slice(near, far)))
    return clipped


def workers_for(work: float, rows: int, threads: int | None) -> int:
    """How many threads pay for samples × cost, in so many rows or pictures."""
    return max(1, min(threads or available_cores(), int(work / THREAD_WORK) + 1, rows))


def _band_rows(count: int, halo: int, workers: int, block: int, *, one: bool) -> int:
    """Rows of a band: a few bands for each thread, but high enough for what they compute twice to be little."""
    if workers == 1 and one:
        return count
    low = max(HALO_SHARE * halo if block == 1 else 0, min(BAND_ROWS, count // (4 * workers)), 1)
    bands = max(1, count // low // workers) * workers
    band = -(-count // bands)
    return band + -band % max(block, 4)  # loops take up to four rows at once


def _bands(rows: Span, start: int, band: int, parts: int) -> Iterator[Span]:
    """Rows to do, first as many bands at once as are a part of what is left: each begins anew, and all end together."""
    while start < rows.stop:
        stop = start + max((rows.stop - start) // parts // band, 1) * band
        yield Span(max(start, rows.start), min(stop, rows.stop))
        start = stop


def _renormalized(chosen: Plan, source: Array, window: Window, threads: int | None) -> tuple[Array, int]:
    """A window whose sums count only taps on known samples, rescaled by the weight that those taps have.

    Known samples lie inside the picture and are not NaN. Where their taps sum to 0 there is nothing to rescale by: the
    result is NaN in floating pictures, the offset in integer ones.
    """
    from imgconv.engine.channels import to_samples  # here, as the planner: few kernels are rescaled
    from imgconv.engine.plan import SUM_TYPES, plan

    c = chosen.correlation
    sum_type = np.dtype(SUM_TYPES[chosen.variant.dtype])
    needed = [
        Span(span.start - anchor, span.stop - anchor + taps - 1)
        for span, anchor, taps in zip(window, c.anchor, c.weights.shape, strict=True)
    ]
    there = [span.within(Span(0, size)) for span, size in zip(needed, source.shape, strict=False)]
    samples = np.full([*(span.stop - span.start for span in needed), source.shape[2]], np.nan, sum_type)
    samples[inside(there, needed)] = source[inside(there, WHOLE)]
    known = ~np.isnan(samples)
    samples[~known] = 0
    # the border stays: it forbids methods whose sums of no taps are not exactly 0
    filtering = plan(replace(c, offset=0.0, outside=0.0, padding="valid"), sum_type.name)
    chain = Chain([filtering], samples.shape)
    sums, shares = (chain.run(values, threads=threads).array for values in (samples, known.astype(sum_type)))
    nothing = shares == 0
    shares[nothing] = 1
    sums *= filtering.weights.sum(dtype=np.float64) / shares
    sums[nothing] = 0 if source.dtype.kind in "ui" else np.nan
    return to_samples(sums + sum_type.type(c.offset), source.dtype)
