"""Kernel files: TOML as the catalogue has it, JSON, text, NumPy arrays, grey pictures, and other tools' texts."""

from __future__ import annotations

import difflib
import io
import json
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imgconv.arrayfile import npy_bytes, parse_npy, parse_text, read_bytes, text_bytes
from imgconv.conventions import LIKES
from imgconv.errors import KernelError
from imgconv.kernels import foreign
from imgconv.kernels.foreign import Anchor, Weights, high, low, plain
from imgconv.kernels.value import LARGEST_SIDE, Kernel

# every format by its name, with the endings of its files; the first is what is written
FORMATS = {
    "toml": (".toml",),
    "json": (".json",),
    "text": (".txt",),
    "csv": (".csv",),
    "npy": (".npy",),
    "vips": (".mat",),
    "imagemagick": (".kernel", ".im"),
    "ffmpeg": (".ffmpeg",),
    "gmic": (".gmic",),
    "png": (".png",),
    "pgm": (".pgm",),
}
ENDINGS = tuple(ending for endings in FORMATS.values() for ending in endings)
BINARY = ("npy", "png")
LARGEST_FILE = {"toml": 2**20, "npy": 128 * 2**20}  # bytes
LARGEST_OTHER = 4 * 2**20
# tomllib takes time by the square of a dotted key's length: 9 minutes for 1 MiB of "a.a.a.a…". A number's dot comes
# after a digit and has no other dot near; of a dotted key's, all but two are found.
KEY_DOT = re.compile(rb"(?<![0-9])\.|\.[ \t]*+[\w+-]*+[ \t]*+(?=\.)")
MOST_KEY_DOTS = 10_000
PGM_HEADER = 4096  # bytes, comments included
KEYS = ("about", "anchor", "border", "like", "offset", "scale", "source", "title", "weights")
DERIVED = ("name", "parameters", "separable", "sum", "symmetric")  # `kernels show --json` has them too

# what a format can hold beside the weights; all else is worked into the weights, or left out with a word
HOLDS = {
    "toml": KEYS,
    "json": KEYS,
    "vips": ("offset", "scale"),
    "imagemagick": ("anchor",),
    "ffmpeg": ("offset", "scale"),
}
OWN_BORDER = {"vips": "edge", "imagemagick": "edge", "gmic": "edge", "ffmpeg": "reflect"}
DEEPEST_GREY = 2**16 - 1


def format_of(path: Path) -> str:
    """The format that a file's ending tells.

    Raises
    ------
    KernelError
        When it tells none.
    """
    for form, endings in FORMATS.items():
        if path.suffix.lower() in endings:
            return form
    raise KernelError(f"{path}: not a kernel file; its name should end in {', '.join(ENDINGS)}")


def read_kernel(path: Path) -> Kernel:
    """The kernel in a file; its ending tells the format.

    Raises
    ------
    KernelError
        When the file cannot be read or holds no kernel, or several; the text names it and says what would be right.
    """
    return only(read_kernels(path), str(path))


def read_kernels(path: Path) -> list[Kernel]:
    """The kernels in a file: one, or those of an ImageMagick string.

    Raises
    ------
    KernelError
        As `read_kernel`, but for several.
    """
    form = format_of(path)
    data = read_bytes(path, LARGEST_FILE.get(form, LARGEST_OTHER), KernelError)
    try:
        return parse(data, form, path.stem)
    except ValueError as problem:
        raise KernelError(f"{path}: {problem}") from None
    except KernelError as problem:
        raise KernelError(f"{path}: {str(problem).removeprefix(f'{path.stem}: ')}") from None


def only(found: list[Kernel], spec: str) -> Kernel:
    """The one kernel of a list; raises KernelError when there are more."""
    if len(found) > 1:
        raise KernelError(f"{spec}: gives {len(found)} kernels, and one is wanted here; -k takes them as several")
    return found[0]


