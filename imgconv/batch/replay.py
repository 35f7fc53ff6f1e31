"""A result made again from its original, and held against it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from imgconv.batch import remote
from imgconv.batch.job import Handling
from imgconv.batch.remote import Remote
from imgconv.difference import gaps
from imgconv.errors import PictureError
from imgconv.formats import convert, xmp
from imgconv.formats.limits import Limits, limits_for
from imgconv.formats.metadata import select
from imgconv.formats.picture import Picture
from imgconv.formats.read import named, parse
from imgconv.formats.write import encode
from imgconv.recipe.recipe import Recipe, for_picture


class Replayed(NamedTuple):
    """How the pixels of a result agree with those that were made again."""

    equal: bool
    pixels: int  # that differ
    all_pixels: int
    largest: float | None  # difference of a sample; None where the sizes differ
    size: tuple[int, int]  # columns and rows of the result
    size_again: tuple[int, int]


def result_of(path: Path | Remote, limits: Limits) -> tuple[Picture, xmp.Embedded]:
    """A result, and the recipe in it. Raises PictureError where it has none."""
    result = remote.read(path, limits)
    with named(str(path)):
        embedded = xmp.recipe_of(result.info.get("xmp", b""))
        if embedded is None:
            raise PictureError("holds no recipe; imgconv apply --embed puts one in")
        if result.frames > 1:
            raise PictureError(f"has {result.frames} frames; replay makes results of one again")
    return result, embedded


def replay(result: Picture, original: Path | Remote, recipe: Recipe, handling: Handling) -> Replayed:
    """Does the recipe again, with its encoder, and compares the pixels. Raises what a job would."""
    limits = limits_for(handling.limits, recipe.options, result.format)
    before = remote.read(original, limits, auto_orient=handling.auto_orient)
    with named(str(original)):
        settled, top, _ = for_picture(recipe, before, handling.changes.depth)
        array, mode, _ = settled.apply(before.array, before.mode)
        after = replace(before, array=array, mode=mode, info=select(before.info, handling.metadata))
        after = convert.whole(after, result.format, handling.changes, top)
        data, _ = encode(after, result.format, handling.encoder, recipe.options.threads)
    again = parse(data, "what was made again", limits=handling.limits).array
    ours, theirs = (each.reshape(*each.shape[:2], -1) for each in (again, result.array))
    sizes = [(each.shape[1], each.shape[0]) for each in (theirs, ours)]
    if ours.shape != theirs.shape:
        return Replayed(False, theirs[:, :, 0].size, theirs[:, :, 0].size, None, *sizes)
    pixels, largest = 0, 0.0
    for _, apart in gaps(ours, theirs):
        pixels, largest = pixels + int(np.count_nonzero(apart.any(axis=2))), max(largest, float(apart.max()))
    return Replayed(not pixels, pixels, ours[:, :, 0].size, largest, *sizes)
