"""The words that options and kernel files may use, in one place. Imports nothing heavy: `--help` needs them."""

from __future__ import annotations

import math

MODES = ("correlate", "convolve")
BORDERS = ("edge", "reflect", "symmetric", "wrap", "constant", "keep", "renormalize")
PADDINGS = ("same", "valid", "full", "tf-same")
ANCHORS = ("low", "high")
SCALES = ("sum", "abs-sum", "none")
METHODS = ("auto", "direct")
AFTERS = ("clip", "abs", "relu", "minmax", "offset128", "float")
ALPHAS = ("auto", "straight", "keep", "premultiply")
COMBINES = ("hypot", "sum", "max", "mean")

# What --like stands for: everything in which the tool differs from imgconv's defaults. `rounding` has no option of
# its own; each is tested against the tool itself in tests/test_conventions.py.
LIKES = {
    # ImageFilter.Kernel
    "pillow": {"flip": "vertical", "border": "keep", "anchor": "low", "alpha": "straight"},
    # scipy.signal.correlate2d and convolve2d
    "scipy": {"border": "constant:0", "anchor": "low", "after": "float", "alpha": "straight"},
    # scipy.ndimage.correlate and convolve: cut toward zero, modulo the range of the type
    "ndimage": {"border": "symmetric", "anchor": "high", "rounding": "wrap", "alpha": "straight"},
    # cv2.filter2D
    "opencv": {"border": "reflect", "anchor": "high", "rounding": "half-even", "alpha": "straight"},
    # keras.layers.Conv2D
    "keras": {"border": "constant:0", "padding": "tf-same", "after": "float", "alpha": "straight"},
    # magick -convolve (correlates, and divides by the sum); --mode convolve is -morphology Convolve
    "imagemagick": {"border": "edge", "anchor": "low", "scale": "sum", "alpha": "premultiply"},
}


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
