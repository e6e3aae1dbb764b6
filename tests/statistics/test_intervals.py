"""Estimates against outside values, closed forms, laws, and exact coverage."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from dormant.errors import DormantError
from dormant.results import Estimate
from dormant.statistics import intervals as uncertainty
from dormant.statistics.multinomial import multinomial_score_interval
from paired_simulator import (
    DROP,
    EDGES,
    GAIN,
    PAIRS,
    QUADS,
    RECOVERY,
    covered,
    exact_coverage,
    simulated_coverage,
)

GOLDEN = tomllib.loads(
    (Path(__file__).parents[1] / "golden" / "statistics.toml").read_text(encoding="utf-8")
)
Z2 = stats.norm.ppf(0.975) ** 2


def pairs(both: int, first_only: int, second_only: int, neither: int) -> list[np.ndarray]:
    sizes = (both, first_only, second_only, neither)
    return [np.repeat(flags, sizes) for flags in ([1, 1, 0, 0], [1, 0, 1, 0])]


# Outside values and closed forms.


@pytest.mark.parametrize("case", GOLDEN["tango"], ids=lambda case: case["source"][:20])
def test_paired_difference_equals_published_tango_intervals(case):
    first, second = pairs(case["both"], case["first_only"], case["second_only"], case["neither"])
    found = uncertainty.paired_difference(first, second, level=case["level"])
    expected = (case["estimate"], case["low"], case["high"])
    # The sources print four decimals.
    assert (found.estimate, found.low, found.high) == pytest.approx(expected, abs=5.01e-5)


def test_mcnemar_equals_published_value():
    (case,) = GOLDEN["mcnemar"]
    first, second = pairs(0, case["first_only"], case["second_only"], 0)
    # The source prints six decimals.
    assert uncertainty.mcnemar_exact(first, second) == pytest.approx(case["p_value"], abs=5.01e-7)


@pytest.mark.parametrize("n", [1, 2, 40, 120, 200_000])
def test_proportion_equals_statsmodels_wilson(n):
    for k in {0, 1, n // 3, n // 2, n - 1, n}:
        found = uncertainty.proportion(np.arange(n) < k)
        expected = proportion_confint(k, n, method="wilson")
        assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
        assert found.estimate == k / n


def tango_score(delta: float, n: int, b: int, c: int) -> float:
    """Tango's statistic by his closed-form restricted estimate of P(second only)."""
    linear = -b - c + (2 * n - b + c) * delta
    q = (np.sqrt(linear**2 + 8 * n * c * delta * (1 - delta)) - linear) / (4 * n)
    return (b - c - n * delta) / np.sqrt(n * (2 * q + delta * (1 - delta)))


@pytest.mark.parametrize(
    ("n", "b", "c"), [(40, 3, 0), (40, 0, 3), (40, 12, 5), (120, 80, 1), (5, 1, 1), (1000, 2, 9)]
)
def test_paired_difference_solves_tangos_equation(n, b, c):
    found = uncertainty.paired_difference(*pairs(0, b, c, n - b - c))
    z = np.sqrt(Z2)
    assert tango_score(found.low, n, b, c) == pytest.approx(z, abs=1e-6)
    assert tango_score(found.high, n, b, c) == pytest.approx(-z, abs=1e-6)


@pytest.mark.parametrize("n", [1, 40, 120])
def test_no_discordant_pairs_is_not_certainty(n):
    same = np.arange(n) % 2 == 0
    for found in (
        uncertainty.paired_difference(same, same),
        uncertainty.difference_in_differences(same, same, same, same),
    ):
        assert found.estimate == 0
        assert found.high == pytest.approx(Z2 / (n + Z2), rel=1e-12)
        assert found.low == pytest.approx(-Z2 / (n + Z2), rel=1e-12)


