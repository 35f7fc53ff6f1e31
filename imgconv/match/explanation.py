"""What was found, and how it is said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imgconv.arrayfile import plain
from imgconv.match.question import Pair, Question
from imgconv.recipe.options import Options

FLIP_WORDS = {
    "none": "correlation",
    "both": "convolution (kernel flipped on both axes)",
    "vertical": "correlation, kernel flipped vertically",
    "horizontal": "correlation, kernel flipped horizontally",
    "transposed": "correlation, kernel transposed",
    "transposed both": "convolution, kernel transposed",
}
WORDS = ("like", "mode", "border", "padding", "anchor", "stride", "scale", "offset", "after", "alpha", "channels")


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

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {key: value for key, value in self.__dict__.items() if key != "options"} | {
            "border": self.border or None,
            "options": option_words(self.options),
        }


@dataclass(frozen=True)
class Match:
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


def option_words(options: Options) -> list[str]:
    """Options as the command line has them, only those that differ from the defaults."""
    words = []
    for key in WORDS:
        value = getattr(options, key)
        if value != getattr(Options(), key):
            text = ",".join(map(str, value)) if isinstance(value, tuple) else _word(value)
            # click would take a leading minus for an option
            words += [f"--{key}={text}"] if text.startswith("-") else [f"--{key}", text]
    return words


def _word(value: Any) -> str:
    """A number without a needless point; words stay."""
    return plain(value) if isinstance(value, float) else str(value)


def notes(q: Question, best: Explanation, equal: list[Explanation]) -> tuple[str, ...]:
    """What the pictures do not tell."""
    said = []
    if float(np.ptp(q.seen)) == 0:
        said.append("the result is flat, so it tells little")
    twins = next(names for names in q.same_taps.values() if best.flip in names)
    straight = {"none", "both", "vertical", "horizontal"}
    if straight <= set(twins) or {"none", "both"} == set(twins) & straight:
        said.append("flip does not matter: the kernel is symmetric")
    elif len(set(twins) & straight) > 1:
        said.append(f"flips {' and '.join(name for name in twins if name in straight)} are the same for this kernel")
    if not best.border:
        said.append("border does not show: no window leaves the picture")
    else:
        borders = {each.border for each in equal if each.border.split(":")[0] != best.border.split(":")[0]}
        if borders:
            said.append(f"border {' or '.join(sorted(borders))} gives the same here")
    for word in ("flip", "anchor", "stride"):
        others = {str(getattr(each, word)) for each in equal} - {str(getattr(best, word))}
        if others:
            said.append(f"{word} {' or '.join(sorted(others))} gives the same here")
    return tuple(said)