def parse(data: bytes, form: str, name: str) -> list[Kernel]:
    """The kernels in the bytes of a file.

    Parameters
    ----------
    data : bytes
    form : str
        A name in `FORMATS`.
    name : str
        What the kernel is to be called.

    Raises
    ------
    ValueError, KernelError
        When there is none.
    """
    if form == "toml":
        return [parse_toml(data, name)]
    if form in ("npy", "png", "pgm"):
        array = {"npy": parse_npy, "png": _parse_png, "pgm": _parse_pgm}[form](data)
        if array.ndim and (max(array.shape) > LARGEST_SIDE or array.size > LARGEST_SIDE**2):
            raise ValueError(f"is {'×'.join(map(str, array.shape))}, more than {LARGEST_SIDE} on a side")
        with np.errstate(all="ignore"):  # a wider float may become inf, which Kernel refuses
            weights = np.atleast_2d(array).astype(np.float64)
        if form == "npy":
            return [Kernel(weights, name=name)]
        if not weights.any():
            raise ValueError("is black all over; grey levels are weights, and their sum is the scale")
        return [Kernel(weights, scale=float(weights.sum()), name=name)]
    if form in ("text", "csv"):
        return [Kernel(parse_text(data), name=name)]
    text = _text(data)
    if form == "imagemagick":
        return foreign.parse_imagemagick(text, name)
    readers: dict[str, Callable[[str, str], Kernel]] = {
        "json": parse_json,
        "vips": foreign.parse_vips,
        "ffmpeg": foreign.parse_ffmpeg,
        "gmic": foreign.parse_gmic,
    }
    return [readers[form](text, name)]


def parse_toml(data: bytes, name: str) -> Kernel:
    """A kernel from the bytes of a TOML file.

    Raises
    ------
    ValueError, KernelError
        When it is no kernel.
    """
    if not data.strip():
        raise ValueError("is empty; a kernel file needs at least weights = [[…], …]")
    if len(KEY_DOT.findall(data)) > MOST_KEY_DOTS:
        raise ValueError("is not TOML that can be read: too many dotted keys")
    try:
        table = tomllib.loads(data.decode())
    except (UnicodeDecodeError, ValueError) as problem:  # ValueError: also a whole number of 5000 digits
        raise ValueError(f"is not TOML: {problem}") from None
    except RecursionError:
        raise ValueError("is not TOML that can be read: nested too deeply") from None
    return _from_table(table, name)


def parse_json(text: str, name: str) -> Kernel:
    """A kernel from the text of a JSON file: an object with the keys of a TOML file, or the weights alone.

    Raises
    ------
    ValueError, KernelError
        When it is no kernel.
    """
    if not text.strip():
        raise ValueError('is empty; a kernel file needs at least {"weights": [[…], …]}')
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except ValueError as problem:
        raise ValueError(f"is not JSON: {problem}") from None
    except RecursionError:
        raise ValueError("is not JSON that can be read: nested too deeply") from None
    if isinstance(found, list):
        found = {"weights": found}
    if not isinstance(found, dict):
        raise ValueError("holds no JSON object with weights")
    return _from_table({k: v for k, v in found.items() if v is not None and k not in DERIVED}, name)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's pairs; a key that comes twice is refused, as TOML does."""
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key comes twice")
    return table


