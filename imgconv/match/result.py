"""What match returns, and how its options are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imgconv.arrayfile import number_text
from imgconv.match.problem import Pair, Problem
from imgconv.notebook import Look, Shown
from imgconv.recipe.options import Options

FLIP_WORDS = {
    "none": "correlation",
    "both": "convolution (kernel flipped on both axes)",
    "vertical": "correlation, kernel flipped vertically",
    "horizontal": "correlation, kernel flipped horizontally",
    "transposed": "correlation, kernel transposed",
    "transposed both": "convolution, kernel transposed",
}
OPTIONS = ("like", "mode", "border", "padding", "anchor", "stride", "scale", "offset", "after", "alpha", "channels")


@dataclass(frozen=True)
class Explanation:
    """A convention, as options for a Recipe, and how far its result is from the one that was given.

    Attributes
    ----------
    flip, padding, border, anchor, rounding : str
        `anchor` is "low", "high" or "row,column"; `border` is "" where no window leaves the picture.
    stride : (int, int)
    scale, offset : float
    options : Options
        What gives it; with `matrix` in place of the kernel where no option can turn the kernel so.
    matrix : str
        The turned kernel as -k takes it, or "".
    samples, differing, interior, interior_differing : int
        How many samples the result has and how many differ; the same for windows that lie inside the picture.
    largest : float
        Difference, in levels.
    fit : str
        "exact"; "rounding" when no sample is further off than rounding explains; or "".
    """

    flip: str
    padding: str
    border: str
    anchor: str
    rounding: str
    stride: Pair
    scale: float
    offset: float
    options: Options
    matrix: str
    samples: int
    differing: int
    interior: int
    interior_differing: int
    largest: float
    fit: str

    def facts(self) -> dict[str, str]:
        """The convention by the names of its parts, and how well it fits."""
        return {
            "flip": FLIP_WORDS[self.flip],
            "border": self.border or "does not show",
            "anchor": self.anchor,
            "padding": self.padding,
            "stride": f"{self.stride[0]},{self.stride[1]}",
            "scale": f"{self.scale:g}",
            "offset": f"{self.offset:g}",
            "rounding": self.rounding,
            "samples that differ": f"{self.differing:,} of {self.samples:,}, by {self.largest:.4g} at most",
        }

    def as_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "options"} | {
            "border": self.border or None,
            "options": option_words(self.options),
        }


@dataclass(frozen=True)
class Match(Shown):
    """The best explanation of a result, and what else is to be said about it.

    Attributes
    ----------
    best, runner_up : Explanation
        The runner-up is the best of those that give something else; None when there is none.
    like : tuple of str
        The tools whose convention it is, as options: "--like scipy --mode convolve".
    notes : tuple of str
        What the pictures do not tell, one sentence each.
    """

    best: Explanation
    runner_up: Explanation | None
    like: tuple[str, ...]
    notes: tuple[str, ...]

    def _look(self) -> Look:
        best = self.best
        fits = {"exact": "exact", "rounding": "within rounding"}.get(best.fit, "no convention gives it; the nearest is")
        facts = best.facts() | {"options": " ".join(option_words(best.options)) or "none: the defaults"}
        if self.like:
            facts["that is"] = " or ".join(self.like)
        if self.notes:
            facts["notes"] = "; ".join(self.notes)
        if self.runner_up:
            facts["runner-up"] = "; ".join(f"{name} {fact}" for name, fact in self.runner_up.facts().items())
        return Look(f"Match: {fits}", facts)


def option_words(options: Options) -> list[str]:
    """Options as the command line has them, only those that differ from the defaults."""
    words = []
    for key in OPTIONS:
        value = getattr(options, key)
        if value != getattr(Options(), key):
            parts = value if isinstance(value, tuple) else (value,)
            text = ",".join(number_text(part) if isinstance(part, float) else str(part) for part in parts)
            # click would take a leading minus for an option
            words += [f"--{key}={text}"] if text.startswith("-") else [f"--{key}", text]
    return words


def notes(p: Problem, best: Explanation, equal: list[Explanation]) -> tuple[str, ...]:
    """What the pictures do not tell."""
    notes = []
    if p.seen.min() == p.seen.max():
        notes.append("the result is flat, so it tells little")
    twins = next(names for names in p.same_taps.values() if best.flip in names)
    straight = [name for name in twins if "transposed" not in name]
    if {"none", "both", "vertical", "horizontal"} == set(straight) or {"none", "both"} == set(straight):
        notes.append("flip does not matter: the kernel is symmetric")
    elif len(straight) > 1:
        notes.append(f"flips {' and '.join(straight)} are the same for this kernel")
    alike = {
        "border": {e.border for e in equal if e.border.split(":")[0] != best.border.split(":")[0]},
        **{word: {str(getattr(e, word)) for e in equal} - {str(getattr(best, word))}
           for word in ("flip", "anchor", "stride")},
    }  # fmt: skip
    if not best.border:
        alike["border"].clear()
        notes.append("border does not show: no window leaves the picture")
    notes += [f"{word} {' or '.join(sorted(words))} gives the same here" for word, words in alike.items() if words]
    return tuple(notes)
