"""Non-inferiority: claimed by upper bounds, and seldom wrongly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dormant.errors import DormantError
from dormant.results import Estimate
from dormant.statistics.further_loss import exceeds, further_loss
from paired_simulator import outcomes


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [
        (-0.02, 0.049, "no"),
        (-0.02, 0.05, "undecided"),
        (0.0, 0.2, "undecided"),
        (0.05, 0.2, "undecided"),
        (0.051, 0.2, "yes"),
        (-0.3, -0.1, "no"),
    ],
)
def test_by_bounds_and_not_by_the_estimate(low, high, answer):
    assert exceeds(Estimate(estimate=(low + high) / 2, low=low, high=high)) == answer


def test_the_same_items_before_and_after():
    before, after = np.arange(400) < 360, np.arange(400) < 358
    loss, answer = further_loss(before, after)
    assert loss.estimate == pytest.approx(0.005)
    assert answer == "no"
    assert further_loss(before[:20], after[:20])[1] == "undecided"
    assert further_loss(before, np.arange(400) < 200)[1] == "yes"
    with pytest.raises(DormantError, match="the same items"):
        further_loss(before, after[:3])


@pytest.mark.parametrize("n", [120, 400])
def test_a_loss_of_the_margin_is_seldom_denied_or_affirmed(n):
    rng = np.random.default_rng(n)
    answers = [further_loss(*outcomes(rng, n, 0.7, (0.9, 0.85)))[1] for _ in range(400)]
    for wrong in ("no", "yes"):
        assert answers.count(wrong) <= stats.binom.isf(0.001, 400, 0.025), wrong
