"""A contact sheet: what each of several kernels makes of one's own picture."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from imgconv.arrayfile import Array, parse_number
from imgconv.errors import ImgconvError, UsageError
from imgconv.formats.picture import Picture
from imgconv.formats.preview import as_bytes, shown_range, webp
from imgconv.kernels.catalogue import names
from imgconv.kernels.family import RANGE
from imgconv.kernels.spec import kernels
from imgconv.recipe.options import Options
from imgconv.recipe.recipe import Recipe

MOST = 400  # pictures on a sheet
LARGEST = 2000  # pixels on a side of each
STEPS = 8  # of a range that does not say how many


class Cell(NamedTuple):
    """A picture on a sheet, 8 bits and Pillow's mode; or why there is none."""

    label: str
    about: str
    array: Array
    mode: str
    error: str = ""


def spread(specs: Sequence[str]) -> list[str]:
    """Kernels as -k takes them, a formula with a range as several: "gaussian:sigma=1..8/8" is sigma=1, 2, … 8.

    Without a number of steps whole numbers go by one, others in 8 steps. No specs are all of the catalogue.

    Raises UsageError when they are too many for a sheet.
    """
    found = [spec for given in specs or names() for spec in _steps(given)]
    if len(found) > MOST:
        raise UsageError(f"{len(found)} kernels are more than the {MOST} that a sheet has room for")
    return found


def _steps(spec: str) -> Iterator[str]:
    low_high = RANGE.search(spec)
    if not low_high or ":" not in spec:
        yield spec
        return
    try:
        low, high = map(parse_number, low_high.groups())
    except ValueError as problem:
        raise UsageError(f"{spec}: {problem}") from None
    rest = spec[low_high.end() :]
    count, slash = rest.partition(",")[0], rest.startswith("/")
    if slash and not (count[1:].isascii() and count[1:].isdigit() and 0 < int(count[1:]) <= MOST):
        raise UsageError(f"{spec}: a range is LOW..HIGH or LOW..HIGH/STEPS, with 1 to {MOST} steps")
    whole = low == int(low) and high == int(high) and abs(high - low) < MOST
    steps = int(count[1:]) if slash else int(abs(high - low)) + 1 if whole else STEPS
    for value in np.linspace(low, high, steps):
        yield from _steps(f"{spec[: low_high.start()]}{value:.6g}{rest[len(count) if slash else 0 :]}")


def cells(small: Picture, specs: Sequence[str], options: Options) -> Iterator[Cell]:
    """The picture, then what each kernel makes of it. Raises KernelError for a kernel that there is not."""
    made = [(spec, kernels(spec)) for spec in specs]
    yield Cell("the picture", "", small.array, small.mode)
    for spec, chain in made:
        about = chain[0].about
        try:
            array, mode, _ = Recipe(tuple(chain), options).apply(small.array, small.mode)
        except ImgconvError as problem:
            yield Cell(spec, about, small.array, small.mode, str(problem))
        else:
            yield Cell(spec, about, as_bytes(array, *shown_range(array)), mode)


def page(title: str, shown: Sequence[Cell], side: int) -> bytes:
    """The sheet as a page of its own, without network."""
    figures = "".join(
        f'<figure><img src="data:image/webp;base64,{b64encode(webp(cell.array, cell.mode, LARGEST)).decode()}"'
        f' alt="{escape(cell.label)}"><figcaption><code>{escape(cell.label)}</code> {escape(cell.about)}</figcaption>'
        "</figure>\n"
        for cell in shown
    )
    template = (files("imgconv") / "sheet.html").read_text("utf-8")
    for name, value in (("title", escape(title)), ("width", str(side)), ("figures", figures)):
        template = template.replace(f"<!--{name}-->", value)
    return template.encode("utf-8", "replace")
