"""Options: how kernels are applied, as a user asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from imgconv.conventions import (
    AFTERS,
    ALPHAS,
    ANCHORS,
    COMBINES,
    LIKES,
    METHODS,
    MODES,
    PADDINGS,
    SCALES,
    is_finite,
    is_pair,
    parse_border,
)
from imgconv.errors import UsageError


@dataclass(frozen=True)
class Options:
    """How kernels are applied; None means what `like` says, else the kernel's own word, else the default.

    Attributes
    ----------
    mode : str
        "correlate" slides the kernel as it stands, "convolve" turns it by 180° first.
    border : str or None
        One of edge, reflect, symmetric, wrap, constant (or constant:VALUE), keep, renormalize. Default edge.
    padding : str or None
        "same", "valid", "full" or "tf-same" (TensorFlow's rule under strides): how large the result is. Default same.
    anchor : (int, int), "low", "high" or None
        The tap on the output pixel, rows first. "low" is (k - 1) // 2, "high" is k // 2. Default low.
    scale : float, "sum", "abs-sum", "none" or None
        What the weights are divided by.
    offset : float or None
        What is added to every sum; there is none where border keep copies a pixel.
    bias : tuple of float or None
        What is added to each output channel; one number for all of them. Unlike the offset, which belongs to the sum,
        it is added to pixels that border keep copies, too.
    stride, dilation : (int, int)
        Steps between output pixels, and between taps; rows first.
    channels : str
        "each", "sum" (adds over the channels, as Conv2D), or the letters of those to filter, such as "rgb".
    after : str or None
        What becomes of values outside the range: clip, abs, relu, minmax, offset128, float. Default clip.
    alpha : str or None
        "straight" filters alpha like any channel, "keep" leaves it, "premultiply" weighs colours by it. Default
        "auto": premultiply where the weights sum to the scale, else keep; straight for kernels in Pillow's convention,
        and for the identity.
    linear : bool
        Filter in linear light: samples are taken as sRGB.
    combine : str or None
        Apply every kernel to the picture itself and take the hypot, sum, max or mean of the results.
    like : str or None
        The tool whose conventions hold; one of pillow, scipy, ndimage, opencv, keras, imagemagick.
    method : str
        How it is computed; "auto" chooses.
    threads : int or None
        Default: all cores that the process may use.
    mask : str, ndarray or None
        Where, and how strongly, the kernels act: a shape such as "radial:inner=0.2" (see `imgconv.masks`), or an array
        of the picture's rows and columns, from 0 to 1 (8 and 16 bits are scaled). The result is
        in + mask · (filtered − in): of unrounded values, and once for the whole chain, so that the kernels see the
        whole picture between them. In linear light with `linear`, weighed by alpha where the kernels are.
    vary : str or None
        Instead of kernels, a formula with a range, such as "gaussian:sigma=0..8": the mask says which value each pixel
        gets (see `imgconv.kernels.family`).
    """

    mode: str = "correlate"
    border: str | None = None
    padding: str | None = None
    anchor: tuple[int, int] | str | None = None
    scale: float | str | None = None
    offset: float | None = None
    bias: tuple[float, ...] | None = None
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    channels: str = "each"
    after: str | None = None
    alpha: str | None = None
    linear: bool = False
    combine: str | None = None
    like: str | None = None
    method: str = "auto"
    threads: int | None = None
    mask: Any = None
    vary: str | None = None

    def __post_init__(self) -> None:
        for name, words in (
            ("mode", MODES), ("padding", PADDINGS), ("after", AFTERS), ("alpha", ALPHAS), ("combine", COMBINES),
            ("like", tuple(LIKES)), ("method", METHODS),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value in words):
                raise UsageError(f"{name} {value!r} is not one of {', '.join(words)}")
        if self.border is not None:
            try:
                parse_border(self.border)
            except ValueError as problem:
                raise UsageError(str(problem)) from None
        if self.anchor is not None and not (isinstance(self.anchor, str) and self.anchor in ANCHORS):
            if not is_pair(self.anchor, 0):
                raise UsageError(
                    f"anchor {self.anchor!r} is neither {' nor '.join(ANCHORS)} nor two whole numbers from 0 up"
                )
            object.__setattr__(self, "anchor", (int(self.anchor[0]), int(self.anchor[1])))
        if isinstance(self.scale, str):
            if self.scale not in SCALES:
                raise UsageError(f"scale {self.scale!r} is neither a number nor one of {', '.join(SCALES)}")
        elif self.scale is not None and (not is_finite(self.scale) or self.scale == 0):
            raise UsageError(f"scale must be a finite number other than 0, not {self.scale!r}")
        if self.offset is not None and not is_finite(self.offset):
            raise UsageError(f"offset must be a finite number, not {self.offset!r}")
        if self.bias is not None:
            bias = tuple(self.bias) if isinstance(self.bias, Iterable) else (self.bias,)
            if not bias or not all(is_finite(number) for number in bias):
                raise UsageError("bias must be finite numbers, one for each output channel or one for all")
            object.__setattr__(self, "bias", tuple(float(number) for number in bias))
        for name in ("stride", "dilation"):  # one number stands for both axes
            steps = getattr(self, name)
            pair = (steps, steps) if isinstance(steps, Integral) else steps
            if not is_pair(pair, 1):
                raise UsageError(f"{name} must be one or two whole numbers from 1 up, not {steps!r}")
            object.__setattr__(self, name, (int(pair[0]), int(pair[1])))
        if not isinstance(self.channels, str) or not self.channels.isalpha():
            raise UsageError(f"channels {self.channels!r} is neither each nor sum nor letters such as rgb")
        if self.linear not in (True, False):
            raise UsageError(f"linear must be True or False, not {self.linear!r}")
        if self.threads is not None and not (isinstance(self.threads, Integral) and self.threads >= 1):
            raise UsageError(f"threads must be a whole number from 1 up, not {self.threads!r}")
        if self.mask is not None:
            from imgconv.masks import to_mask  # here, because most recipes have none

            object.__setattr__(self, "mask", to_mask(self.mask))
            if self.stride != (1, 1) or self.padding in ("valid", "full") or self.channels == "sum":
                raise UsageError("a mask mixes the result with the picture: padding same, stride 1, no sum of channels")
        if self.vary is not None and not isinstance(self.vary, str):
            raise UsageError(f"vary must be a formula with a range such as 'gaussian:sigma=0..8', not {self.vary!r}")
        if self.vary is not None and self.mask is None:
            raise UsageError("vary needs a mask, which says where the parameter is small and where large")
        if self.vary is not None and self.combine is not None:
            raise UsageError("vary is one kernel, so there is nothing to combine")
