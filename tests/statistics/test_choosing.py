"""Each half chooses for the other; and what that does to the error."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from choice_simulator import CASES, RULES, above_zero
from dormant.statistics import PlainCells, TransformCells, judge_ability
from dormant.statistics.choosing import cross_fit, first_half, surest, widened
from dormant.statistics.contrasts import Quad
from paired_simulator import outcomes

ITEMS = [f"item-{place}" for place in range(120)]


def quads(seed: int, k: int = 4, items: list[str] | None = None) -> list[Quad]:
    """The cells of k transforms that are equally good."""
    rng = np.random.default_rng(seed)
    base, tuned, *others = outcomes(rng, 120, 0.5, [0.9, 0.3, *[0.8] * k, *[0.6] * k])
    plain = PlainCells(items=ITEMS, base=base, tuned=tuned)
    kept = items or ITEMS
    places = [ITEMS.index(item) for item in kept]
    return [
        Quad.align(
            plain,
            TransformCells(
                name=f"t{place}",
                signature="",
                items=kept,
                base=others[place][places],
                tuned=others[k + place][places],
            ),
        )
        for place in range(k)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_item_has_a_say_in_what_it_is_judged_under(seed):
    cells, half = quads(seed), first_half(ITEMS, seed)
    held_out = cross_fit(cells, ITEMS, seed, 0.95)
    choices = [surest([quad.only(part) for quad in cells]) for part in (half, ~half)]
    assert set(held_out.chosen) == set(choices)
    assert sorted(held_out.quad.rows) == list(range(120))
    for part, choice in zip((half, ~half), choices, strict=True):
        judged = held_out.quad.only(~part)
        expected = cells[choice].only(~part)
        assert (judged.tuned_transformed == expected.tuned_transformed).all()
        assert (judged.base_transformed == expected.base_transformed).all()
        assert (judged.tuned_plain == expected.tuned_plain).all()


def test_halves_do_choose_differently_and_the_surer_is_named_first():
    for seed in range(20):
        cells = quads(seed)
        held_out = cross_fit(cells, ITEMS, seed, 0.95)
        if len(held_out.chosen) == 2:
            first, second = (
                min(cells[choice].gain().low, cells[choice].recovery().low)
                for choice in held_out.chosen
            )
            assert first >= second
            return
    pytest.fail("the halves never chose differently")


def test_a_single_transform_needs_no_choice():
    (only,) = quads(1, k=1)
    held_out = cross_fit([only], ITEMS, 0, 0.95)
    assert held_out.quad is only
    assert held_out.nominal == 0.95
    assert widened(0.95) == pytest.approx(0.9746, abs=1e-4)


def test_items_left_out_stay_left_out():
    some = ITEMS[::3]
    held_out = cross_fit(quads(1, items=some), ITEMS, 0, 0.95)
    assert sorted(ITEMS[row] for row in held_out.quad.rows) == sorted(some)


def test_all_prompts_of_a_source_item_are_in_one_half():
    groups = [str(place // 3) for place in range(120)]
    half = first_half(groups, 7).reshape(40, 3)
    assert (half == half[:, :1]).all()
    assert half.sum() == 60
    again = first_half(groups[::-1], 7)[::-1].reshape(40, 3)
    assert (again == half).all()


def test_the_pooled_gain_of_groups_is_that_of_the_groups():
    groups = [str(place // 3) for place in range(120)]
    rng = np.random.default_rng(0)
    base, tuned, under = (rng.random(120) < p for p in (0.9, 0.3, 0.7))
    plain = PlainCells(items=ITEMS, base=base, tuned=tuned, groups=groups)
    same = [
        TransformCells(name=name, signature="", items=ITEMS, base=base, tuned=under)
        for name in "ab"
    ]
    found = judge_ability("a", plain, same)
    alone = judge_ability("a", plain, same[:1])
    assert found.gain is not None
    assert alone.gain is not None
    # Equal candidates: whoever chooses, the estimate is that of all items, and surer of itself.
    assert found.gain.estimate == pytest.approx(alone.gain.estimate)
    assert found.gain.low < alone.gain.low


def at_most(rate: float, draws: int) -> float:
    """The share that a true rate exceeds once in a thousand such tests."""
    return float(stats.binom.isf(0.001, draws, rate)) / draws


@pytest.mark.parametrize("k", [3, 6])
def test_the_wider_interval_keeps_its_error_and_the_plain_one_does_not(k):
    rates = above_zero(120, 0.1, [0.1] * k, 0.2, 4000, ["both halves", "both, wider"])
    assert rates["both, wider"] <= at_most(0.025, 4000)
    assert rates["both halves"] > 0.03


@pytest.mark.slow
@pytest.mark.parametrize("n", [40, 120, 400])
@pytest.mark.parametrize("level", [0.95, 0.975, 1 - 0.05 / 3])
@pytest.mark.parametrize(("k", "cell"), CASES)
def test_the_error_at_every_level_of_the_rungs(k, cell, level, n):
    plain, correlation = cell
    rates = above_zero(n, plain, [plain] * k, correlation, 20_000, ["both, wider"], level)
    assert rates["both, wider"] <= at_most((1 - level) / 2, 20_000)


def test_simulated_rules_are_the_packages_own():
    # The simulator chooses by the gain alone; where the base is the same everywhere, so do we.
    rng = np.random.default_rng(4)
    tuned, *under = outcomes(rng, 120, 0.5, [0.3, *[0.5] * 3])
    base = np.ones(120, dtype=bool)
    plain = PlainCells(items=ITEMS, base=base, tuned=tuned)
    cells = [
        Quad.align(
            plain, TransformCells(name=str(k), signature="", items=ITEMS, base=base, tuned=t)
        )
        for k, t in enumerate(under)
    ]
    held_out = cross_fit(cells, ITEMS, 0, 0.95)
    half = first_half(ITEMS, 0)
    order = [*np.flatnonzero(half), *np.flatnonzero(~half)]
    drawn = np.stack([t.astype(int) - tuned for t in under], axis=-1)[order][None]
    expected = RULES["both, wider"](drawn, 0.95)
    assert held_out.quad.gain(held_out.nominal).low == pytest.approx(float(expected[0]))
