"""Data classes that are made fast, beside those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from imgconv.record import dataclass


def made(decorated, name):
    @decorated(frozen=True, eq=False)
    class Kind:
        first: int
        second: str = "b"
        third: list[int] = dataclasses.field(default_factory=list)

        def __post_init__(self):
            if self.first < 0:
                raise ValueError("first")

    Kind.__name__ = Kind.__qualname__ = name
    return Kind


Fast, Plain = made(dataclass, "Fast"), made(dataclasses.dataclass, "Plain")


@dataclass(eq=False)
class Open:
    first: int = 1


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((1,), {}), ((1, "c", [3]), {}), ((), {"first": 1, "third": [2]}), ((1,), {"second": "c"}),
        ((), {}), ((), {"second": "c"}), ((1, "c", [3], 4), {}), ((1,), {"first": 2}), ((1,), {"fourth": 2}),
        ((-1,), {}),
    ],
)  # fmt: skip
def test_it_takes_what_the_standard_one_takes(values, named):
    try:
        wanted = Plain(*values, **named)
    except (TypeError, ValueError) as problem:
        with pytest.raises(type(problem)):
            Fast(*values, **named)
        return
    fast = Fast(*values, **named)
    assert list(vars(fast).items()) == list(vars(wanted).items())
    assert repr(fast) == repr(wanted).replace("Plain", "Fast")
    assert dataclasses.asdict(fast) == dataclasses.asdict(wanted)


def test_defaults_are_made_anew():
    assert Fast(1).third is not Fast(1).third


def test_it_is_copied_pickled_and_replaced():
    fast = Fast(1, "c", [2])
    for again in (pickle.loads(pickle.dumps(fast)), copy.copy(fast), dataclasses.replace(fast)):
        assert vars(again) == vars(fast)
    assert dataclasses.replace(fast, first=2).first == 2
    with pytest.raises(ValueError, match="first"):
        dataclasses.replace(fast, first=-1)


def test_a_frozen_one_does_not_change():
    fast = Fast(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fast.first = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del fast.first
    assert fast.first == 1
    other = Open()
    other.first = 2
    assert other.first == 2
