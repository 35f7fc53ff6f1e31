import numpy as np
import pytest

from imgconv.engine.plan import Correlation, plan
from imgconv.errors import KernelError, UsageError


def correlation(weights, **changes):
    weights = np.asarray(weights, float)
    rows, columns = weights.shape
    fields = dict(scale=1.0, offset=0.0, anchor=((rows - 1) // 2, (columns - 1) // 2), border="edge", outside=0.0)
    return Correlation(weights, **(fields | {"padding": "same"} | changes))


def test_a_dense_common_shape_has_a_loop_of_its_own():
    assert plan(correlation(np.ones((3, 3))), "uint8").variant.shape == (3, 3)
    assert plan(correlation(np.ones((5, 5))), "uint16").variant.shape == (5, 5)


def test_taps_of_zero_are_left_out():
    chosen = plan(correlation([[0, 1, 0], [2, 0, 0], [0, 0, 0]]), "uint8")
    assert chosen.variant.shape is None
    assert chosen.weights.tolist() == [2, 1]  # bottom row first
    assert chosen.shifts.tolist() == [0, 1]
    assert chosen.ends.tolist() == [0, 1, 2]


def test_a_plan_says_why_and_how_exact_it_is():
    chosen = plan(correlation(np.ones((4, 2))), "uint8")
    assert chosen.method == "direct"
    assert "8 of 8" in chosen.reason
    assert chosen.error_bound == 0


def test_weights_that_no_sum_can_hold_are_refused():
    with pytest.raises(KernelError, match="too large"):
        plan(correlation([[1e38, 1e38, 1e38]]), "uint8")
    with pytest.raises(KernelError, match="too large"):
        plan(correlation([[1e30]], scale=1e-30), "uint8")
    assert plan(correlation([[1e38]]), "float64").weights[0] == 1e38


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
