"""Kernels computed from a formula: the table of them, and the grammar of "gaussian:sigma=2,radius=6".

A formula is a function in `smoothing` or `derivatives` that returns a Kernel. Its signature gives the parameters, their
types, ranges and defaults; its docstring what people read: what it is, the definition, and the source.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import groupby
from types import NoneType
from typing import Any, NamedTuple, get_args

from imgconv.arrayfile import parse_number, short
from imgconv.errors import KernelError, nearest
from imgconv.kernels import derivatives, smoothing
from imgconv.kernels.catalogue import canonical, names, near
from imgconv.kernels.value import Kernel

FORMULAS: dict[str, Callable[..., Kernel]] = {
    name: function
    for module in (smoothing, derivatives)
    for name, function in vars(module).items()
    if inspect.isfunction(function) and function.__annotations__.get("return") == "Kernel"
}
SYNONYMS = {"lambda": "wavelength"}  # a key that Python does not take as a name


class Parameter(NamedTuple):
    """A parameter of a formula."""

    kind: Any  # float, int or a tuple of words
    default: Any  # None: it depends on others
    doc: smoothing.Doc


@cache
def parameters_of(name: str) -> dict[str, Parameter]:
    """The parameters of a formula by their keys, in order."""
    declared = {}
    for key, parameter in inspect.signature(FORMULAS[name], eval_str=True).parameters.items():
        kind, doc = get_args(parameter.annotation)
        if NoneType in get_args(kind):
            kind = get_args(kind)[0]
        declared[key] = Parameter(get_args(kind) or kind, parameter.default, doc)
    return declared


def parameters(name: str) -> dict[str, Any]:
    """The keys of a formula in order, with their defaults; None is a default that depends on others."""
    return {key: parameter.default for key, parameter in parameters_of(name).items()}


def explain(name: str) -> tuple[str, list[str], dict[str, str]]:
    """A formula's docstring: its first line, the lines of its definition, and its sections by their heading."""
    text = inspect.cleandoc(FORMULAS[name].__doc__ or "") or "\n\n"  # python -OO leaves nothing of it
    about, *definition, source = text.split("\n\n")
    entries = groupby(parameters_of(name).items(), lambda entry: entry[1].doc)
    sections = {
        "Parameters": "\n".join(f"{', '.join(key for key, _ in alike)}\n    {doc}" for doc, alike in entries),
        "References": source.removeprefix("Source: ").replace("\n", " "),
    }
    return about, "\n".join(definition).splitlines(), sections


def formula(text: str) -> Kernel:
    """The kernel that "name:value,key=value" means; "name" alone takes every default.

    Raises KernelError when there is no such formula or key, or a value is out of range.
    """
    head, _, tail = text.partition(":")
    name = canonical(head)
    if name not in FORMULAS:
        if name in names():
            raise KernelError(
                f"{name} is a kernel without parameters: -k {name}; with parameters there are {', '.join(FORMULAS)}"
            )
        raise KernelError(f"no formula named {short(head.strip())!r}; {near(name, FORMULAS)}")
    try:
        given = _arguments(parameters_of(name), tail)
        made = FORMULAS[name](**given)
    except KernelError as problem:
        raise KernelError(f"{name}: {problem}") from None
    # what stands in a file's name: gaussian_sigma2.5, sobel_ne; a word tells its key by itself
    parts = [word if isinstance(word, str) else f"{key}{word:.12g}" for key, word in given.items()]
    title = ",".join(f"{key}={str(value).removesuffix('.0')}" for key, value in given.items())
    about, _, sections = explain(name)
    title, source = f"{name}:{title}" if given else name, sections["References"]
    return replace(made, name="_".join([name, *parts]), title=title, about=about, source=source)


def key_and_value(word: str, known: Iterable[str]) -> tuple[str, str]:
    """The two sides of "key=value"; a value alone is that of the first parameter."""
    left, equals, value = word.partition("=")
    first = next(iter(known), None)
    if not equals and first:
        return first, word
    return SYNONYMS.get(canonical(left), canonical(left)), value


def _arguments(known: dict[str, Parameter], text: str) -> dict[str, Any]:
    """The values that are written, in the order of the signature."""
    given: dict[str, Any] = {}
    for place, word in enumerate(text.split(",") if text.strip() else []):
        key, value = key_and_value(word, known)
        if place and known and "=" not in word:
            raise KernelError(f"{short(word.strip())!r} has no key; only {key}, the first, may do without")
        if key not in known:
            hint = f"did you mean {close}? " if (close := nearest(key, known)) else ""
            wrong = short(word.partition("=")[0].strip())
            raise KernelError(f"no parameter {wrong!r}; {hint}it takes {', '.join(known) or 'none'}")
        if key in given:
            raise KernelError(f"{key} is given twice")
        given[key] = _value(key, value.strip(), known[key].kind)
    given = {key: given[key] for key in known if key in given}
    for key in given:
        if (other := known[key].doc.instead_of) in given:
            raise KernelError(f"{other} and {key} contradict each other; give one of them")
    for key, value in given.items():
        if not isinstance(value, str):
            smoothing.check_range(known[key].doc.lowest, known[key].doc.highest, **{key: value})
    return given


def _value(key: str, text: str, kind: Any) -> float | str:
    if isinstance(kind, tuple):
        if text.lower() not in kind:
            raise KernelError(f"{key}={short(text)!r} is not one of {', '.join(kind)}")
        return text.lower()
    try:
        number = parse_number(text)
        value: float = kind(number)
        if value != number:
            raise ValueError
        return value
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        said = f"{short(text)!r} is not {wanted}; write {key}=3" if text else f" needs {wanted}"
        raise KernelError(f"{key}={said}") from None
