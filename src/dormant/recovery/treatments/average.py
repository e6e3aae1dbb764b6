"""Averaging with the base by depth: early layers go back further than late ones."""

from __future__ import annotations

from dormant.recovery.treatment import Candidates, Change, Given
from dormant.recovery.treatments.bisection import least_kept

_PARTS = 12
"""Steps of the line over the depth."""


def average(given: Given, *, steps: int = 3, late: bool = False) -> Candidates:
    """Scale the update by a line over the depth, from the least α that keeps the skill to 1.

    LiNeS (Wang et al., "LiNeS: post-training layer scaling prevents forgetting and enhances model
    merging", ICLR 2025): early layers hold what is general, so they go back to the base. Averaging
    all layers alike is `scale`: (1 − λ) θ₀ + λ θ₁.

    Args:
        given: Says whether there is an update to scale.
        steps: Halvings of [0, 1] in search of α.
        late: Whether the line falls from 1 to α, so that late layers go back further.
    """

    def from_alpha(alpha: float) -> Change:
        line = [alpha + (1 - alpha) * at / (_PARTS - 1) for at in range(_PARTS)]
        factors = tuple(reversed(line) if late else line)
        named = {"from": round(factors[0], 4), "to": round(factors[-1], 4)}
        return Change(factors, settings=named)

    yield from least_kept(given, from_alpha, steps)
