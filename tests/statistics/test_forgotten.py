"""*Lost* and *forgotten*: a quarter of which drop, how seldom they are said wrongly, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from dormant.statistics import PlainCells, TransformCells, judge_ability
from dormant.statistics.contrasts import Quad
from verdict_simulator import BORDER, TRUTHS, Truth, judged, shares

ITEMS = [f"item-{place}" for place in range(400)]


def flags(successes: int) -> np.ndarray:
    return np.arange(400) < successes


def cells(base: int, tuned: int) -> TransformCells:
    return TransformCells(
        name="s", signature="s", items=ITEMS, base=flags(base), tuned=flags(tuned)
    )


PLAIN = PlainCells(items=ITEMS, base=flags(360), tuned=flags(40))


def test_what_came_back_beyond_a_quarter():
    quad = Quad.align(PLAIN, cells(200, 120))
    returned, reached = quad.returned_beyond(0.25), quad.reached_beyond(0.25)
    assert returned is not None
    assert reached is not None
    assert returned.estimate == pytest.approx((80 - 320 / 4) / 400)
    assert reached.estimate == pytest.approx((80 - 160 / 4) / 400)
    assert returned.low < returned.estimate < returned.high
    assert quad.returned_beyond(0.0) is not None
    gain = quad.gain()
    whole = quad.returned_beyond(0.0)
    assert whole is not None
    assert (whole.estimate, whole.low, whole.high) == pytest.approx(
        (gain.estimate, gain.low, gain.high)
    )
    without = Quad.align(
        PlainCells(items=ITEMS, tuned=flags(40)),
        TransformCells(name="s", signature="s", items=ITEMS, tuned=flags(60)),
    )
    assert without.returned_beyond(0.25) is None
    assert without.reached_beyond(0.25) is None


def test_a_tenth_is_left_everywhere():
    assert judge_ability("x", PLAIN, [cells(340, 40)]).verdict == "lost"


def test_forgotten_takes_relearning():
    """What noise can't bring back, a training may: gone up to noise is no more than lost."""
    for rung in ("prompt", "noise"):
        found = judge_ability("x", PLAIN, [cells(340, 40), replace(cells(340, 40), rung=rung)])
        assert (found.verdict, found.rung) == ("lost", rung)
    for rung in ("relearn", "teach"):
        trained = replace(cells(340, 40), name="trained", rung=rung)
        found = judge_ability("x", PLAIN, [cells(340, 40), trained])
        assert (found.verdict, found.rung) == ("forgotten", rung)
        # A training that the base doesn't stand was no test; one that brings more back is one.
        broken = replace(trained, base=flags(10))
        assert judge_ability("x", PLAIN, [cells(340, 40), broken]).verdict == "lost"
        back = replace(trained, tuned=flags(150))
        assert judge_ability("x", PLAIN, [cells(340, 40), back]).verdict not in (
            "lost", "forgotten",
        )  # fmt: skip


def test_noise_alone_cannot_show_that_nothing_is_left():
    """It harms a model more often than it helps; beside a transform it counts."""
    noisy = replace(cells(340, 20), name="noise-0.1", rung="noise")
    alone = judge_ability("x", PLAIN, [noisy])
    assert alone.verdict == "inconclusive"
    assert "noise in the weights" in alone.reason
    failed = judge_ability("x", PLAIN, [cells(100, 20), noisy])
    assert failed.verdict == "inconclusive"
    assert failed.items_needed is None
    assert judge_ability("x", PLAIN, [cells(340, 40), noisy]).verdict == "lost"
    helped = judge_ability("x", PLAIN, [replace(noisy, tuned=flags(200))])
    assert (helped.verdict, helped.rung) == ("suppressed", "noise")


def test_what_came_back_is_measured_by_what_the_base_shows_there():
    # 50 of a drop of 320 are less than a quarter; of the 140 that the base has left, they are more.
    costly = judge_ability("x", PLAIN, [cells(180, 90)])
    (result,) = costly.transforms
    assert result.returned_quarter is not None
    assert result.reached_quarter is not None
    assert result.returned_quarter.high < 0 < result.reached_quarter.low
    assert costly.verdict != "lost"


def at_most(rate: float, draws: int) -> float:
    """The share that a true rate exceeds once in a thousand such tests."""
    return float(stats.binom.isf(0.001, draws, rate)) / draws


@pytest.mark.parametrize("truth", BORDER[1:3], ids=lambda truth: truth.what)
def test_it_is_seldom_said_where_a_quarter_came_back(truth: Truth):
    assert shares(judged(truth, 120, 40))["lost"] <= at_most(0.025, 40)


@pytest.mark.slow
@pytest.mark.parametrize("n", [120, 200, 400])
@pytest.mark.parametrize("correlation", [0.2, 0.7])
@pytest.mark.parametrize("truth", BORDER, ids=lambda truth: truth.what)
def test_it_is_seldom_said_on_the_border(truth: Truth, correlation: float, n: int):
    rates = shares(judged(truth, n, 400, correlation))
    assert rates["lost"] <= at_most(0.027, 400)


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 120, 400])
@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: f"{truth.what} {truth.tuned}")
def test_verdicts_that_would_be_false(truth: Truth, n: int):
    rates = shares(judged(truth, n, 200))
    for verdict in truth.wrong:
        assert rates[verdict] <= at_most(0.03, 200), verdict
