"""How often the lower bound of a chosen transform's gain is above the truth.

Transforms are equally good and gain nothing, so whichever is chosen, a lower bound above 0 is an
error; it should be rarer than 2.5 %. ``python tests/choice_simulator.py`` prints the table of
docs/statistics.md.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from dormant.statistics.choosing import widened
from dormant.statistics.intervals import LEVEL, multinomial_score_interval

CASES = tuple(itertools.product((2, 3, 6, 10), ((0.1, 0.2), (0.1, 0.7), (0.5, 0.5))))
"""Numbers of transforms; accuracy of the fine-tuned model, and correlation between cells."""


def gains(
    rng: np.random.Generator,
    draws: int,
    n: int,
    plain: float,
    transformed: Sequence[float],
    correlation: float,
) -> np.ndarray:
    """Per-item gains (draws, n, k) under k transforms."""
    difficulty = rng.standard_normal((draws, n, 1))
    noise = rng.standard_normal((draws, n, 1 + len(transformed)))
    latent = np.sqrt(correlation) * difficulty + np.sqrt(1 - correlation) * noise
    success = (latent < special.ndtri(np.array([plain, *transformed]))).astype(np.int8)
    return success[:, :, 1:] - success[:, :, :1]


def lower(contrast: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Lower bounds of mean gains, over the last axis."""
    counts = np.stack([(contrast == value).sum(-1) for value in (-1, 0, 1)], axis=-1)
    return multinomial_score_interval((-1, 0, 1), counts, (-1, 1), level)[1]


def chosen(by: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Gains (draws, m) of some items under what other items choose."""
    choice = lower(np.swapaxes(by, 1, 2)).argmax(1)
    return np.take_along_axis(among, choice[:, None, None], axis=2)[:, :, 0]


def half_only(drawn: np.ndarray, level: float) -> np.ndarray:
    """One half only chooses, as in version 0.1."""
    half = drawn.shape[1] // 2
    return lower(chosen(drawn[:, :half], drawn[:, half:]), level)


def both_halves(drawn: np.ndarray, level: float) -> np.ndarray:
    """Each half chooses for the other, and both are pooled."""
    half = drawn.shape[1] // 2
    first, second = drawn[:, :half], drawn[:, half:]
    return lower(np.hstack([chosen(first, second), chosen(second, first)]), level)


def widened_halves(drawn: np.ndarray, level: float) -> np.ndarray:
    """The same with the package's wider interval."""
    return both_halves(drawn, widened(level))


def ahead(drawn: np.ndarray, level: float) -> np.ndarray:
    """An eighth chooses for the next eighth, the first quarter for the next, and so on."""
    n = drawn.shape[1]
    edges = (n // 8, n // 4, n // 2, n)
    parts = [chosen(drawn[:, :a], drawn[:, a:b]) for a, b in itertools.pairwise(edges)]
    return lower(np.hstack(parts), level)


def every_one(drawn: np.ndarray, level: float) -> np.ndarray:
    """No choice: the surest of all, each tested at its share of the error (Bonferroni)."""
    share = 1 - (1 - level) / drawn.shape[2]
    return lower(np.swapaxes(drawn, 1, 2), share).max(1)


Rule = Callable[[np.ndarray, float], np.ndarray]
RULES: dict[str, Rule] = {
    "one half": half_only,
    "both halves": both_halves,
    "both, wider": widened_halves,
    "ahead": ahead,
    "all, corrected": every_one,
}


def above_zero(
    n: int,
    plain: float,
    transformed: Sequence[float],
    correlation: float,
    draws: int,
    rules: Sequence[str] = tuple(RULES),
    level: float = LEVEL,
) -> dict[str, float]:
    """Share of lower bounds above 0 by each rule."""
    rng = np.random.default_rng([n, len(transformed)])
    above = dict.fromkeys(rules, 0.0)
    for size in np.diff([*range(0, draws, 1000), draws]):
        drawn = gains(rng, size, n, plain, transformed, correlation)
        for rule in rules:
            above[rule] += float((RULES[rule](drawn, level) > 1e-12).sum())
    return {rule: count / draws for rule, count in above.items()}


def main(draws: int) -> None:
    """Print both tables."""
    head = " | ".join(RULES)
    print(f"| transforms | accuracy | correlation | n | {head} |\n|{'---|' * (4 + len(RULES))}")

    def row(what: str, n: int, plain: float, transformed: Sequence[float], rho: float) -> None:
        rates = above_zero(n, plain, transformed, rho, draws)
        shown = " | ".join(f"{100 * rate:.1f}" for rate in rates.values())
        print(f"| {what} | {plain} | {rho} | {n} | {shown} |", flush=True)

    for (k, (plain, rho)), n in itertools.product(CASES, (120, 400)):
        row(f"{k} equal, no gain", n, plain, [plain] * k, rho)
    for k, n in itertools.product((3, 6), (60, 120)):
        row(f"{k} equal, gain 15", n, 0.4, [0.55] * k, 0.7)
        row(f"{k}, one gains 15", n, 0.4, [0.55, *[0.4] * (k - 1)], 0.7)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
