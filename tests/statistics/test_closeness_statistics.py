"""Bins and rank correlations of closeness: right on what is known, and over source items."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from dormant.errors import DormantError
from dormant.statistics.closeness import BINS, PER_BIN, bins, rank_correlation
from dormant.statistics.intervals import paired_difference


def prompts(n, seed=0):
    draw = np.random.default_rng(seed)
    close = draw.normal(size=n)
    base, tuned = draw.random(n) < 0.8, draw.random(n) < 0.5
    return close, base, tuned, [f"item-{place}" for place in range(n)]


@given(st.integers(1, 400), st.integers(1, 60))
def test_bins_hold_every_prompt_once_and_part_nothing_equal(n, distinct):
    close, base, tuned, items = prompts(n)
    close = np.floor(close * distinct) / distinct
    found = bins(close, base, tuned, items)
    assert sum(one.prompts for one in found) == n
    assert len(found) <= max(1, min(BINS, n // PER_BIN))
    assert all(before.high < after.low for before, after in itertools.pairwise(found))
    for one in found:
        here = (close >= one.low) & (close <= one.high)
        assert here.sum() == one.prompts
        groups = [item for item, inside in zip(items, here, strict=True) if inside]
        assert one.change == paired_difference(tuned[here], base[here], groups=groups)
        assert one.mean == pytest.approx(close[here].mean())


def test_the_correlation_is_spearmans():
    close, base, tuned, items = prompts(300)
    change = tuned.astype(int) - base.astype(int)
    found = rank_correlation(close, change, items)
    assert found.estimate == pytest.approx(spearmanr(close, change).statistic)
    assert found.low < found.estimate < found.high
    assert rank_correlation(close, close, items).estimate == pytest.approx(1)
    assert rank_correlation(close, -close, items).high == pytest.approx(-1)


def test_within_strata_what_differs_between_them_says_nothing():
    # French is far and lost nothing, English close and lost all; within each, the other way round.
    close, _, _, items = prompts(200)
    strata = ["french"] * 100 + ["english"] * 100
    far = np.repeat([-10.0, 10.0], 100)
    change = np.concatenate([close[:100], close[100:] - 5])
    across = rank_correlation(close + far, change, items)
    within = rank_correlation(close + far, change, items, strata)
    assert across.high < 0
    assert within.estimate == pytest.approx(1)


def test_intervals_are_over_source_items():
    # Each item eight times over tells no more than once.
    close, base, tuned, items = prompts(60)
    change = tuned.astype(int) - base.astype(int)
    once = rank_correlation(close, change, items)
    often = rank_correlation(np.tile(close, 8), np.tile(change, 8), items * 8)
    assert often.estimate == pytest.approx(once.estimate)
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=0.05)
    as_if = [f"{item}/{place}" for place in range(8) for item in items]
    narrow = rank_correlation(np.tile(close, 8), np.tile(change, 8), as_if)
    assert narrow.high - narrow.low < 0.5 * (often.high - often.low)


def test_intervals_hold_what_they_say_where_prompts_share_items():
    draw = np.random.default_rng(1)
    held, times = 0, 200
    for seed in range(times):
        own = draw.normal(size=40)
        luck = draw.normal(size=40)  # of an item, whatever its closeness
        close = (own[:, None] + 0.3 * draw.normal(size=(40, 4))).ravel()
        change = (luck[:, None] + draw.normal(size=(40, 4)) > 0).ravel().astype(int)
        items = [str(place // 4) for place in range(160)]
        found = rank_correlation(close, change, items, seed=seed)
        held += found.low <= 0 <= found.high
    assert 0.90 <= held / times <= 0.99


def test_what_says_nothing_gives_none():
    close, _, _, items = prompts(50)
    assert rank_correlation(close, np.zeros(50), items) is None
    assert rank_correlation(np.ones(50), close, items) is None
    assert rank_correlation(close[:7], close[:7], items[:7]) is None


def test_numbers_that_are_none_are_refused():
    close, base, tuned, items = prompts(50)
    close[3] = np.nan
    with pytest.raises(DormantError, match="finite number"):
        bins(close, base, tuned, items)
    with pytest.raises(DormantError, match="one length"):
        bins(close[4:], base, tuned, items)
    with pytest.raises(DormantError, match="finite number"):
        bins([], [], [], [])
