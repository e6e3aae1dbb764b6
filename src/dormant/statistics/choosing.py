"""Which transform is judged: chosen by some items, and estimated on others.

Each half of the source items chooses for the other, and the contrasts of both halves, each under
what the other half chose, are pooled: no item is lost to the choice. The two halves' errors are
then no longer independent. Where several transforms are equally good, a half that flatters one of
them has the other half judged under it, and what the other half flatters decides on how it is
judged itself. The correlation is at most m²/(K − 1) for K equal ones with independent errors, m
the mean of the greatest of K standard normal numbers: 0.32 to 0.36 for two to five. Errors of
gains and recoveries are correlated between transforms, which share the plain cells, so it is
less (docs/statistics.md has the simulation). Intervals are widened for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dormant.results import Estimate
from dormant.statistics.contrasts import Quad

INFLATION = 1.3
"""Variance of the pooled halves over that of independent ones, as intervals reckon with it."""


class HeldOut(NamedTuple):
    """Items under what other items chose for them.

    Attributes:
        chosen: Places of the candidates that were chosen, the one to name first.
        quad: The items, each in one such candidate's cells.
        nominal: Level at which an interval must be made to have the level asked for.
    """

    chosen: list[int]
    quad: Quad
    nominal: float


def cross_fit(candidates: Sequence[Quad], units: Sequence[str], seed: int, level: float) -> HeldOut:
    """Let each half of the source items choose for the other.

    Args:
        candidates: The four cells under each transform or edit that passed its control; one at
            least. A single one needs no choice, and is judged on all its items.
        units: Source item of each of the ability's items (n,).
        seed: Decides, with their names, on the halves.
        level: Two-sided coverage asked for.
    """
    if len(candidates) == 1:
        return HeldOut([0], candidates[0], level)
    half = first_half(units, seed)
    by_first, by_second = (
        surest([quad.only(part) for quad in candidates]) for part in (half, ~half)
    )
    judged = Quad.join(candidates[by_first].only(~half), candidates[by_second].only(half))
    chosen = sorted({by_first, by_second}, key=lambda place: -surety(candidates[place]))
    return HeldOut(chosen, judged, widened(level))


def widened(level: float) -> float:
    """Return the level whose intervals are wider by √`INFLATION`."""
    z = float(special.ndtri((1 + level) / 2)) * math.sqrt(INFLATION)
    return 2 * float(special.ndtr(z)) - 1


def surety(quad: Quad) -> float:
    """Return the lower of the lower bounds of gain and recovery: what a choice goes by."""
    return lower_of(quad.gain(), quad.recovery())


def lower_of(gain: Estimate, recovery: Estimate | None) -> float:
    """Return the lower of two lower bounds, of which the second may be missing."""
    return gain.low if recovery is None else min(gain.low, recovery.low)


def surest(quads: Sequence[Quad]) -> int:
    """Return the place of the surest; the first of several."""
    return max(range(len(quads)), key=lambda place: surety(quads[place]))


def first_half(units: Sequence[str], seed: int) -> NDArray[np.bool_]:
    """Mark one half of the source items, shape (n,).

    The half is that of lower rank by a hash of seed and name, so it depends neither on the order
    of the items nor on the version of a random generator.
    """
    ranks = {
        unit: blake2b(f"{seed}/{unit}".encode(), digest_size=16).digest()
        for unit in dict.fromkeys(units)
    }
    ordered = sorted(ranks, key=ranks.__getitem__)
    chosen = set(ordered[: len(ordered) // 2])
    return np.array([unit in chosen for unit in units], dtype=np.bool_)
