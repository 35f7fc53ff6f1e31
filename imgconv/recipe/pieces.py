"""A recipe whose kernels all see the picture itself, over parts of it: combined, masked, weighed by alpha, in light."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.engine.plan import plan
from imgconv.engine.run import Filtered
from imgconv.engine.stage import Span, Stage
from imgconv.memory import empty
from imgconv.recipe.application import Application
from imgconv.recipe.filtering import Part
from imgconv.recipe.layout import Layout
from imgconv.threads import available_cores, in_threads

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.recipe import Recipe

    Array = npt.NDArray[Any]

PIECE_SAMPLES = 2**17  # in a piece that a thread computes at once: what lies between its steps stays in the cache


class Pieces:
    """What a `Chain` is for correlations: parts of the result from parts of the picture, with the bytes of the whole.

    Parameters
    ----------
    recipe : Recipe
        One for which `suits` is true.
    shape : (int, int, int)
        Of the picture.
    kind, layout
        As `layout_of` gives them.
    opaque : bool, optional
        Whether all of the picture is, if that is known.

    Attributes
    ----------
    job : Application
        Of what was found out: its plans, and how long they were compiled.
    target_shape : (int, int, int)
        Of the result.
    dtype : dtype
        Of the result.
    halo : int
        How many rows more than it gives a part takes, where no border is near.
    """

    def __init__(
        self, recipe: Recipe, shape: tuple[int, ...], kind: np.dtype[Any], layout: Layout, opaque: bool | None
    ) -> None:
        self.recipe = recipe
        self.shape = shape
        self.layout = layout
        self.opaque = opaque
        self.step = recipe.options.stride[0]
        self.job = Application(recipe, Layout(layout.mode, layout.back))
        nothing = np.broadcast_to(np.zeros((), kind), shape)
        # where taps lie does not depend on the method
        self.stages = [Stage(plan(each.plain(nothing), kind.name, "direct"), shape) for each in self.job.filters]
        self.halo = max(stage.plan.correlation.weights.shape[0] - 1 for stage in self.stages)
        rows = max(stage.target_shape[0] for stage in self.stages)
        # one row of zeros says what comes out, and finds what cannot be done before anything is written
        need = self.needed(Span(0, 1))
        trial, self.mode = self._piece(
            self.job, np.zeros((need.stop - need.start, *shape[1:]), kind), need.start, Span(0, 1)
        )
        self.job.clipped = 0
        self.target_shape = (math.ceil(rows / self.step), *trial.shape[1:])
        self.dtype = trial.dtype

    def needed(self, rows: Span) -> Span:
        """The rows of the picture that rows `rows` of the result are computed from."""
        spans = [stage.needed(self._unstrided(rows)) for stage in self.stages]
        return Span(min(span.start for span in spans), max(span.stop for span in spans))

    def run(self, source: Array, first: int, rows: Span, threads: int | None = None) -> Filtered:
        """Rows of the result, as `Chain.run` has it."""
        count = rows.stop - rows.start
        target = empty((count, *self.target_shape[1:]), self.dtype)
        workers = threads or available_cores()
        row_samples = self.shape[1] * self.shape[2] * self.step
        height = max(1, PIECE_SAMPLES // row_samples, min(2 * self.halo // self.step, -(-count // workers)))

        def prepare_worker() -> Callable[[Span], int]:
            def work(wanted: Span) -> int:
                job = Application(self.recipe, Layout(self.layout.mode, self.layout.back))
                for mine, known in zip(job.filters, self.job.filters, strict=True):
                    mine.chains = known.chains
                need = self.needed(wanted)
                part = source[need.start - first : need.stop - first]
                target[wanted.start - rows.start : wanted.stop - rows.start], _ = self._piece(
                    job, part, need.start, wanted
                )
                return job.clipped

            return work

        pieces = [Span(start, min(start + height, rows.stop)) for start in range(rows.start, rows.stop, height)]
        return Filtered(target, in_threads(prepare_worker, pieces, min(workers, len(pieces))))

    def _unstrided(self, rows: Span) -> Span:
        return Span(rows.start * self.step, (rows.stop - 1) * self.step + 1)

    def _piece(self, job: Application, samples: Array, first: int, rows: Span) -> tuple[Array, str]:
        """Rows of the result, of the type to come back to unless they are left floating, and their mode."""
        for each in job.filters:
            each.part = Part(self.shape[0], first, self._unstrided(rows))
            each.opaque = self.opaque
        result = job.run(samples)
        if not job.floating or job.layout.back.kind == "f":
            result = result.astype(job.layout.back, copy=False)
        return result, job.layout.mode_of(result)


def suits(job: Application, samples: Array) -> bool:
    """Whether such a recipe can go through a picture of a shape and type in pieces, whatever its pixels are."""
    o = job.options
    return (
        job.family is None
        and (len(job.filters) == 1 or (o.combine is not None and o.padding not in ("valid", "full")))
        and o.method != "fourier"
        and all(
            each.settings.after != "minmax"
            and each.settings.padding != "full"
            and each.settings.border not in ("wrap", "renormalize")
            and (not each.is_plain(samples) or each.is_local(samples))
            for each in job.filters
        )
    )
