"""A kernel as a table of keys: TOML as the catalogue has it, and JSON."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import numpy as np

from imgconv.errors import nearest
from imgconv.kernels.value import LARGEST_SIDE, MOST_PERCENT, MOST_THRESHOLD, Blur, Kernel

KEYS = ("about", "anchor", "blur", "border", "like", "offset", "scale", "source", "title", "weights")
DERIVED = ("name", "parameters", "separable", "sum", "symmetric")  # `kernels show --json` has them too

# tomllib takes time by the square of a dotted key's length: 9 minutes for 1 MiB of "a.a.a.a…". A number's dot comes
# after a digit and has no other dot near; of a dotted key's, all but two are found.
KEY_DOT = re.compile(rb"(?<![0-9])\.|\.[ \t]*+[\w+-]*+[ \t]*+(?=\.)")
MOST_KEY_DOTS = 10_000


def parse_toml(data: bytes, name: str) -> Kernel:
    """A kernel from the bytes of a TOML file. Raises ValueError or KernelError when it is none."""
    if not data.strip():
        raise ValueError("is empty; a kernel file needs at least weights = [[…], …]")
    return from_table(table_of(data), name)


def table_of(data: bytes) -> dict[str, Any]:
    """The table in the bytes of a TOML file that may be anybody's. Raises ValueError when it is none."""
    if len(KEY_DOT.findall(data)) > MOST_KEY_DOTS:
        raise ValueError("is not TOML that can be read: too many dotted keys")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except ValueError as problem:  # also text that is not Unicode, and a whole number of 5000 digits
        raise ValueError(f"is not TOML: {problem}") from None
    except RecursionError:
        raise ValueError("is not TOML that can be read: nested too deeply") from None


def parse_json(text: str, name: str) -> Kernel:
    """A kernel from the text of a JSON file: an object with the keys of a TOML file, or the weights alone.

    Raises ValueError or KernelError when it is none.
    """
    from json import loads

    if not text.strip():
        raise ValueError('is empty; a kernel file needs at least {"weights": [[…], …]}')
    try:
        table = loads(text, object_pairs_hook=_once)
    except ValueError as problem:
        raise ValueError(f"is not JSON: {problem}") from None
    except RecursionError:
        raise ValueError("is not JSON that can be read: nested too deeply") from None
    if isinstance(table, list):
        table = {"weights": table}
    if not isinstance(table, dict):
        raise ValueError("holds no JSON object with weights")
    return from_table({k: v for k, v in table.items() if v is not None and k not in DERIVED}, name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's pairs; a key that comes twice is refused, as TOML does."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key comes twice")
    return table


def from_table(table: dict[str, Any], name: str) -> Kernel:
    """A kernel from the keys of a TOML or JSON file."""
    for key in table:
        if key not in KEYS:
            near = nearest(key, KEYS)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ValueError(f"{key[:40]!r} is not a key of a kernel file{hint}")
    if "weights" not in table:
        raise ValueError("has no weights; write weights = [[0, -1, 0], [-1, 5, -1], [0, -1, 0]]")
    rows = table["weights"]
    if not (isinstance(rows, list) and rows and all(isinstance(row, list) and row for row in rows)):
        raise ValueError("weights must be rows of numbers: [[…], …]")
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise ValueError(f"weights: row {number} has {len(row)} numbers, row 1 has {len(rows[0])}")
    fields: dict[str, Any] = {
        "weights": [_numbers(row, f"weights, row {number}", 3) for number, row in enumerate(rows, 1)]
    }
    for key in ("scale", "offset"):
        if key in table:
            fields[key] = _numbers(table[key], key, 0)
    for key in ("about", "border", "like", "source", "title"):
        if key in table:
            if not isinstance(table[key], str):
                raise ValueError(f"{key} must be text")
            if re.search("[\ud800-\udfff]", table[key]):  # JSON can spell what cannot be written to a file
                raise ValueError(f"{key} holds half a character (a lone surrogate)")
            fields[key] = table[key]
    if "anchor" in table:
        anchor = table["anchor"]
        if not (isinstance(anchor, list) and len(anchor) == 2 and all(type(a) is int for a in anchor)):
            raise ValueError("anchor must be [row, column]")
        fields["anchor"] = (anchor[0], anchor[1])
    if "blur" in table:
        fields["blur"] = _blur(table["blur"])
    return Kernel(name=name, **fields)


def _blur(value: Any) -> Blur:
    """How Pillow blurs, as `Blur.numbers` has it."""
    numbers = _numbers(value, "blur", 1)
    if not isinstance(numbers, list) or len(numbers) not in (3, 5):
        raise ValueError("blur must be [x, y, passes], or to sharpen [x, y, passes, percent, threshold]")
    x, y, *whole = numbers
    percent, threshold = whole[1:] or (0.0, 0.0)
    if any(number != int(number) for number in whole) or whole[0] not in (1, 3):
        raise ValueError("blur: passes are 1 or 3, percent and threshold whole numbers")
    if min(numbers) < 0 or max(x, y) > LARGEST_SIDE or percent > MOST_PERCENT or threshold > MOST_THRESHOLD:
        most = f"{LARGEST_SIDE} px, {MOST_PERCENT} percent and a threshold of {MOST_THRESHOLD}"
        raise ValueError(f"blur takes numbers from 0 up, to {most}")
    return Blur(x, y, int(whole[0]), int(percent) if whole[1:] else None, int(threshold))


def _numbers(value: Any, where: str, depth: int) -> Any:
    """A finite number, or lists of them: at most `depth` in each other."""
    if isinstance(value, list) and depth:
        return [_numbers(x, where, depth - 1) for x in value]
    if type(value) not in (int, float):
        shown = f"{value!r} is" if isinstance(value, str | bool) else "holds what is"
        raise ValueError(f"{where}: {shown[:40]} not a number")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf
    if not np.isfinite(number):
        raise ValueError(f"{where}: too large, or not a finite number")
    return number
