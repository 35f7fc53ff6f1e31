"""A convention as options of the command line, and the tools that are known for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import plain
from imgconv.conventions import LIKES, MODES
from imgconv.errors import ImgconvError, UsageError
from imgconv.kernels.value import Kernel
from imgconv.match.border import BORDERS, CLEARLY, Candidate, frame_tiles, with_border
from imgconv.match.explanation import option_words
from imgconv.match.interior import explains
from imgconv.match.question import FLIPS, Place, Question, Tone
from imgconv.recipe.layout import letters_of
from imgconv.recipe.options import Options
from imgconv.recipe.settings import correlation, settle

# what the tools themselves can do: turn a kernel by 180°, and give results of other sizes
TURNING = ("scipy", "ndimage", "imagemagick")
PADDING = {"scipy": ("same", "valid", "full"), "keras": ("same", "valid")}
SETTING = 3  # what a setting weighs, where the name of a tool weighs 1
MOST_CANDIDATES = 1000  # of tools: they come before those that samples suggest
MOST_BORDERS = 3  # of a tool's that the frame does not tell apart
TAPS_IN_PLACE = 4096  # weights that a command can hold


class Spoken(NamedTuple):
    """A convention as options; `weight` says how much they ask of who reads them."""

    kernel: Kernel
    matrix: str
    options: Options
    weight: int


def speak(q: Question, candidate: Candidate) -> Spoken | None:
    """A candidate as the fewest options that give it; None when none do."""
    best: Spoken | None = None
    turned = FLIPS[candidate.place.flip](q.kernel.weights)
    matrix = ""
    kernels = [(q.kernel, "")]
    if turned.ndim == 2 and turned.size <= TAPS_IN_PLACE:
        matrix = "; ".join(" ".join(plain(x) for x in row) for row in turned)
        matrix += ";" if len(turned) == 1 else ""
        kernels.append((Kernel(turned, name="matrix"), matrix))
    for kernel, text in kernels:
        for like, mode in product([candidate.like] if candidate.like else [None, *LIKES], MODES):
            options = _options_for(q, kernel, candidate, like, mode)
            if options is None:
                continue
            weight = _weight(options, candidate.tone) + (2 * SETTING if text else 0)
            if best is None or weight < best.weight:
                best = Spoken(kernel, text, options, weight)
        if best is not None:
            return best
    return None


def _weight(options: Options, tone: Tone) -> int:
    """A tool's word is less to take in than any setting, and half a level as an offset more."""
    words = [word.partition("=")[0] for word in option_words(options) if word.startswith("--")]
    tools = len({"--like", "--mode"} & set(words))
    return tools + SETTING * (len(words) - tools + (tone.rounding == "cut" and options.offset is not None))


def tool_candidates(q: Question) -> Iterator[Candidate]:
    """What the tools make of the kernel as it stands, where the tiles do not speak against it; own borders first."""
    if q.seen.shape[:2] != q.source.shape[:2]:
        return
    blended = letters_of(q.mode) in ("la", "rgba")  # colours may have been weighed by alpha, which no tile tells
    order = -MOST_CANDIDATES
    for scale, like, mode in product((None, "sum"), LIKES, MODES):
        if mode == "convolve" and like not in TURNING:
            continue
        options = Options(like=like, mode=mode, channels=q.channels, scale=scale)
        try:
            s = settle(q.kernel, options, picture=bool(q.mode))
            anchor = correlation(q.kernel, options, shape=q.source.shape).anchor
        except ImgconvError:
            continue
        weights = q.kernel.weights[::-1] if s.flip == "vertical" else q.kernel.weights
        weights = weights[::-1, ::-1] if mode == "convolve" else weights
        flip = next(name for name, taps in q.taps.items() if np.array_equal(taps, weights))
        rounding = "float" if s.after == "float" or q.kind.kind == "f" else s.rounding
        place, tone = Place(flip, "same", (1, 1), anchor), Tone(s.scale, s.offset, rounding)
        found = [Candidate(place, tone, s.border, s.outside, 0.0)]
        tiles = list(frame_tiles(q, place))
        if not blended:
            if not explains(q, place, tone):
                continue
            if tiles:
                names = sorted(BORDERS, key=lambda border: border != s.border)
                found = [each for border in names for each in with_border(q, place, [(tone, 0.0)], tiles, border)]
                found.sort(key=lambda each: each.cost)
        for each in found[:MOST_BORDERS]:
            if each.cost <= CLEARLY:
                yield replace(each, cost=-1.0, order=order, like=like)
                order += 1


