"""The loop of the integer method: the direct one's sums in 16-bit integers, twice as many at once."""

from __future__ import annotations

from typing import Any

from imgconv.engine.methods.direct_loop import listed, unrolled
from imgconv.native.lanes import WHOLE


def integer(dtype: str, shape: tuple[int, int] | None, wide: bool) -> tuple[Any, Any]:
    """8-bit samples; behind the weights lie the factor and the shift of a division."""
    return unrolled(WHOLE, shape, wide) if shape else listed(WHOLE, wide)
