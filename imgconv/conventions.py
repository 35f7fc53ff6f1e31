"""The words that options and kernel files may use, in one place. Imports nothing heavy: `--help` needs them."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, Literal, get_args

from imgconv.errors import nearest

Mode = Literal["correlate", "convolve"]
Border = Literal["edge", "reflect", "symmetric", "wrap", "wrap-x", "constant", "keep", "renormalize"]
Padding = Literal["same", "valid", "full", "tf-same"]
Anchor = Literal["low", "high"]
Scale = Literal["sum", "abs-sum", "none"]
Method = Literal["auto", "direct", "fused", "integer", "fixed", "separable", "decimated", "box", "fourier"]
After = Literal["clip", "abs", "relu", "minmax", "offset128", "float"]
Alpha = Literal["auto", "straight", "keep", "premultiply"]
Combine = Literal["hypot", "sum", "max", "mean"]
Like = Literal["pillow", "scipy", "ndimage", "opencv", "keras", "imagemagick"]
Metadata = Literal["exif", "iptc", "xmp", "icc", "dpi", "text", "colour", "time", "other"]  # what may travel along
Compared = Literal["pillow", "scipy", "opencv"]  # the tools of `imgconv compare`
MODES, BORDERS, PADDINGS, ANCHORS, SCALES, METHODS, AFTERS, ALPHAS, COMBINES, COMPARED, METADATA = map(
    get_args, (Mode, Border, Padding, Anchor, Scale, Method, After, Alpha, Combine, Compared, Metadata)
)

# what other tools call borders
ELSEWHERE = {
    "mirror": ("scipy.ndimage's mirror", "reflect"), "reflect101": ("OpenCV's reflect101", "reflect"),
    "reflect_101": ("OpenCV's reflect_101", "reflect"), "nearest": ("scipy.ndimage's nearest", "edge"),
    "replicate": ("OpenCV's replicate", "edge"), "copy": ("libvips' copy", "edge"), "clamp": ("clamp", "edge"),
    "symm": ("SciPy's symm", "symmetric"), "grid-mirror": ("scipy.ndimage's grid-mirror", "symmetric"),
    "grid-wrap": ("scipy.ndimage's grid-wrap", "wrap"), "periodic": ("periodic", "wrap"), "tile": ("tile", "wrap"),
    "circular": ("MATLAB's circular", "wrap"), "fill": ("SciPy's fill", "constant"), "zero": ("zero", "constant:0"),
    "zeros": ("zeros", "constant:0"), "black": ("black", "constant:0"),
    "horizontaltileedge": ("ImageMagick's HorizontalTileEdge", "wrap-x"),
}  # fmt: skip

# What --like stands for: everything in which the tool differs from imgconv's defaults. `rounding` and `sums` (the type
# that the tool adds in) have no option of their own. tests/test_conventions.py holds each against the tool itself.
LIKES = {
    # ImageFilter.Kernel; it has no convolution of its own
    "pillow": {"flip": "vertical", "border": "keep", "anchor": "low", "alpha": "straight"},
    # scipy.signal.correlate2d and convolve2d
    "scipy": {"border": "constant:0", "anchor": "low", "after": "float", "sums": "float64", "alpha": "straight"},
    # scipy.ndimage.correlate and convolve: sums are cast to the type of the samples, as C does on x86
    "ndimage": {
        "border": "symmetric", "anchor": "high", "rounding": "wrap", "sums": "float64 in order", "alpha": "straight",
    },
    # cv2.filter2D; convolution is, as its documentation says, the kernel flipped and the anchor mirrored
    "opencv": {
        "border": "reflect", "anchor": "high", "rounding": "half-even", "sums": "float64", "alpha": "straight",
    },
    # keras.layers.Conv2D(padding="same"); it has no convolution in the strict sense
    "keras": {"border": "constant:0", "padding": "tf-same", "after": "float", "alpha": "straight"},
    # magick -convolve, which correlates and divides by the sum if that is not 0; with --mode convolve it is
    # -morphology Convolve, which leaves the weights alone. In both, colours are their mean weighed by alpha, whatever
    # the weights sum to, and it is transparency that is filtered, not alpha (so in version 6).
    "imagemagick": {"border": "edge", "anchor": "low", "scale": "sum", "sums": "float64", "alpha": "mean"},
}  # fmt: skip

# the formats of kernel files by their names, with the endings of those; the first is what is written
KERNEL_FORMATS = {
    "toml": (".toml",), "json": (".json",), "text": (".txt",), "csv": (".csv",), "npy": (".npy",), "vips": (".mat",),
    "imagemagick": (".kernel", ".im"), "ffmpeg": (".ffmpeg",), "gmic": (".gmic",), "png": (".png",), "pgm": (".pgm",),
}  # fmt: skip


def parse_border(text: str) -> tuple[str, float]:
    """("constant", 255.0) from "constant:255"; the value is 0 for every other border.

    Raises ValueError when it is no border.
    """
    name, colon, value = str(text).strip().lower().partition(":")
    if name not in BORDERS:
        hint = f"not one of {', '.join(BORDERS)} (or constant:VALUE)"
        if name in ELSEWHERE:
            hint = f"no name here; {ELSEWHERE[name][0]} is {ELSEWHERE[name][1]} here"
        elif near := nearest(name, BORDERS):
            hint += f"; did you mean {near}?"
        raise ValueError(f"border {text!r} is {hint}")
    if not colon:
        return name, 0.0
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if name != "constant" or not math.isfinite(number):
        raise ValueError(f"border {text!r} makes no sense; only constant takes a number, as in constant:255")
    return name, number


def border_text(border: str, outside: float) -> str:
    """As `parse_border` takes it: "edge", "constant:9"."""
    return f"constant:{repr(float(outside) + 0.0).removesuffix('.0')}" if border == "constant" else border  # 0, not -0


def is_finite(value: object) -> bool:
    """Whether it is a number that a sum can take."""
    try:
        return isinstance(value, Real) and math.isfinite(float(value))
    except OverflowError:  # a whole number of more than 308 digits
        return False


def is_pair(value: Any, lowest: int) -> bool:
    """Whether it is two whole numbers, none below `lowest`."""
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    return pair and all(isinstance(n, Integral) and int(n) >= lowest for n in value)
