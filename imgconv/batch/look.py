"""What a report shows of a job: the input is read once more and filtered as a whole, whatever way the job takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from imgconv.batch import remote
from imgconv.errors import ImgconvError
from imgconv.formats.limits import limits_for
from imgconv.formats.write import fitted
from imgconv.page.section import section
from imgconv.recipe.recipe import for_picture

if TYPE_CHECKING:
    from imgconv.batch.job import Handling
    from imgconv.batch.targets import Job
    from imgconv.recipe.recipe import Recipe


def section_of(job: Job, recipe: Recipe, handling: Handling, *, small: bool) -> dict[str, Any]:
    """The part of a page about a job, or {"error": why there is none}."""
    assert job.source is not None
    limits = limits_for(handling.limits, recipe.options, job.format)
    try:
        picture = remote.read(job.source, limits, auto_orient=handling.auto_orient, raw=handling.raw)
        picture = fitted(picture, job.format or picture.format)
        recipe, _, _ = for_picture(recipe, picture, handling.changes.depth)
        made = section(replace(picture, info={}), None, "", recipe, small=small)
    except ImgconvError as problem:
        return {"error": f"not shown: {problem}"}
    except MemoryError:
        return {"error": "not shown: it is too large for the memory of this machine"}
    if picture.frames > 1:
        made["note"] = f"the first of {picture.frames} frames is shown"
    return made
