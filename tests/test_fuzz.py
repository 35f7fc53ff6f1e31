"""A few of the broken files that `python tests/fuzz.py` tries in thousands."""

from __future__ import annotations

import fuzz
import numpy as np
import pytest

import imgconv

FILES = 300
SECONDS = 15  # after which no other file is begun, on a machine that is slow


def test_the_same_numbers_make_the_same_files():
    sound = fuzz.seeds()
    first, second = ([fuzz.nth(number, 1, sound) for number in range(20)] for _ in range(2))
    assert first == second


def test_sound_files_are_as_pillow_has_them():
    assert fuzz.run(range(len(fuzz.seeds())), 0) == {}


@pytest.mark.parametrize("seed", [1, 2])
def test_broken_files_are_pictures_or_one_line(seed):
    assert fuzz.run(range(FILES), seed, SECONDS) == {}


def test_a_scale_at_the_end_of_its_range_gives_the_offset():
    kernel = imgconv.kernel("1 2 3; 4 5 6")
    found = imgconv.correlate(np.full((3, 4), 200, np.uint8), kernel, scale=1e308, offset=7)
    assert (found == 7).all()
