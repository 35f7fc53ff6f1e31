"""A recipe by the words for its kernels, whose settled steps are kept beside the compiled code.

A picture of a kind that was met before is filtered by what is kept: without NumPy, without reading a kernel, without
planning, which together take longer than a small picture itself.
"""

from __future__ import annotations

import os
import sys
from dataclasses import fields, replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgconv.arrayfile import Array
from imgconv.engine.band import Variant
from imgconv.engine.correlation import Correlation, Plan
from imgconv.kernels import folder
from imgconv.memory import Samples, SampleType, contiguous, with_padding, without_padding
from imgconv.native import kept
from imgconv.native.cpu import cpu
from imgconv.native.kept import clock
from imgconv.recipe.chained import About, Chained, Report, View, report_of
from imgconv.recipe.layout import Layout, letters_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgconv.formats.picture import Frame
    from imgconv.recipe.options import Options
    from imgconv.recipe.recipe import Recipe
    from imgconv.recipe.steps import Step

FORMAT = 1
LARGEST_FILE = 2**20  # bytes of a kernel
PLAIN = (str, int, float, bool, type(None))  # options that can be told from each other by what is written for them


class SpelledRecipe:
    """What `Recipe` is, made of the words that `kernels.spec.kernels` takes; the recipe itself is made when needed.

    Raises KernelError and UsageError as that does.
    """

    def __init__(self, words: tuple[str, ...], options: Options) -> None:
        self.words, self.options = words, options
        self._key = _key(words, options)
        # name and number of the kernels, and digests of their files; their text; by the kind of a picture, the plans of
        # the only step, if that is all
        self._kept: dict[Any, Any] = (kept.value(self._key) if self._key else None) or {}
        self._plans: dict[Any, tuple[Plan, ...]] = {}
        # what the files hold, of which the kernels are made, whatever becomes of the files meanwhile
        self._files = {word: _content(word) for word in self._kept.get("files", ())}
        if not self._kept or self._digests() != self._kept["files"]:
            from imgconv.kernels.spec import names_file

            self._files = {word: _content(word) for word in words if self._key and names_file(word)}
            if None in self._files.values():
                self._key = None
            self._kept = {"name": self.made.name, "kernels": len(self.made.kernels), "files": self._digests()}

    def _digests(self) -> dict[str, str]:
        return {word: kept.sha256(data) for word, data in self._files.items() if data is not None}

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self.made), (self.made.kernels, self.options)  # elsewhere there may be no such file, or another CPU

    @cached_property
    def made(self) -> Recipe:
        """The recipe itself."""
        from imgconv.kernels.spec import kernels
        from imgconv.recipe.recipe import Recipe

        found = (kernels(word, self._files.get(word)) for word in self.words)
        return Recipe(tuple(kernel for some in found for kernel in some), self.options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.made, name)

    @property
    def name(self) -> str:
        """The kernels' names, as a file name has them."""
        return str(self._kept["name"])

    @property
    def tables(self) -> str:
        """The kernels with their weights, as a recipe that is written down has them."""
        if "tables" not in self._kept:
            from imgconv.kernels.text import plain_tables

            self._keep("tables", plain_tables(self.made.kernels))
        return str(self._kept["tables"])

    def _keep(self, what: Any, value: Any) -> None:
        self._kept[what] = value
        if self._key is not None:
            kept.keep_value(self._key, self._kept)

    def with_threads(self, threads: int) -> SpelledRecipe:
        """The recipe with so many threads in one picture."""
        other = object.__new__(SpelledRecipe)
        vars(other).update(vars(self), options=replace(self.options, threads=threads))
        if "made" in vars(self):
            other.made = self.made.with_threads(threads)
        return other

    def strip_step(self, frame: Frame) -> tuple[Step, About] | None:
        """As `Recipe.strip_step`."""
        array = frame.about.array
        step = self._kept_step(array, frame.about.mode)
        if step is None:
            return self.made.strip_step(frame)
        rows, columns, channels = (*array.shape, 1)[:3]
        return step, About(self.options, step.layout, (rows, columns, channels), step.dtype, lambda: frame.opaque)

    def apply(
        self, array: Array, mode: str = "", out: Array | None = None, *, padded: bool = False
    ) -> tuple[Array, str, Report]:
        """As `Recipe.apply`."""
        step = self._kept_step(array, mode) if out is None else None
        if step is None:
            return self.made.apply(array, mode, out, padded=padded)
        started, pixels = clock(), with_padding(array)
        if pixels is not None and not (padded and step.takes_padding):
            from imgconv.formats.image import packed  # here, because few pictures are padded

            array, pixels = packed(array), None
        view = View(contiguous(array).reshape((*array.shape, 1)[:3]) if pixels is None else pixels)
        samples, clipped, plans = step.run(view, None, self.options.threads, view)
        report = self.report(plans, clock() - started, clipped)
        if pixels is not None:
            return without_padding(samples), mode, report
        return samples.reshape(samples.shape[:2]) if array.ndim == 2 else samples, mode, report

    def _kept_step(self, array: Array, mode: str) -> Chained | None:
        """The only step over such pictures, which is kept if it was not; None where there is more to do."""
        if self._key is None or not mode or not (isinstance(array, Samples) or array.dtype.isnative):
            return None
        kind = mode, *array.shape[2:], array.dtype.name
        if kind not in self._kept:
            self._plans[kind] = self._lasting_plans(array, mode)
            self._keep(kind, tuple(map(_packed, self._plans[kind])))
        elif kind not in self._plans:
            self._plans[kind] = tuple(map(_plan, self._kept[kind]))
        plans, (rows, columns, channels) = self._plans[kind], (*array.shape, 1)[:3]
        if not plans:
            return None
        return Chained(plans, Layout(mode, array.dtype, letters_of(mode)), (rows, columns, channels), array.dtype)

    def _lasting_plans(self, array: Array, mode: str) -> tuple[Plan, ...]:
        """Those of every picture of this kind; none where they depend on its size, or there is more to do."""
        from imgconv.recipe.prepared import only_step

        step = only_step(self.made, array, mode)
        sized = any(settings.padding == "tf-same" for _, settings in self.made.settled(picture=True))
        if sized or not isinstance(step, Chained) or not step.local:
            return ()
        return () if any(plan.method == "fourier" for plan in step.plans) else step.plans

    def report(self, plans: tuple[Any, ...], filter_s: float, clipped: int) -> Report:
        """What was done, and how long it took."""
        return report_of(self.options, plans, filter_s, clipped, self._kept["kernels"])


