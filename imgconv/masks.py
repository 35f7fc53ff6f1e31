"""Masks: where, and how strongly, a kernel acts. Shapes computed in place, pictures as strengths, and the blending.

A mask is 0 where the picture stays and 1 where the kernel acts in full. With p = the middle of a pixel in a picture of
W × H pixels (p = x + ½, y + ½) and smooth(u) = u²·(3 − 2u) of u cut to 0 … 1 (smoothstep, level at both ends):

    radial   distance of p from (cx·W, cy·H), over half the diagonal: q
             strength = smooth((q − inner) / (outer − inner))
    linear   way of p along `angle`, 0 where the picture begins and 1 where it ends: q
             strength = smooth((q − from) / (to − from))
             with band=B the same of |q − B|: a sharp band at B, and blur on both sides of it (tilt-shift)

`invert` gives 1 − strength. Angles are degrees counter-clockwise from the right, as in the formulas: 90 is up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array, parse_number
from imgconv.engine.channels import from_linear, to_linear
from imgconv.errors import PictureError, UsageError
from imgconv.kernels.smoothing import unit_vector

if TYPE_CHECKING:
    from imgconv.formats.limits import Limits

STRIP_ROWS = 64  # blended at once, so that they stay in the cache
TILE_SIDE = 512

# what each shape takes, and its defaults; None is a default that depends on `band`
SHAPES: dict[str, dict[str, float | None]] = {
    "radial": {"cx": 0.5, "cy": 0.5, "inner": 0.25, "outer": 1.0, "invert": 0.0},
    "linear": {"angle": 90.0, "from": None, "to": None, "band": None, "invert": 0.0},
}
RAMPS = {"radial": ("inner", "outer"), "linear": ("from", "to")}  # where the strength begins to rise, and where it ends
SWITCH = {"": 1.0, "yes": 1.0, "1": 1.0, "no": 0.0, "0": 0.0}


@dataclass(frozen=True)
class GeneratedMask:
    """A mask that a formula gives, at any size: a name in `SHAPES`, and a value for each of its parameters."""

    name: str
    parameters: dict[str, Any] = field(hash=False)

    def check(self, rows: int, columns: int) -> None:
        """Fits every picture."""

    def strengths(self, size: tuple[int, int], rows: slice, columns: slice) -> Array:
        """Strengths of a window of a picture of `size` (rows, columns), as float64."""
        height, width = size
        p = self.parameters
        y = np.arange(height)[rows, None] + 0.5
        x = np.arange(width)[None, columns] + 0.5
        if self.name == "radial":
            q = np.sqrt((x - p["cx"] * width) ** 2 + (y - p["cy"] * height) ** 2) / (math.hypot(width, height) / 2)
        else:
            right, down = unit_vector(p["angle"])
            extent = width * abs(right) + height * abs(down)
            q = ((x - width / 2) * right + (y - height / 2) * down) / extent + 0.5
            if p["band"] is not None:
                q = np.abs(q - p["band"])
        start, end = (p[key] for key in RAMPS[self.name])
        u = np.clip((q - start) / (end - start), 0, 1) if end > start else (q >= start).astype(np.float64)
        strength = u * u * (3 - 2 * u)
        return np.asarray(1 - strength if p["invert"] else strength)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask that is a picture or an array of shape (rows, columns).

    Values are from 0 to 1, bool, or 8 or 16 bits without a sign, which stand for parts of their maximum. Raises
    PictureError when it has another shape, or values out of range; `name` is what messages call it.
    """

    values: Array
    name: str = "mask"

    def __post_init__(self) -> None:
        values = np.asarray(self.values)
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[:, :, 0]
        if values.ndim != 2 or values.size == 0:
            raise PictureError(f"{self.name}: a mask has one channel, shape (rows, columns), not {values.shape}")
        if values.dtype not in (np.bool_, np.uint8, np.uint16):
            if values.dtype.kind not in "iuf":
                raise PictureError(f"{self.name}: a mask holds numbers, not {values.dtype}")
            low, high = float(values.min()), float(values.max())
            if not (low >= 0 and high <= 1):  # NaN is neither
                raise PictureError(
                    f"{self.name}: a mask of {values.dtype} goes from 0 to 1, not {low:g} to {high:g};"
                    " only 8 and 16 bits without a sign are scaled"
                )
        object.__setattr__(self, "values", values)

    def check(self, rows: int, columns: int) -> None:
        """Raises PictureError unless the mask is as large as the picture."""
        if self.values.shape != (rows, columns):
            size = f"{self.values.shape[1]}×{self.values.shape[0]}"
            raise PictureError(
                f"the mask {self.name} is {size}, the picture {columns}×{rows}; they must be of one size"
            )

    def strengths(self, size: tuple[int, int], rows: slice, columns: slice) -> Array:
        values = self.values[rows, columns]
        top = np.iinfo(values.dtype).max if values.dtype in (np.uint8, np.uint16) else 1
        return values.astype(np.float64) / top


