"""Kernel files: TOML as the catalogue has it, matrices as text, and NumPy arrays."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from imgconv.arrayfile import parse_npy, parse_text, read_bytes
from imgconv.errors import KernelError
from imgconv.kernels.value import Kernel

ENDINGS = (".toml", ".npy", ".txt", ".csv")
LARGEST_FILE = 128 * 2**20
KEYS = ("about", "anchor", "border", "like", "offset", "scale", "source", "title", "weights")


def read_kernel(path: Path) -> Kernel:
    """The kernel in a file; its ending tells the format.

    Raises
    ------
    KernelError
        When the file cannot be read or holds no kernel; the text names it and says what would be right.
    """
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise KernelError(f"{path}: not a kernel file; its name should end in {', '.join(ENDINGS)}")
    data = read_bytes(path, LARGEST_FILE if ending == ".npy" else 2**20, KernelError)
    try:
        if ending == ".toml":
            return parse_toml(data, name=path.stem)
        weights = parse_npy(data) if ending == ".npy" else parse_text(data)
        return Kernel(np.atleast_2d(weights), name=path.stem)
    except ValueError as problem:
        raise KernelError(f"{path}: {problem}") from None
    except KernelError as problem:
        raise KernelError(f"{path}: {str(problem).removeprefix(f'{path.stem}: ')}") from None


def parse_toml(data: bytes, name: str) -> Kernel:
    """A kernel from the bytes of a TOML file.

    Raises
    ------
    ValueError, KernelError
        When it is no kernel.
    """
    if not data.strip():
        raise ValueError("is empty; a kernel file needs at least weights = [[…], …]")
    try:
        table = tomllib.loads(data.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise ValueError(f"is not TOML: {problem}") from None
    except RecursionError:
        raise ValueError("is not TOML that can be read: nested too deeply") from None
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            raise ValueError(
                f"{key!r} is not a key of a kernel file" + (f"; did you mean {near[0]!r}?" if near else "")
            )
    if "weights" not in table:
        raise ValueError("has no weights; write weights = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]")
    fields: dict[str, Any] = {"weights": _rows(table["weights"])}
    for key in ("scale", "offset"):
        if key in table:
            fields[key] = _number(table[key], key)
    for key in ("about", "border", "like", "source", "title"):
        if key in table:
            if not isinstance(table[key], str):
                raise ValueError(f"{key} must be text")
            fields[key] = table[key]
    if "anchor" in table:
        anchor = table["anchor"]
        if not (isinstance(anchor, list) and len(anchor) == 2 and all(type(a) is int for a in anchor)):
            raise ValueError("anchor must be [row, column]")
        fields["anchor"] = (anchor[0], anchor[1])
    return Kernel(name=name, **fields)


def _rows(value: Any) -> list[list[float]]:
    if not (isinstance(value, list) and value and all(isinstance(row, list) and row for row in value)):
        raise ValueError("weights must be rows of numbers: [[…], …]")
    for number, row in enumerate(value, 1):
        if len(row) != len(value[0]):
            raise ValueError(f"weights: row {number} has {len(row)} numbers, row 1 has {len(value[0])}")
    return [[_number(x, f"weights, row {n}") for x in row] for n, row in enumerate(value, 1)]


def _number(value: Any, where: str) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{where}: {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{where}: {str(value)[:20]} is not a finite number")
    return number


def toml_text(kernel: Kernel) -> str:
    """A kernel as the text of a TOML file that reads back to the same value."""
    cells = [[_plain(x) for x in row] for row in kernel.weights]
    width = max(len(cell) for row in cells for cell in row)
    rows = "".join(f"    [{', '.join(cell.rjust(width) for cell in row)}],\n" for row in cells)
    lines = [f"weights = [\n{rows}]\n"]
    if kernel.about:
        lines.insert(0, f"about   = {_quoted(kernel.about)}\n")
    if kernel.title:
        lines.insert(0, f"title   = {_quoted(kernel.title)}\n")
    if kernel.scale != 1:
        lines.append(f"scale   = {_plain(kernel.scale)}\n")
    if kernel.offset != 0:
        lines.append(f"offset  = {_plain(kernel.offset)}\n")
    if kernel.anchor is not None:
        lines.append(f"anchor  = [{kernel.anchor[0]}, {kernel.anchor[1]}]\n")
    for key in ("border", "like", "source"):
        if value := getattr(kernel, key):
            lines.append(f"{key:7} = {_quoted(value)}\n")
    return "".join(lines)


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f\x7f"\\]', lambda match: f"\\u{ord(match[0]):04X}", text)
    return f'"{escaped}"'
