"""Kernels as other tools write them: ImageMagick's string, ffmpeg's options, G'MIC's matrix, libvips' matrix text.

All four slide a kernel as written when they correlate: ImageMagick under `-morphology Correlate` (`Convolve` turns it),
ffmpeg's and libvips' filters always, G'MIC under `correlate`. An even size puts the anchor at (k - 1) // 2 in
ImageMagick and G'MIC, at k // 2 in libvips. Outside the picture ffmpeg mirrors it ("reflect"); the others have "edge".

A text that is no kernel raises ValueError or KernelError.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from imgconv.arrayfile import Array, number_text, parse_matrix, parse_number
from imgconv.errors import KernelError
from imgconv.kernels.derivatives import rotate_rim
from imgconv.kernels.value import LARGEST_SIDE, Kernel, high_anchor, low_anchor

Anchor = tuple[int, int]

MOST_KERNELS = 256  # in one string
NUMBER_BREAK = r"\s*,\s*|\s+"
MAGICK_SIZE = r"(\d{1,9})(?:x(\d{1,9}))?(?:\+(\d{1,9})(?:\+(\d{1,9}))?)?"

FFMPEG_TAPS = 49
FFMPEG_LARGEST = 2**31 // 2**16 - 1  # sum of the weights' sizes up to which 16-bit samples cannot overflow its int
FFMPEG_MODES = ("square", "row", "column")
FFMPEG_KEYS = tuple(f"{plane}{key}" for key in ("m", "rdiv", "bias", "mode") for plane in range(4))


def parse_imagemagick(text: str, name: str) -> list[Kernel]:
    """The kernels of an ImageMagick string: several by `;`, or by a flag that turns one: `@` by 45°, `>` `<` by 90°.

    Taps written nan or - lie outside the kernel's shape; they weigh 0, and `about` says so.
    """
    kernels: list[Kernel] = []
    for part in text.split(";"):
        if part.strip():
            kernels += _magick_kernels(part.strip(), name)
        if len(kernels) > MOST_KERNELS:
            raise ValueError(f"holds more than {MOST_KERNELS} kernels")
    if not kernels:
        raise ValueError("holds no kernel; write 3x3: 0,-1,0 -1,5,-1 0,-1,0")
    if len(kernels) > 1:
        kernels = [replace(kernel, name=f"{name}_{number}") for number, kernel in enumerate(kernels, 1)]
    return kernels


def _magick_kernels(part: str, name: str) -> list[Kernel]:
    if part[0].isalpha():
        word = re.split(r"[\s:,]", part, maxsplit=1)[0][:20]
        raise ValueError(f"{word!r} is one of ImageMagick's own names; write the numbers, as in 3x3: 0,-1,0 -1,5,-1 …")
    head, colon, body = part.partition(":")
    words = re.split(NUMBER_BREAK, (body if colon else head).strip())
    if len(words) > LARGEST_SIDE**2:
        raise ValueError("holds too many numbers")
    anchor = None
    if colon:
        size = re.fullmatch(MAGICK_SIZE, re.sub(r"[@<>\s]", "", head))
        if size is None:
            raise ValueError(f"{head[:20]!r} is not a size such as 3x3 or 3x3+0+2")
        columns, rows = int(size[1]), int(size[2] or size[1])
        if size[3]:
            anchor = (int(size[4]) if size[4] else (rows - 1) // 2, int(size[3]))
            if anchor[0] >= rows or anchor[1] >= columns:
                raise ValueError(f"the origin +{anchor[1]}+{anchor[0]} lies outside {columns}x{rows}")
    else:
        columns = rows = math.isqrt(len(words))
    if rows * columns != len(words):
        wanted = f"{columns}x{rows} needs {rows * columns}" if colon else "a kernel without a size needs 9, 25, 49 …"
        raise ValueError(f"holds {len(words)} numbers; {wanted}")
    outside = [word.lower() in ("nan", "-") for word in words]
    if all(outside):
        raise ValueError("holds no number")
    numbers = [0.0 if out else parse_number(word) for word, out in zip(words, outside, strict=True)]
    weights = np.array(numbers).reshape(rows, columns)
    about = f"{sum(outside)} taps that the ImageMagick string leaves out weigh 0 here." if any(outside) else ""
    flag = next((flag for flag in "@><" if flag in head), "") if colon else ""
    return [
        Kernel(turned, name=name, anchor=at if anchor or at != low_anchor(turned.shape) else None, about=about)
        for turned, at in _turns(weights, anchor or low_anchor(weights.shape), flag)
    ]


def _turns(weights: Array, anchor: Anchor, flag: str) -> list[tuple[Array, Anchor]]:
    """The kernels that a flag stands for. Those of @ and > end when the first one would come back; < always has 4."""
    rows, columns = weights.shape
    if flag == "@" and (rows, columns) != (3, 3):
        raise ValueError(f"@ turns 3x3 kernels by 45°, not {columns}x{rows}")
    if flag and rows != columns and 1 not in (rows, columns):
        raise ValueError(f"{flag} turns square kernels and single rows or columns by 90°, not {columns}x{rows}")
    mark = np.zeros(weights.shape)
    mark[anchor] = 1
    turns = [np.stack([weights, mark], axis=2)]
    for _ in range({"": 0, "@": 7}.get(flag, 3)):
        turns.append(rotate_rim(turns[-1], 1) if flag == "@" else np.rot90(turns[-1], -1))  # clockwise
    if flag == "<":
        turns = [turns[n] for n in (0, 2, 3, 1)]
    else:
        again = (n for n, turn in enumerate(turns) if n and np.array_equal(turn, turns[0]))
        turns = turns[: next(again, None)]
    return [(turn[:, :, 0], divmod(int(turn[:, :, 1].argmax()), turn.shape[1])) for turn in turns]


def imagemagick_text(kernel: Kernel) -> str:
    """3x3: 0,-1,0 -1,5,-1 0,-1,0"""
    rows, columns = kernel.shape
    origin = f"+{kernel.anchor[1]}+{kernel.anchor[0]}" if kernel.anchor else ""
    return f"{columns}x{rows}{origin}: {_joined(kernel, ',', ' ')}"


def _joined(kernel: Kernel, column: str, row: str) -> str:
    return row.join(column.join(map(number_text, numbers)) for numbers in kernel.weights)


def parse_gmic(text: str, name: str) -> list[Kernel]:
    """The kernel of a G'MIC matrix, (0,1,0;1,-4,1;0,1,0)."""
    inner = re.fullmatch(r"\s*\(([^()]*)\)\s*", text)
    if inner is None:
        raise ValueError("is no matrix as G'MIC has it: (0,1,0;1,-4,1;0,1,0)")
    if "/" in inner[1] or "^" in inner[1]:
        raise ValueError("has more than one slice or channel (/ or ^); a kernel has rows and columns")
    return [Kernel(parse_matrix(inner[1], rows=";"), name=name)]


