"""Pixels of three bytes into four, and back."""

from __future__ import annotations

import numpy as np
import pytest
from makers import noise

from imgconv.formats.image import MOVES
from imgconv.native import kept

GUARD = 77  # what lies behind the target
COUNTS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 1001)


def moved(kind: str, source: np.ndarray, size: int) -> np.ndarray:
    target = np.full((len(source) + 3, size), GUARD, np.uint8)
    kept.loop(MOVES[kind]).call(target.ctypes.data, source.ctypes.data, len(source))
    assert (target[len(source) :] == GUARD).all()
    return target[: len(source)]


@pytest.mark.parametrize("count", COUNTS)
def test_the_fourth_byte_is_left_out(count):
    pixels = noise(count, 4)
    assert np.array_equal(moved("pack", pixels, 3), pixels[:, :3])


@pytest.mark.parametrize("count", COUNTS)
def test_the_fourth_byte_is_filled_as_pillow_does(count):
    pixels = noise(count, 3)
    found = moved("unpack", pixels, 4)
    assert np.array_equal(found[:, :3], pixels)
    assert (found[:, 3] == 255).all()


@pytest.mark.parametrize("count", COUNTS)
def test_pixels_are_packed_where_they_lie(count):
    pixels = noise(count, 4)
    memory = pixels.copy()
    kept.loop(MOVES["pack"]).call(memory.ctypes.data, memory.ctypes.data, count)
    assert np.array_equal(memory.reshape(-1)[: 3 * count].reshape(-1, 3), pixels[:, :3])
