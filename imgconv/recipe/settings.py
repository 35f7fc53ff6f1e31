"""Settings: options, `like` and a kernel's own word put together, and the correlation that they come to."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import LIKES, parse_border
from imgconv.engine.plan import Correlation
from imgconv.errors import KernelError, UsageError
from imgconv.kernels.value import LARGEST_SIDE, Kernel, high_anchor, low_anchor

if TYPE_CHECKING:
    from imgconv.kernels.value import Blur
    from imgconv.recipe.options import Options

PLAIN_BLUR = {"border": "edge", "padding": "same", "after": "clip", "alpha": "straight"}  # what Pillow's does anyway
GEOMETRY = ("flip", "border", "padding", "anchor", "alpha")


class Settings(NamedTuple):
    """Options and a kernel's own word put together: nothing is left open but what depends on the picture."""

    flip: str
    border: str
    outside: float
    padding: str
    anchor: tuple[int, int] | str
    scale: float
    offset: float
    bias: tuple[float, ...]  # one for each output channel, or for all; the latter is in the offset if that is the same
    after: str
    rounding: str
    sums: str
    alpha: str


def settle(kernel: Kernel, options: Options, *, picture: bool) -> Settings:
    """Puts options, `like` and the kernel's own word together: an option wins over --like, that over the kernel.

    For a `picture`, a tool that gives floating numbers is followed up to the sums; a file wants samples.
    """
    asked = LIKES[options.like] if options.like else {}
    own = LIKES[kernel.like] if kernel.like and not options.like else {}
    # the convention in which weights were written says how they lie, not how a result is rounded
    both = {key: value for key, value in own.items() if key in GEOMETRY} | asked
    padding = options.padding or both.get("padding", "same")
    if own.get("border") == "keep" and padding == "full":
        del both["border"]
    border, outside = parse_border(options.border or asked.get("border") or kernel.border or both.get("border", "edge"))
    anchor = options.anchor or kernel.anchor or both.get("anchor", "low")
    flip = both.get("flip", "none")
    if flip == "vertical" and options.anchor is None and kernel.anchor is not None:
        anchor = (kernel.shape[0] - 1 - kernel.anchor[0], kernel.anchor[1])
    scale = options.scale
    if scale is None and options.mode == "correlate" and kernel.weights.ndim == 2 and kernel.weights.sum() != 0:
        scale = asked.get("scale")
    after = options.after or both.get("after", "clip")
    if picture and options.after is None and after == "float":
        after = "clip"
    bias = options.bias or ()
    in_offset = len(bias) == 1 and border != "keep"  # pixels that are copied get the bias, too, but no offset
    s = Settings(
        flip=flip,
        border=border,
        outside=outside,
        padding=padding,
        anchor=anchor,
        scale=_scale(kernel, scale),
        offset=(kernel.offset if options.offset is None else options.offset) + (bias[0] if in_offset else 0),
        bias=() if in_offset else bias,
        after=after,
        rounding=both.get("rounding", "half-up"),
        sums=both.get("sums", "float32"),
        alpha=options.alpha or both.get("alpha", "auto"),
    )
    if s.alpha in ("auto", "mean"):
        s = s._replace(alpha=_alpha(kernel, options, s))
    if s.alpha == "premultiply" and _is_identity(kernel, options, s):  # colours that cannot be seen stay, too
        s = s._replace(alpha="straight")
    return s


def pillow_blur(kernel: Kernel, options: Options) -> Blur | None:
    """Pillow's own blur, where `--like pillow` asks for it and the kernel's formula is one; None for a correlation.

    Raises UsageError when it is asked for what Pillow has not, or a threshold without it.
    """
    blur = kernel.blur
    if blur is None or options.like != "pillow":
        if blur is not None and blur.threshold:
            raise UsageError(f"{kernel.name}: a threshold is Pillow's, so it needs like pillow")
        return None
    changed = (o.name for o in fields(options) if getattr(options, o.name) not in (o.default, PLAIN_BLUR.get(o.name)))
    lacks = blur.lacks or next((name for name in changed if name not in ("like", "threads", "mode", "portable")), "")
    if lacks:
        raise UsageError(f"{kernel.name}: like pillow is Pillow's own blur, which has no {lacks}; leave one out")
    return blur


