"""Stopping early: spending the error over looks, against betting, on one difference.

``python tests/betting_simulator.py`` prints the table of docs/statistics.md.

Betting: a gambler stakes on every item against "the mean is at least μ" and may stop once he has 40
times what he began with: under the null that happens in one case of 40 at most, at any item
(Ville). His stakes are those of Waudby-Smith & Ramdas (2024), "Estimating means of bounded random
variables by betting", JRSS B 86: 1–27, section B.3 (aGRAPA), from items before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from dormant.statistics import Looks
from dormant.statistics.intervals import multinomial_score_interval
from paired_simulator import DROP, contrast_distribution

Level: TypeAlias = Callable[[int], float]

CASES = (
    ("a drop of 70 points is above 5", (0.9, 0.2), 0.05, 1),
    ("a drop of 30 points is above 5", (0.9, 0.6), 0.05, 1),
    ("a drop of 20 points is above 5", (0.9, 0.7), 0.05, 1),
    ("no drop is below 5", (0.9, 0.9), 0.05, -1),
    ("a drop of 5 points is above 5 (false)", (0.9, 0.85), 0.05, 1),
    ("a drop of 5 points is below 5 (false)", (0.9, 0.85), 0.05, -1),
)
"""What is to be shown; accuracies; the threshold; 1 for above, −1 for below."""


def spent(
    drawn: np.ndarray, threshold: float, side: int, sizes: Sequence[int], level: Level
) -> np.ndarray:
    """Items (draws,) at which the bound at a look lies beyond the threshold; infinity if never."""
    stopped = np.full(len(drawn), np.inf)
    for size in sizes:
        counts = np.stack([(drawn[:, :size] == value).sum(1) for value in (-1, 0, 1)], axis=1)
        _, low, high = multinomial_score_interval((-1, 0, 1), counts, (-1, 1), level(size))
        beyond = low > threshold if side > 0 else high < threshold
        stopped[beyond & np.isinf(stopped)] = size
    return stopped


def bet(drawn: np.ndarray, threshold: float, side: int) -> np.ndarray:
    """Items (draws,) at which the gambler has 40 times his stake; infinity if never."""
    values = side * (drawn - threshold)
    least = -1 - side * threshold if side > 0 else -1 + threshold
    worst = -min(float(values.min()), least)
    before = np.cumsum(values, axis=1) - values
    places = np.arange(1, drawn.shape[1] + 1)
    mean = before / places
    squares = (1 + np.cumsum(values**2, axis=1) - values**2) / places
    stake = np.clip(mean / squares, 0, 0.75 / worst)
    wealth = np.cumsum(np.log1p(stake * values), axis=1)
    rich = wealth >= np.log(40)
    return np.where(rich.any(1), rich.argmax(1) + 1.0, np.inf)


def stops(
    accuracies: tuple[float, float], threshold: float, side: int, draws: int, looks: Looks
) -> dict[str, np.ndarray]:
    """Items at which each rule stops."""
    rng = np.random.default_rng(5)
    values, chances = contrast_distribution((*accuracies, 0.5, 0.5), 0.7, DROP)
    drawn = rng.choice(values, p=chances, size=(draws, looks.sizes[-1]))
    every = bet(drawn, threshold, side)
    at_looks = np.full(draws, np.inf)
    for size in reversed(looks.sizes):
        at_looks[every <= size] = size
    by_look = {
        "early": spent(drawn, threshold, side, looks.sizes, looks.nominal),
        "late": spent(drawn, threshold, side, looks.sizes, looks.patient),
    }
    return {**by_look, "bets": every, "at looks": at_looks}


def main(draws: int) -> None:
    """Print the table: the median of items, and how many stop at all."""
    schedules = (Looks(), Looks(power=1, patience=400))
    rules = (
        *(f"early, ρ = {looks.power:g}" for looks in schedules),
        *(f"late, h = {looks.patience:g}" for looks in schedules),
        "betting",
        "betting, at looks",
    )
    print(f"| to show | {' | '.join(rules)} |\n|{'---|' * (1 + len(rules))}")
    for what, accuracies, threshold, side in CASES:
        columns = [stops(accuracies, threshold, side, draws, looks) for looks in schedules]
        taken = [
            *(one["early"] for one in columns),
            *(one["late"] for one in columns),
            columns[0]["bets"],
            columns[0]["at looks"],
        ]
        shown = (
            f"{np.median(items):.0f} ({100 * np.isfinite(items).mean():.1f} %)".replace("inf", "–")
            for items in taken
        )
        print(f"| {what} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 4000)
