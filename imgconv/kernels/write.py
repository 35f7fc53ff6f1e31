"""Kernel files, written: what a format cannot hold is worked into the weights, or left out with a word."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import npy_bytes, number_text, text_bytes
from imgconv.conventions import LIKES
from imgconv.errors import KernelError
from imgconv.kernels import foreign
from imgconv.kernels.files import BINARY, HIGHEST_LEVEL, LARGEST_FILE
from imgconv.kernels.table import KEYS
from imgconv.kernels.text import json_text, toml_text
from imgconv.kernels.value import LARGEST_SIDE, Kernel, high_anchor, low_anchor

if TYPE_CHECKING:
    from imgconv.arrayfile import Array
    from imgconv.kernels.foreign import Anchor

# what a format can hold beside the weights; all else is worked into the weights, or left out with a word
HOLDS = {
    "toml": KEYS,
    "json": KEYS,
    "vips": ("offset", "scale"),
    "imagemagick": ("anchor",),
    "ffmpeg": ("offset", "scale"),
    "png": ("scale",),
    "pgm": ("scale",),
}
OWN_BORDER = {"vips": "edge", "imagemagick": "edge", "gmic": "edge", "ffmpeg": "reflect"}


def encode(kernels: Sequence[Kernel], form: str) -> tuple[bytes, tuple[str, ...]]:
    """Kernels as the bytes of a file, and what the user should know that is lost in it.

    What a format has no word for is worked into the weights, so that the tool that reads them comes to the same
    numbers: they are flipped, divided by the scale, or put among zeros that move the anchor to the middle.

    Raises KernelError when the format cannot hold them; only "imagemagick" holds several.
    """
    if form != "imagemagick" and len(kernels) != 1:
        raise KernelError(f"{form} holds one kernel, not {len(kernels)}; imagemagick holds several")
    notes: list[str] = []
    fitted = [_fit(kernel, form, notes) for kernel in kernels]
    if form in BINARY:
        data = npy_bytes(fitted[0].weights) if form == "npy" else _png(fitted[0])
    else:
        text = "; ".join(WRITERS[form](kernel) for kernel in fitted)
        data = (text if text.endswith("\n") else f"{text}\n").encode()
    if len(data) > (limit := LARGEST_FILE[form]):  # it could not be read back
        raise KernelError(f"{form} would take {len(data):,} bytes, more than the {limit:,} that are read; write npy")
    return data, tuple(dict.fromkeys(notes))


def _fit(kernel: Kernel, form: str, notes: list[str]) -> Kernel:
    """The kernel as `form` can hold it; what was done to it, or is left out, is added to the notes."""
    weights, anchor, scale = kernel.weights, kernel.anchor, kernel.scale
    if weights.ndim > 2 and form not in ("toml", "json", "npy"):
        raise KernelError(f"{form} holds rows and columns only, not {weights.ndim} levels; write toml, json, npy")
    holds = HOLDS.get(form, ())
    own = LIKES[kernel.like] if kernel.like and "like" not in holds else {}
    if own.get("flip") == "vertical":
        anchor = anchor and (weights.shape[0] - 1 - anchor[0], anchor[1])
        if not np.array_equal(weights, weights[::-1]):
            notes.append(f'the weights are written upside down: like = "{kernel.like}" slides them so')
        weights = weights[::-1]
    if anchor is None and own.get("anchor") == "high":
        anchor = high_anchor(weights.shape)
    if "anchor" not in holds:
        middle = (high_anchor if form == "vips" else low_anchor)(weights.shape)
        centred, anchor = _centred(weights, anchor or low_anchor(weights.shape), middle), None
        if centred.shape != weights.shape:
            rows, columns = centred.shape[:2]
            notes.append(f"{form} holds no anchor: zeros put it in the middle of {rows}×{columns} weights")
            weights = centred
    if "scale" not in holds and scale != 1:
        with np.errstate(over="ignore"):
            weights, scale = weights / scale, 1.0
        if not np.isfinite(weights).all():
            raise KernelError(f"{form} holds no scale, and over {number_text(kernel.scale)} the weights are too large")
        notes.append(f"{form} holds no scale: the weights are divided by {number_text(kernel.scale)}")
    lost = [] if "offset" in holds or kernel.offset == 0 else [f"offset {number_text(kernel.offset)}"]
    border = kernel.border or own.get("border")
    if border and "border" not in holds and border != OWN_BORDER.get(form):
        lost.append(f"border {border}")
    lost += [key for key in ("title", "about", "source") if key not in holds and getattr(kernel, key)]
    if lost:
        notes.append(f"{form} holds no {', '.join(lost)}: left out")
    fitted = replace(kernel, weights=weights, anchor=anchor, scale=scale)
    if form in ("png", "pgm"):
        return _grey(fitted, form, notes)
    return foreign.fit_ffmpeg(fitted, notes) if form == "ffmpeg" else fitted


def _centred(weights: Array, anchor: Anchor, middle: Anchor) -> Array:
    """The weights among as few zeros as put the tap at `anchor` into the middle, if it is not there."""
    widths = [
        (max(0, size - 1 - 2 * at), max(0, 2 * at + 1 - size)) if at != wanted else (0, 0)
        for size, at, wanted in zip(weights.shape, anchor, middle, strict=False)
    ]
    rows, columns = (size + sum(width) for size, width in zip(weights.shape, widths, strict=False))
    if max(rows, columns) > LARGEST_SIDE:
        raise KernelError(f"the format holds no anchor; with zeros around it the kernel would be {rows}×{columns}")
    return np.pad(weights, widths + [(0, 0)] * (weights.ndim - 2))


def _grey(kernel: Kernel, form: str, notes: list[str]) -> Kernel:
    """The kernel with grey levels as weights. Read back, their sum is the scale."""
    weights, total = kernel.weights, float(kernel.weights.sum())
    if (weights < 0).any() or not 0 < total < np.inf:
        raise KernelError(f"{form} holds no weights below 0, and not zeros alone; grey levels are weights")
    levels = weights
    if (levels != np.rint(levels)).any() or levels.max() > HIGHEST_LEVEL:
        levels = np.rint(weights / weights.max() * HIGHEST_LEVEL)
        error = float(np.abs(levels / levels.sum() - weights / total).max())
        notes.append(f"{form} holds {HIGHEST_LEVEL + 1} levels of grey: read back, a tap is off by at most {error:.2g}")
    if not np.isclose(total, kernel.scale, rtol=1e-12, atol=0):
        notes.append(f"{form} holds no scale: read back, the weights sum to 1, not to {total / kernel.scale:.6g}")
    return replace(kernel, weights=levels)


def _png(kernel: Kernel) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(kernel.weights.astype(np.uint8 if kernel.weights.max() < 256 else np.uint16)).save(file, "PNG")
    return file.getvalue()


def _pgm(kernel: Kernel) -> str:
    """A plain PGM (P2), which a person can read and change."""
    rows, columns = kernel.shape
    return f"P2\n{columns} {rows}\n{number_text(kernel.weights.max())}\n" + _lines(kernel, " ")


def _lines(kernel: Kernel, separator: str) -> str:
    return text_bytes(kernel.weights, separator).decode()


WRITERS: dict[str, Callable[[Kernel], str]] = {
    "toml": toml_text,
    "json": json_text,
    "text": lambda kernel: _lines(kernel, " "),
    "csv": lambda kernel: _lines(kernel, ","),
    "vips": foreign.vips_text,
    "imagemagick": foreign.imagemagick_text,
    "ffmpeg": foreign.ffmpeg_text,
    "gmic": foreign.gmic_text,
    "pgm": _pgm,
}
