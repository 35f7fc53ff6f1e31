"""The options of the library as type checkers and editors know them; never imported at start, for it takes a while."""

from collections.abc import Iterable
from typing import Literal, TypedDict

import numpy.typing as npt


class FilterOptions(TypedDict, total=False):
    """What `imgconv.correlate` and `convolve` take beside array and kernel; their documentation says what it means."""

    border: Literal["edge", "reflect", "symmetric", "wrap", "constant", "keep", "renormalize"] | str | None
    padding: Literal["same", "valid", "full", "tf-same"] | None
    anchor: tuple[int, int] | Literal["low", "high"] | None
    scale: float | Literal["sum", "abs-sum", "none"] | None
    offset: float | None
    bias: float | Iterable[float] | None
    stride: int | tuple[int, int]
    dilation: int | tuple[int, int]
    channels: Literal["each", "sum"] | str
    after: Literal["clip", "abs", "relu", "minmax", "offset128", "float"] | None
    alpha: Literal["auto", "straight", "keep", "premultiply"] | None
    linear: bool
    combine: Literal["hypot", "sum", "max", "mean"] | None
    like: Literal["pillow", "scipy", "ndimage", "opencv", "keras", "imagemagick"] | None
    method: Literal["auto", "direct", "fused", "integer", "separable", "decimated", "box", "fourier"]
    threads: int | None
    mask: str | npt.ArrayLike | None
    vary: str | None


class ApplyOptions(FilterOptions, total=False):
    """What `imgconv.apply`, `PillowFilter` and `compare_with` take: those of `FilterOptions`, and the mode."""

    mode: Literal["correlate", "convolve"]
