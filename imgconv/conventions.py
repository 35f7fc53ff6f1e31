"""The words that options and kernel files may use, in one place. Imports nothing heavy: `--help` needs them."""

from __future__ import annotations

import math

MODES = ("correlate", "convolve")
BORDERS = ("edge", "reflect", "symmetric", "wrap", "constant", "keep", "renormalize")
PADDINGS = ("same", "valid", "full")
ANCHORS = ("low", "high")
SCALES = ("sum", "abs-sum", "none")
METHODS = ("auto", "direct")
LIKES = ("pillow",)


def parse_border(text: str) -> tuple[str, float]:
    """("constant", 255.0) from "constant:255"; the value is 0 for every other border.

    Raises
    ------
    ValueError
        When it is no border.
    """
    name, colon, value = text.strip().lower().partition(":")
    if name not in BORDERS:
        raise ValueError(f"border {text!r} is not one of {', '.join(BORDERS)} (or constant:VALUE)")
    if not colon:
        return name, 0.0
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if name != "constant" or not math.isfinite(number):
        raise ValueError(f"border {text!r} makes no sense; only constant takes a number, as in constant:255")
    return name, number
