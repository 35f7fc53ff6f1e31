"""Frames of an animation on their way into a file: of one size and mode, each as the rectangle that it changes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import WriteError
from imgconv.formats.picture import Picture
from imgconv.formats.sink import Sink


class Box(NamedTuple):
    """A rectangle of pixels."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top

    def of(self, array: Array) -> Array:
        """What of a picture lies in it."""
        return array[self.top : self.bottom, self.left : self.right]


def box_of(*changed: Array, step: int = 1) -> Box:
    """The smallest box around the pixels of which a sample is true in any array, or one pixel.

    Its corner lies in rows and columns of a `step`.
    """
    rows = np.logical_or.reduce([each.reshape(len(each), -1).any(axis=1) for each in changed])
    columns = np.logical_or.reduce([each.any(axis=0).reshape(each.shape[1], -1).any(axis=1) for each in changed])
    there = np.flatnonzero(rows), np.flatnonzero(columns)
    if not len(there[0]):
        return Box(0, 0, 1, 1)
    top, left = (int(places[0]) // step * step for places in there)
    return Box(top, left, int(there[0][-1]) + 1, int(there[1][-1]) + 1)


class AnimationSink(Sink):
    """What all formats of animations have in common. `about` is the frame that comes next, `number` counts from 0."""

    step: int | None = None

    def __init__(self, form: str, about: Picture) -> None:
        self.form, self.about, self.number = form, about, 0

    def following(self, about: Picture) -> None:
        if (about.array.shape, about.mode) != (self.about.array.shape, self.about.mode):
            first, other = (f"{each.size} {each.mode}" for each in (self.about, about))
            raise WriteError(
                f"{self.form} holds frames of one size and mode: the first is {first}, number {about.number} {other};"
                " write .tif, or a file of each with {frame} in the name"
            )
        self.about, self.number = about, self.number + 1
