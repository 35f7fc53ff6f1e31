import numpy as np
import pytest

from imgconv.engine.methods.integer import _division
from imgconv.engine.plan import Correlation, plan
from imgconv.errors import KernelError, UsageError


def correlation(weights, **changes):
    weights = np.asarray(weights, float)
    rows, columns = weights.shape
    fields = dict(scale=1.0, offset=0.0, anchor=((rows - 1) // 2, (columns - 1) // 2), border="edge", outside=0.0)
    return Correlation(weights, **(fields | {"padding": "same"} | changes))


def test_a_dense_common_shape_has_a_loop_of_its_own():
    assert plan(correlation(np.ones((3, 3))), "uint8", "direct").variant.shape == (3, 3)
    assert plan(correlation(np.ones((5, 5))), "uint16", "direct").variant.shape == (5, 5)


def test_taps_of_zero_are_left_out():
    chosen = plan(correlation([[0, 1, 0], [2, 0, 0], [0, 0, 0]]), "uint8", "direct")
    assert chosen.variant.shape is None
    assert chosen.weights.tolist() == [2, 1]  # bottom row first
    assert chosen.shifts.tolist() == [0, 1]
    assert chosen.ends.tolist() == [0, 1, 2]


def test_a_plan_says_why_and_how_exact_it_is():
    chosen = plan(correlation(np.ones((4, 2))), "uint8", "direct")
    assert chosen.method == "direct"
    assert "8 of 8" in chosen.reason
    assert chosen.error_bound == 0


def test_weights_that_no_sum_can_hold_are_refused():
    with pytest.raises(KernelError, match="too large"):
        plan(correlation([[1e38, 1e38, 1e38]]), "uint8")
    with pytest.raises(KernelError, match="too large"):
        plan(correlation([[1e30]], scale=1e-30), "uint8")
    assert plan(correlation([[1e38]]), "float64", "direct").weights[0] == 1e38


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"anchor": (3, 0)}, "anchor 3,0"),
        ({"border": "mirror"}, "mirror"),
        ({"padding": "some"}, "some"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        correlation(np.ones((3, 3)), **changes)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="magic"):
        plan(correlation(np.ones((3, 3))), "uint8", "magic")


