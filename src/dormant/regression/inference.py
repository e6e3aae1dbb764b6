"""The model's own g: how much of a prediction lies on w_disc, and how much on w_cont (paper §2.2).

The optimum of D_mix is g · w_disc + (1 − g) · w_cont with g the posterior probability of D_disc:
implicit task inference, made exact. A transformer states no g, but its predictions f imply one:
the least-squares coefficient of f − c on d − c, where d and c are what the two components predict,

    ĝ = Σ (f − c)(d − c) / Σ (d − c)².

For the optimum itself ĝ is the mean of the exact g with weights (d − c)²; so that mean, and not the
plain one, is what a model's ĝ is compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dormant.errors import DormantError
from dormant.regression.conjugates import LabPredictor
from dormant.regression.priors import Mixture, Prior
from dormant.regression.records import mean_estimate, ratio_estimate
from dormant.regression.shapes import Prompts
from dormant.results import Estimate


class Parts(NamedTuple):
    """What ĝ is fitted from, for one seed's prompts; every array is (B, K), float64."""

    exact: NDArray[np.float64]
    """g, the posterior probability of D_disc given the pairs before each position."""
    difference: NDArray[np.float64]
    """d − c."""
    moved: NDArray[np.float64]
    """f − c."""


def parts(prior: Prior, predict: LabPredictor, prompts: Prompts) -> Parts:
    """Return what a predictor's ĝ is fitted from.

    Args:
        prior: The pretraining mixture, D_disc its first component.
        predict: The predictor whose ĝ is wanted.
        prompts: Prompts (B, K).

    Raises:
        DormantError: The prior is not a mixture of two.
    """
    if not isinstance(prior, Mixture) or len(prior.components) != 2:
        raise DormantError("g needs a pretraining prior of two components: 0 < alpha < 1")
    disc, cont = (part.solve(*prompts).mean for part in prior.components)
    exact = prior.task_posterior(*prompts)[:, :-1, 0]
    moved = predict(prompts).double() - cont
    return Parts(*(one.cpu().numpy() for one in (exact, disc - cont, moved)))


def fitted(seeds: Sequence[Parts], inside: Sequence[NDArray[np.bool_]] | None = None) -> Estimate:
    """Fit ĝ: over seeds where there are two or more, else over prompts with Fieller's interval.

    Args:
        seeds: The parts, for every seed.
        inside: Which positions count (B, K), for every seed; all unless given.

    Raises:
        DormantError: The components' predictions don't differ, so that no ĝ can be told.
    """
    return _ratio(seeds, [one.moved for one in seeds], inside)


def exact(seeds: Sequence[Parts], inside: Sequence[NDArray[np.bool_]] | None = None) -> Estimate:
    """Return the mean of the exact g with the weights that a fit gives it, (d − c)²."""
    return _ratio(seeds, [one.exact * one.difference for one in seeds], inside)


def explained(one: Parts) -> float:
    """Return the share of (f − c)² that lies on the line from c to d, in [0, 1].

    Near 1, a prediction is a mixture of the two components and ĝ says all; near 0, ĝ says little.
    """
    along = (one.moved * one.difference).sum() ** 2
    return float(along / ((one.moved**2).sum() * (one.difference**2).sum()))


def _ratio(
    seeds: Sequence[Parts],
    moved: Sequence[NDArray[np.float64]],
    inside: Sequence[NDArray[np.bool_]] | None,
) -> Estimate:
    above: list[NDArray[np.float64]] = []
    below: list[NDArray[np.float64]] = []
    for number, one in enumerate(seeds):
        counted = inside[number] if inside is not None else np.ones(one.exact.shape, bool)
        some = counted.any(1)
        above.append((moved[number] * one.difference * counted).sum(1)[some])
        below.append((one.difference**2 * counted).sum(1)[some])
    if len(seeds) > 1:
        return mean_estimate(
            [np.array([a.sum() / b.sum()]) for a, b in zip(above, below, strict=True)]
        )
    found = ratio_estimate(above[0], below[0])
    if found is None:
        raise DormantError("w_disc and w_cont predict alike on these prompts: no g can be told")
    return found
