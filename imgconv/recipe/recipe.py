"""A Recipe: kernels in order, and how they are applied. Arrays in, arrays out; pictures likewise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError, UsageError
from imgconv.formats.table import DEPTHS
from imgconv.kernels.spec import kernel as to_kernel
from imgconv.memory import with_padding
from imgconv.native.kept import clock
from imgconv.recipe.chained import About, Done, Report, View, report_of
from imgconv.recipe.filtering import Filter
from imgconv.recipe.layout import Layout, layout_of, letters_of, samples_of
from imgconv.recipe.options import Options, options_from
from imgconv.recipe.settings import Settings, correlation, pillow_blur, settle
from imgconv.recipe.steps import Step, next_step

if TYPE_CHECKING:
    from imgconv.engine.blur import Passes
    from imgconv.engine.plan import Plan
    from imgconv.formats.picture import Frame, Picture
    from imgconv.formats.profile import Light
    from imgconv.kernels.family import Family
    from imgconv.kernels.value import Kernel


class Recipe:
    """Kernels in the order in which they are applied, and the options that hold for all of them."""

    def __init__(self, kernels: tuple[Kernel, ...], options: Options | None = None) -> None:
        self.kernels = kernels
        self.options = o = options or Options()
        if o.vary is not None and self.kernels:
            raise UsageError("vary takes the place of the kernels; give one or the other")
        if o.vary is None and not self.kernels:
            raise UsageError("there is no kernel; give one, or vary with a mask")
        for kernel in self.all_kernels:
            s = settle(kernel, o, picture=False)
            correlation(kernel, o, s)
            pillow_blur(kernel, o)
            if kernel.weights.ndim > 2 and o.channels not in ("each", "sum"):
                raise UsageError(f"channels {o.channels!r} takes kernels of 2 levels; {kernel.name} has more")
            if s.border == "keep" and (kernel.weights.ndim == 4 or o.channels == "sum"):
                raise UsageError("border keep copies pixels from the picture, so it cannot go with a sum over channels")

    @property
    def name(self) -> str:
        """The kernels' names, as a file name has them."""
        return self.family.name if self.family else "+".join(kernel.name for kernel in self.kernels)

    @property
    def family(self) -> Family | None:
        """The family of kernels that `vary` asks for."""
        vary = self.options.vary
        if vary is None:
            return None
        from imgconv.kernels.family import Family, family  # here, because most recipes have none

        return vary if isinstance(vary, Family) else family(vary)

    @property
    def all_kernels(self) -> tuple[Kernel, ...]:
        """Those of the family, if there is one."""
        return self.family.kernels if self.family else self.kernels

    def settled(self, picture: bool) -> list[tuple[Kernel, Settings]]:
        """Each kernel, or the last of a family, with every setting that is in force, for pictures or bare arrays."""
        kernels = self.family.kernels[-1:] if self.family else self.kernels
        return [(kernel, settle(kernel, self.options, picture=picture)) for kernel in kernels]

    def apply(
        self, array: Array, mode: str = "", out: Array | None = None, *, padded: bool = False
    ) -> tuple[Array, str, Report]:
        """Filters an array of shape (rows, columns) or (rows, columns, channels) of any real type.

        `mode` is Pillow's of a picture, which says which channel is alpha; "" for a bare array. The result may go into
        `out`, C-contiguous; where `padded`, there may be what `memory.with_padding` shows in both.

        It is of the array's type and dimensions, unless an option asks for others, and comes with the mode that it has
        now. Integers are rounded half up and clipped to their type after each kernel; floating numbers are neither.

        Raises PictureError when the array is empty, has another shape, or holds what cannot be computed; UsageError
        when an option does not fit the picture, or `out` not the result.
        """
        array = np.asarray(array)
        kind = array.dtype
        if kind.name == "bfloat16":  # a type that NumPy does not have itself; float32 holds all of its numbers
            array = array.astype(np.float32)
        samples, layout = samples_of(array, mode, padded=padded and self.options.mask is None)
        target = None if out is None or np.may_share_memory(array, out) else out.reshape((*out.shape, 1)[:3])
        with np.errstate(all="ignore"):  # NaN and infinities are the user's own
            result, layout, report = self.run(samples, layout, target)
        mode = layout.mode_of(result.shape[2], result.dtype)
        if np.ndim(array) == 2 and result.shape[2] == 1:
            result = result[:, :, 0]
        if kind != array.dtype:
            result = result.astype(kind)
        if out is not None:
            if (out.shape, out.dtype) != (result.shape, result.dtype):
                needs = f"{result.dtype} of shape {result.shape}"
                raise UsageError(f"out must be an array of {needs}, not {out.dtype} of {out.shape}")
            if target is None or not np.may_share_memory(result, out):
                np.copyto(out, result)
            result = out
        return result, mode, report

    def run(self, samples: Array, layout: Layout, target: Array | None = None) -> tuple[Array, Layout, Report]:
        """Filters samples as `samples_of` gives them; gives the result, its layout, and what was done.

        The result may be written into `target`.
        """
        started = clock()
        made = list(self._steps(samples, layout, target))
        step, done = made[-1]
        layout, samples = step.layout, step.layout.finished(done.samples, step.floating)
        plans = tuple(plan for _, done in made for plan in done.plans)
        return samples, layout, self.report(plans, clock() - started, sum(done.clipped for _, done in made))

    def before_last(self, samples: Array, layout: Layout) -> tuple[Array, Layout]:
        """What the last kernel's windows lie on: samples as the kernels before it leave them, and their layout."""
        if self.options.combine is None and self.family is None:
            with np.errstate(all="ignore"):  # as in `apply`
                for step, done in self._steps(samples, layout, left=1):
                    samples, layout = done.samples, step.layout
        return samples, layout

    def mixed(self, samples: Array, layout: Layout) -> list[Filter]:
        """All filters over the picture that a mask mixes the result with, where they are several."""
        kernels, options = self.kernels, self.options
        if options.mask is None or len(kernels) < 2 or options.combine is not None:
            return []
        about = about_of(samples, layout, options)
        return [Filter(kernel, about) for kernel in kernels]

    def _steps(
        self, samples: Array, layout: Layout, target: Array | None = None, left: int = 0
    ) -> Iterator[tuple[Step, Done]]:
        """The steps, each with what it makes of samples, but for so many kernels that are `left` at the end."""
        kernels, before, options, mixed = self.all_kernels, View(samples), self.options, self.mixed(samples, layout)
        while len(kernels) > left:
            step = next_step(kernels, self.family, about_of(samples, layout, options), mixed)
            if step.count > len(kernels) - left:
                step = next_step(kernels[:-left], self.family, about_of(samples, layout, options), mixed)
            fits = target is not None and (target.shape, target.dtype) == (step.target_shape, step.dtype)
            into = target if fits and step.count == len(kernels) else None
            pixels = with_padding(samples)
            if pixels is None:
                done = step.run(View(samples), None, options.threads, before, into)
            elif step.takes_padding and len(kernels) == len(self.all_kernels):
                done = step.run(View(pixels), None, options.threads, before)
                done = done._replace(samples=done.samples[:, :, :3])
            else:
                from imgconv.formats.image import packed  # here, because few pictures are padded

                done = step.run(View(packed(samples)), None, options.threads, before, into)
            yield step, done
            kernels, samples, layout = kernels[step.count :], done.samples, step.layout

    def report(self, plans: tuple[Plan | Passes, ...], filter_s: float, clipped: int) -> Report:
        """What was done, and how long it took."""
        vary = self.family.reason if self.family else ""
        return report_of(self.options, plans, filter_s, clipped, len(self.kernels), vary)

    def with_threads(self, threads: int) -> Recipe:
        """The recipe with so many threads in one picture."""
        return Recipe(self.kernels, replace(self.options, threads=threads))

    def strip_step(self, frame: Frame) -> tuple[Step, About] | None:
        """The only step over a picture that is still to be read, and what is known; None where there is more to do.

        Also where rows of the result depend on more than near rows.
        """
        about = frame.about
        dtype, layout = layout_of(about.array, about.mode)
        rows, columns, channels = (*about.array.shape, 1)[:3]
        known = About(self.options, layout, (rows, columns, channels), dtype, lambda: frame.opaque)
        step = next_step(self.all_kernels, self.family, known)
        return (step, known) if step.local and step.count == len(self.all_kernels) else None