def _key(words: Sequence[str], options: Options) -> str | None:
    """All that decides what is kept; None where that cannot be told."""
    options = replace(options, threads=None)
    values = (*words, *vars(options).values())
    parts = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    if any(type(part) not in PLAIN for part in parts):
        return None
    try:
        return repr((FORMAT, sys.version_info[:2], _stamp(), cpu().identity, words, options))
    except OSError:  # a package in an archive has no files of its own
        return None


def _content(word: str) -> bytes | None:
    """What a kernel's file holds; None where it is no file, or a large one."""
    path = word.strip()
    try:
        if not os.path.isfile(path) or os.path.getsize(path) > LARGEST_FILE:
            return None
        return Path(path).read_bytes()
    except OSError:
        return None


@cache
def _stamp() -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the kernels and of all that plans, which tell them from others as Python does."""
    house = Path(__file__).parents[1]
    folders = [house, *(house / name for name in ("engine", "engine/methods", "kernels", "native", "recipe")), folder()]
    files = [entry for place in folders for entry in os.scandir(place) if entry.name.endswith((".py", ".toml"))]
    numpy = str(getattr(find_spec("numpy"), "origin", ""))
    facts = [(entry.path, entry.stat()) for entry in files] + [(numpy, os.stat(numpy))]
    return tuple(sorted((path, stat.st_size, stat.st_mtime_ns) for path, stat in facts))


def _packed(value: Any) -> Any:
    """A plan, or what is in it, in types that can be kept."""
    if isinstance(value, Plan | Correlation):
        return tuple(_packed(getattr(value, field.name)) for field in fields(value))
    if isinstance(value, tuple):
        return tuple(map(_packed, value))
    if getattr(value, "ndim", 0):
        return value.dtype.name, value.shape, value.tobytes()
    return getattr(value, "item", lambda: value)()  # NumPy's numbers


def _plan(packed: Sequence[Any]) -> Plan:
    """What `_packed` was given, with `Samples` for arrays."""
    values = dict(zip((field.name for field in fields(Plan)), map(_unpacked, packed), strict=True))
    values["correlation"] = Correlation(*map(_unpacked, packed[0]))
    values["variant"] = Variant(*values["variant"])
    return Plan(**values)


def _unpacked(value: Any) -> Any:
    match value:
        case str(name), tuple(shape), bytes(data):
            return Samples(shape, SampleType(name), memoryview(bytearray(data or 8)))  # never empty: it has an address
    return value
