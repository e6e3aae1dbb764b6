"""How much of what was lost a treatment brings back, as a share of the loss."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import ArrayLike

from dormant.results import Estimate
from dormant.statistics.intervals import LEVEL, linear_contrast, paired_difference

_MOST = 4.0
"""Shares beyond which nobody asks: four times of what was lost."""
_EXACT = 1e-5


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

    share = back(0.0).estimate / drop.estimate
    return Estimate(
        estimate=share,
        low=min(share, _crossing(lambda share: back(share).low)),
        high=max(share, _crossing(lambda share: back(share).high)),
        level=level,
        method="fieller-score",
    )


def _crossing(bound: Callable[[float], float]) -> float:
    """Return where a bound, which falls with the share, is 0; the end where it isn't between."""
    from scipy.optimize import root_scalar

    if bound(-_MOST) <= 0:
        return -_MOST
    if bound(_MOST) >= 0:
        return _MOST
    return float(root_scalar(bound, bracket=(-_MOST, _MOST), xtol=_EXACT).root)