def to_mask(spec: Any) -> GeneratedMask | Mask:
    """The mask that `spec` means: a shape such as "radial:inner=0.2", or an array of strengths.

    Raises UsageError or PictureError when it is neither.
    """
    if isinstance(spec, (GeneratedMask, Mask)):
        return spec
    return shape(spec) if isinstance(spec, str) else Mask(np.asarray(spec))


def is_shape(text: str) -> bool:
    """Whether it names a shape and no file."""
    return text.partition(":")[0].strip().lower() in SHAPES


def shape(text: str) -> GeneratedMask:
    """The shape that "radial:inner=0.2,outer=0.8" spells. Raises UsageError."""
    head, _, tail = text.partition(":")
    name = head.strip().lower()
    if name not in SHAPES:
        raise UsageError(f"mask {text!r} is not a shape ({', '.join(SHAPES)}); the library takes an array, not a file")
    given: dict[str, float] = {}
    for word in tail.split(",") if tail.strip() else []:
        key, _, value = (part.strip().lower() for part in word.partition("="))
        if key not in SHAPES[name]:
            raise UsageError(f"mask {name}: no parameter {key!r}; it takes {', '.join(SHAPES[name])}")
        if key in given:
            raise UsageError(f"mask {name}: {key} is given twice")
        try:
            given[key] = SWITCH[value] if key == "invert" else parse_number(value)
        except (KeyError, ValueError):
            right = "yes or no" if key == "invert" else f"a number; write {key}=0.5"
            raise UsageError(f"mask {name}: {key}={value!r} is not {right}") from None
    ramp = {"from": 0.1, "to": 0.5} if "band" in given else {"from": 0.0, "to": 1.0}
    parameters: dict[str, Any] = SHAPES[name] | (ramp if name == "linear" else {}) | given
    start, end = RAMPS[name]
    if parameters[start] > parameters[end]:
        says = f"{start}={parameters[start]:g} lies beyond {end}={parameters[end]:g}"
        raise UsageError(f"mask {name}: {says}; invert turns it round")
    return GeneratedMask(name, parameters)


class MixingSpace(NamedTuple):
    """In which terms pictures are mixed, so that a mixture is what one mixed kernel would give."""

    light: Any  # mix linear light, as `linear` filters it
    alpha: bool  # the last channel is alpha
    weigh: bool  # weigh colours by alpha, as "premultiply" filters them
    top: float  # of the range of samples
    portable: bool = False  # light by powers that are the same on every machine

    def enter(self, values: Array) -> Array:
        """Samples as what can be added."""
        if not (self.light or self.weigh):
            return values
        colour, alpha = self._split(values)
        if self.light:
            colour = (to_linear(colour / self.top, portable=self.portable, light=self.light) * self.top).astype(
                values.dtype
            )
        return np.concatenate([colour * (alpha / self.top) if self.weigh else colour, alpha], axis=2)

    def leave(self, values: Array) -> Array:
        """Back from a sum to samples."""
        if not (self.light or self.weigh):
            return values
        colour, alpha = self._split(values)
        if self.weigh:
            colour = np.divide(colour * self.top, alpha, out=np.zeros_like(colour), where=alpha > 0)
        if self.light:
            colour = (from_linear(colour / self.top, portable=self.portable, light=self.light) * self.top).astype(
                values.dtype
            )
        return np.concatenate([colour, alpha], axis=2)

    def _split(self, values: Array) -> tuple[Array, Array]:
        """Colours and alpha, which may have no channel."""
        colours = values.shape[2] - self.alpha
        return values[:, :, :colours], values[:, :, colours:]