def about_of(samples: Array, layout: Layout, options: Options) -> About:
    """What is known about a picture that is there as a whole."""
    return About(options, layout, samples.shape, samples.dtype, lambda: bool((samples[:, :, -1] == layout.top).all()))


def recipe_from(function: str, kernel: Any, options: Mapping[str, Any]) -> Recipe:
    """A kernel or a chain of them, with the options that a function of the library was given."""
    chain = isinstance(kernel, (list, tuple)) and all(not isinstance(k, (list, tuple, int, float)) for k in kernel)
    kernels = kernel if chain else [] if kernel is None else [kernel]
    return Recipe(tuple(to_kernel(k) for k in kernels), options_from(function, options))


@cache
def _floating(recipe: Recipe) -> Recipe:
    return Recipe(recipe.kernels, replace(recipe.options, after="float"))


def deepened(recipe: Recipe, dtype: np.dtype[Any], mode: str, depth: str | None) -> tuple[Recipe, float | None]:
    """The recipe as it is for results of another depth (of `table.DEPTHS`), and the top of their range, if not theirs.

    A picture that becomes deeper is left floating, so that its values are as fine as the depth that is asked for.
    """
    o = recipe.options
    if depth is None or dtype.kind != "u" or mode.partition(";")[0] not in ("", "L", "LA", "RGB", "RGBA", "I"):
        return recipe, None
    settled = o.after not in (None, "clip") or o.like or o.mask is not None
    if settled or np.dtype(DEPTHS[depth]).itemsize <= dtype.itemsize:
        return recipe, None
    return _floating(recipe), float(np.iinfo(dtype).max)


def for_picture(recipe: Recipe, about: Picture, depth: str | None) -> tuple[Recipe, float | None, str]:
    """As `deepened`, for one picture: linear light is by its own curves; and what is to be said about those."""
    deeper, top = deepened(recipe, about.array.dtype, about.mode, depth)
    if not recipe.options.linear:
        return deeper, top, ""
    from imgconv.formats.profile import light_of  # here, because few pictures are filtered so

    light, note = light_of(about.info, letters_of(about.mode))
    return by_curves(deeper, light) if light else deeper, top, note


@lru_cache(maxsize=16)
def by_curves(recipe: Recipe, light: Light) -> Recipe:
    """The recipe in the light of a picture's own curves. Raises PictureError where it is to be portable."""
    if recipe.options.portable:
        raise PictureError("--linear by a profile other than sRGB cannot be embedded: its powers are the machine's own")
    return Recipe(recipe.kernels, replace(recipe.options, linear=light))
