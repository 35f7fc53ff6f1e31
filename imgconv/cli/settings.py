"""Every setting that was in force, in words: for `imgconv apply --explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from imgconv.conventions import LIKES, border_text
from imgconv.kernels.value import Kernel, high_anchor, low_anchor
from imgconv.recipe.settings import GEOMETRY, pillow_blur

if TYPE_CHECKING:
    from imgconv.batch.report import Outcome
    from imgconv.recipe.options import Options
    from imgconv.recipe.settings import Settings

MEANING = {
    "mode correlate": "the kernel is slid as it is written",
    "mode convolve": "the kernel is rotated by 180° first",
    "flip vertical": "the kernel is flipped vertically first, as Pillow does",
    "border edge": "outside, the nearest pixel of the edge: a a | a b c d | d d",
    "border reflect": "outside, a mirror that leaves out the edge: c b | a b c d | c b",
    "border symmetric": "outside, a mirror that repeats the edge: b a | a b c d | d c",
    "border wrap": "outside, the other end: c d | a b c d | a b",
    "border wrap-x": "beside, the other end: c d | a b c d | a b; above and below, the nearest pixel of the edge",
    "border constant": "what every sample outside is",
    "border keep": "pixels whose window leaves the picture are copied from it",
    "border renormalize": "only the taps inside count, rescaled by their sum",
    "padding same": "the result is as large as the picture",
    "padding valid": "only pixels whose window lies inside the picture, so nothing outside is looked at",
    "padding full": "every pixel whose window touches the picture",
    "padding tf-same": "as large as TensorFlow's SAME makes it, which spreads what stands outside evenly",
    "channels each": "each channel by itself",
    "channels sum": "added up over the channels in, as Conv2D does",
    "after clip": "what lies outside the range of whole samples is cut to it",
    "after abs": "the magnitude of every value, then cut to the range",
    "after relu": "negative values become 0",
    "after minmax": "the whole picture is stretched to the range",
    "after offset128": "half the range is added, so that 0 is the middle",
    "after float": "values stay as they are, neither rounded nor cut",
    "rounding half-up": "floor(x + 0.5), for whole samples",
    "rounding half-even": "to the nearest, ties to the even number, for whole samples",
    "rounding wrap": "cut toward zero, modulo the range, for whole samples",
    "alpha straight": "filtered like any channel",
    "alpha keep": "left as it is",
    "alpha premultiply": "colours are weighed by it, so that what cannot be seen does not bleed",
    "alpha mean": "colours are the mean of what can be seen, as ImageMagick takes it",
    "combine hypot": "the root of the sum of squares of all kernels' results",
    "light stored": "samples are filtered as they are stored",
    "light linear": "samples are taken as sRGB and filtered in linear light",
}


def setting_lines(kernel: Kernel, s: Settings, o: Options, outcome: Outcome, given: Mapping[str, str]) -> Iterator[str]:
    """A heading for the kernel, then a line for each setting: its option's name, its value, what it means, its source.

    `given` says for each option that is not its default where its value is from.
    """
    if pillow_blur(kernel, o):
        yield f"{kernel.name}, as --like pillow has it: Pillow's own blur, {MEANING['border edge']}"
        return
    yield f"{kernel.name}: {'×'.join(map(str, kernel.weights.shape))}" + (f", as --like {o.like} has it" * bool(o.like))
    anchor = s.anchor
    if isinstance(anchor, str):
        anchor = (low_anchor if anchor == "low" else high_anchor)(kernel.shape)
    settings: list[tuple[str, object, str]] = [
        ("mode", o.mode, ""),
        ("flip", s.flip, ""),
        ("border", border_text(s.border, s.outside), MEANING[f"border {s.border}"]),
        ("padding", s.padding, ""),
        ("stride", _pair(o.stride), "rows and columns from one output pixel to the next"),
        ("dilation", _pair(o.dilation), "rows and columns from one tap to the next"),
        ("anchor", _pair(anchor), "the tap that lies on the output pixel, row and column counted from 0"),
        ("channels", o.channels, "only these, the others stay"),
        ("scale", f"{s.scale:g}", "every weight is divided by it"),
        ("offset", f"{kernel.offset if o.offset is None else o.offset:g}", "added to every sum"),
        ("bias", ",".join(f"{b:g}" for b in o.bias or ()), "added to each output channel"),
        ("combine", o.combine, f"the {o.combine} of all kernels' results"),
        ("after", s.after, ""),
        ("rounding", s.rounding, "for whole samples"),
        ("sums", "float64" if outcome.dtype in ("float64", "int32") else s.sums, "the type that is added in"),
        ("alpha", s.alpha if "a" in outcome.mode.lower().replace("lab", "") else None, ""),
        ("light", "linear" if o.linear else "stored", ""),
        ("mask", getattr(o.mask, "name", None), "where, and how strongly, the result takes the picture's place"),
    ]
    for name, value, meaning in settings:
        if value not in (None, "", "none"):
            says = MEANING.get(f"{name} {value}", meaning)
            yield f"  {name} {value}: {says} [{_source(name, str(value), kernel, o, given)}]"


def _source(name: str, value: str, kernel: Kernel, o: Options, given: Mapping[str, str]) -> str:
    """Where a setting is from, in the order of `recipe.settings.settle`."""
    if option := given.get("linear" if name == "light" else name):
        return option
    asked = LIKES[o.like] if o.like else {}
    own = LIKES[kernel.like] if kernel.like and not o.like else {}
    resolved = name in ("anchor", "alpha", "sums")  # what they come to depends on the kernel and the picture
    if name == "scale":
        resolved = o.mode == "correlate" and kernel.weights.ndim == 2 and kernel.weights.sum() != 0
    if name == "anchor" and kernel.anchor is not None:
        return "the kernel's own"
    if name in asked and (resolved or asked[name] == value):
        return f"--like {o.like}"
    said = {"border": kernel.border, "scale": kernel.scale != 1, "offset": kernel.offset}.get(name)
    if said or (name in GEOMETRY and name in own and (resolved or own[name] == value)):
        return "the kernel's own"
    return "default"


def _pair(pair: tuple[int, int]) -> str:
    return f"{pair[0]},{pair[1]}"
