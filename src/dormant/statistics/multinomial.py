"""The score interval of a multinomial mean: Wilson's and Tango's intervals, and their kin."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

LEVEL = 0.95
"""Two-sided coverage aimed at unless told otherwise."""

Floats: TypeAlias = NDArray[np.float64]

_BISECTIONS = 44  # halvings of [0, 1]: finer than anyone reads, 6e-14
_ROUNDING = 1e-12
_TINY = float(np.finfo(np.float64).tiny)


def multinomial_score_interval(
    values: ArrayLike,
    counts: ArrayLike,
    support: tuple[float, float],
    level: float = LEVEL,
) -> tuple[Floats, Floats, Floats]:
    """Estimate the mean of a bounded discrete variable from counts; vectorised.

    δ is in the interval where n(mean − δ)² ≤ z² Var(δ): the score test with the variance of the
    likeliest distribution on the support among those whose mean is δ. With values {0, 1} this is
    Wilson's interval, with {−1, 0, 1} Tango's. Distributions may put mass on the ends of the
    support though none was observed there, so no data make the interval a point unless they lie
    at an end.

    Args:
        values: Values that occur (k,), all in the support.
        counts: How often each occurs (…, k); nonnegative.
        support: Least and greatest possible value.
        level: Two-sided coverage.

    Returns:
        Mean, lower and upper bound, each (…). Without any counts: the middle of the support and
        its ends.
    """
    least, greatest = support
    span = greatest - least
    points = np.asarray(values, dtype=np.float64)
    table = np.asarray(counts, dtype=np.float64)
    total = table.sum(-1)
    empty = total == 0
    n = np.where(empty, 1.0, total)
    mean = np.where(empty, (least + greatest) / 2, table @ points / n)
    # The lower bound is the upper one of the mirrored variable: both at once, in [0, 1].
    both = np.stack([points - least, greatest - points]) / span
    both = both.reshape(2, *(1,) * (table.ndim - 1), points.size)
    z2 = float(special.ndtri((1 + level) / 2)) ** 2
    above, below = span * _upper(both, table, n, z2)
    # Rounding may put a bound on the wrong side of the estimate by one unit in the last place.
    low = np.where(empty, least, np.clip(greatest - below, least, mean))
    high = np.where(empty, greatest, np.clip(least + above, mean, greatest))
    return mean, low, high


def _upper(u: Floats, counts: Floats, n: Floats, z2: float) -> Floats:
    """Upper score bound for the mean of a variable on [0, 1].

    The likeliest distribution with a raised mean has p_k ∝ counts_k / (1 − θ u_k) for a tilt θ in
    [0, 1). Where even θ = 1 does not raise the mean far enough (nothing observed at 1), a mass q
    at 1 does the rest, and the others keep their proportions (Karush–Kuhn–Tucker conditions).
    """

    def moments(tilt: Floats) -> tuple[Floats, Floats]:
        # Where nothing was observed at 1, a tilt of 1 would divide 0 by 0 there.
        weight = counts / np.where(counts > 0, 1 - tilt[..., None] * u, 1.0)
        weight /= np.maximum(weight.sum(-1, keepdims=True), _TINY)
        first = (weight * u).sum(-1)
        return first, np.maximum((weight * u * u).sum(-1) - first**2, 0.0)

    mean = (counts * u).sum(-1) / n
    least, most = np.zeros_like(mean), np.ones_like(mean)
    for _ in range(_BISECTIONS):
        middle = (least + most) / 2
        first, variance = moments(middle)
        accepted = n * (first - mean) ** 2 <= z2 * variance
        least, most = np.where(accepted, middle, least), np.where(accepted, most, middle)
    tilted, _ = moments(least)

    open_end = (counts * (u == 1)).sum(-1) == 0
    edge, variance = moments(np.where(open_end, 1.0, 0.0))
    gap, shift = 1 - edge, edge - mean
    # n (shift + q gap)² = z² Var(q), a quadratic in q: a q² + b q + c = 0.
    a = (n + z2) * gap**2
    b = 2 * n * shift * gap - z2 * (gap**2 - variance)
    c = n * shift**2 - z2 * variance
    # One value alone, but for rounding, which must not decide: all data agree with themselves.
    c = np.where((np.abs(shift) < _ROUNDING) & (variance < _ROUNDING**2), 0.0, c)
    beyond = open_end & (c <= 0)
    mass = (np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)) - b) / np.where(beyond, 2 * a, 1.0)
    return np.where(beyond, edge + mass * gap, tilted)
