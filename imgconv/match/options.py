"""A candidate as options of the command line, and the tools that are known for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array, number_text
from imgconv.conventions import LIKES, MODES, border_text
from imgconv.errors import ImgconvError, UsageError
from imgconv.kernels.value import Kernel
from imgconv.match.problem import FLIPS, Candidate, Geometry, Problem, Scaling
from imgconv.match.rank import CLEARLY, LIKELY_FIRST, explains_interior, frame_tiles, with_border
from imgconv.match.result import option_words
from imgconv.recipe.options import Options
from imgconv.recipe.settings import Settings, correlation, settle

# what the tools themselves can do: turn a kernel by 180°, and give results of other sizes
TURNING = ("scipy", "ndimage", "imagemagick")
TOOLS = [(like, mode) for like, mode in product(LIKES, MODES) if mode == "correlate" or like in TURNING]
PADDING = {"scipy": ("same", "valid", "full"), "keras": ("same", "valid")}
OPTION_WEIGHT = 3  # of a setting, where the name of a tool weighs 1
MOST_CANDIDATES = 1000  # of tools: they come before those that samples suggest
MOST_BORDERS = 3  # of a tool's that the frame does not tell apart
TAPS_IN_PLACE = 4096  # weights that a command can hold


class Invocation(NamedTuple):
    """What gives a candidate: a kernel (`matrix` if written in place, else ""), options, and how much they ask."""

    kernel: Kernel
    matrix: str
    options: Options
    weight: int


def as_options(p: Problem, candidate: Candidate) -> Invocation | None:
    """A candidate as the fewest options that give it; None when none do."""
    turned = FLIPS[candidate.geometry.flip](p.kernel.weights)
    kernels = [(p.kernel, "")]
    if turned.ndim == 2 and turned.size <= TAPS_IN_PLACE:
        matrix = "; ".join(" ".join(map(number_text, row)) for row in turned) + (";" if len(turned) == 1 else "")
        kernels.append((Kernel(turned, name="matrix"), matrix))

    def weight(options: Options) -> int:
        """A tool's name is less to take in than any setting, and half a level as an offset more."""
        words = [word.partition("=")[0] for word in option_words(options) if word.startswith("--")]
        tools = len({"--like", "--mode"} & set(words))
        cut = candidate.scaling.rounding == "cut" and options.offset is not None
        return tools + OPTION_WEIGHT * (len(words) - tools + cut)

    for kernel, matrix in kernels:
        tried = product([candidate.like] if candidate.like else [None, *LIKES], MODES)
        found = [options for words in tried if (options := _options(p, kernel, candidate, *words)) is not None]
        if found:
            best = min(found, key=weight)
            return Invocation(kernel, matrix, best, weight(best) + 2 * OPTION_WEIGHT * bool(matrix))
    return None


def _turned(kernel: Kernel, settings: Settings, mode: str) -> Array:
    """A kernel's weights as they are slid."""
    weights = kernel.weights[::-1] if settings.flip == "vertical" else kernel.weights
    return weights[::-1, ::-1] if mode == "convolve" else weights


def _options(p: Problem, kernel: Kernel, candidate: Candidate, like: str | None, mode: str) -> Options | None:
    """Options that give a candidate under a tool's convention, or None where they cannot."""
    geometry, scaling = candidate.geometry, candidate.scaling
    if like == "pillow" and kernel.blur:
        return None
    options = Options(like=like, mode=mode, stride=geometry.stride, channels=p.channels)
    s = settle(kernel, options, picture=bool(p.mode))
    if not np.array_equal(_turned(kernel, s, mode), p.taps[geometry.flip]):
        return None
    if s.rounding != {"cut": "half-up", "float": s.rounding}.get(scaling.rounding, scaling.rounding):
        return None
    changes: dict[str, Any] = {}
    after = "float" if scaling.rounding == "float" else "clip"
    if s.after != after and not (after == "float" and p.dtype.kind == "f" and not p.mode):
        changes["after"] = after
    if candidate.border and (s.border, s.outside) != (candidate.border, candidate.outside):
        changes["border"] = border_text(candidate.border, candidate.outside)
    if s.padding != geometry.padding and (s.padding, geometry.padding) != ("tf-same", "same"):
        changes["padding"] = geometry.padding
    if s.scale != scaling.scale:
        changes["scale"] = _scale_option(p.kernel.weights, scaling.scale)
    # half up after half a level less is a cut, for numbers that are not negative
    offset = scaling.offset - 0.5 if scaling.rounding == "cut" else scaling.offset
    if s.offset != offset:
        changes["offset"] = offset
    same = geometry.padding == "same"
    try:
        for anchor in (None, "low", "high", geometry.anchor, p.mirrored(geometry)) if same else (None,):
            tried = replace(options, anchor=anchor, **changes)
            if correlation(kernel, tried, shape=p.source.shape).anchor == geometry.anchor or not same:
                return tried
    except UsageError:
        pass
    return None


