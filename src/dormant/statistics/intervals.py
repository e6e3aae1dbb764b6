"""Paired estimates with intervals and tests that hold at the edges (docs/statistics.md).

Accuracies and their contrasts are means of a variable with a few possible values: {0, 1} for an
accuracy, {−1, 0, 1} for a difference, {−2 … 2} for a difference in differences, and fractions of
these where an item had partial credit. One method serves them all: the score interval of a
multinomial mean, which is Wilson's interval in the first case and Tango's (1998) in the second. It
has no random numbers and looks at counts alone, so its memory doesn't grow with the number of
items. Log-odds are real numbers: Student's t on their paired contrasts.

Every array is paired over items: position i is the same item in all of them. Where several prompts
share a source item, `groups` names it, prompts are averaged within it, and every source item
weighs the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from dormant.errors import DormantError
from dormant.results import Estimate
from dormant.statistics.multinomial import LEVEL as LEVEL
from dormant.statistics.multinomial import multinomial_score_interval

Alternative: TypeAlias = Literal["two-sided", "greater", "less"]


def proportion(
    outcomes: ArrayLike, *, groups: ArrayLike | None = None, level: float = LEVEL
) -> Estimate:
    """Estimate an accuracy: Wilson's score interval.

    Args:
        outcomes: Success per item, booleans, or shares of a success in [0, 1] (n,).
        groups: Source item of each prompt (n,), where several share one.
        level: Two-sided coverage.

    Raises:
        DormantError: There are no items, or an outcome is not in [0, 1].
    """
    return _mean(_outcomes(outcomes), groups, (0, 1), level, "wilson-score")


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Estimate acc(first) − acc(second) on the same items: Tango's score interval.

    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design", Statistics in Medicine 17: 891–908.

    Args:
        first: Success per item, booleans (n,).
        second: The same items under the other condition (n,).
        groups: Source item of each prompt (n,), where several share one.
        level: Two-sided coverage.

    Returns:
        The difference, a fraction in [−1, 1]. With no discordant pairs among n the interval is
        ±z²/(n + z²), not a point.

    Raises:
        DormantError: There are no items, the lengths differ, or an outcome is not in [0, 1].
    """
    contrast = _contrast([_outcomes(first), _outcomes(second)], (1, -1))
    return _mean(contrast, groups, (-1, 1), level, "tango-score")


