"""Options: how kernels are applied, as a user asks for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
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
from imgconv.errors import UsageError, nearest
from imgconv.record import dataclass


@dataclass(frozen=True, eq=False)
class Options:
    """How kernels are applied: `signature.ApplyOptions`, checked and with defaults; `imgconv.correlate` describes each.

    None means what `like` says, else the kernel's own word, else the default.
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
    linear: Any = False  # True for sRGB; a `formats.profile.Light` for the curves of a picture
    combine: str | None = None
    like: str | None = None
    method: str = "auto"
    threads: int | None = None
    mask: Any = None
    vary: Any = None  # a formula with a range, or the Family that it means
    portable: bool = False  # the same bytes on every machine: no option of its own, but what a recipe in a result takes

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(tuple(vars(self).values()))

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
        if not hasattr(self.linear, "to_linear"):
            if getattr(self.linear, "shape", ()) or self.linear not in (True, False):
                raise UsageError(f"linear must be True or False, not {self.linear!r}")
            object.__setattr__(self, "linear", bool(self.linear))
        if self.threads is not None and not (isinstance(self.threads, Integral) and self.threads >= 1):
            raise UsageError(f"threads must be a whole number from 1 up, not {self.threads!r}")
        if self.mask is not None:
            from imgconv.masks import to_mask  # here, because most recipes have none

            object.__setattr__(self, "mask", to_mask(self.mask))
            if self.stride != (1, 1) or self.padding in ("valid", "full") or self.channels == "sum":
                raise UsageError("a mask mixes the result with the picture: padding same, stride 1, no sum of channels")
        if self.vary is not None and not isinstance(self.vary, str):
            from imgconv.kernels.family import Family  # here, because most recipes have none

            if not isinstance(self.vary, Family):
                raise UsageError(
                    f"vary must be a formula with a range such as 'gaussian:sigma=0..8', not {self.vary!r}"
                )
        if self.vary is not None and self.mask is None:
            raise UsageError("vary needs a mask, which says where the parameter is small and where large")
        if self.vary is not None and self.combine is not None:
            raise UsageError("vary is one kernel, so there is nothing to combine")
        if self.portable and (what := self._unportable):
            raise UsageError(
                f"{what} cannot be embedded: its last bits depend on the machine, so replay would not agree"
            )

    @property
    def _unportable(self) -> str:
        """What is computed by functions that machines have versions of their own of; "" where there is nothing."""
        if self.method == "decimated":
            return "method decimated"
        angle = getattr(self.mask, "parameters", {}).get("angle", 0)
        return "" if angle % 45 == 0 else f"a mask of angle {angle:g} (unlike one of 45 or 90)"


def options_from(function: str, given: Mapping[str, Any]) -> Options:
    """Options from what a function of the library was given."""
    known = [field.name for field in fields(Options)]
    for name in given:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"it takes {', '.join(known)}"
            raise UsageError(f"{function}() got an unknown option {name!r}; {hint}")
    return Options(**given)
