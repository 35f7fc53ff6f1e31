"""Kernels as TOML and JSON, which hold all of them, and other values as TOML."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from imgconv.arrayfile import number_text

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel

ORDER = ("title", "about", "weights", "scale", "offset", "anchor", "border", "like", "blur", "source")


def toml_text(kernel: Kernel) -> str:
    """A kernel as the text of a TOML file that reads back to the same value."""
    cells = [[_nested(x) for x in row] for row in kernel.weights.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    rows = "".join(f"    [{', '.join(cell.rjust(width) for cell in row)}],\n" for row in cells)
    return "".join(f"{key:7} = {text}\n" for key, text in _fields(kernel, f"[\n{rows}]", _quoted).items())


def toml_tables(kernels: Iterable[Kernel]) -> str:
    """Kernels as a recipe has them."""
    return "".join(f"\n[[kernel]]\nname    = {toml_value(kernel.name)}\n{toml_text(kernel)}" for kernel in kernels)


def plain_tables(kernels: Iterable[Kernel]) -> str:
    """The same without what is for people."""
    return toml_tables(replace(kernel, about="", title="", source="") for kernel in kernels)


def json_text(kernel: Kernel) -> str:
    """A kernel as the text of a JSON file that reads back to the same value; a row of weights on a line."""
    rows = ",\n    ".join(_nested(row) for row in kernel.weights.tolist())
    texts = _fields(kernel, f"[\n    {rows}\n  ]", json.dumps)
    return "{\n" + ",\n".join(f'  "{key}": {text}' for key, text in texts.items()) + "\n}\n"


def _fields(kernel: Kernel, weights: str, quoted: Callable[[str], str]) -> dict[str, str]:
    """What TOML and JSON both say of a kernel, key by key; what goes without saying is left out."""
    texts, defaults = {}, {field.name: field.default for field in fields(kernel)}
    for key in ORDER:
        value = getattr(kernel, key)
        if key == "weights":
            texts[key] = weights
        elif value != defaults[key] and not (key == "blur" and value.lacks):
            value = value.numbers if key == "blur" else value
            texts[key] = quoted(value) if isinstance(value, str) else _nested(value)
    return texts


def _nested(value: Any) -> str:
    """Lists of lists of numbers, as TOML and JSON both write them."""
    return f"[{', '.join(map(_nested, value))}]" if isinstance(value, list | tuple) else number_text(value)


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f\x7f"\\]', lambda match: f"\\u{ord(match[0]):04X}", text)
    return f'"{escaped}"'


def toml_value(value: Any) -> str:
    """A value as TOML has it: text, a truth, a number, or lists and tables of those."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {toml_value(inner)}' for key, inner in value.items())}}}"
    return f"[{', '.join(map(toml_value, value))}]" if isinstance(value, list | tuple) else number_text(value)