def _alpha(kernel: Kernel, options: Options, s: Settings) -> str:
    """What "auto", and "mean" of --like imagemagick, come to."""
    if kernel.weights.ndim > 2:  # weights for one or three channels are for the colours
        return "keep" if kernel.weights.shape[2] % 2 else "straight"
    if options.channels == "sum":
        return "keep"
    if np.isclose(float(kernel.weights.sum()) / s.scale, 1):
        return "premultiply"
    return "mean" if s.alpha == "mean" else "keep"


def _is_identity(kernel: Kernel, options: Options, s: Settings) -> bool:
    """Whether pixels stay as they are: the only tap is 1 and lies on them."""
    if s.offset or s.bias or s.padding == "full" or np.count_nonzero(kernel.weights) != 1 or kernel.weights.ndim > 2:
        return False
    c = correlation(kernel, options, s)
    return bool(np.isclose(c.weights[c.anchor], c.scale))


def correlation(
    kernel: Kernel,
    options: Options,
    settings: Settings | None = None,
    taps: Array | None = None,
    shape: tuple[int, ...] | None = None,
) -> Correlation:
    """What a plane of a kernel's weights (`taps`, default the first) means, as weights that are slid as they stand.

    `shape` is the picture's; TensorFlow's padding depends on it.

    Raises UsageError when the settings do not go together.
    """
    s = settings or settle(kernel, options, picture=False)
    if taps is None:
        taps = kernel.weights.reshape(*kernel.shape, -1)[:, :, 0]
    if s.flip == "vertical":
        taps = taps[::-1]
    size = taps.shape
    anchor = s.anchor
    if anchor == "low":
        anchor = low_anchor(size)
    elif anchor == "high":
        anchor = high_anchor(size)
    assert not isinstance(anchor, str)
    if not all(0 <= a < k for a, k in zip(anchor, size, strict=True)):
        raise UsageError(
            f"anchor {anchor[0]},{anchor[1]} lies outside the {size[0]}×{size[1]} kernel {kernel.name}"
            f" (rows 0 to {size[0] - 1}, columns 0 to {size[1] - 1})"
        )
    if options.mode == "convolve":
        taps = taps[::-1, ::-1]
        anchor = (size[0] - 1 - anchor[0], size[1] - 1 - anchor[1])
    if options.dilation != (1, 1):
        dy, dx = options.dilation
        extent = (size[0] - 1) * dy + 1, (size[1] - 1) * dx + 1
        if max(extent) > LARGEST_SIDE:
            raise UsageError(f"dilation {dy},{dx} makes a {size[0]}×{size[1]} kernel larger than {LARGEST_SIDE}")
        spread = np.zeros(extent)
        spread[::dy, ::dx] = taps
        taps, anchor = spread, (anchor[0] * dy, anchor[1] * dx)
    padding = s.padding
    if padding == "tf-same":
        padding = "same"
        if shape is not None and options.anchor is None and kernel.anchor is None:
            anchor = _tensorflow_anchor(shape, taps.shape, options.stride)
    return Correlation(
        weights=np.ascontiguousarray(taps),
        scale=s.scale,
        offset=s.offset,
        anchor=anchor,
        border=s.border,
        outside=s.outside,
        padding=padding,
        exact=s.flip == "vertical",  # Pillow's kernels promise Pillow's bytes
        portable=options.portable,
        in_order=s.sums == "float64 in order",
    )


def _tensorflow_anchor(shape: tuple[int, ...], taps: tuple[int, ...], stride: tuple[int, int]) -> tuple[int, int]:
    """Where the first window starts under TensorFlow's SAME, which spreads the padding as evenly as it can.

    tf.nn: out = ceil(in / stride), padding = max((out - 1) * stride + k - in, 0), of which half, rounded down, comes
    first.
    """
    before = []
    for size, k, step in zip(shape, taps, stride, strict=False):
        out = -(-size // step)
        before.append(max((out - 1) * step + k - size, 0) // 2)
    return before[0], before[1]


def _scale(kernel: Kernel, scale: float | str | None) -> float:
    if scale is None:
        return kernel.scale
    if scale == "none":
        return 1.0
    if scale in ("sum", "abs-sum"):
        if kernel.weights.ndim > 2:
            raise UsageError(f"scale {scale} takes a kernel of 2 levels; {kernel.name} has {kernel.weights.ndim}")
        total = float(kernel.weights.sum() if scale == "sum" else np.abs(kernel.weights).sum())
        if total == 0:
            raise KernelError(f"{kernel.name}: the weights sum to 0, so they cannot be scaled by {scale}")
        return total
    return float(scale)
