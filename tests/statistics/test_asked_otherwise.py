"""*Asked otherwise*: its rule, bound by bound, and how often it is wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from dormant.results import AbilityResult
from dormant.statistics import PlainCells, TransformCells, judge_ability
from dormant.statistics.intervals import remaining_beyond
from paired_simulator import ASKED_OTHERWISE, as_trained_verdicts, contrast_coverage

ITEMS = [f"item-{place}" for place in range(120)]


def flags(successes: int, start: int = 0) -> np.ndarray:
    """`successes` of 120 items succeed, from `start` on."""
    places = np.arange(120)
    return (places >= start) & (places < start + successes)


def cells(name: str, base: object, tuned: object) -> TransformCells:
    return TransformCells(name=name, signature=f"{name}:x", items=ITEMS, base=base, tuned=tuned)


def judged(base, tuned, trained, transforms=(), **more):
    wrapped = None if trained is None else cells("as-trained", *trained)
    plain = PlainCells(items=ITEMS, base=base, tuned=tuned)
    return judge_ability("icl/copy", plain, list(transforms), as_trained=wrapped, **more)


BACK = cells("french", flags(108), flags(100))
GONE = cells("french", flags(108), flags(3))


def test_lost_plainly_and_there_as_trained():
    found = judged(flags(108), flags(12), (flags(108), flags(106)))
    assert found.verdict == "asked otherwise"
    assert "in the wrapping of the training data" in found.reason
    assert found.items_needed is None
    assert found.as_trained is not None
    assert found.as_trained.gain.estimate == pytest.approx(94 / 120)
    assert found.as_trained.remaining is not None
    assert found.as_trained.remaining.estimate == pytest.approx(2 / 120)
    assert AbilityResult.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize("transform", [BACK, GONE])
def test_it_comes_before_what_a_transform_says(transform):
    lost = flags(108), flags(3)
    assert judged(*lost, (flags(108), flags(108)), [transform]).verdict == "asked otherwise"
    without = judged(*lost, None, [transform])
    assert without.verdict == ("suppressed" if transform is BACK else "lost")


def test_without_a_wrapping_everything_is_as_it_was():
    with_it = judged(flags(108), flags(3), (flags(108), flags(108)), [BACK])
    without = judged(flags(108), flags(3), None, [BACK])
    differ = {"verdict", "reason", "rung", "as_trained"}
    assert with_it.model_dump(exclude=differ) == without.model_dump(exclude=differ)


def test_what_does_not_come_back_is_not_asked_otherwise():
    # Half of the drop is back: enough to speak against "lost", not enough to explain it.
    half = judged(flags(108), flags(4), (flags(108), flags(60)), [GONE])
    assert half.verdict == "inconclusive"
    assert "as trained, the fine-tuned model gains 47 points" in half.reason
    # The transform's word is not taken back by it.
    assert judged(flags(108), flags(4), (flags(108), flags(60)), [BACK]).verdict == "suppressed"
    # Nothing is back: lost as before, and the wrapping is named.
    none = judged(flags(108), flags(3), (flags(108), flags(3)), [GONE])
    assert none.verdict == "lost"
    assert "and as trained" in none.reason


def test_a_wrapping_that_makes_the_task_easier_explains_nothing():
    # The base gains as much in it as the fine-tuned model does: the drop is still there.
    found = judged(flags(60), flags(20), (flags(110), flags(70)))
    assert found.as_trained is not None
    assert found.as_trained.remaining is not None
    assert found.as_trained.remaining.high < 0.05
    assert found.verdict == "inconclusive"


def test_a_drop_within_the_margin_or_none_is_judged_as_ever():
    assert judged(flags(110), flags(111), (flags(110), flags(111))).verdict == "retained"
    small = judged(flags(110), flags(104), (flags(110), flags(110)))
    assert small.drop is not None
    assert 0 < small.drop.low < 0.05
    assert small.verdict == "inconclusive"


def test_a_base_that_fails_in_the_wrapping_does_not_matter():
    # A base model without the template's words: what counts is its plain accuracy.
    assert judged(flags(108), flags(6), (flags(0), flags(108))).verdict == "asked otherwise"


def test_without_a_base_it_is_a_gain_only():
    plain = PlainCells(items=ITEMS, tuned=flags(6))
    wrapped = TransformCells(name="as-trained", signature="x", items=ITEMS, tuned=flags(108))
    found = judge_ability("icl/copy", plain, [], as_trained=wrapped)
    assert found.verdict == "inconclusive"
    assert found.as_trained is not None
    assert found.as_trained.gain.low > 0
    assert found.as_trained.remaining is None
    assert (found.lost, found.won) == (None, None)


def test_flips_are_counted():
    found = judged(flags(60), flags(30, start=50), None)
    assert (found.lost, found.won) == (50, 20)
    assert found.drop is not None
    assert found.drop.estimate == pytest.approx((50 - 20) / 120)


def test_items_needed_reckons_with_the_wrapping():
    # All is back, but 24 items don't show it.
    items = ITEMS[:24]
    base, tuned = flags(22)[:24], flags(15)[:24]
    few = judge_ability(
        "x",
        PlainCells(items=items, base=base, tuned=tuned),
        [],
        as_trained=TransformCells(
            name="as-trained", signature="x", items=items, base=base, tuned=base
        ),
    )
    assert few.verdict == "inconclusive"
    assert few.items_needed is not None
    assert 24 < few.items_needed < 200


def test_beyond_a_share_of_the_drop():
    base, tuned, trained = flags(100), flags(20), flags(80)
    estimate = remaining_beyond(base, tuned, trained, share=0.25)
    assert estimate.estimate == pytest.approx((20 - 80 / 4) / 120)
    all_of_it = remaining_beyond(base, tuned, trained, share=0.0)
    assert all_of_it.estimate == pytest.approx(20 / 120)


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_its_interval_covers(share):
    coverage = contrast_coverage(n=120, draws=2000, share=share)
    assert coverage.min() > 0.93


@pytest.mark.parametrize("truth", [one for one in ASKED_OTHERWISE if "quarter" in one.what])
def test_error_rates_in_short(truth):
    rates = as_trained_verdicts(truth, n=120, draws=100)
    # 2.5 % at the rule's own border; 100 draws of that exceed 8 % once in 900 times.
    assert rates["asked otherwise"] <= 0.08, rates


def test_it_is_found_where_it_is():
    truth = next(one for one in ASKED_OTHERWISE if not one.wrong)
    rates = as_trained_verdicts(truth, n=60, draws=40)
    assert rates["asked otherwise"] > 0.9, rates


@pytest.mark.slow
@pytest.mark.parametrize("n", [120, 400])
@pytest.mark.parametrize("truth", ASKED_OTHERWISE)
def test_error_rates(truth, n):
    rates = as_trained_verdicts(truth, n=n, draws=400)
    assert Counter(rates).total() == pytest.approx(1)
    if truth.wrong:
        assert rates["asked otherwise"] <= 0.05, rates
