"""Data classes that are made fast, beside those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from imgconv.record import dataclass


@dataclass(frozen=True, eq=False)
class Fast:
    first: int
    second: str = "b"
    third: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        if self.first < 0:
            raise ValueError("first")


@dataclasses.dataclass(frozen=True, eq=False)
class Plain:
    first: int
    second: str = "b"
    third: list[int] = dataclasses.field(default_factory=list)

    def __post_init__(self):
        if self.first < 0:
            raise ValueError("first")


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
    made = Fast(*values, **named)
    assert list(vars(made).items()) == list(vars(wanted).items())
    assert repr(made) == repr(wanted).replace("Plain", "Fast")
    assert dataclasses.asdict(made) == dataclasses.asdict(wanted)


def test_defaults_are_made_anew():
    assert Fast(1).third is not Fast(1).third


def test_it_is_copied_pickled_and_replaced():
    made = Fast(1, "c", [2])
    for again in (pickle.loads(pickle.dumps(made)), copy.copy(made), dataclasses.replace(made)):
        assert vars(again) == vars(made)
    assert dataclasses.replace(made, first=2).first == 2
    with pytest.raises(ValueError, match="first"):
        dataclasses.replace(made, first=-1)


def test_a_frozen_one_does_not_change():
    made = Fast(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.first = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.first
    assert made.first == 1
    other = Open()
    other.first = 2
    assert other.first == 2
