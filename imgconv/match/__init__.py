"""Which convention made a result: flip, anchor, border, scale, offset, rounding, padding.

The interior does not depend on the border, so flip, anchor, scale, offset and rounding are searched on tiles whose
windows lie inside the picture (`rank`), then the border on tiles along its frame. The best candidates are written as
options (`options`) and applied to the whole picture by a Recipe (`verify`): what is reported is what the command gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imgconv.arrayfile import Array
from imgconv.errors import PictureError
from imgconv.match.options import known_tools
from imgconv.match.problem import Problem, geometries
from imgconv.match.rank import rank_borders, rank_interior
from imgconv.match.result import Match, notes
from imgconv.match.verify import verify

if TYPE_CHECKING:
    from imgconv.kernels.value import Kernel


@np.errstate(all="ignore")  # candidates may overflow; they do not fit
def match(before: Array, kernel: Kernel, result: Array, mode: str = "") -> Match:
    """As `imgconv.match_convention`, of arrays; `mode` is Pillow's of `before`, "" for a bare array: it tells alpha."""
    p = Problem(before, kernel, result, mode)
    possible = geometries(p)
    if not possible:
        result_size, size, taps = (f"{a.shape[0]}×{a.shape[1]}" for a in (p.seen, p.source, kernel.weights))
        raise PictureError(
            f"no padding or stride makes {result_size} out of {size} with a {taps} kernel (rows × columns)"
        )
    candidates = rank_borders(p, rank_interior(p, possible))
    first, *rest = verify(p, candidates)
    best = first.explanation
    same = [first] + [one for one in rest if one.explanation.fit and one.explanation.differing == best.differing]
    others = [one.explanation for one in rest if not best.fit or one.explanation.differing > best.differing]
    # another flip, anchor or border says more than another rounding
    others.sort(key=lambda e: (e.flip, e.border, e.anchor) == (best.flip, best.border, best.anchor))
    return Match(
        best=best,
        runner_up=others[0] if others else None,
        like=known_tools(p, [one.candidate for one in same], candidates) if best.fit else (),
        notes=notes(p, best, [one.explanation for one in same]),
    )
