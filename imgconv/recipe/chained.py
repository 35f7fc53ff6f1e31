"""The step that most recipes are: correlations from samples to samples, one after the other.

Free of NumPy as long as the samples are: see `recipe.spelled`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from imgconv.engine.run import Chain
from imgconv.engine.stage import Span
from imgconv.threads import available_cores

if TYPE_CHECKING:
    import numpy as np

    from imgconv.arrayfile import Array
    from imgconv.engine.blur import Passes
    from imgconv.engine.correlation import Plan
    from imgconv.engine.run import Small
    from imgconv.recipe.filtering import Correlator
    from imgconv.recipe.layout import Layout
    from imgconv.recipe.options import Options

SURE = 0.25  # of a level: so far from the edge, a sum is rounded to the same one by all methods
HALO_SHARE = 4  # a strip of a chain has this many times the rows that its neighbours compute again


class About(NamedTuple):
    """What is known about the picture that a kernel is applied to."""

    options: Options
    layout: Layout
    shape: tuple[int, int, int]  # of all of it
    dtype: np.dtype[Any]  # one that the loops take
    opaque: Callable[[], bool]  # whether alpha is full everywhere; called where something depends on that


class View(NamedTuple):
    """Some rows of a picture, or all of them."""

    samples: Array  # shape (rows, columns, channels), C-contiguous, of a type that the loops take
    first: int = 0  # which row of the picture comes first


class Done(NamedTuple):
    """What a step gives."""

    samples: Array
    clipped: int  # samples outside the range of their type
    plans: tuple[Plan | Passes, ...]


class Report(NamedTuple):
    """What an application did: for the line with the timing."""

    plans: tuple[Plan | Passes, ...]
    filter_s: float  # without compiling
    clipped: int  # samples outside the range of their type, over all kernels
    threads: int
    kernels: int = 1
    vary: str = ""  # the levels of a family, and how far they are from the kernel of each pixel


def report_of(
    options: Options, plans: tuple[Plan | Passes, ...], filter_s: float, clipped: int, kernels: int, vary: str = ""
) -> Report:
    """What was done, and how long it took."""
    return Report(plans, filter_s, clipped, options.threads or available_cores(), kernels, vary)


@lru_cache(maxsize=16)
def chain_of(plans: tuple[Plan, ...], shape: tuple[int, ...]) -> Chain:
    """Kept: for a small picture, or a piece of a large one, making it takes longer than filtering."""
    return Chain(plans, shape)


class Chained:
    """Kernels that are correlations from samples to samples: a band of rows goes through all of them.

    What every step has: `count` kernels that it takes; `local`, whether rows of the result depend on near rows only;
    `target_shape`, `dtype` and `layout` of the result, and whether that is left `floating`, whatever the picture was;
    `halo`, how many rows more than it gives it takes, where no border is near; `least_rows`, for in fewer at once most
    would be computed twice; `takes_padding`, whether pixels may go through with what `memory.with_padding` shows, as
    one sample more that clips nowhere.

    A correlation that is not local stands `alone`, and goes by its correlator.
    """

    floating = False

    def __init__(
        self,
        plans: Sequence[Plan],
        layout: Layout,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        alone: Correlator | None = None,
    ) -> None:
        self.plans, self.layout, self.dtype, self.alone = tuple(plans), layout, dtype, alone
        self.count, self.local = len(self.plans), alone is None
        self.chain = chain_of(self.plans, shape) if alone is None else None
        self.stage = chain_of(self.plans, shape).stages[0] if alone is None else alone.stage  # of the first kernel
        self.target_shape = (self.chain or self.stage).target_shape
        self.halo = self.chain.halo if self.chain else 0
        self.least_rows = self.halo * (HALO_SHARE if self.count > 1 else 1)

    def needed(self, rows: Span) -> Span:
        """The rows of the picture that rows of the result are computed from."""
        return (self.chain or self.stage).needed(rows)

    @cached_property
    def takes_padding(self) -> bool:
        if self.chain is None or self.dtype != self.layout.back or self.dtype.name != "uint8":
            return False
        level, even = 255, True  # of an even surface there is but one sum
        for c in (plan.correlation for plan in self.plans):
            total = level * sum(map(sum, c.weights.tolist())) / c.scale + c.offset
            if not even or c.border == "constant" or not -SURE < total < 255 + SURE:
                return False
            level, even = round(total), c.border != "keep" or round(total) == level
        return True

    def small(self, channels: int | None = None) -> Small | None:
        """What filters a small picture of that shape, or of more channels; None where there is more to do."""
        rows, columns, count = self.stage.shape
        if self.count > 1 or self.plans[0].correlation.border == "renormalize":
            return None
        return chain_of(self.plans, (rows, columns, channels or count)).small

    def run(
        self, view: View, rows: Span | None, threads: int | None, before: View, target: Array | None = None
    ) -> Done:
        """Rows of the result, or all; where a wider type was computed, clipped to the range of the real one.

        They may be written into `target`, of that shape and `dtype`, and C-contiguous.
        """
        chain, back = self.chain, self.layout.back
        if chain:
            if view.samples.shape[2] != chain.target_shape[2]:  # padded
                chain = chain_of(self.plans, (*self.stage.shape[:2], view.samples.shape[2]))
            samples, clipped = chain.run(*view, rows, threads, target)
        else:
            assert self.alone is not None
            samples, clipped = self.alone.run(view, rows, threads, target)
        if samples.dtype != back and back.kind in "iub":
            from imgconv.engine.channels import to_samples  # here, because most samples are computed in their own type

            samples, clipped = to_samples(samples.astype("float64", copy=False), back)
            samples = samples.astype(self.dtype)
        return Done(samples, clipped, self.plans)