def gmic_text(kernel: Kernel) -> str:
    """(0,-1,0;-1,5,-1;0,-1,0)"""
    return f"({_joined(kernel, ',', ';')})"


def parse_vips(text: str, name: str) -> list[Kernel]:
    """The kernel of a libvips matrix file: width, height, scale and offset in the first line, then the rows."""
    if text.startswith("MATLAB"):
        raise ValueError("is a MATLAB file; .mat is libvips' matrix here, a text")
    head, _, body = text.strip().partition("\n")
    words = re.split(NUMBER_BREAK, head.strip())
    if not 2 <= len(words) <= 4:
        raise ValueError("is no libvips matrix; its first line should be WIDTH HEIGHT [SCALE [OFFSET]]")
    columns, rows, scale, offset = [parse_number(word) for word in words] + [1.0, 0.0][len(words) - 2 :]
    for size in (columns, rows):
        if size != int(size) or not 1 <= size <= LARGEST_SIDE:
            raise ValueError(f"its first line says {columns:g} × {rows:g}; sizes are 1 to {LARGEST_SIDE}")
    weights = parse_matrix(body)
    if weights.shape != (int(rows), int(columns)):
        have = f"{weights.shape[0]} rows of {weights.shape[1]}"
        raise ValueError(f"its first line says {rows:g} rows of {columns:g} numbers; it holds {have}")
    anchor = high_anchor(weights.shape)
    return [Kernel(weights, scale, offset, name, anchor=None if anchor == low_anchor(weights.shape) else anchor)]


def vips_text(kernel: Kernel) -> str:
    """The text of a libvips matrix file."""
    rows, columns = kernel.shape
    return (
        f"{columns} {rows} {number_text(kernel.scale)} {number_text(kernel.offset)}\n"
        + _joined(kernel, " ", "\n")
        + "\n"
    )


def parse_ffmpeg(text: str, name: str) -> list[Kernel]:
    """The kernel of ffmpeg's convolution filter, by its options' names or places, or its matrix alone."""
    options = re.sub(r"^convolution\s*=", "", text.strip()).strip().strip("'\"")
    values = {}
    for place, part in enumerate(options.split(":")):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = FFMPEG_KEYS[place] if place < len(FFMPEG_KEYS) else "", part
        if key.strip() not in FFMPEG_KEYS:
            raise ValueError(f"{part[:20]!r} is no option of ffmpeg's convolution (0m, 0rdiv, 0bias, 0mode, …)")
        values[key.strip()] = value.strip().strip("'\"").strip()
    planes = [plane for plane in range(4) if f"{plane}m" in values]
    if not planes:
        raise ValueError("has no matrix; write 0m=0 -1 0 -1 5 -1 0 -1 0")
    kernels = {_ffmpeg_plane(values, plane, name) for plane in planes}
    if len(kernels) > 1:
        raise ValueError("has different kernels for its planes; keep one of them")
    return list(kernels)


