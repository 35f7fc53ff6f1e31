"""Kernel files, written: what a format cannot hold is worked into the weights, or left out with a word."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import npy_bytes, plain, text_bytes
from imgconv.conventions import LIKES
from imgconv.errors import KernelError
from imgconv.kernels import foreign
from imgconv.kernels.files import DEEPEST_GREY, LARGEST_FILE
from imgconv.kernels.table import KEYS
from imgconv.kernels.value import LARGEST_SIDE, Kernel, high_anchor, low_anchor

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.kernels.foreign import Anchor, Weights

# what a format can hold beside the weights; all else is worked into the weights, or left out with a word
HOLDS = {
    "toml": KEYS,
    "json": KEYS,
    "vips": ("offset", "scale"),
    "imagemagick": ("anchor",),
    "ffmpeg": ("offset", "scale"),
}
OWN_BORDER = {"vips": "edge", "imagemagick": "edge", "gmic": "edge", "ffmpeg": "reflect"}


def encode(kernels: Sequence[Kernel], form: str) -> tuple[bytes, tuple[str, ...]]:
    """Kernels as the bytes of a file, and what the user should know that is lost in it.

    What a format has no word for is worked into the weights, so that the tool that reads them comes to the same
    numbers: they are flipped, divided by the scale, or put among zeros that move the anchor to the middle.

    Parameters
    ----------
    kernels : sequence of Kernel
        One; several only for "imagemagick".
    form : str
        A name in `FORMATS`.

    Raises
    ------
    KernelError
        When the format cannot hold them.
    """
    if form == "imagemagick":
        several = [_fit(kernel, form) for kernel in kernels]
        joined = "; ".join(foreign.imagemagick_text(weights, anchor) for weights, anchor, _, _ in several)
        notes = dict.fromkeys(note for *_, said in several for note in said)
        return _checked(f"{joined}\n".encode(), form), tuple(notes)
    if len(kernels) != 1:
        raise KernelError(f"{form} holds one kernel, not {len(kernels)}; imagemagick holds several")
    kernel = kernels[0]
    if form == "toml":
        return _checked(toml_text(kernel).encode(), form), ()
    if form == "json":
        return _checked(json_text(kernel).encode(), form), ()
    weights, _, scale, lost = _fit(kernel, form)
    if form == "npy":
        data = npy_bytes(weights)
    elif form in ("text", "csv"):
        data = text_bytes(weights, " " if form == "text" else ",")
    elif form == "vips":
        data = foreign.vips_text(weights, scale, kernel.offset).encode()
    elif form == "gmic":
        data = f"{foreign.gmic_text(weights)}\n".encode()
    elif form == "ffmpeg":
        text, more = foreign.ffmpeg_text(weights, scale, kernel.offset)
        data, lost = f"{text}\n".encode(), lost + more
    else:
        levels, more = _levels(weights, scale, form)
        data, lost = (_png if form == "png" else _pgm)(levels), lost + more
    return _checked(data, form), tuple(lost)


def _fit(kernel: Kernel, form: str) -> tuple[Weights, Anchor | None, float, list[str]]:
    """Weights, anchor and scale as `form` can hold them, and what was done to them or is left out."""
    if kernel.weights.ndim > 2 and form != "npy":
        raise KernelError(
            f"{form} holds rows and columns only, not {kernel.weights.ndim} levels; write toml, json, npy"
        )
    weights, anchor, scale, notes = kernel.weights, kernel.anchor, kernel.scale, []
    holds = HOLDS.get(form, ())
    own = LIKES[kernel.like] if kernel.like else {}
    if own.get("flip") == "vertical":
        anchor = anchor and (weights.shape[0] - 1 - anchor[0], anchor[1])
        if not np.array_equal(weights, weights[::-1]):
            notes.append(f'the weights are written upside down: like = "{kernel.like}" slides them so')
        weights = weights[::-1]
    if anchor is None and own.get("anchor") == "high":
        anchor = high_anchor(weights.shape)
    if "anchor" not in holds:
        middle = high_anchor if form == "vips" else low_anchor
        weights, moved = _centred(weights, anchor or low_anchor(weights.shape), middle)
        if moved:
            rows, columns = weights.shape[:2]
            notes.append(f"{form} holds no anchor: zeros put it in the middle of {rows}×{columns} weights")
    if "scale" not in holds and form not in ("png", "pgm") and scale != 1:
        with np.errstate(over="ignore"):
            weights, scale = weights / scale + 0.0, 1.0
        if not np.isfinite(weights).all():
            raise KernelError(f"{form} holds no scale, and over {plain(kernel.scale)} the weights are too large")
        notes.append(f"{form} holds no scale: the weights are divided by {plain(kernel.scale)}")
    lost = [] if "offset" in holds or kernel.offset == 0 else [f"offset {plain(kernel.offset)}"]
    border = kernel.border or own.get("border")
    if border and border != OWN_BORDER.get(form):
        lost.append(f"border {border}")
    lost += [key for key in ("title", "about", "source") if getattr(kernel, key)]
    if lost:
        notes.append(f"{form} holds no {', '.join(lost)}: left out")
    return weights, anchor, scale, notes


def _centred(weights: Weights, anchor: Anchor, middle: Callable[[tuple[int, ...]], Anchor]) -> tuple[Weights, bool]:
    """The weights among as few zeros as make `anchor` the tap that `middle` names; and whether there are any."""
    widths = [(0, 0)] * weights.ndim
    for axis in (0, 1):
        size, at = weights.shape[axis], anchor[axis]
        before = 0
        if middle((size, size))[0] != at:
            before = max(0, size - 1 - 2 * at)
            widths[axis] = (before, max(0, 2 * at + 1 - size))
    shape = [size + sum(width) for size, width in zip(weights.shape, widths, strict=True)]
    if max(shape) > LARGEST_SIDE:
        raise KernelError(f"the format holds no anchor; with zeros around it the kernel would be {shape[0]}×{shape[1]}")
    return np.pad(weights, widths), any(map(any, widths))


def _levels(weights: Weights, scale: float, form: str) -> tuple[npt.NDArray[np.uint16], list[str]]:
    """Weights as grey levels, and what that loses. Read back, their sum is the scale."""
    total = float(weights.sum())
    if (weights < 0).any() or not 0 < total < np.inf:
        raise KernelError(f"{form} holds no weights below 0, and not zeros alone; grey levels are weights")
    notes = []
    levels = weights
    if (levels != np.rint(levels)).any() or levels.max() > DEEPEST_GREY:
        levels = np.rint(weights / weights.max() * DEEPEST_GREY)
        error = float(np.abs(levels / levels.sum() - weights / total).max())
        notes.append(f"{form} holds {DEEPEST_GREY + 1} levels of grey: read back, a tap is off by at most {error:.2g}")
    if not np.isclose(total, scale, rtol=1e-12, atol=0):
        notes.append(f"{form} holds no scale: read back, the weights sum to 1, not to {total / scale:.6g}")
    return levels.astype(np.uint16), notes


def _png(levels: npt.NDArray[np.uint16]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8) if levels.max() < 256 else levels).save(file, "PNG")
    return file.getvalue()


def _pgm(levels: npt.NDArray[np.uint16]) -> bytes:
    """A plain PGM: a person can read and change it."""
    rows, columns = levels.shape
    lines = [" ".join(map(str, row)) for row in levels.tolist()]
    return "\n".join(["P2", f"{columns} {rows}", str(levels.max()), *lines, ""]).encode()


def _checked(data: bytes, form: str) -> bytes:
    """The bytes, if they can be read back."""
    limit = LARGEST_FILE[form]
    if len(data) > limit:
        raise KernelError(f"{form} would take {len(data):,} bytes, more than the {limit:,} that are read; write npy")
    return data


def toml_text(kernel: Kernel) -> str:
    """A kernel as the text of a TOML file that reads back to the same value."""
    cells = [[_nested(x) for x in row] for row in kernel.weights.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    rows = "".join(f"    [{', '.join(cell.rjust(width) for cell in row)}],\n" for row in cells)
    return "".join(f"{key:7} = {text}\n" for key, text in _fields(kernel, f"[\n{rows}]", _quoted).items())


def json_text(kernel: Kernel) -> str:
    """A kernel as the text of a JSON file that reads back to the same value; a row of weights on a line."""
    rows = ",\n    ".join(_nested(row) for row in kernel.weights.tolist())
    fields = _fields(kernel, f"[\n    {rows}\n  ]", json.dumps)
    return "{\n" + ",\n".join(f'  "{key}": {text}' for key, text in fields.items()) + "\n}\n"


def _fields(kernel: Kernel, weights: str, quoted: Callable[[str], str]) -> dict[str, str]:
    """What TOML and JSON both say of a kernel, key by key; what goes without saying is left out."""
    fields = {key: quoted(getattr(kernel, key)) for key in ("title", "about") if getattr(kernel, key)}
    fields["weights"] = weights
    if kernel.scale != 1:
        fields["scale"] = plain(kernel.scale)
    if kernel.offset != 0:
        fields["offset"] = plain(kernel.offset)
    if kernel.anchor is not None:
        fields["anchor"] = f"[{kernel.anchor[0]}, {kernel.anchor[1]}]"
    return fields | {key: quoted(getattr(kernel, key)) for key in ("border", "like", "source") if getattr(kernel, key)}


def _nested(value: Any) -> str:
    """Lists of lists of numbers, as TOML and JSON both write them."""
    return f"[{', '.join(map(_nested, value))}]" if isinstance(value, list) else plain(value)


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f\x7f"\\]', lambda match: f"\\u{ord(match[0]):04X}", text)
    return f'"{escaped}"'