@pytest.mark.parametrize(
    "counts", [(0, 3, 30, 6, 1), (2, 0, 20, 9, 9), (1, 1, 1, 1, 1), (5, 20, 5, 20, 5)]
)
def test_recovery_bounds_solve_the_score_equation_by_brute_force(counts):
    """The restricted maximum likelihood is found anew by a general constrained optimiser."""
    counts = np.array(counts, dtype=float)
    values = np.arange(-2, 3)
    n, mean = counts.sum(), values @ counts / counts.sum()
    _, *bounds = uncertainty.multinomial_score_interval(values, counts, (-2, 2))
    for bound in map(float, bounds):
        fit = optimize.minimize(
            lambda p: -counts @ np.log(np.maximum(p, 1e-12)),
            np.full(5, 0.2),
            bounds=[(0, 1)] * 5,
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1},
                {"type": "eq", "fun": lambda p, bound=bound: values @ p - bound},
            ],
            method="SLSQP",
            options={"ftol": 1e-10, "maxiter": 1000},
        )
        assert fit.success
        variance = (values**2) @ fit.x - bound**2
        # The optimiser's accuracy, not ours, sets the tolerance.
        assert n * (mean - bound) ** 2 == pytest.approx(Z2 * variance, rel=1e-3)


def test_recovery_counts_every_pattern():
    cells = np.array(list(itertools.product((0, 1), repeat=4))).T
    found = uncertainty.difference_in_differences(*cells)
    values, counts = np.unique(cells[0] - cells[1] - cells[2] + cells[3], return_counts=True)
    expected = uncertainty.multinomial_score_interval(values, counts, (-2, 2))
    assert (found.estimate, found.low, found.high) == tuple(map(float, expected))


def test_mean_contrast_equals_statsmodels_t_interval():
    rng = np.random.default_rng(5)
    cells = rng.normal(size=(4, 31))
    found = uncertainty.mean_contrast(*cells, weights=RECOVERY)
    low, high = DescrStatsW(RECOVERY @ cells).tconfint_mean()
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


@pytest.mark.parametrize(("b", "c"), [(0, 0), (1, 0), (7, 2), (2, 7), (30, 30)])
def test_mcnemar_equals_statsmodels_and_the_binomial_tail(b, c):
    first, second = pairs(4, b, c, 3)
    two_sided = mcnemar([[4, b], [c, 3]], exact=True).pvalue if b + c else 1.0
    assert uncertainty.mcnemar_exact(first, second) == pytest.approx(two_sided, rel=1e-12)
    tail = stats.binom.sf(b - 1, b + c, 0.5)
    assert uncertainty.mcnemar_exact(first, second, "greater") == pytest.approx(tail, rel=1e-12)


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, made monotone.
    assert uncertainty.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert uncertainty.holm([]) == []


@settings(max_examples=30)  # statsmodels takes a thirtieth of a second a call
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_equals_statsmodels_to_the_last_digit(p_values):
    theirs = multipletests(p_values, method="holm")[1]
    assert uncertainty.holm(p_values) == [float(p) for p in theirs]


# Laws.

cells = st.integers(1, 60).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=4, max_size=4)
)


def all_estimates(cells: list[list[bool]]) -> list[tuple[Estimate, float]]:
    return [
        (uncertainty.proportion(cells[0]), 1),
        (uncertainty.paired_difference(cells[0], cells[1]), 1),
        (uncertainty.difference_in_differences(*cells), 2),
    ]


@given(cells)
def test_interval_holds_estimate_and_stays_in_bounds(cells):
    for found, bound in all_estimates(cells):
        assert -bound <= found.low <= found.estimate <= found.high <= bound
        assert found.high > found.low


@given(cells, st.randoms(use_true_random=False))
def test_order_of_items_does_not_matter(cells, random):
    order = list(range(len(cells[0])))
    random.shuffle(order)
    shuffled = [[cell[place] for place in order] for cell in cells]
    assert all_estimates(shuffled) == all_estimates(cells)


@given(cells)
def test_swapping_the_cells_mirrors_the_interval(cells):
    for there, back in (
        (
            uncertainty.paired_difference(cells[0], cells[1]),
            uncertainty.paired_difference(cells[1], cells[0]),
        ),
        (
            uncertainty.difference_in_differences(*cells),
            uncertainty.difference_in_differences(*(cells[i] for i in (1, 0, 3, 2))),
        ),
    ):
        assert there.estimate == -back.estimate
        assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)


