"""Carries out a plan: bands of rows, threads, borders."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from imgconv.engine import fourier, memory, native
from imgconv.engine.channels import to_samples
from imgconv.engine.plan import SUM_TYPES, Plan, plan
from imgconv.errors import PictureError

Array = npt.NDArray[Any]

BAND_ROWS = 128
# Samples in a tile. With what was read out of the cache, 4096 is as fast as 12000 for 3×3 and no slower for the rest;
# separable passes want lines nearer to the CPU: sigma 5 takes 44 ms with 4096, 37 with 1024
TILE_SAMPLES = 4096
TILES = {"separable": 1024, "box": 2048}
RING_BYTES = 2**20  # half of a second-level cache
SLACK = 512  # elements a vector loop may read or write past its line
THREAD_WORK = 200_000  # with less than this (samples × cost), starting a thread costs more than it saves


class Filtered(NamedTuple):
    """A result, and what is worth telling about it."""

    array: Array
    clipped: int  # samples outside the range of the type


class Span(NamedTuple):
    """A run of output indices along one axis, in input coordinates."""

    start: int
    stop: int


def available_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def execute(chosen: Plan, source: Array, threads: int | None = None) -> Filtered:
    """Correlates `source`, shape (rows, columns, channels), C-contiguous, of the plan's dtype.

    Raises
    ------
    PictureError
        When padding "valid" leaves no pixel.
    """
    c = chosen.correlation
    spans = [
        _span(size, taps, anchor, c.padding)
        for size, taps, anchor in zip(source.shape, c.weights.shape, c.anchor, strict=False)
    ]
    shape = tuple(max(0, span.stop - span.start) for span in spans)
    if 0 in shape:
        raise PictureError(
            f"padding valid leaves nothing of a {source.shape[0]}×{source.shape[1]} picture"
            f" under a {c.weights.shape[0]}×{c.weights.shape[1]} kernel (rows × columns)"
        )
    target = memory.empty((*shape, source.shape[2]), source.dtype)
    if c.border not in ("keep", "renormalize"):
        return Filtered(target, sweep(chosen, source, target, (spans[0], spans[1]), threads))
    missing = c.border == "renormalize" and source.dtype.kind == "f" and bool(np.isnan(source).any())
    inner = [
        _span(size, taps, anchor, "valid")
        for size, taps, anchor in zip(source.shape, c.weights.shape, c.anchor, strict=False)
    ]
    if missing or any(span.stop <= span.start for span in inner):
        inner = [Span(spans[0].start, spans[0].start), Span(spans[1].start, spans[1].start)]
        clipped = 0
    else:
        inside = _window(inner, spans)
        clipped = sweep(chosen, source, target[inside], (inner[0], inner[1]), threads)
    for strip in _frame(spans, inner):
        if c.border == "keep":
            target[_window(strip, spans)] = source[_window(strip, spans)]
        else:
            part = _renormalized(chosen, source, strip, threads)
            target[_window(strip, spans)] = part.array
            clipped += part.clipped
    return Filtered(target, clipped)


def prepare(chosen: Plan) -> float:
    """Loads the code that a plan needs; returns the seconds spent on compiling it, 0 when it was kept."""
    return 0.0 if chosen.method == "fourier" else native.loop(chosen.variant).compile_s


def sweep(chosen: Plan, source: Array, target: Array, window: tuple[Span, Span], threads: int | None) -> int:
    """Computes an output window (rows, columns) into `target`; returns how many samples were clipped."""
    c = chosen.correlation
    rows, columns = window
    taps = c.weights.shape
    begin = columns.start - c.anchor[1]
    row_map = _border_map(rows.start - c.anchor[0], rows.stop - rows.start + taps[0] - 1, source.shape[0], c.border)
    column_map = _border_map(begin, columns.stop - columns.start + taps[1] - 1, source.shape[1], c.border)
    work = target.size * chosen.cost
    workers = max(1, min(threads or available_cores(), int(work // THREAD_WORK) + 1, target.shape[0]))
    if chosen.method == "fourier":
        jobs = fourier.tiles(source, target, chosen.weights, row_map, column_map, c.outside, chosen.base)
        return _in_threads(lambda: lambda job: job(), jobs, workers)
    return _loop_over_bands(chosen, source, target, row_map, column_map, begin, workers)


def _loop_over_bands(
    chosen: Plan,
    source: Array,
    target: Array,
    row_map: npt.NDArray[np.int64],
    column_map: npt.NDArray[np.int64],
    begin: int,
    workers: int,
) -> int:
    """Runs a compiled loop over bands of rows; `begin` is the column of the picture under the first window's left."""
    c = chosen.correlation
    loop = native.loop(chosen.variant)
    channels = source.shape[2]
    kernel_rows, kernel_columns = c.weights.shape
    length = len(column_map)
    left = min(max(0, -begin), length)
    middle = max(0, min(length, source.shape[1] - begin) - left)
    outside = np.concatenate([column_map[:left], column_map[left + middle :]])[:, None]
    samples_map = np.where(outside < 0, -1, outside * channels + np.arange(channels)).ravel()
    shifts = chosen.shifts * channels
    samples = target.shape[1] * channels
    reach = (kernel_columns - 1) * channels
    ring_lines = kernel_rows + 5
    fitting = RING_BYTES // (ring_lines * np.dtype(chosen.line_type).itemsize) - reach
    most = min(TILES.get(chosen.method, TILE_SAMPLES), TILE_SAMPLES)
    tile = min(samples, max(most // 4, min(most, fitting)))
    count = target.shape[0]
    band = min(BAND_ROWS, -(-count // (4 * workers))) if workers > 1 else count
    band += -band % 4  # loops take up to four rows at once

    def prepare_worker() -> Callable[[int], int]:
        ring = np.empty(ring_lines * (tile + reach + SLACK), chosen.line_type)
        lines = np.empty(kernel_rows + 8, np.int64)

        def work(start: int) -> int:
            clipped: int = loop.call(
                source.ctypes.data,
                target.ctypes.data + start * target.strides[0],
                row_map.ctypes.data + start * row_map.itemsize,
                samples_map.ctypes.data,
                chosen.ends.ctypes.data,
                shifts.ctypes.data,
                chosen.weights.ctypes.data,
                ring.ctypes.data,
                lines.ctypes.data,
                c.outside,
                chosen.base,
                kernel_rows,
                reach,
                channels,
                min(band, count - start),
                samples,
                source.strides[0] // source.itemsize,
                target.strides[0] // target.itemsize,
                left * channels,
                middle * channels,
                max(0, begin) * channels,
                tile,
                SLACK,
            )
            return clipped

        return work

    return _in_threads(prepare_worker, range(0, count, band), workers)


def _in_threads(prepare_worker: Callable[[], Callable[[Any], int]], jobs: Iterable[Any], workers: int) -> int:
    """Does the jobs in some threads, of which the calling one is one; returns the sum of their results.

    `prepare_worker` gives each thread a function of its own. When the calling thread is interrupted, no job begins
    any more; when one fails, the calling thread raises its error.
    """
    waiting = iter(jobs)
    take = threading.Lock()
    totals: list[int] = []
    failures: list[BaseException] = []

    def next_job() -> Any:
        with take:
            return next(waiting, None)

    def run() -> None:
        nonlocal waiting
        try:
            work = prepare_worker()
            total = 0
            while (job := next_job()) is not None:
                total += work(job)
            totals.append(total)
        except BaseException as problem:
            waiting = iter(())
            failures.append(problem)

    others = [threading.Thread(target=run) for _ in range(1, workers)]
    for thread in others:
        thread.start()
    run()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]
    return sum(totals)


def _span(size: int, taps: int, anchor: int, padding: str) -> Span:
    """Output indices along an axis of `size` pixels."""
    if padding == "valid":
        return Span(anchor, size - (taps - 1 - anchor))
    if padding == "full":
        return Span(-(taps - 1 - anchor), size + anchor)
    return Span(0, size)


def _border_map(start: int, count: int, size: int, border: str) -> npt.NDArray[np.int64]:
    """Which of `size` pixels stands at each of the indices start, start + 1, …; -1 for the value outside."""
    index = np.arange(start, start + count, dtype=np.int64)
    if border == "wrap":
        return index % size
    if border == "reflect":
        if size == 1:
            return np.zeros_like(index)
        folded = index % (2 * size - 2)
        return np.minimum(folded, 2 * size - 2 - folded)
    if border == "symmetric":
        folded = index % (2 * size)
        return np.minimum(folded, 2 * size - 1 - folded)
    if border in ("constant", "renormalize"):
        return np.where((index < 0) | (index >= size), -1, index)
    return np.clip(index, 0, size - 1)


def _window(spans: Sequence[Span], origin: Sequence[Span]) -> tuple[slice, ...]:
    """Spans as an index into an array that starts at `origin`."""
    return tuple(slice(s.start - o.start, s.stop - o.start) for s, o in zip(spans, origin, strict=True))


def _frame(outer: Sequence[Span], inner: Sequence[Span]) -> Iterator[tuple[Span, Span]]:
    """The strips of outer that inner leaves, none of them empty."""
    (rows, columns), (inner_rows, inner_columns) = outer, inner
    for strip in (
        (Span(rows.start, inner_rows.start), columns),
        (Span(inner_rows.stop, rows.stop), columns),
        (inner_rows, Span(columns.start, inner_columns.start)),
        (inner_rows, Span(inner_columns.stop, columns.stop)),
    ):
        if all(span.stop > span.start for span in strip):
            yield strip


def _renormalized(chosen: Plan, source: Array, window: tuple[Span, Span], threads: int | None) -> Filtered:
    """A window whose sums count only taps on known samples, rescaled by the weight that those taps have.

    Known samples lie inside the picture and are not NaN. Where their taps sum to 0 there is nothing to rescale by: the
    result is NaN in floating pictures, the offset in integer ones.
    """
    c = chosen.correlation
    rows, columns = window
    sum_type = np.dtype(SUM_TYPES[chosen.variant.dtype])
    needed = [
        slice(max(0, span.start - anchor), max(0, min(size, span.stop - anchor + taps - 1)))
        for span, anchor, taps, size in zip((rows, columns), c.anchor, c.weights.shape, source.shape, strict=False)
    ]
    near = source[needed[0], needed[1]].astype(sum_type)
    known = (~np.isnan(near)).astype(sum_type)
    top, left = needed[0].start, needed[1].start
    moved = Span(rows.start - top, rows.stop - top), Span(columns.start - left, columns.stop - left)
    shape = (rows.stop - rows.start, columns.stop - columns.start, source.shape[2])
    sums, shares = np.empty(shape, sum_type), np.empty(shape, sum_type)
    plain = plan(replace(c, offset=0.0, outside=0.0), sum_type.name)
    sweep(plain, np.where(known > 0, near, sum_type.type(0)), sums, moved, threads)
    sweep(plain, known, shares, moved, threads)
    nothing = shares == 0
    shares[nothing] = 1
    sums *= plain.weights.sum(dtype=np.float64) / shares
    sums[nothing] = 0 if source.dtype.kind in "ui" else np.nan
    array, clipped = to_samples(sums + sum_type.type(c.offset), source.dtype)
    return Filtered(array, clipped)
