"""The likeliest candidates, applied to the whole picture by a Recipe: what is reported is what the command gives."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from imgconv.arrayfile import Array
from imgconv.conventions import border_text
from imgconv.difference import gap
from imgconv.errors import ImgconvError, PictureError
from imgconv.kernels.value import high_anchor, low_anchor
from imgconv.match.options import Invocation, as_options, tool_candidates
from imgconv.match.problem import Candidate, Problem
from imgconv.match.result import Explanation
from imgconv.recipe.recipe import Recipe

MOST_CHECKS = 12  # candidates applied to the whole picture
LARGE = 2_000_000  # samples of a result from which only half as many are
MOST_COMPARED = 400  # equally good candidates of which those with the fewest options come first


class Verified(NamedTuple):
    """A candidate that was applied."""

    candidate: Candidate
    weight: int  # of its options
    explanation: Explanation


def verify(p: Problem, candidates: list[Candidate]) -> list[Verified]:
    """The likeliest of candidates (the best first), applied to the whole picture; the best first."""
    best = candidates[0].cost
    equal = [c for c in candidates if c.cost <= best]
    invocation = cache(partial(as_options, p))

    def simplicity(c: Candidate) -> tuple[bool, int]:
        found = invocation(c)
        return found is None, found.weight if found else 0

    likely = sorted(equal[:MOST_COMPARED], key=simplicity) + equal[MOST_COMPARED:]
    most = MOST_CHECKS if p.seen.size < LARGE else MOST_CHECKS // 2
    done: list[Verified] = []
    tried: set[tuple[Any, ...]] = set()

    def fit(c: Candidate) -> str | None:
        """How a candidate fits, which is kept in `done`; None when it was tried before, or cannot be applied."""
        found = invocation(c)
        if found is None or (found.options, found.matrix) in tried:
            return None
        tried.add((found.options, found.matrix))
        explanation = _explain(p, c, found)
        if explanation is None:
            return None
        done.append(Verified(c, found.weight, explanation))
        return explanation.fit

    def slow(c: Candidate) -> bool:
        return p.seen.size >= LARGE and c.scaling.rounding in ("half-even", "wrap")

    # what a tool makes of the kernel as it stands, before anything that was found out from samples
    exact = any(fit(c) == "exact" for c in tool_candidates(p))
    done = [one for one in done if one.explanation.fit]
    tried.clear()
    for c in likely[: 4 * most]:
        if len(done) < most and not (exact and slow(c)):
            exact |= fit(c) == "exact"
    # the runner-up: another flip, anchor or border says more than another rounding
    known = {(c.geometry, c.border) for c in equal}
    others = 0
    for c in candidates[len(equal) :]:
        if exact and (slow(c) or (c.geometry, c.border) in known):
            continue
        if others >= (1 if exact else most // 2):
            break
        known.add((c.geometry, c.border))
        others += fit(c) is not None
    if not done:
        raise PictureError("nothing that imgconv can compute comes near this result")
    return sorted(done, key=_rank)


def _rank(one: Verified) -> tuple[Any, ...]:
    """What makes one better than another: fewer differences, then simpler options."""
    e = one.explanation
    # where nothing fits, a few differences more or less mean nothing; within rounding, four times as many mean little
    differing = e.differing.bit_length() // 2 if e.fit else round(20 * e.differing / e.samples)
    return ("exact", "rounding", "").index(e.fit), differing, one.weight, one.candidate.order


def _explain(p: Problem, candidate: Candidate, invocation: Invocation) -> Explanation | None:
    """A candidate's real differences, with the alpha that suits best."""
    found: Explanation | None = None
    for alpha in (None, "straight", "keep", "premultiply") if p.has_alpha else (None,):
        options = replace(invocation.options, alpha=alpha)
        try:
            made, _, _ = Recipe((invocation.kernel,), options).apply(p.before, p.mode)
        except ImgconvError:
            continue
        made = made.reshape(*made.shape[:2], -1)
        if made.shape != p.result.shape:
            continue
        tried = _compared(p, candidate, options, invocation.matrix, made)
        if found is None or tried.differing < found.differing:
            found = tried
        if found.differing == 0:
            break
    return found


def _compared(p: Problem, candidate: Candidate, options: Any, matrix: str, made: Array) -> Explanation:
    """A result beside the one that was given."""
    geometry, scaling = candidate.geometry, candidate.scaling
    differs = made != p.result
    far = gap(made[differs], p.result[differs])
    largest, allowed = float(far.max(initial=0)), 1.0
    if scaling.rounding == "float":
        error = p.error(scaling)
        allowed = max(error, p.slack)
        differs[differs] = far > error
    interior = differs[p.inside(geometry)]
    anchor, size = geometry.anchor, p.taps[geometry.flip].shape
    if geometry.flip in ("both", "transposed both"):
        anchor = p.mirrored(geometry)
    names = {high_anchor(size): "high", low_anchor(size): "low"}  # the latter where they are the same
    word = names.get(anchor, f"{anchor[0]},{anchor[1]}") if geometry.padding == "same" else ""
    return Explanation(
        **geometry._asdict() | scaling._asdict() | {"anchor": word},
        border=border_text(candidate.border, candidate.outside),
        options=options,
        matrix=matrix,
        samples=differs.size,
        differing=int(np.count_nonzero(differs)),
        interior=interior.size,
        interior_differing=int(np.count_nonzero(interior)),
        largest=largest,
        fit="exact" if not far.size else "rounding" if largest <= allowed else "",
    )
