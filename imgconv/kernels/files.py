"""Kernel files, read: TOML as the catalogue has it, JSON, text, NumPy arrays, grey pictures, other tools' texts."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from imgconv.arrayfile import Array, parse_matrix, parse_npy, read_bytes
from imgconv.conventions import KERNEL_FORMATS
from imgconv.errors import KernelError
from imgconv.kernels.table import parse_json, parse_toml
from imgconv.kernels.value import LARGEST_SIDE, Kernel

ENDINGS = tuple(ending for endings in KERNEL_FORMATS.values() for ending in endings)
BINARY = ("npy", "png")
LARGEST_FILE = dict.fromkeys(KERNEL_FORMATS, 4 * 2**20) | {"toml": 2**20, "npy": 128 * 2**20}  # bytes
PGM_HEADER = 4096  # bytes, comments included
HIGHEST_LEVEL = 2**16 - 1


def format_of(path: Path) -> str:
    """The format that a file's ending tells. Raises KernelError when it tells none."""
    for form, endings in KERNEL_FORMATS.items():
        if path.suffix.lower() in endings:
            return form
    raise KernelError(f"{path}: not a kernel file; its name should end in {', '.join(ENDINGS)}")


def read_kernels(path: Path, data: bytes | None = None) -> list[Kernel]:
    """The kernels in a file, whose ending tells the format: one, or those of an ImageMagick string.

    It is not read again where `data` is what it holds. Raises KernelError when it cannot be read or holds none; the
    text names the file and says what would be right.
    """
    form = format_of(path)
    data = read_bytes(path, LARGEST_FILE[form], KernelError) if data is None else data
    try:
        return parse(data, form, path.stem)
    except (ValueError, KernelError) as problem:
        raise KernelError(f"{path}: {str(problem).removeprefix(f'{path.stem}: ')}") from None


def parse(data: bytes, form: str, name: str) -> list[Kernel]:
    """The kernels in the bytes of a file of that format. Raises ValueError or KernelError when it holds none."""
    if form == "toml":
        return [parse_toml(data, name)]
    if form == "npy":
        return [Kernel(_checked(parse_npy(data)), name=name)]
    if form in ("png", "pgm"):
        levels = _checked(_parse_png(data) if form == "png" else _parse_pgm(data))
        if not levels.any():
            raise ValueError("is black all over; grey levels are weights, and their sum is the scale")
        return [Kernel(levels, scale=float(levels.sum()), name=name)]
    try:
        return parse_text(data.decode("utf-8-sig"), form, name)
    except UnicodeDecodeError:
        raise ValueError("is not text") from None


def parse_text(text: str, form: str, name: str) -> list[Kernel]:
    """The kernels in a text, as `parse`; "matrix" has its rows parted by semicolons."""
    if form in ("text", "csv", "matrix"):
        return [Kernel(parse_matrix(text, ";" if form == "matrix" else "\n"), name=name)]
    if form == "json":
        return [parse_json(text, name)]
    from imgconv.kernels.foreign import READERS  # not needed for the catalogue, so not at every start

    return READERS[form](text, name)


def _checked(array: Array) -> Array:
    """An array as weights, if it is no larger than a kernel may be."""
    if array.ndim and (max(array.shape) > LARGEST_SIDE or array.size > LARGEST_SIDE**2):
        raise ValueError(f"is {'×'.join(map(str, array.shape))}, more than {LARGEST_SIDE} on a side")
    with np.errstate(all="ignore"):  # a wider float may become inf, which Kernel refuses
        return np.atleast_2d(array).astype(np.float64)


def _parse_png(data: bytes) -> Array:
    """The grey levels of a PNG picture."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise ValueError("is no PNG picture")
    columns, rows = int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    if max(columns, rows) > LARGEST_SIDE:  # before memory is taken
        raise ValueError(f"is {rows}×{columns}, more than {LARGEST_SIDE} on a side")
    if len(data) > 25 and data[25] != 0:
        raise ValueError("has colours or alpha; a kernel is a plain grey picture")
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            return np.asarray(image)
    except Exception as problem:  # a broken file makes Pillow raise nearly anything
        raise ValueError(f"is not a sound PNG picture ({type(problem).__name__})") from None


def _parse_pgm(data: bytes) -> Array:
    """The grey levels of a PGM picture as they stand; Pillow would stretch them to 255 or 65535 and round."""
    if data[:2] in (b"P3", b"P6", b"P7"):
        raise ValueError("has colours; a kernel is a plain grey picture")
    header = re.match(rb"P([25])" + rb"(?:\s|#[^\n]*\n)+([0-9]{1,9})" * 3 + rb"\s", data[:PGM_HEADER])
    if header is None:
        raise ValueError("is no PGM picture")
    columns, rows, top = (int(number) for number in header.groups()[1:])
    if not 1 <= min(rows, columns) <= max(rows, columns) <= LARGEST_SIDE:
        raise ValueError(f"is {rows}×{columns}; sizes are 1 to {LARGEST_SIDE}")
    if not 1 <= top <= HIGHEST_LEVEL:
        raise ValueError(f"has {top} as its largest level; it should be 1 to {HIGHEST_LEVEL}")
    body = data[header.end() :]
    if header[1] == b"5":
        kind = np.dtype(np.uint8 if top < 256 else ">u2")
        if len(body) < rows * columns * kind.itemsize:
            raise ValueError("is cut short")
        levels = np.frombuffer(body, kind, rows * columns)
    else:
        words = re.sub(rb"#[^\n]*", b"", body).split()
        if len(words) != rows * columns:
            raise ValueError(f"holds {len(words)} levels, not {rows}×{columns}")
        if not all(re.fullmatch(rb"[0-9]{1,5}", word) for word in words):
            raise ValueError("holds a level that is not a whole number")
        levels = np.array([int(word) for word in words])
    if int(levels.max()) > top:
        raise ValueError(f"holds a level above {top}, the largest that its header allows")
    return levels.reshape(rows, columns)
