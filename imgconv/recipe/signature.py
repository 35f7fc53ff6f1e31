"""The options of the library as type checkers and editors know them; never imported at start, for it takes a while."""

from collections.abc import Iterable
from typing import Literal, TypedDict

import numpy.typing as npt

from imgconv.conventions import After, Alpha, Anchor, Border, Combine, Like, Method, Mode, Padding, Scale


class FilterOptions(TypedDict, total=False):
    """What `imgconv.correlate` and `convolve` take beside array and kernel; their documentation says what it means."""

    border: Border | str | None
    padding: Padding | None
    anchor: tuple[int, int] | Anchor | None
    scale: float | Scale | None
    offset: float | None
    bias: float | Iterable[float] | None
    stride: int | tuple[int, int]
    dilation: int | tuple[int, int]
    channels: Literal["each", "sum"] | str
    after: After | None
    alpha: Alpha | None
    linear: bool
    combine: Combine | None
    like: Like | None
    method: Method
    threads: int | None
    mask: str | npt.ArrayLike | None
    vary: str | None


class ApplyOptions(FilterOptions, total=False):
    """What `imgconv.apply`, `PillowFilter` and `compare_with` take: those of `FilterOptions`, and the mode."""

    mode: Mode
