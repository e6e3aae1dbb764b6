"""Looking several times, and stopping as soon as a verdict is reached.

A bound that holds at one look fails more often when it is looked at six times. Here the looks are
fixed before the first item is scored, and the error of each bound is spent over them (Lan & DeMets
1983, Discrete sequential boundaries for clinical trials, Biometrika 70: 659–663): by the look at n
of at most N items, α t^ρ of it, t = n / N (the power family of Kim & DeMets 1987). The critical
values follow from the joint normal distribution of the means at all looks, integrated numerically
(Armitage, McPherson & Rowe 1969, Repeated significance tests on accumulating data, JRSS A 132:
235–244). So all bounds on one side of a contrast hold together, whenever one stops.

The two sides of an interval have an error each, so each may be spent in its own way. One bound has
no hope at the first looks, the upper one of the drop: that none of 40 items changed doesn't show
that fewer than one in twenty does. So it spends late: by the look at n items its error in
proportion to n² / (n² + h²), all of it by the last.

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
from dormant.results import LOOKS
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
        patience: h of the spending of the drop's upper bound, in items: the greater, the less is
            spent on early looks.
    """

    sizes: tuple[int, ...] = LOOKS
    first: int = 20
    power: float = 0.5
    patience: float = 240

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in itertools.pairwise(self.sizes))
        if not self.sizes or not rising or not 0 < self.first < self.sizes[0]:
            raise DormantError(
                f"looks at {', '.join(map(str, self.sizes)) or 'no'} items, the first "
                f"{self.first} of which only choose: give ascending numbers above that"
            )
        for name in ("power", "patience"):
            if not (given := getattr(self, name)) > 0:
                raise DormantError(f"looks spend their error with a {name} above 0, not {given}")

    @classmethod
    def up_to(cls, items: int) -> Looks | None:
        """Return the usual looks at no more than so many items.

        The last one is at all of them. Beyond the usual ones each look has twice the items of the
        one before.

        Args:
            items: The most there will be.

        Returns:
            The looks; `None` where there are no more items than the first one has: an audit of
            these has nothing to stop for.
        """
        sizes = [*LOOKS]
        while sizes[-1] < items:
            sizes.append(2 * sizes[-1])
        sizes = [size for size in sizes if size < items]
        return cls(sizes=(*sizes, items)) if sizes else None

    def nominal(self, items: int, level: float = LEVEL) -> float:
        """Return the level of an interval at one look with which those at all looks hold together.

        Args:
            items: Number of items up to this look.
            level: Two-sided coverage of all looks together.

        Raises:
            DormantError: No look is due at that many items.
        """
        look = self._look(items)
        return nominal_levels(self.sizes, level, self._early(self.sizes))[look]

    def patient(self, items: int, level: float = LEVEL) -> float:
        """Return the same for the upper bound of the drop, which decides on *retained* alone.

        Args:
            items: Number of items up to this look.
            level: Two-sided coverage of all looks together.

        Raises:
            DormantError: No look is due at that many items.
        """
        look = self._look(items)
        shares = [size**2 / (size**2 + self.patience**2) for size in self.sizes]
        spent = tuple(share / shares[-1] for share in shares)
        return nominal_levels(self.sizes, level, spent)[look]

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
        return HeldOut(chosen, judged, nominal_levels(left, level, self._early(left))[look])

    def _early(self, sizes: Sequence[int]) -> tuple[float, ...]:
        return tuple(time**self.power for time in _times(sizes))

    def _look(self, items: int) -> int:
        if items not in self.sizes:
            due = ", ".join(map(str, self.sizes))
            raise DormantError(f"no look is due at {items} items: they are at {due}")
        return self.sizes.index(items)


@lru_cache(maxsize=64)
def nominal_levels(
    sizes: tuple[int, ...], level: float, spent: tuple[float, ...]
) -> tuple[float, ...]:
    """Return the two-sided level of each look's interval, that all hold together.

    Each side may err in half of 1 − level. A mean at n items is z / √n away from its expectation;
    in units of time t = n / N, z √t is a Brownian motion. Its density at each look, stopped where
    it crossed a bound before, is carried on from the look before by Gauss–Legendre quadrature.

    Args:
        sizes: Items at each look, ascending.
        level: Two-sided coverage of all looks together.
        spent: Share of the error that is spent by each look, ascending to 1.
    """
    error = (1 - level) / 2
    times = _times(sizes)
    bounds = [-float(special.ndtri(error * spent[0]))]
    grid, mass = _stopped(bounds[0] * math.sqrt(times[0]), times[0])
    mass = mass * _density(grid, times[0])
    for look in range(1, len(times)):
        step = times[look] - times[look - 1]
        due = error * (spent[look] - spent[look - 1])
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


def _times(sizes: Sequence[int]) -> list[float]:
    return [size / sizes[-1] for size in sizes]


def _stopped(bound: float, time: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights from far below up to a bound."""
    low = -_FAR * math.sqrt(time)
    half = (bound - low) / 2
    return low + half * (_NODES + 1), half * _WEIGHTS


def _density(x: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    return np.exp(-(x**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
