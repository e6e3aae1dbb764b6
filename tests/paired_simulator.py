"""Simulated audits of known truth.

Every item has a latent difficulty z ~ N(0, 1); a cell with accuracy a succeeds on it where
√ρ z + √(1 − ρ) e < Φ⁻¹(a), with fresh e ~ N(0, 1) for every cell. So the cells are correlated
as paired cells are, more with a greater ρ, and each has exactly the accuracy asked for.

``python tests/paired_simulator.py`` prints the tables of coverage in docs/statistics.md, with
``as-trained`` behind it the table of verdicts that reckon with the training data's wrapping.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import special, stats

from dormant.statistics import PlainCells, TransformCells, judge_ability
from dormant.statistics.intervals import multinomial_score_interval

DROP = (1, -1, 0, 0)
GAIN = (0, -1, 0, 1)
RECOVERY = (1, -1, -1, 1)
EDGES = (0.02, 0.5, 0.98)
CORRELATIONS = (0.2, 0.8)
PAIRS = [(*pair, 0.5, 0.5) for pair in itertools.product(EDGES, repeat=2)]
QUADS = list(itertools.product(EDGES, repeat=4))
PATTERNS = np.array(list(itertools.product((0, 1), repeat=4)))
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)

Method: TypeAlias = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""From values (k,) and counts (r, k) to lower and upper bounds (r,)."""


def pattern_probabilities(accuracies: Sequence[float], correlation: float) -> np.ndarray:
    """P(outcomes of the four cells) for each of the 16 patterns, by Gauss–Hermite quadrature."""
    thresholds = special.ndtri(np.asarray(accuracies))[:, None]
    success = special.ndtr((thresholds - np.sqrt(correlation) * NODES) / np.sqrt(1 - correlation))
    joint = np.where(PATTERNS[:, :, None] == 1, success, 1 - success).prod(1) @ WEIGHTS
    return joint / joint.sum()