def difference_in_differences(
    base_plain: ArrayLike,
    tuned_plain: ArrayLike,
    base_transformed: ArrayLike,
    tuned_transformed: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Estimate the recovery: the drop that the transform takes away.

    [acc(base, plain) − acc(tuned, plain)] − [acc(base, s) − acc(tuned, s)], by the multinomial
    score interval. A per-item contrast of 2 takes two changes at once, so the interval reckons
    with values beyond ±1 only on a side where one was observed; reckoning with them always made
    it wider by a sixth at 40 items, and its coverage 97–100 % where accuracies are near 0 or 1
    (docs/statistics.md).

    Args:
        base_plain: Success per item, booleans (n,).
        tuned_plain: Likewise, the same items.
        base_transformed: Likewise.
        tuned_transformed: Likewise.
        groups: Source item of each prompt (n,), where several share one.
        level: Two-sided coverage.

    Returns:
        The recovery, a fraction in [−2, 2].

    Raises:
        DormantError: There are no items, the lengths differ, or an outcome is not in [0, 1].
    """
    cells = [base_plain, tuned_plain, base_transformed, tuned_transformed]
    contrast = _contrast([_outcomes(cell) for cell in cells], (1, -1, -1, 1))
    return _mean(contrast, groups, (-1, 1), level, "multinomial-score")


def remaining_beyond(
    base_plain: ArrayLike,
    tuned_plain: ArrayLike,
    tuned_otherwise: ArrayLike,
    *,
    share: float,
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Estimate what is left of a drop beyond a share of it, by the multinomial score interval.

    [acc(base, plain) − acc(tuned, otherwise)] − share · [acc(base, plain) − acc(tuned, plain)], a
    fraction in [−1, 1]. Below 0, more than 1 − share of the drop comes back where the fine-tuned
    model is asked otherwise. Arguments and errors are those of `difference_in_differences`.
    """
    cells = [base_plain, tuned_plain, tuned_otherwise]
    contrast = _contrast([_outcomes(cell) for cell in cells], (1 - share, share, -1))
    return _mean(contrast, groups, (-1, 1), level, "multinomial-score")


def linear_contrast(
    *cells: ArrayLike,
    weights: Sequence[float],
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Estimate Σ weight · acc(cell) of paired outcomes, by the multinomial score interval.

    Args:
        cells: Success per item, booleans, each (n,), all over the same items.
        weights: One a cell, adding up to 0. Support reaches to the greatest weight's size, and
            beyond it only where such a contrast was observed.
        groups: Source item of each prompt (n,), where several share one.
        level: Two-sided coverage.

    Raises:
        DormantError: There are no items, the lengths differ, or an outcome is not in [0, 1].
    """
    contrast = _contrast([_outcomes(cell) for cell in cells], weights)
    most = max(map(abs, weights))
    return _mean(contrast, groups, (-most, most), level, "multinomial-score")


def mean_contrast(
    *cells: ArrayLike,
    weights: Sequence[float],
    groups: ArrayLike | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Estimate Σ weight · mean(cell) of paired real outcomes (log-odds): Student's t interval.

    Args:
        cells: Real outcomes per item, nats, each (n,), all over the same items.
        weights: One a cell: (1, −1) for a difference, (1, −1, −1, 1) for a recovery.
        groups: Source item of each prompt (n,), where several share one.
        level: Two-sided coverage.

    Raises:
        DormantError: Fewer than two source items, lengths that differ, or a value that is not
            finite.
    """
    values = _contrast([np.asarray(cell, dtype=np.float64) for cell in cells], weights)
    if not np.isfinite(values).all():
        where = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DormantError(
            f"log-odds of item {where} are not finite: score it again or leave the item out"
        )
    values = _per_group(values, groups)
    if values.size < 2:
        raise DormantError(f"log-odds need at least two source items, not {values.size}")
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / values.size**0.5
    half = float(special.stdtrit(values.size - 1, (1 + level) / 2)) * error
    return Estimate(
        estimate=mean, low=mean - half, high=mean + half, level=level, method="student-t"
    )


def mcnemar_exact(
    first: ArrayLike,
    second: ArrayLike,
    alternative: Alternative = "two-sided",
    *,
    groups: ArrayLike | None = None,
) -> float:
    """Return the p-value of McNemar's exact test on paired outcomes.

    Under the null, of the pairs that disagree as many favour the first as the second.

    Args:
        first: Success per item, booleans (n,).
        second: The same items under the other condition (n,).
        alternative: "greater" tests acc(first) > acc(second).
        groups: Source item of each prompt (n,), where several share one; the test then is the
            sign test on the source items' mean differences.

    Raises:
        DormantError: The lengths differ, or an outcome is not in [0, 1].
    """
    contrast = _contrast([_outcomes(first), _outcomes(second)], (1, -1))
    values = _per_group(contrast, groups)
    favours, against = int((values > 0).sum()), int((values < 0).sum())
    if favours + against == 0:
        return 1.0
    # Four fifths of what importing this module would take; no prompt waits for it.
    from scipy import stats

    test = stats.binomtest(favours, favours + against, 0.5, alternative=alternative)
    return min(float(test.pvalue), 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method, in the order given.

    Comparing them with α keeps the chance of any false rejection at or under α. Of m p-values the
    k-th smallest is multiplied by m + 1 − k; none may be below a smaller one's, or above 1.
    Holm (1979), "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6: 65–70.
    """
    adjusted = [0.0] * len(p_values)
    least = 0.0
    ascending = sorted(range(len(p_values)), key=p_values.__getitem__)
    for rank, place in enumerate(ascending):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def _mean(
    values: NDArray[Any],
    groups: ArrayLike | None,
    support: tuple[float, float],
    level: float,
    method: str,
) -> Estimate:
    if values.size == 0:
        raise DormantError("an estimate needs at least one item")
    distinct, counts = np.unique(_per_group(values, groups), return_counts=True)
    reach = (min(support[0], distinct[0]), max(support[1], distinct[-1]))
    estimate, low, high = multinomial_score_interval(distinct, counts, reach, level)
    return Estimate(
        estimate=float(estimate), low=float(low), high=float(high), level=level, method=method
    )


def _outcomes(outcomes: ArrayLike) -> NDArray[Any]:
    """Check outcomes: successes and failures, or shares of a success."""
    array = np.asarray(outcomes)
    if array.ndim != 1:
        raise DormantError(f"outcomes must be one number an item, not an array {array.shape}")
    if not ((array >= 0) & (array <= 1)).all():
        raise DormantError("outcomes must be true or false for every item, or between 0 and 1")
    whole = ((array == 0) | (array == 1)).all()
    return array.astype(np.int8 if whole else np.float64)


def _contrast(cells: Sequence[NDArray[Any]], weights: Sequence[float]) -> NDArray[Any]:
    if len({cell.shape for cell in cells}) != 1:
        sizes = ", ".join(str(cell.size) for cell in cells)
        raise DormantError(f"paired cells must hold the same items, but hold {sizes}")
    terms = [weight * cell for weight, cell in zip(weights, cells, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _per_group(values: NDArray[Any], groups: ArrayLike | None) -> NDArray[Any]:
    """Average within source items; order of the source items is that of their names."""
    if groups is None:
        return values
    names = np.asarray(groups)
    if names.shape != values.shape:
        raise DormantError(f"{names.size} source items named for {values.size} prompts")
    _, inverse, sizes = np.unique(names, return_inverse=True, return_counts=True)
    return np.bincount(inverse, weights=values, minlength=sizes.size) / sizes
