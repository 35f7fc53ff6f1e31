"""The same work in another tool, for comparison: same bytes? how much faster?"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import Array, as_json
from imgconv.conventions import border_text
from imgconv.difference import gap
from imgconv.formats.picture import Picture
from imgconv.notebook import Look, Shown, bars
from imgconv.peers.table import PEERS
from imgconv.peers.task import Step, Task, Unsupported
from imgconv.recipe.recipe import Recipe
from imgconv.recipe.settings import correlation, pillow_blur, settle

if TYPE_CHECKING:
    from imgconv.kernels.value import Blur

# options that peers have a counterpart of, or need none; of the others, values beside the default that change nothing
SHARED = {
    "mode", "border", "padding", "anchor", "scale", "offset", "bias", "dilation", "like", "method", "threads",
}  # fmt: skip
IDLE = {"after": "clip", "alpha": "straight"}
CLOSE = {"float32": 1e-5, "float64": 1e-12}  # floating sums in another order: of the largest magnitude in the result


@dataclass(frozen=True)
class Comparison(Shown):
    """imgconv beside a peer on one picture.

    Attributes
    ----------
    equal : bool
        The same bytes; floating results: up to rounding.
    pixels, all_pixels : int
        How many differ in any channel, of how many that were compared.
    largest : float
        Difference, in levels.
    only_border : bool
        Whether all that differ have a window that leaves the picture.
    imgconv_s, peer_s : float
        Medians, in seconds.
    lacks : str
        The border that the peer does not have, so that only pixels inside were compared; or "".
    impossible : str
        Why the peer cannot do it, or "".
    """

    equal: bool = False
    pixels: int = 0
    all_pixels: int = 0
    largest: float = 0
    only_border: bool = False
    imgconv_s: float = 0.0
    peer_s: float = 0.0
    lacks: str = ""
    impossible: str = ""

    def _look(self) -> Look:
        if self.impossible:
            return Look("Comparison: the peer cannot do this", {"why": self.impossible})
        same = "same bytes" if not self.largest else "same up to rounding"
        facts = {
            "pixels that differ": f"{self.pixels:,} of {self.all_pixels:,}"
            + ", all along the border" * self.only_border,
            "largest difference": f"{self.largest:.4g}",
            "speed": f"{self.peer_s / self.imgconv_s:.3g} times as fast as the peer"
            if self.imgconv_s
            else "not measured",
        }
        if self.lacks:
            facts["compared"] = f"inside only: the peer has no {self.lacks}"
        times = {"imgconv": self.imgconv_s, "peer": self.peer_s}
        return Look(f"Comparison: {same if self.equal else 'other samples'}", facts, bars(times))

    def as_dict(self) -> dict[str, Any]:
        return dict(as_json(self)) | {"ratio": self.peer_s / self.imgconv_s if self.imgconv_s else None}


def compare(peer: str, picture: Picture, recipe: Recipe, rounds: int = 5) -> Comparison:
    """Filters with imgconv and with a peer of `COMPARED`, in turns, and compares every sample."""
    tool = PEERS[peer]
    if not tool.installed:
        return Comparison(impossible="it is not installed")
    try:
        task = _task(picture, recipe)
        run = tool.prepare(task, picture.array)
    except Unsupported as why:
        return Comparison(impossible=str(why))
    recipe.apply(picture.array, picture.mode)  # compiles, if that is to do
    ours_s, theirs_s = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        ours, _, _ = recipe.apply(picture.array, picture.mode)
        between = time.perf_counter()
        theirs = run()
        theirs_s.append(time.perf_counter() - between)
        ours_s.append(between - started)
    padded = [c for c, _ in task.steps if c.padding == "same"]
    lacks = next(
        (f"border {border_text(c.border, c.outside)}" for c in padded if tool.borders and not tool.border(c)), ""
    )
    theirs = np.asarray(theirs).reshape(ours.shape)
    difference, near = gap(ours, theirs), 0.0
    if ours.dtype.kind == "f":
        near = CLOSE.get(ours.dtype.name, 1e-3) * float(np.abs(theirs[np.isfinite(theirs)]).max(initial=0))
    differs = np.asarray((difference > near).reshape(*difference.shape[:2], -1).any(axis=2))
    # the pixels whose windows stay inside, all steps together
    before = [sum(c.anchor[axis] for c in padded) for axis in (0, 1)]
    beyond = [sum(c.weights.shape[axis] - 1 - c.anchor[axis] for c in padded) for axis in (0, 1)]
    window = tuple(slice(b, max(b, size - e)) for b, e, size in zip(before, beyond, differs.shape, strict=True))
    inside = differs[window]
    if lacks:
        differs, difference = inside, difference[window]
    largest = float(difference.max(initial=0))
    return Comparison(
        equal=not differs.any(),
        pixels=int(np.count_nonzero(differs)),
        all_pixels=differs.size,
        largest=largest if ours.dtype.kind == "f" else int(largest),
        only_border=bool(differs.any() and not inside.any()),
        imgconv_s=statistics.median(ours_s),
        peer_s=statistics.median(theirs_s),
        lacks=lacks,
    )


def peer_result(peer: str, picture: Picture, recipe: Recipe) -> Array:
    """What a peer that can do it makes of a picture."""
    run = PEERS[peer].prepare(_task(picture, recipe), picture.array)
    return np.asarray(run()).reshape(recipe.apply(picture.array, picture.mode)[0].shape)


def _task(picture: Picture, recipe: Recipe) -> Task:
    """Every kernel as one correlation, or Unsupported what no peer has."""
    for option in fields(recipe.options):
        value = getattr(recipe.options, option.name)
        if option.name not in SHARED and value not in (option.default, IDLE.get(option.name)):
            raise Unsupported(f"it has no --{option.name}")
    steps: list[Step] = []
    blurs: list[Blur | None] = []
    for kernel in recipe.kernels:
        if kernel.weights.ndim > 2:
            raise Unsupported(f"it filters each channel with the same weights, {kernel.name} has more")
        s = settle(kernel, recipe.options, picture=bool(picture.mode))
        if s.bias:
            raise Unsupported("it adds the same to every channel")
        c = correlation(kernel, recipe.options, s, shape=picture.array.shape)
        if c.padding == "full":
            raise Unsupported("its result never has more than the size of the picture")
        if blur := pillow_blur(kernel, recipe.options):
            c = replace(c, border="edge")
        steps.append((c, s))
        blurs.append(blur)
    return Task("dense", tuple(steps), picture.mode, blurs=tuple(blurs))