def contrast_distribution(
    accuracies: Sequence[float], correlation: float, weights: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Values −b … b of a per-item contrast and their probabilities."""
    contrast = PATTERNS @ np.array(weights)
    bound = sum(abs(weight) for weight in weights) // 2
    values = np.arange(-bound, bound + 1)
    chances = pattern_probabilities(accuracies, correlation)
    return values, np.array([chances[contrast == value].sum() for value in values])


def intervals(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bounds for many tables at once, each as the package's own functions give them.

    Tables that reach ±2 on the same sides share a support.
    """
    low, high = np.empty(len(counts)), np.empty(len(counts))
    reach_low = np.minimum(-1, values[(counts > 0).argmax(1)])
    reach_high = np.maximum(1, values[::-1][(counts[:, ::-1] > 0).argmax(1)])
    for support in itertools.product((-2, -1), (1, 2)):
        rows = (reach_low == support[0]) & (reach_high == support[1])
        inside = (values >= support[0]) & (values <= support[1])
        if rows.any():
            part = counts[np.ix_(rows, inside)]
            _, low[rows], high[rows] = multinomial_score_interval(values[inside], part, support)
    return low, high


def covered(low: np.ndarray, high: np.ndarray, truth: float) -> np.ndarray:
    return (low <= truth + 1e-12) & (truth - 1e-12 <= high)


def tables(n: int, k: int) -> np.ndarray:
    """Every way of putting n items into k cells."""
    bars = np.array(list(itertools.combinations(range(n + k - 1), k - 1)))
    ends = np.full((len(bars), 1), n + k - 1)
    return np.diff(np.hstack([-np.ones_like(ends), bars, ends]), axis=1) - 1


def exact_coverage(
    n: int, weights: Sequence[int], accuracies: Sequence[Sequence[float]]
) -> np.ndarray:
    """Coverage for every set of accuracies and both correlations, by enumerating all tables."""
    size = 2 * (sum(map(abs, weights)) // 2) + 1
    values = np.arange(size) - size // 2
    counts = tables(n, size)
    low, high = intervals(values, counts)
    ways = special.gammaln(n + 1) - special.gammaln(counts + 1).sum(1)
    found = []
    for cell, correlation in itertools.product(accuracies, CORRELATIONS):
        _, chances = contrast_distribution(cell, correlation, weights)
        likely = np.exp(ways + counts @ np.log(np.maximum(chances, 1e-300)))
        found.append(likely @ covered(low, high, values @ chances) / likely.sum())
    return np.array(found)


def simulated_coverage(
    n: int,
    accuracies: Sequence[Sequence[float]],
    draws: int,
    weights: Sequence[int] = RECOVERY,
    method: Method = intervals,
) -> np.ndarray:
    """The same by drawing tables, for any method, and where there are too many to enumerate."""
    rng = np.random.default_rng(20240)
    found = []
    for cell, correlation in itertools.product(accuracies, CORRELATIONS):
        values, chances = contrast_distribution(cell, correlation, weights)
        low, high = method(values, rng.multinomial(n, chances, size=draws))
        found.append(covered(low, high, values @ chances).mean())
    return np.array(found)


def outcomes(
    rng: np.random.Generator, n: int, correlation: float, accuracies: Sequence[float]
) -> list[np.ndarray]:
    """Boolean outcomes of n items in as many cells as accuracies are given."""
    difficulty = rng.standard_normal(n)
    return [
        np.sqrt(correlation) * difficulty + np.sqrt(1 - correlation) * rng.standard_normal(n)
        < special.ndtri(accuracy)
        for accuracy in accuracies
    ]


@dataclass(frozen=True)
class Truth:
    """True accuracies of an ability: plain, as trained, under a transform."""

    what: str
    base: tuple[float, ...]
    tuned: tuple[float, ...]
    wrong: bool
    """Whether *asked otherwise* would be wrong."""


ASKED_OTHERWISE = (
    Truth("all back as trained", (0.9, 0.9, 0.8), (0.1, 0.9, 0.1), False),
    Truth("all back, base fails", (0.9, 0.1, 0.8), (0.1, 0.9, 0.1), False),
    Truth("a tenth is left", (0.9, 0.9, 0.8), (0.1, 0.82, 0.1), False),
    Truth("a small drop, all back", (0.9, 0.9, 0.8), (0.7, 0.9, 0.7), False),
    Truth("a quarter is left", (0.9, 0.9, 0.8), (0.1, 0.7, 0.1), True),
    Truth("a quarter, middling", (0.6, 0.6, 0.5), (0.2, 0.5, 0.2), True),
    Truth("half is left", (0.9, 0.9, 0.8), (0.1, 0.5, 0.1), True),
    Truth("nothing back", (0.9, 0.9, 0.8), (0.1, 0.1, 0.1), True),
    Truth("back under s alone", (0.9, 0.9, 0.8), (0.1, 0.1, 0.7), True),
    Truth("easier in the wrapping", (0.5, 0.9, 0.4), (0.2, 0.6, 0.1), True),
    Truth("no drop, easier there", (0.8, 0.9, 0.7), (0.8, 0.95, 0.7), True),
    Truth("drop of the margin, back", (0.9, 0.9, 0.8), (0.85, 0.9, 0.8), True),
)
"""What the rule is tried on; the wrong ones lie on its border or beyond."""


def as_trained_verdicts(truth: Truth, n: int, draws: int, correlation: float = 0.7) -> Counter:
    """Share of each verdict on simulated audits with a fifth cell and a transform."""
    rng = np.random.default_rng([n, draws])
    items = [str(place) for place in range(n)]
    rates: Counter = Counter()
    for _ in range(draws):
        drawn = outcomes(rng, n, correlation, (*truth.base, *truth.tuned))
        base, tuned = drawn[: len(truth.base)], drawn[len(truth.base) :]
        pairs = list(zip(base[1:], tuned[1:], strict=True))
        wrapped, *transforms = (
            TransformCells(name=f"s{place}", signature="s", items=items, base=b, tuned=t)
            for place, (b, t) in enumerate(pairs)
        )
        plain = PlainCells(items=items, base=base[0], tuned=tuned[0])
        rates[judge_ability("x", plain, transforms, as_trained=wrapped).verdict] += 1 / draws
    return rates


def contrast_coverage(n: int, draws: int, share: float = 0.25) -> np.ndarray:
    """Coverage of what is left beyond a share of the drop, over accuracies and correlations.

    Beyond three quarters it is, with its sign changed, what came back beyond a quarter.
    """
    rng = np.random.default_rng(7)
    covered_by: list[float] = []
    for cells, correlation in itertools.product(itertools.product(EDGES, repeat=3), CORRELATIONS):
        chances = pattern_probabilities((*cells, 0.5), correlation)
        contrast = PATTERNS @ np.array((1 - share, share, -1.0, 0.0))
        values, places = np.unique(contrast, return_inverse=True)
        joined = np.bincount(places, weights=chances)
        counts = rng.multinomial(n, joined, size=draws)
        _, low, high = multinomial_score_interval(values, counts, (-1, 1))
        covered_by.append(float(covered(low, high, values @ joined).mean()))
    return np.array(covered_by)


# Methods that were weighed and not taken.


def student(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Student's t on the per-item contrasts."""
    n = counts.sum(1)
    mean = counts @ values / n
    error = np.sqrt((counts @ values**2 / n - mean**2) / (n - 1))
    half = special.stdtrit(n - 1, 0.975) * error
    return mean - half, mean + half


def adjusted_wald(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bonett & Price (2012): one item more at −1 and one at +1, then Wald."""
    n = counts.sum(1) + 2
    mean = counts @ values / n
    half = special.ndtri(0.975) * np.sqrt(((counts @ values**2 + 2) / n - mean**2) / n)
    return mean - half, mean + half


def percentile_bootstrap(values: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The percentile bootstrap over items, 1 000 resamples."""
    rng = np.random.default_rng(1)
    bounds = []
    for row in counts:
        means = rng.multinomial(row.sum(), row / row.sum(), size=1000) @ values / row.sum()
        bounds.append(np.quantile(means, (0.025, 0.975)))
    low, high = np.array(bounds).T
    return low, high


def main() -> None:
    """Print the tables."""

    def row(what: str, n: int, coverage: np.ndarray) -> None:
        over = f"{(coverage > 0.97).sum()} of {coverage.size}"
        under = f"{(coverage < 0.93).sum()}"
        shown = " | ".join(
            f"{100 * x:.1f}" for x in (coverage.min(), coverage.mean(), coverage.max())
        )
        print(f"| {what} | {n} | {shown} | {under} | {over} |", flush=True)

    print(
        "| estimate | n | min | mean | max | below 93 | above 97 |\n|---|---|---|---|---|---|---|"
    )
    for n in (40, 120, 400):
        successes = np.arange(n + 1)
        counts = np.stack([n - successes, successes], axis=1)
        _, low, high = multinomial_score_interval([0, 1], counts, (0, 1))
        exact = [stats.binom.pmf(successes, n, a) @ covered(low, high, a) for a in EDGES]
        row("accuracy, exact", n, np.array(exact))
    for n in (40, 120, 400):
        row("drop, gain, exact", n, exact_coverage(n, DROP, PAIRS))
    row("recovery, exact", 40, exact_coverage(40, RECOVERY, QUADS))
    for n in (120, 400):
        row("recovery, 20 000 draws", n, simulated_coverage(n, QUADS, 20_000))
    for name, method in (("Student", student), ("adjusted Wald", adjusted_wald)):
        for n in (40, 120):
            row(f"drop by {name}", n, simulated_coverage(n, PAIRS, 10_000, DROP, method))
            row(f"recovery by {name}", n, simulated_coverage(n, QUADS, 10_000, RECOVERY, method))
    for n in (40, 120):
        row("left beyond a quarter, 20 000 draws", n, contrast_coverage(n, 20_000))
        row("back beyond a quarter, 20 000 draws", n, contrast_coverage(n, 20_000, share=0.75))
    for n in (40, 120):
        coverage = simulated_coverage(n, PAIRS, 1000, DROP, percentile_bootstrap)
        row("drop by percentile bootstrap", n, coverage)
        coverage = simulated_coverage(n, QUADS[::4], 1000, RECOVERY, percentile_bootstrap)
        row("recovery by percentile bootstrap", n, coverage)


def print_as_trained() -> None:
    """Print how often verdicts are which where the training data's wrapping is known."""
    verdicts = ("retained", "asked otherwise", "suppressed", "lost", "inconclusive")
    print(f"| truth | base | tuned | n | {' | '.join(verdicts)} |\n|{'---|' * 9}")
    for truth, (n, draws) in itertools.product(ASKED_OTHERWISE, ((120, 400), (400, 200))):
        rates = as_trained_verdicts(truth, n, draws)
        shown = " | ".join(f"{100 * rates[verdict]:.1f}" for verdict in verdicts)
        base, tuned = (" ".join(map(str, cells)) for cells in (truth.base, truth.tuned))
        print(f"| {truth.what} | {base} | {tuned} | {n} | {shown} |", flush=True)


if __name__ == "__main__":
    print_as_trained() if "as-trained" in sys.argv else main()
