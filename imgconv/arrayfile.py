"""Bare arrays in files: NumPy's .npy and matrices written as text. Nothing in a file is ever run."""

from __future__ import annotations

import io
import math
import os
import re
import stat
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from imgconv.errors import ImgconvError, reason

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]
else:
    Array = Any  # NumPy is imported when it is used
ENDINGS = (".npy", ".txt", ".csv")


@cache
def name_of(dtype: np.dtype[Any]) -> str:
    """The name of a type, which NumPy puts together anew each time that it is asked."""
    return dtype.name


def read_bytes(path: Path, limit: int, error: type[ImgconvError]) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises `error` when it cannot be read, is no regular file or is larger.
    """
    file, size = opened(path, error)
    with file:
        if size > limit:
            raise error(f"{path}: {size:,} bytes, more than the {limit:,} allowed here")
        try:
            return file.read(size + 1)
        except OSError as problem:
            raise error(f"{path}: {reason(problem)}") from None


def opened(path: Path, error: type[ImgconvError], *, buffering: int = -1) -> tuple[BinaryIO, int]:
    """A regular file, opened for reading, and its size in bytes.

    Raises `error` when it cannot be opened or is no regular file.
    """
    try:
        # not blocking: opening a pipe that nobody writes to would hang for ever
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return open(descriptor, "rb", buffering=buffering), status.st_size
        os.close(descriptor)
    except OSError as problem:
        raise error(f"{path}: {reason(problem)}") from None
    except ValueError:  # a NUL character, or half of one
        raise error(f"{str(path)!r}: is no name that a file can have") from None
    kind = "is a folder, not a file" if stat.S_ISDIR(status.st_mode) else "is not a regular file"
    raise error(f"{path}: {kind}")


def parse_number(text: str) -> float:
    """A finite number written in ASCII, or a fraction such as 1/9. Raises ValueError for anything else."""
    if not text.isascii() or "_" in text:
        raise ValueError(f"{short(text)!r} is not a number")
    top, slash, bottom = text.partition("/")
    try:
        value = float(top) / float(bottom) if slash else float(text)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"{short(text)!r} is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{short(text)!r} is not a finite number")
    return value


def short(text: str) -> str:
    """What a user wrote, cut to what fits into a message."""
    return text if len(text) <= 40 else text[:37] + "…"


def number_text(value: float) -> str:
    """The shortest text that reads back to the same number; whole ones without a point."""
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def parse_matrix(text: str, rows: str = "\n") -> Array:
    """A matrix from text: rows parted by `rows`, numbers by blanks, commas or tabs; # starts a comment.

    Raises ValueError when it is empty, ragged or holds something that is not a finite number.
    """
    lines = []
    for number, line in enumerate(text.split(rows), 1):
        words = re.split(r"\s*,\s*|\s+", line.partition("#")[0].strip())
        if words == [""]:
            continue
        try:
            lines.append((number, [parse_number(word) for word in words]))
        except ValueError as problem:
            raise ValueError(f"row {number}: {problem}") from None
    if not lines:
        raise ValueError("holds no numbers")
    columns = len(lines[0][1])
    for number, row in lines:
        if len(row) != columns:
            count = f"{len(row)} number{'s' if len(row) > 1 else ''}"
            raise ValueError(f"row {number} has {count}, row {lines[0][0]} has {columns}")
    return np.array([row for _, row in lines])


def parse_text(data: bytes) -> Array:
    """A matrix from the bytes of a text file. Raises ValueError as `parse_matrix` does."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
    return parse_matrix(text)


def parse_npy(data: bytes) -> Array:
    """An array from the bytes of an .npy file; its header is checked before memory is taken.

    Raises ValueError when it is no .npy file, is cut short, or holds anything but real numbers.
    """
    file = io.BytesIO(data)
    shape, fortran, dtype = npy_header(file, len(data))
    flat = np.frombuffer(data, dtype, math.prod(shape), file.tell())
    return flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def npy_header(file: BinaryIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether it lies column by column, and type of the array in an .npy file of `size` bytes.

    The file then stands where the numbers begin. Raises ValueError as `parse_npy` does.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version in ((2, 0), (3, 0)):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError
    except ImgconvError:  # the file could not be read
        raise
    except Exception as problem:  # a hostile header raises nearly anything: ValueError, TypeError, SyntaxError …
        raise ValueError(f"is not a sound .npy file ({type(problem).__name__})") from None
    if dtype.hasobject or dtype.kind not in "biuf":
        raise ValueError(f"holds {dtype}, not real numbers")
    if any(type(length) is bool or not 0 <= length < 2**63 for length in shape):
        raise ValueError(f"is not a sound .npy file (shape {shape})")
    if size - file.tell() < math.prod(shape) * dtype.itemsize:
        raise ValueError("is cut short")
    return shape, fortran, dtype


def npy_bytes(array: Array) -> bytes:
    """An array as the bytes of an .npy file."""
    array = np.ascontiguousarray(array)
    return b"".join((npy_start(array), array.data.cast("B")))  # one copy; write_array would make two


def npy_start(array: Array) -> bytes:
    """What an .npy file has in front of the numbers of an array of this shape and type, row by row."""
    file = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()


def text_bytes(array: Array, separator: str) -> bytes:
    """A 2-D array as lines of numbers, each the shortest text that reads back to the same number."""

    def text(value: Any) -> str:
        if array.dtype.kind != "f":
            return str(int(value))
        positional = 1e-5 < abs(float(value)) < 1e16 or value == 0  # float: 1e16 is too large for float16
        return np.format_float_positional(value, trim="-") if positional else str(value)

    return "".join(separator.join(map(text, row)) + "\n" for row in array).encode()


def as_json(value: Any) -> Any:
    """A value as JSON has it: arrays as lists, values with named fields as objects, what is not finite as None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "__dataclass_fields__"):
        value = vars(value)
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
