"""Which convention made a result: flip, anchor, border, scale, offset, rounding, padding.

The interior does not know the border, so the two are told apart one after the other: flip, anchor, scale, offset and
rounding on tiles whose windows lie inside the picture; the border on tiles along its frame; then the candidates that
are left are applied to the whole picture by a Recipe, so that what is reported is what the command really gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgconv.errors import PictureError
from imgconv.match.border import rank_borders
from imgconv.match.explanation import Match, notes
from imgconv.match.interior import rank_interior
from imgconv.match.question import Question, places, size_words
from imgconv.match.spoken import tools
from imgconv.match.trial import check

if TYPE_CHECKING:
    import numpy.typing as npt

    from imgconv.kernels.value import Kernel

    Array = npt.NDArray[Any]


def match(before: Array, kernel: Kernel, result: Array, mode: str = "") -> Match:
    """As `imgconv.match_convention`, of arrays; `mode` is Pillow's of `before`, "" for a bare array: it tells alpha."""
    q = Question(before, kernel, result, mode)
    found = places(q)
    if not found:
        rows, columns = kernel.shape
        raise PictureError(
            f"no padding or stride makes {size_words(q.seen)} out of {size_words(q.source)} with a {rows}×{columns}"
            " kernel (rows × columns)"
        )
    candidates = rank_borders(q, rank_interior(q, found))
    candidates.sort(key=lambda each: (each.cost, each.order))
    first, *rest = check(q, candidates)
    best = first.explanation
    equal = [first] + [each for each in rest if each.explanation.fit and each.explanation.differing == best.differing]
    others = [each.explanation for each in rest if not best.fit or each.explanation.differing > best.differing]
    # another flip, anchor or border says more than another rounding
    others.sort(key=lambda each: (each.flip, each.border, each.anchor) == (best.flip, best.border, best.anchor))
    return Match(
        best=best,
        runner_up=others[0] if others else None,
        like=tools(q, [each.candidate for each in equal], candidates, first.candidate) if best.fit else (),
        notes=notes(q, best, [each.explanation for each in equal]),
    )
