"""The frames of a file on their way through a job: which are done, where each goes, what becomes of it."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array, name_of
from imgconv.batch.targets import Job, Targets, is_skipped
from imgconv.errors import PictureError, WriteError
from imgconv.formats.metadata import select
from imgconv.formats.picture import FIRST, UNCOUNTED, Frame, Picture, unread, wanted_of
from imgconv.formats.sink import Rows
from imgconv.formats.table import (
    ARRAYS,
    GREY_MODES,
    MODES,
    PADDED,
    PLAIN,
    THUMBNAILS,
    TIMING,
    Changes,
    by_name,
    frames_in,
    keeps,
)
from imgconv.formats.write import fitted
from imgconv.native.kept import clock
from imgconv.recipe.strips import AtOnce, InStrips, filter_frame

if TYPE_CHECKING:
    from imgconv.batch.job import Handling
    from imgconv.batch.report import Outcome
    from imgconv.formats.convert import Converted
    from imgconv.formats.limits import Limits
    from imgconv.recipe.recipe import Recipe


def count_of(about: Picture, form: str, job: Job, targets: Targets, outcome: Outcome) -> int:
    """How many frames go into each result; puts down what was read, and what is left out.

    Raises PictureError where the format does not hold so many, or --in-place would lose some.
    """
    outcome.shape, outcome.mode, outcome.dtype = about.array.shape, about.mode, name_of(about.array.dtype)
    count = len(wanted_of(targets.frames, about.frames))
    many = "several" if about.frames == UNCOUNTED else about.frames
    if count < about.frames:
        of = f"of {many} frames"
        outcome.notes.append(
            f"only the first {of} was filtered" if targets.frames == FIRST else f"{count} {of} were filtered"
        )
    if about.others:
        outcome.notes.append(f"holds {about.others} more ({about.other_kinds}), which are left out")
    if targets.in_place and (count < about.frames or about.others):
        raise PictureError(f"{job.input}: {outcome.notes[-1]}; --in-place would lose the others")
    if count > 1 and not job.each and not frames_in(form):
        raise PictureError(
            f"{job.input}: has {many} frames, and {form} holds one; --frames first takes the first, and"
            " -o with {frame} in the name makes a file of each"
        )
    if count > 1 and not job.each and _stands_apart(about, form):
        outcome.notes.append("its default image, which is no part of the animation, is left out")
        count -= 1
    return count


def parts_of(job: Job, frames: Iterator[Frame], targets: Targets, count: int) -> Iterator[tuple[Job, Iterator[Frame]]]:
    """The frames that go into one file, which is that of the job or, by a template with {frame}, one for each."""
    if not job.each:
        yield job, frames
        return
    for number in wanted_of(targets.frames, count) if count < UNCOUNTED else ():
        target = job.at(number).target
        if isinstance(target, Path) and os.path.lexists(target) and not targets.may_be_there(target):
            raise WriteError(f"{target}: exists; --overwrite replaces it")
    for frame in frames:
        part = job.at(frame.about.number)
        if not is_skipped(part, targets):
            yield part, iter([frame])


def filtered(
    frames: Iterator[Frame], count: int, *, recipe: Recipe, handling: Handling, limits: Limits, form: str,
    outcome: Outcome,
) -> Iterator[tuple[Picture, Rows]]:  # fmt: skip
    """What becomes of each of so many frames that go into one file, which has them one after the other."""
    while True:
        started = clock()
        frame = next(frames, None)
        outcome.read_s += clock() - started
        if frame is None:
            return
        if count > 1 and _stands_apart(frame.about, form):
            continue
        frame.about = fitted(frame.about, form)
        before = frame.about  # without its pixels
        if frame.read is None:
            before = replace(before, array=unread(before.array.shape, before.array.dtype))
        outcome.notes += before.notes
        changes = handling.changes
        settled, top = recipe, None
        if changes.depth is not None or recipe.options.linear:
            from imgconv.recipe.recipe import for_picture  # here, because most results are as deep as the picture was

            settled, top, note = for_picture(recipe, before, changes.depth)
            outcome.notes += [note] if note else []
        work = filter_frame(settled, frame, limits, padded=form in PADDED and changes == Changes())
        del frame  # its pixels: encoding takes memory of its own
        remade = count == 1 and form in THUMBNAILS and work.mode in MODES.values() and changes == Changes()
        plain = ((count == 1 and form in PLAIN) or form == "RAW") and changes == Changes()
        pixels = unread(work.shape, work.dtype if plain else np.dtype(work.dtype))
        after = _after(before, pixels, work.mode, handling, outcome, remade=remade)
        if count == 1:
            for key in TIMING:
                after.info.pop(key, None)
        elif after.info.get("duration") and not keeps(form, "duration") and before.format not in (form, "RAW"):
            outcome.notes.append(f"{form} holds no durations; they are left out")
        if handling.embedded:
            from imgconv.formats import xmp

            after.info["xmp"] = xmp.with_recipe(after.info.get("xmp", b""), xmp.Embedded(*handling.embedded), form)

        change = None
        if changes != Changes() or (form not in ARRAYS and after.mode not in by_name(form).modes):
            from imgconv.formats import convert  # here, because most results stay as they are

            change = convert.converted(after, form, changes, top)
        if change is not None:
            outcome.notes += change.notes
            after, outcome.result_mode = change.about, change.about.mode

        def rows(
            step: int | None, work: InStrips | AtOnce = work, change: Converted | None = change, plain: bool = plain
        ) -> Generator[Array]:
            work.plan(step, limits)
            strips = work.run() if plain else _as_arrays(work.run())
            return strips if change is None else change.strips(strips)

        made: Rows = rows
        if change is not None and change.palette:
            after = change.with_palette(rows(None))
            outcome.notes += after.notes
            made = partial(given, (part for part in (after.array,)))
        yield after if after.frames == count else replace(after, frames=count), made
        outcome.put_down(work.report())
        outcome.clipped = (outcome.clipped or 0) + sum(change.clipped) if change else outcome.clipped
        outcome.strip_rows = work.strip_rows if work.strip_rows < work.shape[0] else 0
        outcome.read_s += work.waited_s


def _as_arrays(strips: Generator[Array]) -> Generator[Array]:
    with closing(strips):
        yield from map(np.asarray, strips)


def given(strips: Generator[Array], step: int | None) -> Generator[Array]:
    """Rows that are under way, whatever the strips that a sink would have them in."""
    return strips


def _stands_apart(about: Picture, form: str) -> bool:
    """Whether a picture is no part of the animation, and the format has no place for it beside that."""
    return "default_image" in about.info and not keeps(form, "default_image")


def _after(before: Picture, array: Any, mode: str, handling: Handling, outcome: Outcome, *, remade: bool) -> Picture:
    """The picture with its new pixels, and what is to be said about it."""
    if outcome.result_shape is None:  # as `shape`, of the first frame
        outcome.result_shape, outcome.result_mode = array.shape, mode
    info = select(before.info, handling.metadata)
    if handling.strip_gps and info:
        from imgconv.formats.gps import without_gps

        info, notes = without_gps(info)
        outcome.notes += notes
    if not info.keys().isdisjoint(("exif", "xmp", "photoshop")) or any(chunk.kind for chunk in info.get("chunks", ())):
        from imgconv.formats import exif  # here, because many pictures have none

        frames = before.frames + before.others
        info, notes = exif.for_result(info, before.array.shape, array.shape, frames, remade=remade)
        outcome.notes += notes
    if "icc_profile" in info and (mode in GREY_MODES) != (before.mode in GREY_MODES):
        del info["icc_profile"]
        outcome.notes.append(f"its ICC profile is for {'colours' if mode in GREY_MODES else 'greys'} and left out")
    return replace(before, array=array, mode=mode, info=info)
