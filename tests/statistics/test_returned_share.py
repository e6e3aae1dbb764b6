"""The share of a loss that came back: a ratio's interval, held to what it means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant.statistics.intervals import linear_contrast, paired_difference
from dormant.statistics.returned import returned_share

# Items that all do alike leave a score interval to rounding.
ITEMS = st.lists(st.tuples(*[st.booleans()] * 3), min_size=4, max_size=60).filter(
    lambda items: len({*items}) > 1
)


@given(ITEMS)
def test_it_is_the_shares_that_the_contrast_does_not_refuse(items):
    base, tuned, after = np.array(items).T
    share = returned_share(base, tuned, after)
    drop = paired_difference(base, tuned)
    if drop.low <= 0:
        assert share is None
        return
    assert share is not None
    assert share.low <= share.estimate <= share.high
    gain = paired_difference(after, tuned).estimate
    assert share.estimate == pytest.approx(gain / drop.estimate)
    for bound, side in ((share.low, "low"), (share.high, "high")):
        # Where values reach the ends of what is possible, an interval's bound jumps over 0.
        for at, sign in ((bound - 0.01, 1), (bound + 0.01, -1)):
            if abs(bound) < 3.9:
                contrast = linear_contrast(after, tuned, base, weights=(1.0, at - 1.0, -at))
                assert sign * getattr(contrast, side) > -1e-4


def test_all_back_is_one_and_nothing_back_is_none():
    base, tuned = np.arange(100) < 90, np.arange(100) < 10
    whole, nothing = returned_share(base, tuned, base), returned_share(base, tuned, tuned)
    assert whole is not None
    assert nothing is not None
    assert (whole.estimate, nothing.estimate) == (1, 0)
    assert 0.9 < whole.low < 1 < whole.high
    assert nothing.low < 0 < nothing.high < 0.1
    better = returned_share(base, tuned, np.ones(100))
    assert better is not None
    assert better.low > 1


def test_it_covers():
    """Simulated: 95 % of intervals hold the truth, or more, give or take the draws' chance."""
    rng, draws, held = np.random.default_rng(7), 60, 0
    for _ in range(draws):
        ease = rng.random(60)
        base, tuned = ease < 0.85, ease < 0.2
        # Half of what was lost comes back; some of what was kept is lost.
        after = rng.random(60) < np.where(ease < 0.2, 0.95, np.where(ease < 0.85, 0.5, 0))
        share = returned_share(base, tuned, after)
        assert share is not None
        held += share.low <= (0.2 * 0.95 + 0.65 * 0.5 - 0.2) / 0.65 <= share.high
    assert held / draws > 0.88