def blend(terms: Sequence[tuple[Array, Array]], space: MixingSpace) -> Array:
    """The sum of (share, values) over `terms`: shares of shape (rows, columns) that sum to 1, values with channels.

    Where a share is 1 its values come out as they went in; where it is 0 they have no say, be they NaN.
    """
    size, kind = terms[0][1].shape, terms[0][1].dtype
    # one share a sample: NumPy is ten times slower at lines of three
    shares = [np.repeat(share.astype(kind, copy=False), size[2], axis=1).reshape(size) for share, _ in terms]
    parts = [space.enter(values) for _, values in terms]
    total = shares[0] * parts[0]
    for share, part in zip(shares[1:], parts[1:], strict=True):
        total += share * part
    if not np.isfinite(total).all():
        total = np.zeros(size, kind)
        for share, part in zip(shares, parts, strict=True):
            np.add(total, share * part, out=total, where=share > 0)
    total = space.leave(total)
    for share, (_, values) in zip(shares, terms, strict=True):
        np.copyto(total, values, where=share == 1)
    return total


def row_blocks(rows: int) -> Iterator[slice]:
    """Rows a few at a time."""
    return (slice(start, min(start + STRIP_ROWS, rows)) for start in range(0, rows, STRIP_ROWS))


def tiles(size: tuple[int, int], reach: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Windows that cover a picture, large beside the reach of the kernels."""
    down, across = (
        [slice(start, min(start + side, length)) for start in range(0, length, side)]
        for length, side in zip(size, (max(TILE_SIDE, 4 * r) for r in reach), strict=True)
    )
    return ((rows, columns) for rows in down for columns in across)


def around(
    samples: Array, window: tuple[slice, slice], reach: Sequence[int], borders: Sequence[str]
) -> tuple[Array, tuple[slice, slice]]:
    """A window with `reach` pixels more on every side, as far as there are any; and where the window lies in it.

    Under border "wrap" (`borders` are those of each axis) there always are.
    """
    inside = []
    for axis in (0, 1):
        start, stop, length = window[axis].start, window[axis].stop, samples.shape[axis]
        first, last = start - reach[axis], stop + reach[axis]
        if borders[axis] == "wrap":
            samples = samples.take(np.arange(first, last) % length, axis=axis)
        else:
            first, last = max(0, first), min(length, last)
            samples = samples[first:last] if axis == 0 else samples[:, first:last]
        inside.append(slice(start - first, stop - first))
    return np.ascontiguousarray(samples), (inside[0], inside[1])


def read_mask(name: str, limits: Limits, *, auto_orient: bool = False) -> Mask:
    """The mask in a picture or array file: grey, also as colours that are all grey, and opaque.

    Raises UsageError when it cannot be read or is no mask: nothing can be filtered then.
    """
    from imgconv.formats.picture import is_opaque
    from imgconv.formats.read import read  # here, because masks of the library are arrays

    try:
        picture = read(Path(name), auto_orient=auto_orient, limits=limits)
        array = picture.array
        if picture.mode and array.ndim == 3:
            mode = picture.mode.partition(";")[0]
            colours = array[:, :, :-1] if "A" in mode else array
            if mode not in ("LA", "RGB", "RGBA") or (colours != colours[:, :, :1]).any():
                raise PictureError(f"{name}: a mask is a grey picture, not one in {picture.mode} with colours")
            if colours is not array and not is_opaque(array):
                raise PictureError(f"{name}: a mask is opaque; this one has transparent pixels")
            array = colours[:, :, 0]
        return Mask(array, name)
    except PictureError as problem:
        raise UsageError(f"--mask {problem}") from None