@given(cells, st.floats(0.5, 0.9))
def test_a_lower_level_gives_a_narrower_interval(cells, level):
    wide = uncertainty.paired_difference(cells[0], cells[1])
    narrow = uncertainty.paired_difference(cells[0], cells[1], level=level)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@given(cells)
def test_same_input_same_bytes(cells):
    first, second = (
        [found.model_dump_json() for found, _ in all_estimates(cells)] for _ in range(2)
    )
    assert first == second


@given(st.integers(1, 500), st.floats(-1, 1), st.sampled_from([0.0, 1e-16, -1e-16]))
def test_data_that_all_agree_are_not_certain(n, value, rounding):
    """The bound's closed form: the mass q at an end that was never observed, q = z²/(n + z²)."""
    q = stats.norm.ppf(0.975) ** 2 / (n + 1 + stats.norm.ppf(0.975) ** 2)
    mean, low, high = multinomial_score_interval([value, value + rounding], [n, 1], (-2, 2))
    assert mean == pytest.approx(value)
    assert high == pytest.approx(value + q * (2 - value))
    assert low == pytest.approx(value - q * (value + 2))


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=30), st.floats(-10, 10))
def test_mean_contrast_shifts_with_its_values(values, shift):
    here = uncertainty.mean_contrast(values, np.zeros(len(values)), weights=(1, -1))
    there = uncertainty.mean_contrast(values, np.full(len(values), shift), weights=(1, -1))
    assert here.low <= here.estimate <= here.high
    assert there.low == pytest.approx(here.low - shift, abs=1e-9)


def test_half_a_million_items():
    rng = np.random.default_rng(0)
    cells = rng.random((4, 500_000)) < 0.5
    found = uncertainty.difference_in_differences(*cells)
    assert found.low < 0 < found.high
    assert found.high - found.low < 0.006  # 2 · 1.96 · √(4 · 0.25 / 500 000)


# Source items with several prompts.


@given(cells)
def test_prompts_of_their_own_are_as_ungrouped(cells):
    names = [f"item {place}" for place in range(len(cells[0]))]
    grouped = uncertainty.difference_in_differences(*cells, groups=names)
    assert grouped == uncertainty.difference_in_differences(*cells)


@given(cells)
def test_repeating_every_prompt_within_its_item_adds_no_certainty(cells):
    names = [place for place in range(len(cells[0])) for _ in range(3)]
    repeated = [[value for value in cell for _ in range(3)] for cell in cells]
    for function, used in (
        (uncertainty.proportion, 1),
        (uncertainty.paired_difference, 2),
        (uncertainty.difference_in_differences, 4),
    ):
        once = function(*cells[:used])
        thrice = function(*repeated[:used], groups=names)
        assert (thrice.estimate, thrice.low, thrice.high) == pytest.approx(
            (once.estimate, once.low, once.high), abs=1e-12
        )
    assert uncertainty.mcnemar_exact(*repeated[:2], groups=names) == uncertainty.mcnemar_exact(
        *cells[:2]
    )


def test_source_items_weigh_the_same_however_many_prompts_they_have():
    found = uncertainty.proportion([1, 1, 1, 0], groups=["a", "a", "a", "b"])
    assert found.estimate == 0.5


# Bad input.


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uncertainty.proportion([]), "at least one item"),
        (lambda: uncertainty.proportion([0, 2]), "true or false"),
        (lambda: uncertainty.proportion([0, np.nan]), "true or false"),
        (lambda: uncertainty.proportion([[0, 1]]), "one number an item"),
        (lambda: uncertainty.paired_difference([1, 0], [1]), "but hold 2, 1"),
        (lambda: uncertainty.proportion([1, 0], groups=["a"]), "1 source items named for 2"),
        (lambda: uncertainty.mean_contrast([1.0], [0.0], weights=(1, -1)), "at least two"),
        (
            lambda: uncertainty.mean_contrast([1.0, -np.inf], [0, 0], weights=(1, -1)),
            "item 1 are not finite",
        ),
    ],
)
def test_bad_input_is_told_in_one_line(call, message):
    with pytest.raises(DormantError, match=message):
        call()


# Coverage. Exact wherever every table can be enumerated: no simulation noise to allow for.


