"""How many items would have decided an inconclusive verdict."""

from __future__ import annotations

import math

from scipy import special

from dormant.results import INFORMATIVE, Estimate
from dormant.statistics.evidence import Evidence


def items_needed(evidence: Evidence) -> int | None:
    """Return about how many items would have decided an inconclusive verdict.

    An interval's half-width shrinks with 1/√n. So with the point estimates as they are, a bound
    at distance w from an estimate that lies d on the right side of its threshold would have been
    decided by n (w/d)² items. A verdict needs the most demanding of its bounds; the answer is for
    the verdict that needs fewest, rounded up to two digits. New items bring new estimates, so the
    chance that this many decide is about one half to begin with, and better with more.

    Returns:
        The number of items, or `None` where no verdict is within reach of the estimates as they
        are (or of any number of items: no base model, no control passed).
    """
    drop, margin, n = evidence.drop, evidence.margin, evidence.n_items
    if drop is None:
        return None

    def above(estimate: Estimate, threshold: float) -> float:
        return _factor(estimate.estimate - threshold, estimate.estimate - estimate.low)

    def below(estimate: Estimate, threshold: float) -> float:
        return _factor(threshold - estimate.estimate, estimate.high - estimate.estimate)

    factors = [math.inf if evidence.absent else below(drop, margin)]
    for rung in evidence.rungs:
        if rung.recovery is not None and rung.rung not in INFORMATIVE:
            bounds = (drop, rung.gain, rung.recovery)
            factors.append(max(*(above(bound, 0) for bound in bounds)))
    if evidence.telling:
        known = [hope for hope in evidence.hopes if hope is not None]
        factors.append(max(above(drop, margin), *(below(hope, 0) for hope in known)))
    trained = evidence.as_trained
    if (
        trained is not None
        and trained.recovery is not None
        and trained.remaining is not None
        and trained.beyond_quarter is not None
    ):
        gone = min(below(trained.remaining, margin), below(trained.beyond_quarter, 0))
        tested = _test_factor(trained.p_value, trained.p_adjusted, evidence.alpha)
        factors.append(max(above(drop, margin), gone, above(trained.recovery, 0), tested))
    factor = min(factors)
    if not math.isfinite(factor):
        return None
    needed = max(n * factor, n + 1)
    unit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
    return math.ceil(needed / unit) * unit


def _factor(distance: float, half_width: float) -> float:
    return (half_width / distance) ** 2 if distance > 0 else math.inf


def _test_factor(p_value: float, p_adjusted: float, alpha: float) -> float:
    """The same for a test: its z grows with √n, and Holm's factor stays as it is."""
    if p_adjusted < alpha:
        return 0.0
    observed = -float(special.ndtri(p_value))
    wanted = -float(special.ndtri(alpha * p_value / p_adjusted))
    return _factor(observed, wanted)
