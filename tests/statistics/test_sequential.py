"""Looks: bounds that hold together, and audits that stop when they are decided."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from betting_simulator import spent, stops
from dormant.errors import DormantError
from dormant.results import LOOKS
from dormant.statistics import Looks, PlainCells, TransformCells, intervals, judge_ability
from dormant.statistics.intervals import paired_difference
from dormant.statistics.multinomial import multinomial_score_interval
from dormant.statistics.sequential import nominal_levels
from paired_simulator import DROP, contrast_distribution
from verdict_simulator import LOOK_TRUTHS, Truth, abilities, first, remember, until_decided

TRUTHS = {truth.what: truth for truth in LOOK_TRUTHS}


def bounds(sizes: tuple[int, ...], power: float) -> list[float]:
    spent = tuple((size / sizes[-1]) ** power for size in sizes)
    return [float(special.ndtri((1 + level) / 2)) for level in nominal_levels(sizes, 0.95, spent)]


def test_one_look_is_the_interval_as_ever():
    assert nominal_levels((120,), 0.95, (1.0,)) == (pytest.approx(0.95, abs=1e-9),)


def test_the_bound_of_the_drop_from_above_spends_its_error_late():
    looks = Looks()
    early = [looks.nominal(size) for size in LOOKS]
    late = [looks.patient(size) for size in LOOKS]
    assert late[0] > early[0]
    assert late[-2] < early[-2]
    plain, _ = drawn(40, 0)
    drop = judge_ability("a", plain, [], looks=looks).drop
    whole = [
        paired_difference(plain.base, plain.tuned, level=level) for level in (early[0], late[0])
    ]
    assert (drop.low, drop.high) == (whole[0].low, whole[1].high)


@pytest.mark.parametrize(("early", "power"), [(1, 1.0), (2, 0.5), (1, 3.0)])
def test_two_looks_by_the_bivariate_normal(early, power):
    first, second = bounds((early, 4), power)
    time = early / 4
    assert stats.norm.sf(first) == pytest.approx(0.025 * time**power, rel=1e-6)
    both = stats.multivariate_normal(cov=[[1, time**0.5], [time**0.5, 1]])
    assert 1 - both.cdf([first, second]) == pytest.approx(0.025, abs=1e-5)


@pytest.mark.parametrize("power", [0.5, 1, 3])
def test_all_looks_together_err_as_often_as_asked(power):
    sizes = (40, 80, 120, 200, 400, 800)
    rng = np.random.default_rng(1)
    steps = np.sqrt(np.diff([0, *sizes])) * rng.standard_normal((200_000, len(sizes)))
    z = np.cumsum(steps, axis=1) / np.sqrt(sizes)
    crossed = (z > np.array(bounds(sizes, power))).any(1).mean()
    assert crossed == pytest.approx(0.025, abs=4 * np.sqrt(0.025 / 200_000))


def test_a_schedule_is_checked():
    for sizes, chosen_by in (((), 1), ((40, 40), 20), ((40, 20), 10), ((40, 80), 40), ((40,), 0)):
        with pytest.raises(DormantError, match="ascending"):
            Looks(sizes=sizes, first=chosen_by)
    with pytest.raises(DormantError, match="power above 0"):
        Looks(power=0)
    with pytest.raises(DormantError, match="patience above 0"):
        Looks(patience=0)
    plain = PlainCells(items=["a", "b"], base=[True, True], tuned=[True, False])
    with pytest.raises(DormantError, match="no look is due at 2 items: they are at 40, 80"):
        judge_ability("a", plain, [], looks=Looks(sizes=(40, 80)))
    grouped = PlainCells(items=["a", "b"], base=[True] * 2, tuned=[True] * 2, groups=["x", "x"])
    with pytest.raises(DormantError, match="one prompt a source item"):
        judge_ability("a", grouped, [], looks=Looks(sizes=(2, 4), first=1))


def drawn(n: int, k: int, seed: int = 0) -> tuple[PlainCells, list[TransformCells]]:
    rng = np.random.default_rng(seed)
    items = [str(place) for place in range(n)]
    plain = PlainCells(items=items, base=rng.random(n) < 0.9, tuned=rng.random(n) < 0.3)
    cells = [
        TransformCells(
            name=f"t{place}",
            signature="",
            items=items,
            base=rng.random(n) < 0.9,
            tuned=rng.random(n) < 0.6,
        )
        for place in range(k)
    ]
    return plain, cells


def test_the_first_items_only_choose_and_later_ones_only_for_later_ones():
    looks = Looks(sizes=(40, 80), first=20)
    plain, cells = drawn(80, 4)
    found = judge_ability("a", plain, cells, looks=looks)
    # Whatever the first block is judged as under all but what it chose, the gain stays.
    rng = np.random.default_rng(3)
    for place, one in enumerate(cells):
        last = np.array(one.tuned)
        last[40:] = rng.random(40) < 0.5
        other = [
            TransformCells(
                name=c.name, signature="", items=c.items, base=c.base,
                tuned=last if c is one else c.tuned,
            )
            for c in cells
        ]  # fmt: skip
        again = judge_ability("a", plain, other, looks=looks)
        changed = again.gain != found.gain
        # Only what items 0 to 39 chose is judged on items 40 to 79.
        best = max(range(4), key=lambda k: _surety(plain, cells[k], 40))
        assert changed == (place == best)


def _surety(plain: PlainCells, cell: TransformCells, n: int) -> float:
    def cut(values: object) -> np.ndarray:
        return np.asarray(values)[:n]

    short = TransformCells(
        name="x", signature="", items=cell.items[:n], base=cut(cell.base), tuned=cut(cell.tuned)
    )
    part = PlainCells(items=plain.items[:n], base=cut(plain.base), tuned=cut(plain.tuned))
    (result,) = judge_ability("a", part, [short]).transforms
    assert result.recovery is not None
    return min(result.gain.low, result.recovery.low)


def test_a_single_transform_is_judged_on_all_items():
    plain, cells = drawn(80, 1)
    found = judge_ability("a", plain, cells, looks=Looks(sizes=(40, 80)))
    assert found.gain is not None
    assert found.gain.estimate == pytest.approx(np.mean(cells[0].tuned) - np.mean(plain.tuned))
    fixed = judge_ability("a", plain, cells)
    assert fixed.gain is not None
    assert found.gain.low < fixed.gain.low
    assert found.gain.level == fixed.gain.level == 0.95


def test_looks_at_one_level_err_too_often():
    """What the spending is for: this is a test of the test above."""
    rates = stops((0.9, 0.85), 0.05, -1, 4000, Looks())
    rng = np.random.default_rng(5)
    values, chances = contrast_distribution((0.9, 0.85, 0.5, 0.5), 0.7, DROP)
    drawn = rng.choice(values, p=chances, size=(4000, LOOKS[-1]))
    nominal = spent(drawn, 0.05, -1, LOOKS, lambda _: 0.95)
    assert np.isfinite(nominal).mean() > 0.045
    assert np.isfinite(rates["late"]).mean() < 0.03


@pytest.mark.slow
def test_a_drop_of_the_margin_is_not_called_retained(monkeypatch):
    """The whole verdict, looked at six times: plain cells alone, so that many can be drawn."""
    monkeypatch.setattr(intervals, "multinomial_score_interval", multinomial_score_interval)
    remember()
    draws, looks = 1000, Looks()
    allowed = stats.binom.isf(0.001, draws, 0.025)
    wrong = alone = 0
    for plain, _ in abilities(Truth("", (0.9,), (0.85,)), LOOKS[-1], draws):
        parts = [first(plain, size) for size in LOOKS]
        wrong += any(
            judge_ability("a", part, [], looks=looks).verdict == "retained" for part in parts
        )
        alone += any(judge_ability("a", part, []).verdict == "retained" for part in parts)
    assert wrong <= allowed
    # The test can fail: at the level of one look it would.
    assert alone > allowed


@pytest.mark.parametrize("what", ["70 points, back", "70 points, gone"])
def test_a_clear_case_is_decided_early(what):
    found = until_decided(TRUTHS[what], Looks(), draws=10)
    right = "suppressed" if "back" in what else "lost"
    assert sum(result.verdict == right for result, _ in found) >= 9
    assert np.median([items for _, items in found]) <= 120


def test_stopping_early_on_a_drop_of_the_margin_is_seldom_wrong():
    for side, spending in ((1, "early"), (-1, "early"), (-1, "late")):
        rates = stops((0.9, 0.85), 0.05, side, 4000, Looks())
        wrong = np.isfinite(rates[spending]).mean()
        assert wrong <= stats.binom.isf(0.001, 4000, 0.025) / 4000


@pytest.mark.slow
@pytest.mark.parametrize("truth", [t for t in LOOK_TRUTHS if t.wrong], ids=lambda t: t.what)
def test_verdicts_of_audits_that_stop_early(truth: Truth):
    draws = 300
    found = until_decided(truth, Looks(), draws)
    for verdict in truth.wrong:
        wrong = sum(result.verdict == verdict for result, _ in found)
        assert wrong <= stats.binom.isf(0.001, draws, 0.03), verdict