def _ffmpeg_plane(values: dict[str, str], plane: int, name: str) -> Kernel:
    words = values[f"{plane}m"].replace("|", " ").split()
    for word in words:
        if not re.fullmatch(r"[-+]?[0-9]{1,10}", word):
            raise ValueError(f"{word[:20]!r} is not a whole number, which is what ffmpeg takes")
    mode = values.get(f"{plane}mode", "square")
    mode = dict(zip("012", FFMPEG_MODES, strict=True)).get(mode, mode)
    count = len(words)
    if mode not in FFMPEG_MODES:
        raise ValueError(f"mode {mode[:20]!r} is not square, row or column")
    if mode == "square" and count not in (9, 25, 49):
        raise ValueError(f"has {count} numbers; ffmpeg's matrices have 9, 25 or 49")
    if mode != "square" and (count % 2 == 0 or count > FFMPEG_TAPS):
        raise ValueError(f"has {count} numbers; a row or column takes an odd number of them, at most {FFMPEG_TAPS}")
    rows = {"square": math.isqrt(count), "row": 1, "column": count}[mode]
    weights = np.array([float(word) for word in words]).reshape(rows, -1)
    top, slash, bottom = values.get(f"{plane}rdiv", "0").partition("/")
    factor, divisor = parse_number(top), parse_number(bottom) if slash else 1.0
    if factor == 0:
        scale = automatic_scale(weights)
    elif divisor / factor < 0:
        raise ValueError("rdiv is below 0, which ffmpeg refuses")
    else:
        scale = divisor / factor
    return Kernel(weights, scale, parse_number(values.get(f"{plane}bias", "0")), name)


def automatic_scale(weights: Array) -> float:
    """What ffmpeg divides by when rdiv is 0 or absent."""
    return float(weights.sum()) or 1.0


def fit_ffmpeg(kernel: Kernel, notes: list[str]) -> Kernel:
    """The kernel in a size and in whole numbers that ffmpeg takes; what that loses is added to the notes."""
    rows, columns = kernel.shape
    shape = [size + 1 - size % 2 for size in kernel.shape]
    if 1 not in kernel.shape or not 1 < max(shape) <= FFMPEG_TAPS:  # neither a row nor a column
        shape = [max(3, *shape)] * 2
        if max(shape) > 7:
            most = f"7×7, 1×{FFMPEG_TAPS} or {FFMPEG_TAPS}×1"
            raise KernelError(f"ffmpeg holds up to {most} weights, not {rows}×{columns}")
    widths = [((k - 1) // 2 - (size - 1) // 2, k // 2 - size // 2) for k, size in zip(shape, kernel.shape, strict=True)]
    weights, scale, error = _whole(np.pad(kernel.weights, widths), kernel.scale)
    if error:
        notes.append(f"ffmpeg holds whole numbers: the weights are rounded, by at most {error:.2g} of the largest")
    if kernel.offset < 0:
        notes.append(f"ffmpeg holds no offset below 0: {number_text(kernel.offset)} is left out")
    if scale != automatic_scale(weights):
        notes.append("ffmpeg 5.1 ignores rdiv and divides by the sum of the weights; newer ones obey it")
    return replace(kernel, weights=weights, scale=scale, offset=max(kernel.offset, 0.0))


def ffmpeg_text(kernel: Kernel) -> str:
    """Options of ffmpeg's convolution filter for the three colour planes."""
    rows, columns = kernel.shape
    options = {
        "m": _joined(kernel, " ", " "),
        "rdiv": f"1/{number_text(kernel.scale)}",
        "bias": number_text(kernel.offset),
    }
    if rows != columns:
        options["mode"] = "row" if rows == 1 else "column"
    return ":".join(f"{plane}{key}={value}" for key, value in options.items() for plane in range(3))


def _whole(weights: Array, scale: float) -> tuple[Array, float, float]:
    """Weights as whole numbers, their scale, and the largest error over the largest weight."""
    fractions = [Fraction(x).limit_denominator(10_000) for x in weights.ravel().tolist()]
    factor = float(math.lcm(*(fraction.denominator for fraction in fractions)))
    whole = np.array([float(fraction * int(factor)) for fraction in fractions]).reshape(weights.shape)
    error = 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        exact = [float(fraction) for fraction in fractions] == weights.ravel().tolist()
        if not exact or np.abs(whole).sum() > FFMPEG_LARGEST:
            largest = float(np.abs(weights).max())
            shares = weights / largest
            units = (FFMPEG_LARGEST - FFMPEG_TAPS) / float(np.abs(shares).sum())
            whole = np.rint(shares * units)
            error = float(np.abs(whole / units - shares).max())
            factor = float(np.float64(units) / largest)
        scale = float(np.float64(scale) * factor)
    if not math.isfinite(scale) or scale == 0:
        raise KernelError("the weights and the scale are too far apart for ffmpeg's whole numbers")
    return (whole, scale, error) if scale > 0 else (-whole, -scale, error)


READERS: dict[str, Callable[[str, str], list[Kernel]]] = {
    "vips": parse_vips,
    "imagemagick": parse_imagemagick,
    "ffmpeg": parse_ffmpeg,
    "gmic": parse_gmic,
}
