"""Simulated audits of known truth.

Every item has a latent difficulty z ~ N(0, 1); a cell with accuracy a succeeds on it where
√ρ z + √(1 − ρ) e < Φ⁻¹(a), with fresh e ~ N(0, 1) for every cell. So the cells are correlated
as paired cells are, more with a greater ρ, and each has exactly the accuracy asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import special

from dormant.uncertainty import multinomial_score_interval

DROP = (1, -1, 0, 0)
GAIN = (0, -1, 0, 1)
RECOVERY = (1, -1, -1, 1)
PATTERNS = np.array(list(itertools.product((0, 1), repeat=4)))
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)


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
