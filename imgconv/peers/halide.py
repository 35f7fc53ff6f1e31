"""Halide: a pipeline for each task, compiled."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial, reduce
from operator import add
from timeit import repeat
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.peers.task import Run, Task

SCHEDULES = (16, 1), (64, 1), (64, 2)  # rows of a band, and vectors at once
TRIALS = 4
LARGEST_INT16 = 2**15 - 1


def prepare(task: Task, source: Array, target: Array | None, threads: int) -> Run:
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
        return min(repeat(partial(made.realize, buffer), number=1, repeat=TRIALS))

    fastest = min((scheduled(*schedule) for schedule in SCHEDULES), key=seconds)

    def run() -> Array:
        fastest.realize(buffer)
        return memory

    return run
