"""How much of what was lost a treatment brings back, as a share of the loss."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from dormant.results import Estimate
from dormant.statistics.intervals import LEVEL, linear_contrast, paired_difference

_MOST = 4.0
"""Shares beyond which nobody asks: four times of what was lost."""
_BISECTIONS = 40


def returned_share(
    base: ArrayLike,
    tuned: ArrayLike,
    recovered: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate | None:
    """Estimate [acc(recovered) − acc(tuned)] / [acc(base) − acc(tuned)] on the same items.

    A share c is in the interval where the contrast recovered − tuned − c · (base − tuned), which is
    linear in the cells, may be 0: the test of a ratio of two means (Fieller 1954, "Some problems in
    interval estimation", JRSS B 16: 175–185), with the score interval of a multinomial mean in
    place of the normal one.

    Args:
        base: Success per item, booleans (n,).
        tuned: The same items by the fine-tuned model (n,).
        recovered: The same items after the treatment (n,).
        groups: Source item of each prompt (n,), where several share one.
        level: Two-sided coverage.

    Returns:
        1 where all is back, above 1 where the treated model is better than the base. `None` where
        the drop's lower bound isn't above 0: a share of nothing is no number. Bounds beyond ±4 are
        given as such.

    Raises:
        DormantError: There are no items, the lengths differ, or an outcome is not in [0, 1].
    """
    drop = paired_difference(base, tuned, groups=groups, level=level)
    if drop.low <= 0:
        return None

    def back(share: float) -> Estimate:
        """Return recovered − tuned − share · (base − tuned)."""
        return linear_contrast(
            recovered,
            tuned,
            base,
            weights=(1.0, share - 1.0, -share),
            groups=groups,
            level=level,
        )

    gain = back(0.0).estimate
    return Estimate(
        estimate=gain / drop.estimate,
        low=_last(lambda share: back(share).low > 0),
        high=_last(lambda share: back(share).high >= 0),
        level=level,
        method="fieller-score",
    )


def pooled(parts: list[ArrayLike]) -> list[float]:
    """Return the outcomes of several abilities as one row: each item weighs the same."""
    return [float(value) for part in parts for value in np.asarray(part, dtype=np.float64)]


def _last(holds: Callable[[float], bool]) -> float:
    """Return up to which share something holds that holds for all smaller ones."""
    least, most = -_MOST, _MOST
    if not holds(least):
        return least
    if holds(most):
        return most
    for _ in range(_BISECTIONS):
        middle = (least + most) / 2
        least, most = (middle, most) if holds(middle) else (least, middle)
    return least
