"""A page of its own, without network, that shows what was done to pictures: for `--report`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.kernels.shown import SIDE_SHOWN, WAVES, facts, planes, response

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel

MOST_KERNELS = 8
SCRIPTS = ("sums.js", "page.js")


def page(title: str, about: str, kernels: Sequence[Kernel], sections: Sequence[dict[str, Any]]) -> bytes:
    """The page as HTML: kernels and a section for each picture; `about` stands below the title.

    A section is what `section.section` gives, and "title", "facts" (names and texts), "times" (names and seconds);
    or "title" and "error".
    """
    shown = [_kernel(kernel) for kernel in kernels[:MOST_KERNELS]]
    data = {"title": title, "about": about, "kernels": shown, "left_out": len(kernels) - len(shown)}
    text = json.dumps(data | {"sections": list(sections)}, separators=(",", ":"), allow_nan=False)
    whole, *scripts = ((files("imgconv.page") / name).read_text("utf-8") for name in ("page.html", *SCRIPTS))
    inlined = {"title": escape(title), **dict(zip(SCRIPTS, scripts, strict=True)), "data": text.replace("<", "\\u003c")}
    for name, value in inlined.items():
        whole = whole.replace(f"<!--{name}-->", value)
    return whole.encode("utf-8", "replace")


def _kernel(kernel: Kernel) -> dict[str, Any]:
    """A kernel's numbers, and what it does to waves."""
    first = planes(kernel)[0]
    waves = response(first, WAVES)
    return {
        "name": kernel.name,
        "title": kernel.title or kernel.name,
        "about": kernel.about,
        "weights": kernel.weights.tolist() if kernel.weights.ndim == 2 and max(kernel.shape) <= SIDE_SHOWN else None,
        "first": None if max(kernel.shape) > SIDE_SHOWN or kernel.weights.ndim == 2 else first.tolist(),
        "facts": list(facts(kernel).items()),
        "response": np.round(waves, 5).tolist(),
    }
