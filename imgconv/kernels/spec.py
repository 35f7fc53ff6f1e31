"""From what a user writes after -k to a Kernel."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imgconv.arrayfile import short
from imgconv.errors import KernelError
from imgconv.kernels.catalogue import canonical, named, names, near
from imgconv.kernels.files import ENDINGS, parse_text, read_kernels
from imgconv.kernels.value import Kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    KernelLike = str | os.PathLike[str] | Kernel | npt.ArrayLike
    KernelsLike = KernelLike | list[Any] | tuple[Any, ...]  # a chain; Any, since mypy joins mixed lists to objects

# how a kernel begins that is written in place, by the format that it is written in
IN_PLACE = {
    "imagemagick": r"\d[\dx+\-@<>]*\s*:",  # 3x3: …, 3x3+0+2: …, 3x3@: …
    "ffmpeg": r"(convolution|[0-3]m)\s*=",  # 0m=… or convolution=…
    "gmic": r"\(",  # (0,1,0;1,-4,1;0,1,0)
    "matrix": r".*;|[-+]?\.?\d[\d.eE+-]*(/\d+)?([\s,].*)?$",  # 0 -1 0; 1/9, 1/9; .5
}


def kernel(spec: KernelLike) -> Kernel:
    """The kernel that `spec` means.

    Parameters
    ----------
    spec : str, path, Kernel or array_like
        A name from the catalogue ("edge_enhance"), a formula ("gaussian:sigma=2.5", "gaussian:2.5" for its first
        parameter, "gaussian" for its defaults), a file (anything with a path separator or an ending such as .toml,
        .json, .npy, .txt, .csv, .mat), a matrix in place ("0 -1 0; -1 5 -1; 0 -1 0"), what ImageMagick, ffmpeg or
        G'MIC have for one ("3x3: 0,-1,0 -1,5,-1 0,-1,0"), weights as nested lists or an ndarray of shape
        (rows, columns[, channels]), or a Kernel, which is returned as it is.

    Returns
    -------
    Kernel

    Raises
    ------
    KernelError
        When there is no such kernel, it cannot be read, or there are several, as in "3x3>: …".

    Examples
    --------
    >>> kernel("0 -1 0; -1 5 -1; 0 -1 0").weights.sum()
    np.float64(1.0)
    """
    first, *more = kernels(spec)
    if more:
        count = f"gives {1 + len(more)} kernels, and one is wanted here"
        raise KernelError(f"{short(str(spec))}: {count}; -k takes them as several")
    return first


def kernels(spec: KernelLike, data: bytes | None = None) -> list[Kernel]:
    """All kernels that `spec` means: one, or those of an ImageMagick string such as "3x3@: …" or "3x1: …; 1x3: …".

    A file is not read again where `data` is what it holds. Raises KernelError when there is no such kernel or it
    cannot be read.
    """
    if isinstance(spec, Kernel):
        return [spec]
    if isinstance(spec, os.PathLike):
        return read_kernels(Path(spec))
    if not isinstance(spec, str):
        weights: Any = spec
        with suppress(ValueError):  # of rows that are not equally long, as the kernel says
            weights = np.atleast_2d(spec)
        return [Kernel(weights, name="array")]
    text = spec.strip()
    if not text:
        raise KernelError("the kernel is empty; give a name, a file or a matrix")
    if text.isidentifier():  # a name, which no other way of writing a kernel looks like
        return [_named(text)]
    is_file = text.lower().endswith(ENDINGS)
    form = next((form for form, start in IN_PLACE.items() if re.match(start, text, re.DOTALL)), None)
    if form and not is_file:
        try:
            return parse_text(text, form, "matrix")
        except ValueError as problem:
            raise KernelError(f"kernel {short(text)!r}: {problem}") from None
    if is_formula(text):
        from imgconv.kernels.formulas import formula

        return [formula(text)]
    if names_file(text):
        return read_kernels(Path(text), data)
    return [_named(text)]


def names_file(spec: str) -> bool:
    """Whether `kernels(spec)` reads a file."""
    text = spec.strip()
    if text.lower().endswith(ENDINGS):
        return True
    in_place = any(re.match(start, text, re.DOTALL) for start in IN_PLACE.values())
    return not in_place and not is_formula(text) and ("/" in text or os.sep in text)


def kernel_names() -> list[str]:
    """Every name that `imgconv.kernel` knows, sorted: those of the catalogue, and the formulas.

    Examples
    --------
    >>> [name for name in kernel_names() if "sharpen" in name or name == "gaussian"]
    ['gaussian', 'sharpen']
    """
    from imgconv.kernels.formulas import FORMULAS

    return sorted({*names(), *FORMULAS})


def is_formula(text: str) -> bool:
    """Whether it is written as a formula with parameters: a word of two letters or more (C: is a drive), a colon."""
    return re.match(r"\s*[A-Za-z][\w -]+:", text) is not None and not text.lower().strip().endswith(ENDINGS)


def formula_name(text: str) -> str | None:
    """The formula that `kernel(text)` computes, None where it is something else."""
    from imgconv.kernels.formulas import FORMULAS

    name = canonical(text.partition(":")[0])
    return name if name in FORMULAS and (is_formula(text) or name not in names()) else None


def _named(text: str) -> Kernel:
    """The named kernel or, where there is none of that name, the formula with its defaults."""
    try:
        return named(text)
    except KernelError:
        from imgconv.kernels.formulas import FORMULAS, formula

        name = canonical(text)
        if name in names():  # it is there, and broken
            raise
        if name in FORMULAS:
            return formula(text)
        raise KernelError(f"no kernel named {short(text)!r}; {near(name, {*names(), *FORMULAS})}") from None
