"""Which channels are added up under which weights, and what turns floating sums into samples again."""

from __future__ import annotations

from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError

ROOT_STEPS = 9  # of Newton's method: one more than the fifth root of 16 takes


def terms(weights: Array, count: int, summed: bool) -> list[list[tuple[slice, Array]]]:
    """What each output channel is the sum of: channels of the picture, and the plane of weights that slides over them.

    Weights have the shape (rows, columns), (rows, columns, channels) or (rows, columns, channels in, channels out), the
    picture has `count` channels. Where they are `summed`, one comes out of 2- or 3-level weights; those of 4 levels
    always add up. There is a list for each output channel; one for all of them where the same plane slides over each.
    Raises PictureError when the weights are for another number of channels.
    """
    if weights.ndim > 2 and weights.shape[2] != count:
        raise PictureError(f"the kernel's weights are for {weights.shape[2]} channels, the picture has {count}")
    if weights.ndim == 2 and not summed:
        return [[(slice(None), weights)]]
    if weights.ndim == 2:
        weights = np.repeat(weights[:, :, None], count, axis=2)
    if weights.ndim == 3 and not summed:
        return [[(slice(c, c + 1), weights[:, :, c])] for c in range(count)]
    weights = weights.reshape(*weights.shape[:3], -1)
    return [[(slice(c, c + 1), weights[:, :, c, o]) for c in range(count)] for o in range(weights.shape[3])]


def after(values: Array, how: str, top: float, floating: bool) -> Array:
    """Moves floating sums into the range from 0 to `top` in one of the ways of `--after`.

    "abs" takes the magnitude, "relu" cuts what is negative, "minmax" stretches the whole picture from 0 to the top of
    the range, "offset128" adds half the range (128 for 8 bits, 0.5 for floating pictures); "clip" leaves the sums.
    """
    if how == "abs":
        return np.abs(values)
    if how == "relu":
        return np.maximum(values, 0)
    if how == "offset128":
        return values + (0.5 if floating else (top + 1) / 2)
    if how == "minmax":
        low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
        return (values - low) * (top / (high - low)) if high > low else np.zeros_like(values)
    return values


def to_samples(values: Array, dtype: np.dtype[Any], rounding: str = "half-up") -> tuple[Array, int]:
    """Floating values as samples of `dtype`; also how many lay outside its range.

    Integers are rounded "half-up" or "half-even" and clipped, or cut toward zero and cast as C does ("wrap"). Floating
    types are neither rounded nor clipped. Truth is 0 or 1.
    """
    if dtype.kind == "f":
        return values.astype(dtype, copy=False), 0
    if rounding == "wrap":
        whole = np.trunc(values.astype(np.float64, copy=False))
        cast = _cast(whole, dtype)
        return cast, int(np.count_nonzero(cast != whole))
    low, top = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    high = float(top)
    if int(high) > top:  # 2**63 - 1 rounds up, out of the range
        high = float(np.nextafter(high, 0))
    whole = np.rint(values) if rounding == "half-even" else np.floor(values + 0.5)
    if dtype.itemsize == 8:  # above, numbers have no half, and adding one would round them
        whole = np.where(np.abs(values) < 2**52, whole, values)
    inside = np.clip(whole, low, high)
    return inside.astype(dtype), int(np.count_nonzero(whole != inside))


def _cast(whole: Array, dtype: np.dtype[Any]) -> Array:
    """Whole float64 numbers as C casts them on x86, as scipy.ndimage does: the low bits, where a register holds them.

    Signed numbers, and unsigned ones of up to 16 bits, go through 32 or 64 bits with a sign, and what does not fit
    becomes the lowest of those. What is negative is cast without its sign to unsigned types. Truth is a byte other
    than 0.
    """
    size = 8 * dtype.itemsize
    signed = dtype.kind == "i"
    limit = 2.0 ** (31 if size < 32 or (signed and size == 32) else 64 if size == 64 and not signed else 63)
    with np.errstate(invalid="ignore"):
        if signed:
            return np.where((whole >= -limit) & (whole < limit), whole, -limit).astype(np.int64).astype(dtype)
        size_only = np.where(np.abs(whole) < limit, np.abs(whole), 0).astype(np.uint64)
    bits = np.where(whole < 0, -size_only, size_only)
    return (bits.astype(np.uint8) != 0) if dtype.kind == "b" else bits.astype(dtype)


def to_linear(samples: Array, *, portable: bool = False, light: Any = True) -> Array:
    """sRGB samples from 0 to 1 as linear light (IEC 61966-2-1), or samples by the curves of a `profile.Light`.

    NumPy's powers are the machine's own in the last bit; `portable` ones are the same everywhere.
    """
    if light is not True:
        return np.asarray(light.to_linear(samples))
    base = (np.maximum(samples, 0) + 0.055) / 1.055
    power = _power_2_4(base) if portable else base**2.4
    return np.where(samples <= 0.04045, samples / 12.92, power)


def from_linear(values: Array, *, portable: bool = False, light: Any = True) -> Array:
    """Linear light from 0 to 1 as samples; as `to_linear`."""
    if light is not True:
        return np.asarray(light.from_linear(values))
    base = np.maximum(values, 0)
    power = _root_2_4(base) if portable else base ** (1 / 2.4)
    return np.where(values <= 0.0031308, values * 12.92, 1.055 * power - 0.055)


def _power_2_4(values: Array) -> Array:
    """values ** 2.4 by operations that IEEE 754 rounds in one way: 2.4 is 2 and a fifth of 2."""
    wide = values.astype(np.float64)
    square = wide * wide
    return (square * _root(square, 5)).astype(values.dtype)


def _root_2_4(values: Array) -> Array:
    """values ** (1 / 2.4), which is the twelfth root of the fifth power."""
    wide = values.astype(np.float64)
    square = wide * wide
    return np.sqrt(np.sqrt(_root(square * square * wide, 3))).astype(values.dtype)


def _root(values: Array, degree: int) -> Array:
    """The root of positive float64 numbers by Newton's method, from above: off by an ulp or two."""
    shares, exponents = np.frexp(values)
    whole, rest = np.divmod(exponents, degree)
    wanted = np.ldexp(shares, rest)  # from 1/2 up to 2 ** (degree - 1)
    root = 1 + (wanted - 1) / degree
    for _ in range(ROOT_STEPS):
        power = root
        for _ in range(degree - 2):
            power = power * root
        root = ((degree - 1) * root + wanted / power) / degree
    return np.where(np.isfinite(values), np.ldexp(root, whole), values)
