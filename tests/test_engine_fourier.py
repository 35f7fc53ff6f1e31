"""Sums by transforms down the columns, against sums in float64 by SciPy and the plain reference."""

import cmath
import itertools

import numpy as np
import oracle
import pytest

from imgconv.conventions import BORDERS
from imgconv.engine import proof, run
from imgconv.engine.band import SAMPLE_TYPES
from imgconv.engine.methods import fourier
from imgconv.engine.plan import PADDINGS, Correlation, plan
from imgconv.engine.run import Chain
from imgconv.engine.stage import Span

scipy_signal = pytest.importorskip("scipy.signal")

WHOLE = [dtype for dtype in SAMPLE_TYPES if dtype[0] in "ui"]
ODD, EVEN = (33, 9), (16, 40)  # blocks of 128 and 64 rows: an odd number of halvings is even in one, not in the other


def correlated(rng, shape, gain=1.0, **changes):
    weights = rng.standard_normal(shape)
    given = dict(scale=float(np.abs(weights).sum()) / gain, offset=3.0, border="edge", outside=0.0, padding="same")
    return Correlation(weights, anchor=(shape[0] // 3, shape[1] // 2), **given | changes)


def exact_sums(src, c):
    around = oracle.padded(src.astype(float), c.weights.shape, c.anchor, c.border, c.outside, c.padding)
    planes = [scipy_signal.correlate(plane, c.weights, "valid", "fft") for plane in np.moveaxis(around, 2, 0)]
    return np.stack(planes, 2) / c.scale + c.offset


@pytest.mark.parametrize("dtype", WHOLE)
def test_sums_of_pictures_of_every_size_are_near_the_exact_ones(dtype):
    rng = np.random.default_rng(1)
    limits = np.iinfo(dtype)
    borders, kinds = itertools.cycle(oracle.PAD_MODES), itertools.cycle(PADDINGS)
    types = set()
    for number, rows in enumerate([*range(1, 20), *range(23, 200, 7)]):
        size = rows, int(rng.integers(1, 201)), number % 4 + 1
        shape = [(1, 1), (2, 3), (12, 1), (1, 40), ODD, EVEN, (60, 21)][number % 7]
        gain = (1.0, 100.0)[number % 2]  # the larger ones of 8 bits are summed in float64
        c = correlated(rng, shape, gain, border=next(borders), outside=float(number), padding=next(kinds))
        if c.padding == "valid" and (size[0] < shape[0] or size[1] < shape[1]):
            continue
        chosen = plan(c, dtype, "fourier")
        src = rng.integers(limits.min, limits.max, size, dtype, endpoint=True)
        exact = exact_sums(src, c)
        got, clipped = run.execute(chosen, src, 1)
        assert got.shape == exact.shape
        types.add(chosen.line_type)
        off = proof.off_fourier(c, dtype, int(2 * chosen.ends[0]), chosen.line_type) + 1e-6  # SciPy's own
        inside = np.clip(exact, limits.min, limits.max)
        assert np.abs(got - inside).max() <= 0.5 + off, (size, shape)
        sure = np.abs(np.floor(exact + 0.5) - exact) < 0.5 - off  # not on the edge between two levels
        np.testing.assert_array_equal(got[sure], np.floor(inside + 0.5)[sure])
        beyond = (np.floor(exact + 0.5) > limits.max) | (np.floor(exact + 0.5) < limits.min)
        assert abs(clipped - int(beyond.sum())) <= int((~sure).sum())
    assert types == ({"float32", "float64"} if dtype == "uint8" else {"float64"})


@pytest.mark.parametrize("border", sorted({*BORDERS} - {"renormalize"}))
@pytest.mark.parametrize("shape", [ODD, EVEN])
def test_bytes_do_not_depend_on_bands_parts_or_threads(border, shape, monkeypatch):
    rng = np.random.default_rng(2)
    monkeypatch.setattr(run, "THREAD_WORK", 1.0)
    src = rng.integers(0, 256, (251, 150, 3), np.uint8)
    # so large sums are cut, and counted
    chosen = plan(correlated(rng, shape, 4.0, border=border, scale=9.0), "uint8", "fourier")
    chain = Chain([chosen], src.shape)
    whole = chain.run(src, threads=1)
    for threads in (2, 5):
        got = chain.run(src, threads=threads)
        assert (got.array.tobytes(), got.clipped) == (whole.array.tobytes(), whole.clipped)
    if border != "wrap":
        cuts = [0, 1, 40, 41, 98, 200, len(whole.array)]
        parts = [Span(*pair) for pair in itertools.pairwise(cuts)]
        near = [chain.needed(part) for part in parts]
        found = [
            chain.run(src[need.start : need.stop], need.start, part, threads=2)
            for part, need in zip(parts, near, strict=True)
        ]
        assert np.concatenate([part.array for part in found]).tobytes() == whole.array.tobytes()
        assert sum(part.clipped for part in found) == whole.clipped


def test_roots_are_those_of_the_tree():
    turns = [None, 0.25]  # the angles of s² in x^2m - s², as parts of a turn
    for node in range(1, 512):
        turns += [turns[node] / 2, turns[node] / 2 + 0.5]
    for node, (real, imaginary) in enumerate(fourier.roots(1024).T[1:], 1):
        assert abs(complex(real, imaginary) - cmath.exp(1j * cmath.pi * turns[node])) < 1e-15


def test_the_size_of_blocks_follows_the_kernel():
    rng = np.random.default_rng(3)
    sizes = [int(2 * plan(correlated(rng, (n, 31)), "uint8", "fourier").ends[0]) for n in (9, 31, 101, 500, 1500)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 128 <= sizes[1] < sizes[-1] == fourier.SIZES[-1]
    assert plan(correlated(rng, (31, 31)), "uint8").method == "fourier"
    assert plan(correlated(rng, (31, 31), exact=True), "uint8").method == "direct"
    assert plan(correlated(rng, (31, 31), portable=True), "uint8").method == "fourier"