def _scale_option(weights: Array, scale: float) -> float | str:
    """A scale as the shortest that --scale takes."""
    words = {"none": 1} | ({"sum": weights.sum(), "abs-sum": np.abs(weights).sum()} if weights.ndim == 2 else {})
    return next((word for word, number in words.items() if number == scale), scale)


def tool_candidates(p: Problem) -> Iterator[Candidate]:
    """What the tools make of the kernel as it stands, where the tiles do not speak against it; own borders first."""
    if p.seen.shape[:2] != p.source.shape[:2]:
        return
    order = -MOST_CANDIDATES
    for scale, (like, mode) in product((None, "sum"), TOOLS):
        if like == "pillow" and p.kernel.blur:  # its own blur would take the place of the weights
            continue
        options = Options(like=like, mode=mode, channels=p.channels, scale=scale)
        try:
            s = settle(p.kernel, options, picture=bool(p.mode))
            anchor = correlation(p.kernel, options, shape=p.source.shape).anchor
        except ImgconvError:
            continue
        weights = _turned(p.kernel, s, mode)
        flip = next(name for name, taps in p.taps.items() if np.array_equal(taps, weights))
        rounding = "float" if s.after == "float" or p.dtype.kind == "f" else s.rounding
        geometry, scaling = Geometry(flip, "same", (1, 1), anchor), Scaling(s.scale, s.offset, rounding)
        found = [Candidate(geometry, scaling, 0.0, s.border, s.outside)]
        if not p.has_alpha:  # colours may have been weighed by alpha, which no tile tells
            if not explains_interior(p, geometry, scaling):
                continue
            if tiles := list(frame_tiles(p, geometry)):
                borders = sorted(LIKELY_FIRST, key=lambda border: border != s.border)
                found = [c for border in borders for c in with_border(p, found, tiles, border)]
                found.sort(key=lambda c: c.cost)
        for c in found[:MOST_BORDERS]:
            if c.cost <= CLEARLY:
                yield c._replace(cost=-1.0, order=order, like=like)
                order += 1


def known_tools(p: Problem, equal: list[Candidate], candidates: list[Candidate]) -> tuple[str, ...]:
    """The tools whose convention gives the same as the first of `equal`, as options."""
    best = equal[0]
    padding, stride = best.geometry.padding, best.geometry.stride
    same = equal + [
        c
        for c in candidates
        if (c.cost, c.geometry, c.border, c.outside) == (best.cost, best.geometry, best.border, best.outside)
    ]
    found: dict[tuple[str, str], str] = {}
    for like, mode in TOOLS:
        if padding not in PADDING.get(like, ("same",)) or (stride != (1, 1) and like != "keras"):
            continue
        if (like, "correlate") in found:
            continue  # where correlation will do, convolution is no news
        for c in same:
            scaling = c.scaling
            # floating sums: what came of them was somebody else's doing
            if LIKES[like].get("after") == "float" or scaling.rounding == "float":
                scaling = scaling._replace(rounding=LIKES[like].get("rounding", "half-up"))
            options = _options(p, p.kernel, c._replace(scaling=scaling), like, mode)
            if options is None:
                continue
            words = option_words(replace(options, after=None, channels="each"))
            if {word for word in words if word.startswith("--")} <= {"--like", "--mode", "--padding", "--stride"}:
                found[like, mode] = " ".join(words)
                break
    return tuple(found.values())