EDGE = [[-1, -1, -1], [-1, 10, -1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("weights", "changes", "method"),
    [
        (EDGE, {"scale": 2.0}, "integer"),
        ([[1, 1, 1], [1, 5, 1], [1, 1, 1]], {"scale": 13.0, "exact": True}, "integer"),
        (
            [[0, -1, 0], [-1, 10, -1], [0, -1, 0]],
            {"scale": 6.0, "exact": True},
            "direct",
        ),  # ties, and 6 is no power of 2
        ([[0, -1, 0], [-1, 10, -1], [0, -1, 0]], {"scale": 6.0}, "integer"),
        (np.ones((31, 31)), {"scale": 961.0}, "box"),
        (np.outer(np.arange(1, 22), np.arange(1, 22)) * 0.1, {"scale": 5000.0}, "separable"),
        (np.random.default_rng(0).random((7, 7)), {"scale": 25.0}, "fixed"),
        (np.random.default_rng(0).normal(size=(6, 6)) * 9, {"scale": 1.0}, "fused"),  # too large for fixed point
        (np.random.default_rng(0).random((9, 9)), {"scale": 40.0}, "fourier"),
        (np.random.default_rng(0).random((9, 9)), {"scale": 40.0, "exact": True}, "direct"),
        (np.random.default_rng(0).random((3, 3)), {"scale": 4.0}, "direct"),
        (np.random.default_rng(0).random((99, 99)), {"scale": 5000.0}, "fourier"),
    ],
)
def test_the_planner_takes_the_fastest_way_that_it_may(weights, changes, method):
    chosen = plan(correlation(weights, **changes), "uint8")
    assert chosen.method == method, chosen.reason
    assert chosen.error_bound == 0 or not changes.get("exact")


@pytest.mark.parametrize(
    ("weights", "dtype", "method", "words"),
    [
        ([[0.3]], "uint8", "integer", "whole numbers"),
        (EDGE, "uint16", "integer", "8-bit"),
        ([[1000, 1000]], "uint8", "integer", "16 bits"),
        (EDGE, "uint16", "fixed", "8-bit"),
        (np.random.default_rng(0).random((9, 9)) * 9, "uint8", "fixed", "could be off by"),
        ([[1e6, 0.1]], "uint8", "fixed", "do not fit"),
        (EDGE, "uint8", "box", "not all the same"),
        (EDGE, "uint8", "separable", "rank 1"),
        (np.eye(4), "float32", "fused", "taps of zero"),
        (np.eye(4), "int32", "fused", "32-bit integers"),
        (np.ones((9, 9)), "uint8", "decimated", "not smooth enough"),
        (EDGE, "float32", "fourier", "not a number"),
        (np.ones((2049, 1)), "uint8", "fourier", "more than 2048 rows"),
        (np.full((1, 1), 1e6), "int32", "fourier", "could be off"),
    ],
)
def test_a_method_that_cannot_be_used_says_why(weights, dtype, method, words):
    with pytest.raises(UsageError, match=words):
        plan(correlation(weights), dtype, method)


def test_divisions_are_exact_for_every_sum():
    """Against Python's own, of every sum from the lowest to the highest."""
    for divisor in range(3, 93):
        found = _division(-300, 256 * divisor, divisor)
        assert found is not None, divisor
        factor, shift = found
        for n in range(-300, 256 * divisor + 1, 1 if divisor < 30 else 7):
            assert min(max((n * factor >> 16) >> shift, -1), 256) == min(max(n // divisor, -1), 256), (n, divisor)


def test_sums_in_fixed_point_are_off_by_no_more_than_half_a_step_of_each_weight():
    """The bound, from the weights that the loop is given, against the picture that is the worst for them."""
    rng = np.random.default_rng(3)
    for shape in ((3, 3), (4, 7), (13, 12), (31, 31)):
        weights = rng.normal(size=shape)
        chosen = plan(correlation(weights, scale=float(np.abs(weights).sum()), offset=9.25), "uint8", "fixed")
        shift = int(chosen.weights[-1])
        exact = weights / np.abs(weights).sum()
        off = np.rint(exact * 2.0**shift) / 2.0**shift - exact
        assert 255 * max(off[off > 0].sum(), -off[off < 0].sum()) < 0.05
        assert np.abs(exact).max() * 2.0**shift < 2**15 <= np.abs(exact).max() * 2.0 ** (shift + 2)
        assert chosen.error_bound == 1
    # no weight is rounded: the direct method's bytes
    assert plan(correlation(np.arange(9).reshape(3, 3), scale=64.0), "uint8", "fixed").error_bound == 0


def test_whole_terms_that_leave_something_out_prove_nothing():
    weights = [[4, 4], [2, 3]]  # near 2 · [[2, 2], [1, 1]], and the scale makes the rest small
    chosen = plan(correlation(weights, scale=8192.0, offset=127.0), "uint8", "separable")
    assert chosen.error_bound == 1
    assert plan(correlation([[4, 4], [2, 2]], scale=8192.0, offset=127.0), "uint8", "separable").error_bound == 0


SMOOTH = np.exp(-0.5 * (np.arange(-40, 41) / 12) ** 2)
RANDOM = np.random.default_rng(5).normal(size=(4, 13))


@pytest.mark.parametrize(
    ("weights", "scale", "dtype", "method"),
    [
        (np.outer(SMOOTH, SMOOTH), SMOOTH.sum() ** 2, "uint8", "decimated"),
        (np.outer(*RANDOM[:2]) + np.outer(*RANDOM[2:]), 1.0, "float32", "separable"),
    ],
)
def test_a_portable_plan_owes_nothing_to_lapack(weights, scale, dtype, method, monkeypatch):
    """Its last bits are the machine's: here another one is simulated, whose last bits are off."""
    assert plan(correlation(weights, scale=scale), dtype).method == method
    c = correlation(weights, scale=scale, portable=True)
    chosen = plan(c, dtype)
    svd, lstsq = np.linalg.svd, np.linalg.lstsq
    monkeypatch.setattr(np.linalg, "svd", lambda *a, **k: tuple(part * (1 + 1e-14) for part in svd(*a, **k)))
    monkeypatch.setattr(np.linalg, "lstsq", lambda *a, **k: (lstsq(*a, **k)[0] * (1 + 1e-14),))
    monkeypatch.setattr("imgconv.engine.plan._made", {})
    elsewhere = plan(c, dtype)
    assert chosen.method == elsewhere.method
    assert chosen.weights.tobytes() == elsewhere.weights.tobytes()
    with pytest.raises(UsageError, match=f"method {method} cannot be used here: its sums depend on the machine"):
        plan(c, dtype, method)
