"""Kernels computed from a formula: the table of them, and the grammar of "gaussian:sigma=2,radius=6".

A formula is a plain function. Its signature gives the keys and their defaults, its docstring what people read.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal, get_args, get_origin

from imgconv.arrayfile import parse_number
from imgconv.errors import KernelError
from imgconv.kernels import derivatives, smoothing
from imgconv.kernels.value import Kernel

FORMULAS: dict[str, Callable[..., Kernel]] = {
    function.__name__: function
    for function in (
        smoothing.identity,
        smoothing.shift,
        smoothing.box,
        smoothing.disk,
        smoothing.gaussian,
        smoothing.binomial,
        smoothing.motion,
        smoothing.unsharp,
        smoothing.sharpen,
        smoothing.emboss,
        derivatives.laplacian,
        derivatives.log,
        derivatives.dog,
        derivatives.gradient,
        derivatives.ridge,
        derivatives.gabor,
        derivatives.derivative,
        derivatives.sobel,
        derivatives.prewitt,
        derivatives.scharr,
        derivatives.kirsch,
        derivatives.robinson,
        derivatives.freichen,
        derivatives.roberts,
    )
}
# filters that many tools have, and no weighted sum can be
UNWEIGHTED = (
    "median", "mode", "rank", "percentile", "minimum", "maximum", "min", "max", "erode", "dilate", "opening", "closing",
    "bilateral", "nlmeans",
)  # fmt: skip
SYNONYMS = {"lambda": "wavelength"}  # a key that Python does not take as a name


def canonical(name: str) -> str:
    """A name or key as the tables have it: lower case, dashes and blanks as underscores."""
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def formula(text: str) -> Kernel:
    """The kernel that "name:value,key=value" means; "name" alone takes every default.

    Raises
    ------
    KernelError
        When there is no such formula or key, or a value is out of range; one line that says what would be right.
    """
    head, _, tail = text.partition(":")
    name = canonical(head)
    if name not in FORMULAS:
        from imgconv.kernels.catalogue import names

        if name in names():
            raise KernelError(
                f"{name} is a kernel without parameters: -k {name}; with parameters there are {', '.join(FORMULAS)}"
            )
        raise KernelError(f"no formula named {short(head.strip())!r}; {near(name, FORMULAS)}")
    try:
        given = _arguments(name, tail)
        made = FORMULAS[name](**given)
    except KernelError as problem:
        raise KernelError(f"{name}: {problem}") from None
    # what stands in a file's name: gaussian_sigma2.5, sobel_ne; a word tells its key by itself
    parts = [word if isinstance(word, str) else f"{key}{word:.12g}" for key, word in given.items()]
    about, _, sections = explain(name)
    title = f"{name}:{','.join(f'{key}={_plain(value)}' for key, value in given.items())}" if given else name
    return replace(made, name="_".join([name, *parts]), title=title, about=about, source=sections["References"])


def parameters(name: str) -> dict[str, Any]:
    """The keys of a formula in order, with their defaults; None is a default that depends on others."""
    return {key: parameter.default for key, parameter in inspect.signature(FORMULAS[name]).parameters.items()}


def explain(name: str) -> tuple[str, list[str], dict[str, str]]:
    """A formula's docstring: its first line, the lines of its definition, and its sections by their heading."""
    about, *rest = inspect.cleandoc(FORMULAS[name].__doc__ or "").split("\n\n")
    definition: list[str] = []
    sections: dict[str, str] = {}
    for paragraph in rest:
        heading, *lines = paragraph.split("\n")
        if lines and set(lines[0]) == {"-"}:
            sections[heading] = "\n".join(lines[1:]) if heading == "Parameters" else " ".join(lines[1:])
        else:
            definition += paragraph.split("\n")
    return about, definition, sections


def near(wanted: str, names: Iterable[str]) -> str:
    """A hint for a name that is misspelt, or no kernel's."""
    if wanted in UNWEIGHTED:
        return "no weighted sum of pixels does that, so it is no convolution; gaussian, for one, smooths with weights"
    found = difflib.get_close_matches(wanted, sorted(names), 3, 0.5)
    return f"did you mean {' or '.join(found)}?" if found else "imgconv kernels lists them"


def short(text: str) -> str:
    """What a user wrote, cut to what fits into a message."""
    return text if len(text) <= 40 else text[:37] + "…"


def _arguments(name: str, text: str) -> dict[str, Any]:
    """Values by key, in the order of the signature."""
    known = inspect.signature(FORMULAS[name], eval_str=True).parameters
    given: dict[str, Any] = {}
    for place, word in enumerate(text.split(",") if text.strip() else []):
        left, equals, value = word.partition("=")
        key = canonical(left)
        key = SYNONYMS.get(key, key)
        if not equals and known:
            first = next(iter(known))
            if place:
                raise KernelError(f"{short(word.strip())!r} has no key; only {first}, the first, may do without")
            key, value = first, word
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            close = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {close[0]}? " if close else ""
            raise KernelError(f"no parameter {short(left.strip())!r}; {hint}{takes}")
        if key in given:
            raise KernelError(f"{key} is given twice")
        given[key] = _value(key, value.strip(), known[key].annotation)
    return {key: given[key] for key in known if key in given}


def _value(key: str, text: str, annotation: Any) -> Any:
    """A value of the type that the signature asks for."""
    kinds = get_args(annotation)
    kind = kinds[0] if type(None) in kinds else annotation
    if get_origin(kind) is Literal:
        if text.lower() not in get_args(kind):
            raise KernelError(f"{key}={short(text)!r} is not one of {', '.join(get_args(kind))}")
        return text.lower()
    wanted = "a whole number" if kind is int else "a number"
    try:
        number = parse_number(text)
    except ValueError:
        number = None
    if number is None or (kind is int and number != int(number)):
        raise KernelError(f"{key}={short(text)!r} is not {wanted}; write {key}=3" if text else f"{key}= needs {wanted}")
    return int(number) if kind is int else number


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else repr(value).removesuffix(".0")