def _options_for(q: Question, kernel: Kernel, candidate: Candidate, like: str | None, mode: str) -> Options | None:
    """Options that give a candidate under a tool's convention, or None where they cannot."""
    place, tone = candidate.place, candidate.tone
    options = Options(like=like, mode=mode, stride=place.stride, channels=q.channels)
    s = settle(kernel, options, picture=bool(q.mode))
    weights = kernel.weights[::-1] if s.flip == "vertical" else kernel.weights
    weights = weights[::-1, ::-1] if mode == "convolve" else weights
    if not np.array_equal(weights, q.taps[place.flip]):
        return None
    rounding = {"cut": "half-up", "float": s.rounding}.get(tone.rounding, tone.rounding)
    if s.rounding != rounding:
        return None
    change: dict[str, Any] = {}
    after = "float" if tone.rounding == "float" else "clip"
    if s.after != after and not (after == "float" and q.kind.kind == "f" and not q.mode):
        change["after"] = after
    if candidate.border and (s.border, s.outside) != (candidate.border, candidate.outside):
        change["border"] = candidate.border_words
    if s.padding != place.padding and (s.padding, place.padding) != ("tf-same", "same"):
        change["padding"] = place.padding
    if s.scale != tone.scale:
        change["scale"] = _scale_word(q, tone.scale)
    # half up after half a level less is a cut, for numbers that are not negative
    offset = tone.offset - 0.5 if tone.rounding == "cut" else tone.offset
    if s.offset != offset:
        change["offset"] = offset
    shape = q.source.shape
    try:
        options = replace(options, **change)
        if place.padding != "same":
            correlation(kernel, options, shape=shape)
            return options
        for anchor in (None, "low", "high", place.anchor, q.mirrored(place)):
            tried = options if anchor is None else replace(options, anchor=anchor)
            if correlation(kernel, tried, shape=shape).anchor == place.anchor:
                return tried
    except UsageError:
        return None
    return None


def _scale_word(q: Question, scale: float) -> float | str:
    """A scale as the shortest that --scale takes."""
    if scale == 1:
        return "none"
    if q.kernel.weights.ndim == 2:
        if scale == q.kernel.weights.sum():
            return "sum"
        if scale == np.abs(q.kernel.weights).sum():
            return "abs-sum"
    return scale


def tools(q: Question, equal: list[Candidate], candidates: list[Candidate], best: Candidate) -> tuple[str, ...]:
    """The tools whose convention gives the same, as options."""
    same = equal + [
        each
        for each in candidates
        if each.cost == best.cost and (each.place, each.border, each.outside) == (best.place, best.border, best.outside)
    ]
    found = []
    for like, mode in product(LIKES, MODES):
        if (mode == "convolve" and like not in TURNING) or best.place.padding not in PADDING.get(like, ("same",)):
            continue
        if best.place.stride != (1, 1) and like != "keras":
            continue
        for each in same:
            tone = each.tone
            # floating sums: what came of them was somebody else's doing
            if LIKES[like].get("after") == "float" or tone.rounding == "float":
                tone = tone._replace(rounding=LIKES[like].get("rounding", "half-up"))
            options = _options_for(q, q.kernel, replace(each, tone=tone), like, mode)
            if options is None:
                continue
            told = option_words(replace(options, after=None, channels="each"))
            more = {word for word in told if word.startswith("--")} - {"--like", "--mode", "--padding", "--stride"}
            if not more:
                found.append(" ".join(told))
                break
    # where correlation will do, convolution is no news
    correlating = {words.split()[1] for words in found if "--mode" not in words}
    return tuple(words for words in found if "--mode" not in words or words.split()[1] not in correlating)