@pytest.mark.parametrize(
    ("n", "greatest"),
    # At 40 and 120 items few tables are likely at the edges, so coverage jumps from one to the
    # next; where it can't be near 95 % it is above (docs/statistics.md).
    [(40, 0.9986), (120, 0.9775)],
)
def test_coverage_of_a_paired_difference(n, greatest):
    coverage = exact_coverage(n, DROP, PAIRS)
    assert coverage.min() >= 0.94
    assert coverage.max() <= greatest
    # Away from both edges it is within the goal.
    assert exact_coverage(n, DROP, [(0.5, 0.5, 0.5, 0.5), (0.5, 0.8, 0.5, 0.5)]).max() <= 0.97


@pytest.mark.parametrize("n", [40, 120, 400])
def test_coverage_of_a_proportion(n):
    successes = np.arange(n + 1)
    counts = np.stack([n - successes, successes], axis=1)
    _, low, high = uncertainty.multinomial_score_interval([0, 1], counts, (0, 1))
    for accuracy in EDGES:
        likely = stats.binom.pmf(successes, n, accuracy)
        assert 0.93 <= likely @ covered(low, high, accuracy) <= 0.97


def test_coverage_of_a_gain_is_that_of_a_drop():
    mirrored = [(0.5, pair[0], 0.5, pair[1]) for pair in PAIRS]
    assert exact_coverage(40, GAIN, mirrored).min() >= 0.94


FEW = [
    (0.9, 0.2, 0.8, 0.75),  # suppressed
    (0.9, 0.9, 0.8, 0.8),  # retained
    (0.98, 0.02, 0.98, 0.02),  # lost
    (0.98, 0.98, 0.98, 0.98),
    (0.02, 0.02, 0.02, 0.02),
    (0.5, 0.5, 0.5, 0.5),
    (0.98, 0.5, 0.02, 0.02),
]


@pytest.mark.parametrize(("n", "greatest"), [(40, 0.99), (120, 0.97), (400, 0.97)])
def test_coverage_of_a_recovery(n, greatest):
    draws = 4000
    noise = 3 * np.sqrt(0.05 * 0.95 / draws)
    coverage = simulated_coverage(n, FEW, draws)
    assert coverage.min() >= 0.94 - noise
    assert coverage.max() <= greatest + noise


@pytest.mark.slow
def test_coverage_of_a_recovery_full_grid():
    grid = QUADS
    exact = exact_coverage(40, RECOVERY, grid)
    assert exact.min() >= 0.94
    assert exact.max() <= 0.99
    assert (exact > 0.97).sum() <= 6  # of 162
    draws = 20_000
    noise = 3.5 * np.sqrt(0.05 * 0.95 / draws)
    for n in (120, 400):
        coverage = simulated_coverage(n, grid, draws)
        assert 0.94 - noise <= coverage.min()
        assert coverage.max() <= 0.97 + noise


@pytest.mark.slow
def test_coverage_of_a_paired_difference_large():
    coverage = exact_coverage(400, DROP, PAIRS)
    assert coverage.min() >= 0.94
    assert coverage.max() <= 0.97


LOG_ODDS = {
    # Per-item contrasts in nats: bell-shaped; heavy-tailed; most items untouched and some far off.
    "normal": lambda rng, size: rng.normal(size=size),
    "heavy tails": lambda rng, size: rng.standard_t(3, size=size),
    "a tenth fell": lambda rng, size: rng.normal(size=size) + 6 * (rng.random(size) < 0.1) - 0.6,
    "a third fell": lambda rng, size: rng.normal(size=size) + 6 * (rng.random(size) < 0.3) - 1.8,
}


@pytest.mark.parametrize("shape", LOG_ODDS)
@pytest.mark.parametrize("n", [40, 120])
def test_coverage_of_a_log_odds_contrast(shape, n):
    draws = 3000
    values = LOG_ODDS[shape](np.random.default_rng(7), (draws, n))
    inside = 0
    for row in values:
        found = uncertainty.mean_contrast(row, np.zeros(n), weights=(1, -1))
        inside += found.low <= 0 <= found.high
    noise = 3 * np.sqrt(0.05 * 0.95 / draws)
    assert 0.93 - noise <= inside / draws <= 0.97 + noise
