"""What peers are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.correlation import Correlation

if TYPE_CHECKING:
    from imgconv.kernels.value import Blur
    from imgconv.recipe.settings import Settings

Step = tuple[Correlation, "Settings | None"]  # without settings the peer rounds as it does by itself
Run = Callable[[], Any]  # gives an array, Pillow's image, or what NumPy makes an array of


class Task(NamedTuple):
    """A piece of work."""

    kind: str  # "copy"; "dense", a chain; "gaussian" or "box", which peers may have functions of their own for
    steps: tuple[Step, ...]
    mode: str = ""  # Pillow's, of the picture; "" for arrays
    sigma: float = 0  # of a gaussian
    blurs: tuple[Blur | None, ...] = ()  # for each step, where it is Pillow's own

    @property
    def weights(self) -> Array:
        """Weights of the first step over the scale, as they are slid: shape (rows, columns)."""
        c, _ = self.steps[0]
        return c.weights / c.scale

    @property
    def taps(self) -> Array:
        """For gaussians and boxes: the 1-D weights whose outer product with themselves is the kernel."""
        middle = self.weights[self.radius]
        return np.asarray(middle / middle.sum())

    @property
    def radius(self) -> int:
        """Rows that the window of the first step reaches from its middle."""
        return self.steps[0][0].weights.shape[0] // 2 if self.steps else 0


class Unsupported(Exception):
    """The peer cannot do the work; the text says why."""


def chained(filters: Sequence[Callable[[Any], Any]], source: Any) -> Run:
    """A call that puts one through the next."""
    if len(filters) == 1:
        return partial(filters[0], source)
    return partial(reduce, lambda result, filter: filter(result), filters, source)
