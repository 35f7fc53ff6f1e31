"""Kernels as other tools write them: ImageMagick's string, ffmpeg's options, G'MIC's matrix, libvips' matrix text.

All four slide a kernel as written when they correlate: ImageMagick under `-morphology Correlate` (`Convolve` turns it),
ffmpeg's and libvips' filters always, G'MIC under `correlate`. An even size puts the anchor at (k - 1) // 2 in
ImageMagick and G'MIC, at k // 2 in libvips. Outside the picture ffmpeg mirrors it ("reflect"); the others have "edge".
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from imgconv.arrayfile import parse_matrix, parse_number, plain
from imgconv.errors import KernelError
from imgconv.kernels.value import LARGEST_SIDE, Kernel, high_anchor, low_anchor

Weights = npt.NDArray[np.float64]
Anchor = tuple[int, int]

MOST_KERNELS = 256  # in one string
NUMBER_BREAK = r"\s*,\s*|\s+"
MAGICK_SIZE = r"(\d{1,9})(?:x(\d{1,9}))?(?:\+(\d{1,9})(?:\+(\d{1,9}))?)?"
RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # around a 3×3 kernel, clockwise

FFMPEG_TAPS = 49
FFMPEG_LARGEST = 2**31 // 2**16 - 1  # sum of the weights' sizes up to which 16-bit samples cannot overflow its int
FFMPEG_KEYS = tuple(f"{plane}{key}" for key in ("m", "rdiv", "bias", "mode") for plane in range(4))


def parse_imagemagick(text: str, name: str) -> list[Kernel]:
    """The kernels of an ImageMagick string: several by `;`, or by a flag that turns one: `@` by 45°, `>` `<` by 90°.

    Taps written nan or - lie outside the kernel's shape; they weigh 0, and `about` says so.

    Raises
    ------
    ValueError, KernelError
        When it is none.
    """
    found: list[Kernel] = []
    for part in text.split(";"):
        if part.strip():
            found += _magick_kernels(part.strip(), name)
        if len(found) > MOST_KERNELS:
            raise ValueError(f"holds more than {MOST_KERNELS} kernels")
    if not found:
        raise ValueError("holds no kernel; write 3x3: 0,-1,0 -1,5,-1 0,-1,0")
    if len(found) > 1:
        found = [replace(kernel, name=f"{name}_{number}") for number, kernel in enumerate(found, 1)]
    return found


def _magick_kernels(part: str, name: str) -> list[Kernel]:
    if part[0].isalpha():
        word = re.split(r"[\s:,]", part, maxsplit=1)[0][:20]
        raise ValueError(f"{word!r} is one of ImageMagick's own names; write the numbers, as in 3x3: 0,-1,0 -1,5,-1 …")
    head, colon, body = part.partition(":")
    words = re.split(NUMBER_BREAK, (body if colon else head).strip())
    if len(words) > LARGEST_SIDE**2:
        raise ValueError("holds too many numbers")
    anchor: Anchor | None = None
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
    left_out = sum(outside)
    about = f"{left_out} taps that the ImageMagick string leaves out weigh 0 here." if left_out else ""
    flag = next((flag for flag in "@><" if flag in head), "") if colon else ""
    made = []
    for turned, at in _turns(weights, anchor or low_anchor(weights.shape), flag):
        given = anchor is not None or at != low_anchor(turned.shape)
        made.append(Kernel(turned, name=name, anchor=at if given else None, about=about))
    return made


def _turns(weights: Weights, anchor: Anchor, flag: str) -> Iterator[tuple[Weights, Anchor]]:
    """The kernels that a flag stands for. Those of @ and > end when the first one would come back; < always has 4."""
    first = weights, anchor
    yield first
    if not flag:
        return
    rows, columns = weights.shape
    if flag == "@" and (rows, columns) != (3, 3):
        raise ValueError(f"@ turns 3x3 kernels by 45°, not {columns}x{rows}")
    if rows != columns and 1 not in (rows, columns):
        raise ValueError(f"{flag} turns square kernels and single rows or columns by 90°, not {columns}x{rows}")
    if flag == "<":
        quarters = [first]
        for _ in range(3):
            quarters.append(_quarter_turn(*quarters[-1]))
        yield from (quarters[2], quarters[3], quarters[1])
        return
    for _ in range(7 if flag == "@" else 3):
        weights, anchor = _eighth_turn(weights, anchor) if flag == "@" else _quarter_turn(weights, anchor)
        if anchor == first[1] and np.array_equal(weights, first[0]):
            return
        yield weights, anchor


def _quarter_turn(weights: Weights, anchor: Anchor) -> tuple[Weights, Anchor]:
    """By 90°, clockwise."""
    return np.rot90(weights, -1), (anchor[1], weights.shape[0] - 1 - anchor[0])


def _eighth_turn(weights: Weights, anchor: Anchor) -> tuple[Weights, Anchor]:
    """By 45°, clockwise: the eight outer taps move on by one."""
    turned = weights.copy()
    step = dict(zip(RING, RING[1:] + RING[:1], strict=True))
    for before, after in step.items():
        turned[after] = weights[before]
    return turned, step.get(anchor, anchor)


def imagemagick_text(weights: Weights, anchor: Anchor | None) -> str:
    """3x3: 0,-1,0 -1,5,-1 0,-1,0"""
    rows, columns = weights.shape
    origin = f"+{anchor[1]}+{anchor[0]}" if anchor else ""
    return f"{columns}x{rows}{origin}: " + " ".join(",".join(map(plain, row)) for row in weights)


def parse_gmic(text: str, name: str) -> Kernel:
    """The kernel of a G'MIC matrix, (0,1,0;1,-4,1;0,1,0). Raises ValueError or KernelError when it is none."""
    inner = re.fullmatch(r"\s*\(([^()]*)\)\s*", text)
    if inner is None:
        raise ValueError("is no matrix as G'MIC has it: (0,1,0;1,-4,1;0,1,0)")
    if "/" in inner[1] or "^" in inner[1]:
        raise ValueError("has more than one slice or channel (/ or ^); a kernel has rows and columns")
    return Kernel(parse_matrix(inner[1], rows=";"), name=name)


