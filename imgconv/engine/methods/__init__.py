"""The ways to compute a correlation, each in a module of its own, with its loop beside it."""

from __future__ import annotations

from typing import Protocol

from imgconv.engine.band import Variant
from imgconv.engine.correlation import Correlation, Plan
from imgconv.engine.methods import box, decimated, direct, fixed, fourier, fused, integer, separable


class Method(Protocol):
    """What a module has."""

    @property
    def VARIANTS(self) -> tuple[Variant, ...]:
        """The loops that it can ever need."""
        ...

    def plan(self, c: Correlation, dtype: str, direct: Plan) -> Plan | str:
        """How a correlation is computed this way, or the reason why it cannot be."""
        ...


# in the order in which they are tried
METHODS: dict[str, Method] = {
    "integer": integer, "box": box, "separable": separable, "decimated": decimated, "fixed": fixed, "fused": fused,
    "fourier": fourier,
}  # fmt: skip
VARIANTS = (*direct.VARIANTS, *(variant for method in METHODS.values() for variant in method.VARIANTS))
