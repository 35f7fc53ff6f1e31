"""The curves by which samples stand for light: those of an ICC profile (ICC.1:2022), or the gamma of a PNG."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from imgconv.arrayfile import Array
from imgconv.engine.channels import to_linear

LEVELS = 2**16  # of the table that a curve becomes; whole numbers of 8 and 16 bits are in it exactly
LIKE_SRGB = 5e-4  # curves that are no farther from sRGB's are that: tables of it, rounded numbers
LEAST_SLOPE = 1e-7  # so that each level can be found again
TAGS = {b"RGB ": (b"rTRC", b"gTRC", b"bTRC"), b"GRAY": (b"kTRC",)}
FEW_PARAMETERS = (1, 3, 4, 5, 7)  # by the type of a parametric curve


class Light:
    """Curves from samples to linear light and back, one for each colour, or one for all."""

    def __init__(self, curves: list[Array]) -> None:
        self.curves = curves
        self.levels = np.linspace(0, 1, LEVELS)

    def to_linear(self, samples: Array) -> Array:
        """Linear light of samples from 0 to 1, of shape (rows, columns, colours)."""
        return self._mapped(samples, [(self.levels, curve) for curve in self.curves])

    def from_linear(self, light: Array) -> Array:
        """Samples from linear light."""
        return self._mapped(light, [(curve, self.levels) for curve in self.curves])

    def _mapped(self, values: Array, tables: list[tuple[Array, Array]]) -> Array:
        result = np.empty_like(values)
        for channel in range(values.shape[2]):
            before, after = tables[channel % len(tables)]
            one = values[:, :, channel]
            # beyond the ends it goes straight on, so that what is out of the range stays so
            found = np.interp(one, before, after)
            for first, second, beyond in ((0, 1, np.minimum), (-1, -2, np.maximum)):
                slope = (after[second] - after[first]) / (before[second] - before[first])
                found += beyond(one - before[first], 0) * slope
            result[:, :, channel] = found
        return result


def light_of(info: Mapping[str, Any], letters: str) -> tuple[Light | None, str]:
    """The curves of a picture by its metadata, None where they are sRGB's; and a note where they cannot be told.

    `letters` are those of its channels.
    """
    profile = info.get("icc_profile")
    if profile:
        light = _of_profile(bytes(profile), 3 if letters.startswith("rgb") else 1)
        if isinstance(light, str):
            return None, f"{light}; --linear takes its samples as sRGB"
        return light, ""
    names = {chunk.name: chunk.body for chunk in info.get("chunks", ())}
    if b"gAMA" in names and b"sRGB" not in names and b"cICP" not in names:
        return _of_gamma(int.from_bytes(names[b"gAMA"], "big")), ""
    return None, ""


@lru_cache(maxsize=16)
def _of_gamma(stored: int) -> Light:
    return Light([_strict(np.linspace(0, 1, LEVELS) ** (100_000 / stored))])


@lru_cache(maxsize=16)
def _of_profile(profile: bytes, colours: int) -> Light | str | None:
    """The curves; a text where there are none; None where they are sRGB's."""
    space = profile[16:20]
    if len(TAGS.get(space, ())) != colours:
        return f"its ICC profile is for {space.decode('latin-1').strip() or 'nothing'}"
    try:
        count = min(struct.unpack_from(">I", profile, 128)[0], 1000)
        entries = [struct.unpack_from(">4sII", profile, 132 + 12 * number) for number in range(count)]
        places = {name: profile[at : at + size] for name, at, size in entries}
        curves = [_strict(_curve(places[name])) for name in TAGS[space]]
    except KeyError:
        return "its ICC profile has no curves, but tables"
    except (struct.error, ValueError, ZeroDivisionError, FloatingPointError):
        return "its ICC profile is damaged"
    levels = np.linspace(0, 1, LEVELS)
    if all(np.abs(curve - to_linear(levels)).max() < LIKE_SRGB for curve in curves):
        return None
    return Light(curves)


def _strict(curve: Array) -> Array:
    """The curve so that it always rises. Raises ValueError for what is none."""
    if not np.isfinite(curve).all() or curve[-1] <= curve[0]:
        raise ValueError
    return np.asarray(np.maximum.accumulate(curve) + np.linspace(0, LEAST_SLOPE, LEVELS))


@np.errstate(all="raise", under="ignore")
def _curve(tag: bytes) -> Array:
    """The light of every level, by a tag of type curv or para. Raises what `_of_profile` takes for damage."""
    levels = np.linspace(0, 1, LEVELS)
    if tag[:4] == b"curv":
        (count,) = struct.unpack_from(">I", tag, 8)
        if count > LEVELS:
            raise ValueError
        numbers = np.asarray(struct.unpack_from(f">{count}H", tag, 12), np.float64)
        if count < 2:  # a gamma, in 8 bits before and 8 behind the point
            return levels ** (float(numbers[0]) / 256) if count else levels
        return np.asarray(np.interp(levels, np.linspace(0, 1, count), numbers / 65535))
    if tag[:4] != b"para":
        raise ValueError
    (kind,) = struct.unpack_from(">H", tag, 8)
    if kind >= len(FEW_PARAMETERS):
        raise ValueError
    given = [number / 65536 for number in struct.unpack_from(f">{FEW_PARAMETERS[kind]}i", tag, 12)]
    given += [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0][len(given) :]
    g, a, b, c, d, e, f = given
    if kind in (1, 2):  # what is below is even
        c, d, e, f = 0.0, -b / a, c, c
    return np.asarray(np.where(levels >= d, np.maximum(a * levels + b, 0) ** g + e, c * levels + f))
