"""The whole picture: the likeliest candidates, applied by a Recipe, so that what is said is what the command gives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from imgconv.errors import ImgconvError, PictureError
from imgconv.kernels.value import high_anchor, low_anchor
from imgconv.match.border import Candidate
from imgconv.match.explanation import Explanation
from imgconv.match.question import Pair, Question
from imgconv.match.spoken import Spoken, speak, tool_candidates
from imgconv.recipe import Recipe
from imgconv.recipe.layout import letters_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

MOST_CHECKS = 12  # candidates applied to the whole picture
LARGE = 2_000_000  # samples of a result from which only half as many are
MOST_SAID = 400  # equally good candidates of which those with the fewest words come first


class Trial(NamedTuple):
    """A candidate that was applied."""

    candidate: Candidate
    weight: int
    explanation: Explanation


def check(q: Question, candidates: list[Candidate]) -> list[Trial]:
    """The likeliest candidates, applied by a Recipe to the whole picture; the best first."""
    best = candidates[0].cost
    equal = [each for each in candidates if each.cost <= best]
    said = {each.order: speak(q, each) for each in equal[:MOST_SAID]}

    def words(each: Candidate) -> tuple[bool, int, int]:
        spoken = said.get(each.order)
        return spoken is None, spoken.weight if spoken else 0, each.order

    equal.sort(key=words)
    most = MOST_CHECKS if q.seen.size < LARGE else MOST_CHECKS // 2
    done: list[Trial] = []
    tried: set[Any] = set()

    def apply(each: Candidate) -> Explanation | None:
        spoken = said.get(each.order) or speak(q, each)
        if spoken is None or (spoken.options, spoken.matrix) in tried:
            return None
        tried.add((spoken.options, spoken.matrix))
        explained = _explain(q, each, spoken)
        if explained is not None:
            done.append(Trial(each, spoken.weight, explained))
        return explained

    def slow(each: Candidate) -> bool:
        return q.seen.size >= LARGE and each.tone.rounding in ("half-even", "wrap")

    # what a tool makes of the kernel as it stands, before anything that was found out from samples
    exact = any((found := apply(each)) is not None and found.fit == "exact" for each in tool_candidates(q))
    done = [trial for trial in done if trial.explanation.fit]
    tried.clear()
    for each in equal[: 4 * most]:
        if len(done) >= most or (exact and slow(each)):
            continue
        explained = apply(each)
        exact = exact or (explained is not None and explained.fit == "exact")
    # the runner-up: another flip, anchor or border says more than another rounding
    known = {(each.place, each.border) for each in equal}
    others = 0
    for each in candidates:
        if each.cost <= best or (exact and (slow(each) or (each.place, each.border) in known)):
            continue
        if others >= (1 if exact else most // 2):
            break
        known.add((each.place, each.border))
        others += apply(each) is not None
    if not done:
        raise PictureError("nothing that imgconv can compute comes near this result")
    return sorted(done, key=_merit)


def _explain(q: Question, candidate: Candidate, spoken: Spoken) -> Explanation | None:
    """A candidate's real differences, with the alpha that suits best."""
    alphas = (None, "straight", "keep", "premultiply") if letters_of(q.mode) in ("la", "rgba") else (None,)
    found: Explanation | None = None
    for alpha in alphas:
        options = replace(spoken.options, alpha=alpha)
        try:
            made, _, _ = Recipe((spoken.kernel,), options).apply(q.before, q.mode)
        except ImgconvError:
            continue
        made = made.reshape(*made.shape[:2], -1)
        if made.shape != q.result.shape:
            continue
        each = _compared(q, candidate, spoken._replace(options=options), made)
        if found is None or each.differing < found.differing:
            found = each
        if found.differing == 0:
            break
    return found


def _compared(q: Question, candidate: Candidate, spoken: Spoken, made: Array) -> Explanation:
    """A result beside the one that was given."""
    place, tone = candidate.place, candidate.tone
    differs = made != q.result
    far = np.abs(made[differs].astype(np.float64) - q.result[differs].astype(np.float64))
    error = q.error(tone._replace(rounding="float"))
    largest = float(far.max()) if far.size else 0.0
    allowed = max(error, q.slack) if tone.rounding == "float" else 1.0
    if tone.rounding == "float" and far.size:
        differs[differs] = far > error
    rows, columns = q.inside(place)
    interior = differs[rows, columns]
    anchor = q.mirrored(place) if place.flip in ("both", "transposed both") else place.anchor
    return Explanation(
        flip=place.flip,
        padding=place.padding,
        border=candidate.border_words,
        anchor=_anchor_word(anchor, q.taps[place.flip].shape) if place.padding == "same" else "",
        rounding=tone.rounding,
        stride=place.stride,
        scale=tone.scale,
        offset=tone.offset,
        options=spoken.options,
        matrix=spoken.matrix,
        samples=differs.size,
        differing=int(np.count_nonzero(differs)),
        interior=interior.size,
        interior_differing=int(np.count_nonzero(interior)),
        largest=largest,
        fit="exact" if not far.size else "rounding" if largest <= allowed else "",
    )


def _merit(trial: Trial) -> tuple[Any, ...]:
    """What makes one better than another: fewer differences, then what is plainer to say."""
    one = trial.explanation
    # where nothing fits, a few differences more or less mean nothing; within rounding, four times as many mean little
    differing = one.differing.bit_length() // 2 if one.fit else round(20 * one.differing / one.samples)
    return ("exact", "rounding", "").index(one.fit), differing, trial.weight, trial.candidate.order


def _anchor_word(anchor: Pair, taps: tuple[int, ...]) -> str:
    if anchor == low_anchor(taps):
        return "low"
    return "high" if anchor == high_anchor(taps) else f"{anchor[0]},{anchor[1]}"