def _from_table(table: dict[str, Any], name: str) -> Kernel:
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key[:40], KEYS, 1)
            raise ValueError(
                f"{key[:40]!r} is not a key of a kernel file" + (f"; did you mean {near[0]!r}?" if near else "")
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
            if not _is_unicode(table[key]):
                raise ValueError(f"{key} holds half a character (a lone surrogate)")
            fields[key] = table[key]
    if "anchor" in table:
        anchor = table["anchor"]
        if not (isinstance(anchor, list) and len(anchor) == 2 and all(type(a) is int for a in anchor)):
            raise ValueError("anchor must be [row, column]")
        fields["anchor"] = (anchor[0], anchor[1])
    return Kernel(name=name, **fields)


def _is_unicode(text: str) -> bool:
    """Whether it can be written to a file; JSON can spell what cannot."""
    return not re.search("[\ud800-\udfff]", text)


def _rows(value: Any) -> list[Any]:
    """Rows of numbers, or of equally nested lists of numbers: the channels of a kernel with 3 or 4 levels."""
    if not (isinstance(value, list) and value and all(isinstance(row, list) and row for row in value)):
        raise ValueError("weights must be rows of numbers: [[…], …]")
    for number, row in enumerate(value, 1):
        if len(row) != len(value[0]):
            raise ValueError(f"weights: row {number} has {len(row)} numbers, row 1 has {len(value[0])}")
    return [[_cell(x, f"weights, row {n}", 2) for x in row] for n, row in enumerate(value, 1)]


def _cell(value: Any, where: str, depth: int) -> Any:
    if isinstance(value, list) and depth < 4:
        return [_cell(x, where, depth + 1) for x in value]
    return _number(value, where)


def _number(value: Any, where: str) -> float:
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


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not text") from None


def _parse_png(data: bytes) -> npt.NDArray[Any]:
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


def _parse_pgm(data: bytes) -> npt.NDArray[Any]:
    """The grey levels of a PGM picture as they stand; Pillow would stretch them to 255 or 65535 and round."""
    if data[:2] in (b"P3", b"P6", b"P7"):
        raise ValueError("has colours; a kernel is a plain grey picture")
    header = re.match(rb"P([25])" + rb"(?:\s|#[^\n]*\n)+([0-9]{1,9})" * 3 + rb"\s", data[:PGM_HEADER])
    if header is None:
        raise ValueError("is no PGM picture")
    columns, rows, top = (int(number) for number in header.groups()[1:])
    if not (1 <= columns <= LARGEST_SIDE and 1 <= rows <= LARGEST_SIDE):
        raise ValueError(f"is {rows}×{columns}; sizes are 1 to {LARGEST_SIDE}")
    if not 1 <= top <= DEEPEST_GREY:
        raise ValueError(f"has {top} as its largest level; it should be 1 to {DEEPEST_GREY}")
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
        anchor = high(weights.shape)
    if "anchor" not in holds:
        middle = high if form == "vips" else low
        weights, moved = _centred(weights, anchor or low(weights.shape), middle)
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
    limit = LARGEST_FILE.get(form, LARGEST_OTHER)
    if len(data) > limit:
        raise KernelError(f"{form} would take {len(data):,} bytes, more than the {limit:,} that are read; write npy")
    return data


def toml_text(kernel: Kernel) -> str:
    """A kernel as the text of a TOML file that reads back to the same value."""
    if kernel.weights.ndim == 2:
        cells = [[plain(x) for x in row] for row in kernel.weights]
    else:
        cells = [[_nested(x) for x in row] for row in kernel.weights.tolist()]
    width = max(len(cell) for row in cells for cell in row)
    rows = "".join(f"    [{', '.join(cell.rjust(width) for cell in row)}],\n" for row in cells)
    lines = [f"weights = [\n{rows}]\n"]
    if kernel.about:
        lines.insert(0, f"about   = {_quoted(kernel.about)}\n")
    if kernel.title:
        lines.insert(0, f"title   = {_quoted(kernel.title)}\n")
    if kernel.scale != 1:
        lines.append(f"scale   = {plain(kernel.scale)}\n")
    if kernel.offset != 0:
        lines.append(f"offset  = {plain(kernel.offset)}\n")
    if kernel.anchor is not None:
        lines.append(f"anchor  = [{kernel.anchor[0]}, {kernel.anchor[1]}]\n")
    for key in ("border", "like", "source"):
        if value := getattr(kernel, key):
            lines.append(f"{key:7} = {_quoted(value)}\n")
    return "".join(lines)


def json_text(kernel: Kernel) -> str:
    """A kernel as the text of a JSON file that reads back to the same value; a row of weights on a line."""
    fields: dict[str, str] = {}
    for key in ("title", "about"):
        if value := getattr(kernel, key):
            fields[key] = json.dumps(value)
    rows = ",\n    ".join(_nested(row) for row in kernel.weights.tolist())
    fields["weights"] = f"[\n    {rows}\n  ]"
    for key, usual in (("scale", 1), ("offset", 0)):
        if getattr(kernel, key) != usual:
            fields[key] = plain(getattr(kernel, key))
    if kernel.anchor is not None:
        fields["anchor"] = f"[{kernel.anchor[0]}, {kernel.anchor[1]}]"
    for key in ("border", "like", "source"):
        if value := getattr(kernel, key):
            fields[key] = json.dumps(value)
    return "{\n" + ",\n".join(f'  "{key}": {text}' for key, text in fields.items()) + "\n}\n"


def _nested(value: Any) -> str:
    """Lists of lists of numbers, as TOML and JSON both write them."""
    return f"[{', '.join(map(_nested, value))}]" if isinstance(value, list) else plain(value)


def _quoted(text: str) -> str:
    escaped = re.sub(r'[\x00-\x1f\x7f"\\]', lambda match: f"\\u{ord(match[0]):04X}", text)
    return f'"{escaped}"'
