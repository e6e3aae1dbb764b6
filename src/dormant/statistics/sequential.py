"""Looking several times, and stopping as soon as a verdict is reached.

A bound that holds at one look fails more often when it is looked at six times. Here the looks are
fixed before the first item is scored, and the error of each bound is spent over them: by the look
at n of at most N items, α (n / N)^ρ of it (Lan & DeMets 1983, Discrete sequential boundaries for
clinical trials, Biometrika 70: 659–663; the power family of Kim & DeMets 1987). The critical
values follow from the joint normal distribution of the means at all looks, integrated numerically
(Armitage, McPherson & Rowe 1969, Repeated significance tests on accumulating data, JRSS A 132:
235–244). So all intervals of one contrast hold together, whenever one stops.

Betting (Waudby-Smith & Ramdas 2024) holds at every single item and without a normal approximation.
It shows a drop as soon, and that there is none with twice as many items (docs/statistics.md).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dormant.errors import DormantError
from dormant.statistics.choosing import HeldOut, surest, surety
from dormant.statistics.contrasts import Quad
from dormant.statistics.intervals import LEVEL

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(200)
_FAR = 8.0
"""Standard deviations below which nothing is left to integrate."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """When an audit looks whether it is decided.

    Attributes:
        sizes: Items scored at each look, ascending; the last is the most there will be.
        first: Items that only choose a transform; fewer than the first look has.
        power: ρ of the spending: the greater, the less is spent on early looks.
    """

    sizes: tuple[int, ...] = (40, 80, 120, 200, 400, 800)
    first: int = 20
    power: float = 0.5

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.sizes))
        if not self.sizes or not rising or not 0 < self.first < self.sizes[0]:
            raise DormantError(
                f"looks at {', '.join(map(str, self.sizes)) or 'no'} items, the first "
                f"{self.first} of which only choose: give ascending numbers above that"
            )
        if not self.power > 0:
            raise DormantError(f"looks spend their error with a power above 0, not {self.power}")

    def nominal(self, items: int, level: float = LEVEL) -> float:
        """Return the level of an interval at one look with which those at all looks hold together.

        Args:
            items: Number of items up to this look.
            level: Two-sided coverage of all looks together.

        Raises:
            DormantError: No look is due at that many items.
        """
        look = self._look(items)
        return nominal_levels(self.sizes, level, self.power)[look]

    def ahead(self, candidates: Sequence[Quad], items: int, level: float = LEVEL) -> HeldOut:
        """Put every item but the first ones under what all items of earlier looks chose.

        What is chosen for an item depends on items before it alone, so the contrasts' sum is a
        martingale whatever is chosen (Luedtke & van der Laan 2016, Statistical inference for the
        mean outcome under a possibly non-unique optimal treatment strategy, Annals of Statistics
        44: 713–742), and needs no wider interval, as the halves of a cross-fit do.

        Args:
            candidates: The four cells under each transform that passed its control; one at least.
                A single one needs no choice, and is judged on all its items.
            items: Number of items up to this look; the first of them were scored first.
            level: Two-sided coverage of all looks together.

        Raises:
            DormantError: No look is due at that many items.
        """
        look = self._look(items)
        if len(candidates) == 1:
            return HeldOut([0], candidates[0], self.nominal(items, level))
        places = np.arange(items)
        edges = (self.first, *self.sizes[: look + 1])
        used: list[int] = []
        parts: list[Quad] = []
        for begin, end in itertools.pairwise(edges):
            choice = surest([quad.only(places < begin) for quad in candidates])
            used.append(choice)
            parts.append(candidates[choice].only((places >= begin) & (places < end)))
        judged = parts[0]
        for part in parts[1:]:
            judged = Quad.join(judged, part)
        chosen = sorted(set(used), key=lambda place: -surety(candidates[place]))
        left = tuple(size - self.first for size in self.sizes)
        return HeldOut(chosen, judged, nominal_levels(left, level, self.power)[look])

    def _look(self, items: int) -> int:
        if items not in self.sizes:
            due = ", ".join(map(str, self.sizes))
            raise DormantError(f"no look is due at {items} items: they are at {due}")
        return self.sizes.index(items)


@lru_cache(maxsize=64)
def nominal_levels(sizes: tuple[int, ...], level: float, power: float) -> tuple[float, ...]:
    """Return the two-sided level of each look's interval, that all hold together.

    Each side spends half of 1 − level. A mean at n items is z / √n away from its expectation; in
    units of time t = n / N, z √t is a Brownian motion. Its density at each look, stopped where it
    crossed a bound before, is carried on from the look before by Gauss–Legendre quadrature.

    Args:
        sizes: Items at each look, ascending.
        level: Two-sided coverage of all looks together.
        power: ρ of the spending.
    """
    error = (1 - level) / 2
    times = [size / sizes[-1] for size in sizes]
    spent = [error * time**power for time in times]
    bounds = [-float(special.ndtri(spent[0]))]
    grid, mass = _stopped(bounds[0] * math.sqrt(times[0]), times[0])
    mass = mass * _density(grid, times[0])
    for look in range(1, len(times)):
        step = times[look] - times[look - 1]
        due = spent[look] - spent[look - 1]
        low, high = 0.0, _FAR
        for _ in range(60):
            middle = (low + high) / 2
            over = special.ndtr((grid - middle * math.sqrt(times[look])) / math.sqrt(step))
            low, high = (middle, high) if mass @ over > due else (low, middle)
        bounds.append(high)
        to, weights = _stopped(high * math.sqrt(times[look]), times[look])
        mass = weights * (_density(to[:, None] - grid, step) @ mass)
        grid = to
    return tuple(2 * float(special.ndtr(bound)) - 1 for bound in bounds)


def _stopped(bound: float, time: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights from far below up to a bound."""
    low = -_FAR * math.sqrt(time)
    half = (bound - low) / 2
    return low + half * (_NODES + 1), half * _WEIGHTS


def _density(x: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    return np.exp(-(x**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
