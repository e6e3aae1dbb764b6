"""Verdicts: the rules one by one, and how often they are wrong on audits of known truth."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dormant.errors import DormantError
from dormant.results import (
    AbilityResult,
    CellEstimates,
    Cells,
    Estimate,
    Rung,
    RungResult,
    TransformResult,
)
from dormant.statistics import (
    NO_BASE,
    Evidence,
    PlainCells,
    TransformCells,
    decide,
    items_needed,
    judge_ability,
)
from dormant.statistics import intervals as uncertainty
from paired_simulator import outcomes

ITEMS = [f"item-{place}" for place in range(120)]


def flags(successes: int, n: int = 120) -> np.ndarray:
    """The first `successes` of n items succeed."""
    return np.arange(n) < successes


def scattered(successes: int, seed: int, n: int = 120) -> np.ndarray:
    return np.random.default_rng(seed).permutation(flags(successes, n))


def transform(name: str, base: Any, tuned: Any, **more: Any) -> TransformCells:
    given = {"signature": f"{name}:native", "items": ITEMS, **more}
    return TransformCells(name=name, base=base, tuned=tuned, **given)


def plain(base: Any, tuned: Any, **more: Any) -> PlainCells:
    return PlainCells(**{"items": ITEMS, "base": base, "tuned": tuned, **more})


# Whole abilities.


def test_suppressed():
    found = judge_ability(
        "icl/copy",
        plain(flags(108), flags(24)),
        [transform("french", flags(102), flags(90)), transform("rot13", flags(3), flags(2))],
        title="copies",
    )
    assert found.verdict == "suppressed"
    assert found.best_transform == "french"
    assert found.drop is not None
    assert found.gain is not None
    assert found.recovery is not None
    assert found.drop.estimate == pytest.approx(84 / 120)
    assert found.gain.low > 0
    assert found.recovery.low > 0
    assert found.items_needed is None
    assert "French".lower() in found.reason
    assert [t.control_passed for t in found.transforms] == [True, False]
    assert found.transforms[0].recovery is not None
    assert found.transforms[0].recovery.estimate == pytest.approx((84 - 12) / 120)


def test_lost():
    found = judge_ability(
        "icl/copy",
        plain(flags(108), flags(0)),
        [transform("french", flags(102), flags(1)), transform("dutch", flags(99), flags(0))],
    )
    assert (found.verdict, found.rung) == ("lost", "prompt")


def test_retained():
    found = judge_ability(
        "icl/copy", plain(flags(110), flags(111)), [transform("french", flags(99), flags(99))]
    )
    assert found.verdict == "retained"
    assert found.drop_p_value == 1.0


def test_no_transform_at_all():
    found = judge_ability("icl/copy", plain(flags(108), flags(0)), [])
    assert found.verdict == "inconclusive"
    assert "no transform was tried" in found.reason
    assert found.best_transform is None
    assert found.items_needed is None


def test_easier_under_the_transform_is_not_suppression():
    # The tuned model gains as much as the base does: a gain, but no recovery.
    found = judge_ability(
        "icl/copy",
        plain(flags(60), flags(20)),
        [transform("french", flags(110), flags(70))],
    )
    assert found.gain is not None
    assert found.gain.low > 0
    assert found.verdict == "inconclusive"


def test_nothing_to_lose():
    found = judge_ability(
        "icl/copy", plain(flags(2), flags(2)), [transform("french", flags(2), flags(2))]
    )
    assert found.verdict == "inconclusive"
    assert "nothing to retain" in found.reason


def test_an_ability_won_by_tuning_is_not_retained():
    found = judge_ability("icl/copy", plain(flags(2), flags(90)), [])
    assert found.verdict == "inconclusive"
    assert "nothing to retain" in found.reason
    assert "tuning changed accuracy by 73 points (" in found.reason


def test_an_ability_raised_by_tuning_is_retained():
    found = judge_ability("icl/copy", plain(flags(40), flags(90)), [])
    assert found.verdict == "retained"
    # 40 of 120 to 90 of 120.
    assert "did not drop, it rose by 42 points (" in found.reason
    assert "\N{MINUS SIGN}" not in found.reason


@pytest.mark.parametrize("tuned", [0, 30, 120])
@pytest.mark.parametrize("under", [0, 30, 120])
def test_two_cells_report_gains_only(tuned, under):
    cells = TransformCells(
        name="french", signature="french:native", items=ITEMS, tuned=flags(under)
    )
    found = judge_ability("icl/copy", PlainCells(items=ITEMS, tuned=flags(tuned)), [cells])
    assert found.verdict == "inconclusive"
    assert found.drop is None
    assert found.recovery is None
    assert found.drop_p_value is None
    assert found.items_needed is None
    assert found.gain is not None
    assert found.gain.estimate == pytest.approx((under - tuned) / 120, abs=0.15)
    assert found.transforms[0].control_reason == NO_BASE
    assert found.transforms[0].control is None
    assert "Without a base model" in found.reason


# Controls.


@pytest.mark.parametrize(
    ("cells", "chance", "complaint"),
    [
        (transform("a", flags(100), flags(9)), 0.0, ""),
        (transform("a", flags(54), flags(9)), 0.0, ""),
        (transform("a", flags(53), flags(9)), 0.0, "less than half"),
        (transform("a", flags(0), flags(0)), 0.0, "not above chance"),
        (transform("a", flags(66), flags(9)), 0.5, "not above chance"),
        (transform("a", flags(100), flags(9), fidelity=0.49), 0.0, "fidelity 0.49 is below 0.50"),
        (transform("a", flags(100), flags(9), fidelity=0.5), 0.0, ""),
        (
            transform("a", flags(100), flags(9), fidelity=0.8, fidelity_gate=0.9),
            0.0,
            "0.80 is below 0.90",
        ),
        (transform("a", [], [], items=[], exclusions={"untranslated": 120}), 0.0, "no items"),
    ],
)
def test_controls(cells, chance, complaint):
    found = judge_ability("icl/copy", plain(flags(108), flags(24)), [cells], chance=chance)
    (result,) = found.transforms
    assert result.control_passed == (not complaint)
    assert complaint in result.control_reason
    assert (found.best_transform is None) == bool(complaint)
    assert AbilityResult.model_validate_json(found.model_dump_json()) == found


def test_a_failed_control_proves_nothing_either_way():
    lost = plain(flags(108), flags(0))
    honest = transform("french", flags(102), flags(0))
    # Its gain would speak against "lost", and for "suppressed", were it to count.
    gaining = transform("rot13", flags(10), flags(60))
    assert judge_ability("icl/copy", lost, [honest, gaining]).verdict == "lost"
    assert judge_ability("icl/copy", lost, [gaining]).verdict == "inconclusive"


# The halves.


def test_seed_decides_the_halves_and_nothing_else():
    base, tuned = flags(110), scattered(30, 1)
    cells = [transform(f"t{k}", flags(105), scattered(60, k)) for k in range(4)]
    results = [judge_ability("a", plain(base, tuned), cells, seed=seed) for seed in range(4)]
    assert len({result.gain.estimate for result in results if result.gain}) > 1
    assert len({result.model_dump_json(include={"drop", "transforms"}) for result in results}) == 1


# Laws.

four = st.tuples(*[st.integers(0, 2**31) for _ in range(4)], st.integers(2, 60))


def random_ability(
    drawn: tuple[int, ...],
) -> tuple[PlainCells, TransformCells, np.random.Generator]:
    *seeds, n = drawn
    rng = np.random.default_rng(seeds)
    items = [f"i{k}" for k in range(n)]
    accuracies = rng.random(4)
    cells = outcomes(rng, n, 0.5, accuracies.tolist())
    odds = rng.normal(size=(4, n))
    return (
        PlainCells(
            items=items,
            base=cells[0],
            tuned=cells[1],
            base_log_odds=odds[0],
            tuned_log_odds=odds[1],
        ),
        TransformCells(
            name="t",
            signature="t",
            items=items,
            base=cells[2],
            tuned=cells[3],
            base_log_odds=odds[2],
            tuned_log_odds=odds[3],
        ),
        rng,
    )


def take(cells: Any, rows: Sequence[int]) -> Any:
    return replace(
        cells,
        items=[cells.items[row] for row in rows],
        **{
            name: np.asarray(getattr(cells, name))[rows]
            for name in ("base", "tuned", "base_log_odds", "tuned_log_odds")
        },
    )


def without_log_odds(found: AbilityResult) -> str:
    # Sums of reals depend on their order in the last digit; all else must not at all.
    return found.model_dump_json(
        exclude={"log_odds_drop": True, "transforms": {"__all__": {
            "log_odds", "log_odds_gain", "log_odds_recovery"
        }}}
    )  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(four)
def test_order_of_items_does_not_matter(drawn):
    whole, cells, rng = random_ability(drawn)
    found = judge_ability("a", whole, [cells])
    n = len(whole.items)
    shuffled = judge_ability(
        "a", take(whole, rng.permutation(n)), [take(cells, rng.permutation(n))]
    )
    assert without_log_odds(shuffled) == without_log_odds(found)
    assert shuffled.log_odds_drop is not None
    assert found.log_odds_drop is not None
    assert shuffled.log_odds_drop.low == pytest.approx(found.log_odds_drop.low, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(four)
def test_an_excluded_item_leaves_all_four_cells(drawn):
    whole, cells, rng = random_ability(drawn)
    kept = np.sort(rng.permutation(len(whole.items))[: max(1, len(whole.items) // 2)])
    part = replace(take(cells, kept), exclusions={"untranslated": len(whole.items) - kept.size})
    (found,) = judge_ability("a", whole, [part]).transforms
    (alone,) = judge_ability("a", take(whole, kept), [part]).transforms
    assert found == alone
    assert found.n_items == kept.size
    assert found.excluded_items == len(whole.items) - kept.size


@settings(max_examples=25, deadline=None)
@given(four)
def test_same_input_same_bytes_and_back_from_json(drawn):
    whole, cells, _ = random_ability(drawn)
    texts = {judge_ability("a", whole, [cells]).model_dump_json() for _ in range(2)}
    (text,) = texts
    assert AbilityResult.model_validate_json(text).model_dump_json() == text


def test_estimates_are_those_of_the_plain_functions():
    whole, cells, _ = random_ability((1, 2, 3, 4, 60))
    found = judge_ability("a", whole, [cells])
    (result,) = found.transforms
    four = (whole.base, whole.tuned, cells.base, cells.tuned)
    odds = (
        whole.base_log_odds,
        whole.tuned_log_odds,
        cells.base_log_odds,
        cells.tuned_log_odds,
    )
    assert found.drop == uncertainty.paired_difference(four[0], four[1])
    assert result.control == uncertainty.paired_difference(four[0], four[2])
    assert result.gain == uncertainty.paired_difference(four[3], four[1])
    assert result.recovery == uncertainty.difference_in_differences(*four)
    assert result.accuracy.tuned_transformed == np.mean(four[3])
    assert result.accuracy_intervals.base_transformed == uncertainty.proportion(four[2])
    assert found.log_odds_drop == uncertainty.mean_contrast(*odds[:2], weights=(1, -1))
    assert result.log_odds_recovery == uncertainty.mean_contrast(*odds, weights=(1, -1, -1, 1))
    assert result.log_odds is not None
    assert result.log_odds.base_plain == np.mean(odds[0])


def test_p_values_are_corrected_over_the_transforms():
    cells = [transform(f"t{k}", flags(108), scattered(30 + 4 * k, k)) for k in range(3)]
    found = judge_ability("a", plain(flags(110), scattered(28, 9)), cells).transforms
    assert [t.p_adjusted for t in found] == uncertainty.holm([t.p_value for t in found])
    assert any(t.p_adjusted > t.p_value for t in found)


# The rules, on estimates made by hand.


def near(estimate: float, half: float) -> Estimate:
    return Estimate(estimate=estimate, low=estimate - half, high=estimate + half)


def result(
    returned: Estimate,
    *,
    reached: Estimate | None = None,
    passed: bool = True,
    rung: Rung = "prompt",
) -> TransformResult:
    """A transform by what it gives beyond a quarter of the drop."""
    return TransformResult(
        name="s",
        signature="s",
        rung=rung,
        n_items=100,
        control_passed=passed,
        accuracy=Cells(),
        accuracy_intervals=CellEstimates(),
        gain=near(0, 0.1),
        returned_quarter=returned,
        reached_quarter=reached or returned,
        p_value=0.5,
        p_adjusted=0.5,
    )


def came_back(gain: Estimate, recovery: Estimate, rung: Rung = "prompt") -> RungResult:
    return RungResult(rung=rung, chosen=["s"], gain=gain, recovery=recovery, tuned=near(0.45, 0.1))


BEST = result(near(0.3, 0.1))
EVIDENCE = Evidence(
    drop=near(0.5, 0.1),
    base=near(0.9, 0.05),
    margin=0.05,
    chance=0.0,
    n_items=100,
    rungs=[came_back(near(0.4, 0.2), near(0.4, 0.2))],
    transforms=[BEST],
)
NONE = result(near(-0.1, 0.09))
NOTHING = came_back(near(0, 0.1), near(0, 0.1))
GONE = replace(EVIDENCE, rungs=[NOTHING], transforms=[NONE])
LEARNT = came_back(near(0.4, 0.2), near(0.4, 0.2), "noise")


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (EVIDENCE, "suppressed"),
        (replace(EVIDENCE, drop=near(0.0, 0.049)), "retained"),
        (replace(EVIDENCE, drop=near(0.0, 0.05)), "inconclusive"),
        (replace(EVIDENCE, drop=near(0.1, 0.1)), "inconclusive"),
        (replace(EVIDENCE, drop=near(0.1, 0.099)), "suppressed"),
        (replace(EVIDENCE, rungs=[came_back(near(0.2, 0.2), near(0.4, 0.2))]), "inconclusive"),
        (replace(EVIDENCE, rungs=[came_back(near(0.4, 0.2), near(0.2, 0.2))]), "inconclusive"),
        # Where guessing is as good as what came back, nothing did.
        (replace(EVIDENCE, chance=0.34), "suppressed"),
        (replace(EVIDENCE, chance=0.35), "inconclusive"),
        (GONE, "lost"),
        # Where a training was tried and the base stood it, and there alone, it is forgotten…
        (replace(GONE, transforms=[NONE, result(near(-0.1, 0.09), rung="relearn")]), "forgotten"),
        (replace(GONE, transforms=[NONE, result(near(-0.1, 0.09), rung="teach")]), "forgotten"),
        (replace(GONE, transforms=[result(near(-0.1, 0.09), rung="relearn")]), "forgotten"),
        (replace(GONE, transforms=[NONE, result(near(-0.1, 0.09), rung="noise")]), "lost"),
        (
            replace(
                GONE, transforms=[NONE, result(near(-0.1, 0.09), rung="relearn", passed=False)]
            ),
            "lost",
        ),
        # …but not where some of it came back there.
        (replace(GONE, transforms=[NONE, result(near(0.1, 0.2), rung="relearn")]), "inconclusive"),
        # Any rung will do.
        (replace(GONE, rungs=[NOTHING, LEARNT]), "suppressed"),
        # A drop that may be within the margin can't be shown to be lost.
        (replace(GONE, drop=near(0.1, 0.06)), "inconclusive"),
        (replace(GONE, drop=near(0.1, 0.049)), "lost"),
        # Under everything that passed, less than a quarter must have come back…
        (replace(GONE, transforms=[NONE, result(near(-0.1, 0.1))]), "inconclusive"),
        (replace(GONE, transforms=[NONE, result(near(-0.1, 0.1), rung="noise")]), "inconclusive"),
        # …of the drop, and of what the base shows there…
        (
            replace(GONE, transforms=[NONE, result(near(-0.1, 0.05), reached=near(-0.1, 0.1))]),
            "inconclusive",
        ),
        # …but not under what did not pass.
        (replace(GONE, transforms=[NONE, result(near(0.2, 0.1), passed=False)]), "lost"),
        (replace(GONE, rungs=[], transforms=[]), "inconclusive"),
        (replace(EVIDENCE, drop=None, base=None), "inconclusive"),
        (replace(GONE, drop=None, base=None), "inconclusive"),
        (replace(EVIDENCE, drop=near(0, 0.01), base=near(0.3, 0.1), chance=0.25), "inconclusive"),
        (replace(EVIDENCE, drop=near(0, 0.01), base=near(0.5, 0.1), chance=0.25), "retained"),
    ],
)
def test_rules(evidence, verdict):
    found, reason = decide(evidence)
    assert found == verdict
    assert reason.endswith(".")
    assert "\n" not in reason


def test_items_needed_by_hand():
    # The drop lacks: 0.08 ± 0.1 must shrink below 0.08 (suppressed): 100 · (0.1 / 0.08)² = 156.25.
    undecided = replace(EVIDENCE, drop=near(0.08, 0.1))
    assert items_needed(undecided) == 160
    # The gain lacks: 100 · (0.3 / 0.2)² = 225.
    lacking = replace(EVIDENCE, rungs=[came_back(near(0.2, 0.3), near(0.4, 0.2))])
    assert items_needed(lacking) == 230
    # Another rung lacks less: 100 · (0.11 / 0.1)² = 121.
    nearer = came_back(near(0.1, 0.11), near(0.4, 0.2), "noise")
    assert items_needed(replace(lacking, rungs=[*lacking.rungs, nearer])) == 130
    # Near 0, "retained" is nearest: 100 · (0.1 / 0.04)² = 625.
    assert items_needed(replace(GONE, drop=near(0.01, 0.1))) == 630
    # That no more than a quarter came back is not sure yet: 100 · (0.15 / 0.1)² = 225.
    nearly = replace(GONE, transforms=[NONE, result(near(-0.1, 0.15))])
    assert items_needed(nearly) == 230
    # More than a quarter came back, and no recovery: neither is within reach.
    stuck = replace(EVIDENCE, rungs=[came_back(near(0.2, 0.1), near(0, 0.1))])
    assert items_needed(stuck) is None
    assert items_needed(replace(EVIDENCE, drop=None)) is None


@pytest.mark.parametrize(
    ("base", "tuned", "n"),
    [
        ((0.9, 0.9), (0.7, 0.9), 40),  # suppressed
        ((0.9, 0.8), (0.4, 0.4), 40),  # lost
        ((0.9, 0.8), (0.9, 0.8), 120),  # retained
    ],
)
def test_that_many_items_decide_about_half_the_time(base, tuned, n):
    needed = [found.items_needed for found in judged(n, base, tuned, draws=40)]
    typical = int(np.median([items for items in needed if items is not None]))
    assert typical > n
    verdicts = Counter(found.verdict for found in judged(typical, base, tuned, draws=40))
    assert 1 - verdicts["inconclusive"] / 40 >= 0.3


# Bad input.


@pytest.mark.parametrize(
    ("whole", "cells", "message"),
    [
        (plain([], [], items=[]), [], "at least one item"),
        (plain(flags(3, 4), flags(3)), [], "base model: 120 are needed, .* there are 4"),
        (plain(flags(3), flags(3), items=["a"] * 120), [], "name an item twice"),
        (plain(flags(3), flags(3), groups=["a"]), [], "source items: 120 are needed"),
        (
            plain(flags(3), flags(3)),
            [transform("t", [True], [True], items=["x"])],
            "t: item 'x' is not among the plain ones",
        ),
        (
            plain(flags(3), flags(3)),
            [transform("t", [True] * 2, [True] * 2, items=[ITEMS[0]] * 2)],
            "t: an item is named twice",
        ),
        (plain(flags(3), flags(3)), [transform("t", None, flags(3))], "for all cells or none"),
        (plain(None, flags(3)), [transform("t", flags(3), flags(3))], "for all cells or none"),
        (
            plain(flags(3), flags(3), tuned_log_odds=np.where(flags(5), np.nan, 1)),
            [],
            "fine-tuned model are not finite for item 'item-0'",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(whole, cells, message):
    with pytest.raises(DormantError, match=message):
        judge_ability("a", whole, cells)


# How often the verdicts are wrong, and how often they come, on audits of known truth.


def judged(
    n: int,
    base: Sequence[float],
    tuned: Sequence[float],
    draws: int,
    correlation: float = 0.7,
) -> list[AbilityResult]:
    """Judge simulated abilities: accuracies plain first, then under each transform."""
    rng = np.random.default_rng(11)
    items = [f"i{k}" for k in range(n)]
    found: list[AbilityResult] = []
    for draw in range(draws):
        cells = outcomes(rng, n, correlation, [*base, *tuned])
        transforms = [
            TransformCells(
                name=f"t{k}", signature="", items=items, base=cells[k], tuned=cells[len(base) + k]
            )
            for k in range(1, len(base))
        ]
        whole = PlainCells(items=items, base=cells[0], tuned=cells[len(base)])
        found.append(judge_ability("simulated", whole, transforms, seed=draw))
    return found


def share(found: Sequence[AbilityResult], verdict: str) -> float:
    return sum(result.verdict == verdict for result in found) / len(found)


def at_most(rate: float, draws: int) -> float:
    """The share that a true rate exceeds once in a thousand such tests."""
    return float(stats.binom.isf(0.001, draws, rate)) / draws


SAME = (0.9, 0.8, 0.85)
JUST_BELOW = (0.851, 0.8, 0.85)
LOST = (0.1, 0.1, 0.1)


@pytest.mark.parametrize("tuned", [SAME, JUST_BELOW], ids=["no drop", "drop below margin"])
def test_retained_is_seldom_called_anything_else(tuned):
    found = judged(120, SAME, tuned, draws=100)
    assert share(found, "suppressed") <= at_most(0.025, 100)
    assert share(found, "lost") <= at_most(0.025, 100)


def test_what_is_lost_is_seldom_called_suppressed():
    assert share(judged(120, SAME, LOST, draws=100), "suppressed") <= at_most(0.025, 100)


def test_power():
    assert share(judged(120, SAME, (0.2, 0.7, 0.2), draws=40), "suppressed") >= 0.95
    assert share(judged(120, SAME, (0.1, 0.1, 0.1), draws=40), "lost") >= 0.8
    assert share(judged(120, (0.9, 0.9), (0.7, 0.9), draws=40), "suppressed") >= 0.8
    assert share(judged(400, SAME, SAME, draws=40), "retained") >= 0.7


@pytest.mark.slow
@pytest.mark.parametrize("n", [120, 1000])
@pytest.mark.parametrize("correlation", [0.2, 0.8])
@pytest.mark.parametrize(
    ("base", "tuned", "wrong"),
    [
        ((0.9, 0.8, 0.8, 0.8), (0.9, 0.8, 0.8, 0.8), ("suppressed", "lost")),
        ((0.5, 0.4, 0.5, 0.6), (0.5, 0.4, 0.5, 0.6), ("suppressed", "lost")),
        ((0.8, 0.7, 0.7, 0.7), (0.8, 0.9, 0.9, 0.9), ("suppressed", "lost")),
        ((0.9, 0.9, 0.9, 0.9), (0.851, 0.9, 0.9, 0.9), ("lost",)),
        ((0.9, 0.85, 0.85, 0.85), (0.851, 0.85, 0.85, 0.85), ("suppressed", "lost")),
        ((0.9, 0.85, 0.85, 0.85), (0.851, 0.801, 0.801, 0.801), ("suppressed", "lost")),
        ((0.2, 0.2, 0.2, 0.2), (0.151, 0.151, 0.151, 0.151), ("suppressed", "lost")),
        ((0.9, 0.8, 0.8, 0.8), (0.1, 0.1, 0.1, 0.1), ("suppressed", "retained")),
        ((0.9, 0.8, 0.8, 0.8), (0.5, 0.5, 0.5, 0.5), ("suppressed", "retained")),
        ((0.9, 0.8, 0.8, 0.8), (0.85, 0.8, 0.8, 0.8), ("retained",)),
    ],
)
def test_wrong_verdicts_stay_below_five_percent(n, correlation, base, tuned, wrong):
    draws = 200
    found = judged(n, base, tuned, draws, correlation)
    for verdict in wrong:
        assert share(found, verdict) <= at_most(0.03, draws)


# Cost.


def test_seven_abilities_by_six_transforms_take_seconds():
    whole, cells, _ = random_ability((1, 2, 3, 4, 60))
    rng = np.random.default_rng(0)
    many = [replace(cells, name=f"t{k}", tuned=rng.random(60) < 0.5) for k in range(6)]
    began = time.process_time()
    for _ in range(7):
        judge_ability("a", whole, many)
    assert time.process_time() - began < 5
