"""The named kernels: one TOML file each, in the top-level folder kernels/, which a wheel carries as `named`."""

from __future__ import annotations

import os
from collections.abc import Iterable

from imgconv.errors import KernelError
from imgconv.kernels import folder
from imgconv.kernels.table import parse_toml
from imgconv.kernels.value import Kernel

# filters that many tools have, and no weighted sum can be
UNWEIGHTED = (
    "median", "mode", "rank", "percentile", "minimum", "maximum", "min", "max", "erode", "dilate", "opening", "closing",
    "bilateral", "nlmeans",
)  # fmt: skip


def names() -> list[str]:
    """Every name, sorted."""
    return sorted(path.stem for path in folder().glob("*.toml"))


def named(name: str) -> Kernel:
    """The kernel of that name; dashes, blanks and capitals are forgiven. Raises KernelError when there is none."""
    wanted = canonical(name)
    path = folder() / f"{wanted}.toml"
    if not wanted.replace("_", "").isalnum() or not wanted.isascii() or not os.path.isfile(path):
        raise KernelError(f"no kernel named {name!r}; {near(wanted, names())}")
    return parse_toml(path.read_bytes(), name=wanted)


def canonical(name: str) -> str:
    """A name or key as the tables have it: lower case, dashes and blanks as underscores."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def near(wanted: str, known: Iterable[str]) -> str:
    """A hint for a name that is misspelt, or no kernel's."""
    from difflib import get_close_matches

    if wanted in UNWEIGHTED:
        return "no weighted sum of pixels does that, so it is no convolution; gaussian, for one, smooths with weights"
    close = get_close_matches(wanted, sorted(known), 3, 0.5)
    return f"did you mean {' or '.join(close)}?" if close else "imgconv kernels lists them"
