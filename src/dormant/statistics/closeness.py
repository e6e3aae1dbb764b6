"""The change of correctness against the closeness of prompts: bins and rank correlations.

The paper's law (§2.3) is that what is closer to the fine-tuning distribution loses more. A prompt's
change is −1 where the base is right and the fine-tuned model wrong, 1 the other way round, else 0.
Prompts of one source item depend on one another, plain and transformed ones: so intervals are over
source items throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from dormant.errors import DormantError
from dormant.results import Estimate
from dormant.results.closeness import ClosenessBin
from dormant.statistics.intervals import paired_difference
from dormant.statistics.multinomial import LEVEL

BINS = 8
"""As many as are made, where there are enough prompts."""
PER_BIN = 20
"""Prompts a bin has at least."""
RESAMPLES = 2000
_FEWEST = 8
"""Source items below which no correlation is given: a resample would often hold two or three."""


def bins(
    closeness: ArrayLike, base: ArrayLike, tuned: ArrayLike, items: Sequence[str]
) -> list[ClosenessBin]:
    """Put prompts into bins of about as many each, by their closeness.

    Args:
        closeness: Of each prompt (n,).
        base: Whether the base model is right, booleans (n,).
        tuned: Whether the fine-tuned one is.
        items: Each prompt's source item (n,).

    Returns:
        Up to `BINS`, the farthest first; equal closeness is never parted.

    Raises:
        DormantError: Lengths differ, or there are no prompts.
    """
    close = _finite(closeness)
    base_right, tuned_right = np.asarray(base, dtype=bool), np.asarray(tuned, dtype=bool)
    if not len(close) == len(base_right) == len(tuned_right) == len(items):
        raise DormantError("closeness, both models' outcomes and items must be of one length")
    order = np.argsort(close, kind="stable")
    count = max(1, min(BINS, len(close) // PER_BIN))
    edges = [round(len(close) * place / count) for place in range(count + 1)]
    # An edge between equal values moves up to where they end.
    ends = [
        int(np.searchsorted(close[order], close[order[edge - 1]], "right")) for edge in edges[1:]
    ]
    found: list[ClosenessBin] = []
    start = 0
    for end in dict.fromkeys(ends):
        chosen = order[start:end]
        groups = [items[place] for place in chosen]
        found.append(
            ClosenessBin(
                prompts=len(chosen),
                low=float(close[chosen].min()),
                high=float(close[chosen].max()),
                mean=float(close[chosen].mean()),
                change=paired_difference(tuned_right[chosen], base_right[chosen], groups=groups),
            )
        )
        start = end
    return found


def rank_correlation(
    closeness: ArrayLike,
    change: ArrayLike,
    items: Sequence[str],
    strata: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
    seed: int = 0,
) -> Estimate | None:
    """Estimate Spearman's rank correlation of closeness and change.

    The interval is a percentile bootstrap over source items, with all their prompts; ranks are
    those of the whole sample. Within strata, ranks are of each stratum's own prompts, from 0 to 1,
    and both variables are taken from the stratum's mean, so what differs between strata says
    nothing.

    Args:
        closeness: Of each prompt (n,).
        change: tuned − base, of each prompt (n,).
        items: Each prompt's source item (n,).
        strata: Each prompt's stratum (n,); `None` for one of all.
        level: Two-sided coverage.
        seed: Decides the resamples.

    Returns:
        A number in [−1, 1]; `None` with fewer than eight source items, or where one of the two
        variables doesn't vary.
    """
    close, changed = _finite(closeness), np.asarray(change, dtype=float)
    _, group = np.unique(np.asarray(items), return_inverse=True)
    groups = int(group.max(initial=-1)) + 1
    if groups < _FEWEST:
        return None
    names = np.asarray(["all"] * len(close) if strata is None else strata)
    x, y = np.zeros(len(close)), np.zeros(len(close))
    for name in np.unique(names):
        here = names == name
        for values, into in ((close, x), (changed, y)):
            ranks = stats.rankdata(values[here]) / here.sum()
            into[here] = ranks - ranks.mean()
    # Sums over a source item's prompts: a resample's correlation is made of these.
    sums = np.zeros((groups, 6))
    np.add.at(sums, group, np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1))
    point = _pearson(sums.sum(axis=0)[None])[0]
    if not np.isfinite(point):
        return None
    draws = np.random.default_rng(seed).multinomial(
        groups, np.full(groups, 1 / groups), size=RESAMPLES
    )
    again = _pearson(draws @ sums)
    # A resample in which nothing varies says nothing of how the two vary together.
    again = np.where(np.isfinite(again), again, 0.0)
    low, high = np.quantile(again, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(
        estimate=float(point),
        low=float(min(low, point)),
        high=float(max(high, point)),
        level=level,
        method="spearman, bootstrap over source items",
    )


def _pearson(sums: NDArray[Any]) -> NDArray[Any]:
    """Return correlations of rows of sums (1, x, y, x², y², xy); NaN where nothing varies."""
    n, x, y, xx, yy, xy = sums.T
    across, up = xx - x * x / n, yy - y * y / n
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (xy - x * y / n) / np.sqrt(across * up)
    tiny = 1e-12 * n
    return np.where((across > tiny) & (up > tiny), np.clip(found, -1, 1), np.nan)


def _finite(values: ArrayLike) -> NDArray[Any]:
    found = np.asarray(values, dtype=float)
    if not len(found) or not np.isfinite(found).all():
        raise DormantError("closeness needs prompts, and a finite number for each of them")
    return found
