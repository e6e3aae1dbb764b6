"""Paired estimates with intervals, from per-item outcomes.

All functions are pure and deterministic: closed forms and score intervals, no resampling. A
bootstrap degenerates where few pairs disagree (0 of 100 is not "no drop for certain");
`docs/statistics.md` compares the coverage of both, as measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from dormant.results import Estimate

Flags: TypeAlias = NDArray[np.bool_]
Values: TypeAlias = NDArray[np.float64]

LEVEL = 0.95


def proportion(successes: Flags, level: float = LEVEL) -> Estimate:
    """Estimate a rate of success, with Wilson's score interval.

    Args:
        successes: (n,) outcomes, n ≥ 1.
        level: Coverage aimed at.
    """
    n, k = len(successes), int(np.count_nonzero(successes))
    interval = cast(tuple[float, float], proportion_confint(k, n, alpha=1 - level, method="wilson"))
    return _estimate(k / n, *map(float, interval), level, "wilson")


def paired_difference(first: Flags, second: Flags, level: float = LEVEL) -> Estimate:
    """Estimate rate(first) − rate(second) on the same items, with Tango's score interval.

    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for
    the paired-sample design", Statistics in Medicine 17: 891-908, eqs. 9-11.

    Args:
        first: (n,) outcomes, n ≥ 1.
        second: (n,) outcomes of the same items.
        level: Coverage aimed at.

    Raises:
        ValueError: The arrays differ in length or are empty.
    """
    _require_pairs(first, second)
    n = len(first)
    b = int(np.count_nonzero(first & ~second))
    c = int(np.count_nonzero(second & ~first))
    z = float(stats.norm.ppf((1 + level) / 2))
    point = (b - c) / n
    low = -_tango_upper(n, c, b, z)
    high = _tango_upper(n, b, c, z)
    return _estimate(point, low, high, level, "tango-score")


def _tango_upper(n: int, b: int, c: int, z: float) -> float:
    """Largest difference that the score test does not reject."""

    def score(delta: float) -> float:
        # q is the maximum-likelihood estimate of P(second only) under the difference `delta`.
        linear = -b - c + (2 * n - b + c) * delta
        q = (np.sqrt(linear * linear + 8 * n * c * delta * (1 - delta)) - linear) / (4 * n)
        variance = n * (2 * q + delta * (1 - delta))
        return float((b - c - n * delta) / np.sqrt(max(variance, 1e-300))) + z

    point = (b - c) / n
    if point >= 1 or score(1 - 1e-12) >= 0:
        return 1.0
    start = point if point > -1 else -1 + 1e-12
    return cast(float, optimize.brentq(score, start, 1 - 1e-12, xtol=1e-12))


def mean_contrast(values: Values, bound: float, level: float = LEVEL) -> Estimate:
    """Estimate the mean of per-item contrasts of outcomes, such as a difference of differences.

    An adjusted Wald interval: one item at +1 and one at −1 are added before mean and standard
    error are taken, which keeps the interval honest where almost all contrasts are zero. It
    generalises Bonett & Price (2012), "Adjusted Wald confidence interval for a difference of
    binomial proportions based on paired data", J. Educational and Behavioral Statistics 37:
    479-488, from contrasts in {−1, 0, 1} to any.

    Args:
        values: (n,) contrasts, n ≥ 1.
        bound: Largest absolute value that a contrast can take; the interval ends there.
        level: Coverage aimed at.
    """
    n = len(values) + 2
    center = float(values.sum()) / n
    spread = float(np.sum(values**2) + 2) / n - center**2
    reach = float(stats.norm.ppf((1 + level) / 2)) * np.sqrt(spread / n)
    low, high = max(-bound, center - reach), min(bound, center + reach)
    return _estimate(float(values.mean()), low, high, level, "adjusted-wald")


def difference_in_differences(
    base_plain: Flags, tuned_plain: Flags, base_s: Flags, tuned_s: Flags, level: float = LEVEL
) -> Estimate:
    """Estimate recovery: drop under plain prompts minus drop under s, on the same items.

    Args:
        base_plain: (n,) outcomes of the base, plain.
        tuned_plain: (n,) outcomes of the tuned model, plain.
        base_s: (n,) outcomes of the base, transformed.
        tuned_s: (n,) outcomes of the tuned model, transformed.
        level: Coverage aimed at.
    """
    cells = [cell.astype(np.float64) for cell in (base_plain, tuned_plain, base_s, tuned_s)]
    return mean_contrast(cells[0] - cells[1] - cells[2] + cells[3], bound=2.0, level=level)


def mean(values: Values, level: float = LEVEL) -> Estimate:
    """Estimate the mean of per-item values (log-odds and their contrasts), by Student's t.

    Args:
        values: (n,) values, nats for log-odds. With n = 1 the interval is infinite.
        level: Coverage aimed at.
    """
    point = float(values.mean())
    if len(values) < 2:
        return _estimate(point, -np.inf, np.inf, level, "student-t")
    error = float(stats.sem(values))
    reach = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return _estimate(point, point - reach, point + reach, level, "student-t")


def mcnemar_exact(
    first: Flags, second: Flags, alternative: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """Return the exact McNemar p-value of rate(first) = rate(second) on the same items.

    Args:
        first: (n,) outcomes.
        second: (n,) outcomes of the same items.
        alternative: "two-sided", or "greater" for rate(first) > rate(second).
    """
    _require_pairs(first, second)
    b = int(np.count_nonzero(first & ~second))
    c = int(np.count_nonzero(second & ~first))
    if b + c == 0:
        return 1.0
    return float(stats.binomtest(b, b + c, 0.5, alternative=alternative).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values after Holm's step-down correction, in the order given."""
    if not p_values:
        return []
    corrected = cast(Values, multipletests(p_values, method="holm")[1])
    return [float(p) for p in corrected]


def _require_pairs(first: Flags, second: Flags) -> None:
    if len(first) != len(second) or len(first) == 0:
        raise ValueError(
            f"paired outcomes must match and not be empty: {len(first)}, {len(second)}"
        )


def _estimate(point: float, low: float, high: float, level: float, method: str) -> Estimate:
    # Rounding, and the shrinkage of adjusted intervals at their ends, must not leave the point out.
    return Estimate(
        estimate=point, low=min(low, point), high=max(high, point), level=level, method=method
    )