def gmic_text(weights: Weights) -> str:
    """(0,-1,0;-1,5,-1;0,-1,0)"""
    return "(" + ";".join(",".join(map(plain, row)) for row in weights) + ")"


def parse_vips(text: str, name: str) -> Kernel:
    """The kernel of a libvips matrix file: width, height, scale and offset in the first line, then the rows.

    Raises
    ------
    ValueError, KernelError
        When it is none.
    """
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
    return Kernel(weights, scale, offset, name, anchor=None if anchor == low_anchor(weights.shape) else anchor)


def vips_text(weights: Weights, scale: float, offset: float) -> str:
    """The text of a libvips matrix file."""
    rows, columns = weights.shape
    lines = [" ".join(map(plain, row)) for row in weights]
    return "\n".join([f"{columns} {rows} {plain(scale)} {plain(offset)}", *lines, ""])


def parse_ffmpeg(text: str, name: str) -> Kernel:
    """The kernel of ffmpeg's convolution filter, by its options' names or places, or its matrix alone.

    Raises
    ------
    ValueError, KernelError
        When it is none, or has several.
    """
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
    found = [_ffmpeg_plane(values, plane, name) for plane in planes]
    if any(kernel != found[0] for kernel in found):
        raise ValueError("has different kernels for its planes; keep one of them")
    return found[0]


def _ffmpeg_plane(values: dict[str, str], plane: int, name: str) -> Kernel:
    words = values[f"{plane}m"].replace("|", " ").split()
    for word in words:
        if not re.fullmatch(r"[-+]?[0-9]{1,10}", word):
            raise ValueError(f"{word[:20]!r} is not a whole number, which is what ffmpeg takes")
    mode = values.get(f"{plane}mode", "square")
    count = len(words)
    if mode in ("row", "1", "column", "2"):
        if count % 2 == 0 or count > FFMPEG_TAPS:
            raise ValueError(f"has {count} numbers; a row or column takes an odd number of them, at most {FFMPEG_TAPS}")
        shape = (1, count) if mode in ("row", "1") else (count, 1)
    elif mode in ("square", "0"):
        if count not in (9, 25, 49):
            raise ValueError(f"has {count} numbers; ffmpeg's matrices have 9, 25 or 49")
        shape = (math.isqrt(count), math.isqrt(count))
    else:
        raise ValueError(f"mode {mode[:20]!r} is not square, row or column")
    weights = np.array([float(word) for word in words]).reshape(shape)
    top, slash, bottom = values.get(f"{plane}rdiv", "0").partition("/")
    factor, divisor = parse_number(top), parse_number(bottom) if slash else 1.0
    if factor == 0:
        scale = automatic_scale(weights)
    elif divisor / factor < 0:
        raise ValueError("rdiv is below 0, which ffmpeg refuses")
    else:
        scale = divisor / factor
    return Kernel(weights, scale, parse_number(values.get(f"{plane}bias", "0")), name)


def automatic_scale(weights: Weights) -> float:
    """What ffmpeg divides by when rdiv is 0 or absent."""
    return float(weights.sum()) or 1.0


def ffmpeg_text(weights: Weights, scale: float, offset: float) -> tuple[str, list[str]]:
    """Options of ffmpeg's convolution filter for the three colour planes, and what they lose.

    Raises
    ------
    KernelError
        When the kernel is too large for it.
    """
    weights = _ffmpeg_shape(weights)
    whole, scale, error = _whole(weights, scale)
    notes = []
    if error:
        notes.append(f"ffmpeg holds whole numbers: the weights are rounded, by at most {error:.2g} of the largest")
    if offset < 0:
        notes.append(f"ffmpeg holds no offset below 0: {plain(offset)} is left out")
    if scale != automatic_scale(whole):
        notes.append("ffmpeg 5.1 ignores rdiv and divides by the sum of the weights; newer ones obey it")
    rows, columns = whole.shape
    mode = "square" if rows == columns else "row" if rows == 1 else "column"
    matrix = " ".join(plain(x) for x in whole.flat)
    parts = [f"{plane}m={matrix}" for plane in range(3)]
    parts += [f"{plane}rdiv=1/{plain(scale)}" for plane in range(3)]
    parts += [f"{plane}bias={plain(max(offset, 0.0))}" for plane in range(3)]
    parts += [f"{plane}mode={mode}" for plane in range(3) if mode != "square"]
    return ":".join(parts), notes


def _ffmpeg_shape(weights: Weights) -> Weights:
    """The weights with zeros around them, as a square or a single row or column that ffmpeg takes."""
    rows, columns = weights.shape
    side = max(rows, columns)
    if side > 1 and 1 in (rows, columns) and side + 1 - side % 2 <= FFMPEG_TAPS:
        wanted = tuple(k if k == 1 else k + 1 - k % 2 for k in (rows, columns))
    elif side <= 7:
        wanted = (max(3, side + 1 - side % 2),) * 2
    else:
        raise KernelError(f"ffmpeg holds up to 7×7, 1×{FFMPEG_TAPS} or {FFMPEG_TAPS}×1 weights, not {rows}×{columns}")
    before = [(k - 1) // 2 - (size - 1) // 2 for k, size in zip(wanted, weights.shape, strict=True)]
    after = [k - size - b for k, size, b in zip(wanted, weights.shape, before, strict=True)]
    return np.pad(weights, list(zip(before, after, strict=True)))


def _whole(weights: Weights, scale: float) -> tuple[Weights, float, float]:
    """Weights as whole numbers, their scale, and the largest error over the largest weight."""
    fractions = [Fraction(float(x)).limit_denominator(10_000) for x in weights.flat]
    factor = float(math.lcm(*(fraction.denominator for fraction in fractions)))
    numbers = [float(fraction * int(factor)) for fraction in fractions]
    error = 0.0
    exact = all(float(fraction) == x for fraction, x in zip(fractions, weights.flat, strict=True))
    with np.errstate(over="ignore", invalid="ignore"):
        if exact and sum(map(abs, numbers)) <= FFMPEG_LARGEST:
            whole = np.array(numbers).reshape(weights.shape)
        else:
            largest = float(np.abs(weights).max())
            shares = weights / largest
            units = (FFMPEG_LARGEST - FFMPEG_TAPS) / float(np.abs(shares).sum())
            whole = np.rint(shares * units) + 0.0
            error = float(np.abs(whole / units - shares).max())
            factor = float(np.float64(units) / largest)
        scale = float(np.float64(scale) * factor)
    if not math.isfinite(scale) or scale == 0:
        raise KernelError("the weights and the scale are too far apart for ffmpeg's whole numbers")
    return (whole, scale, error) if scale > 0 else (0.0 - whole, -scale, error)
