"""Tasks with few weights that are not zero (ours)."""

from __future__ import annotations

import itertools
import math
from typing import final

import torch
from torch import Generator

from dormant.errors import DormantError
from dormant.regression.functions import Family
from dormant.regression.one_step import OneStep, one_step
from dormant.regression.priors.prior import Prior, combined, positive, standard_normal
from dormant.regression.shapes import Inputs, Labels, Prompts

_MAX_SUPPORTS = 5_000


@final
class Sparse(Prior):
    """Exactly `nonzero` of the P weights are not zero, any of them alike; those are N(0, τ²).

    The solution sums over all P-choose-`nonzero` supports, so P and `nonzero` must be small.

    Raises:
        DormantError: σ or τ is not positive; `nonzero` is not in 1 … P; too many supports.
    """

    def __init__(self, family: Family, *, sigma: float, tau: float, nonzero: int) -> None:
        super().__init__(family, sigma)
        self.tau = positive("tau", tau)
        if not 1 <= nonzero <= family.size:
            raise DormantError(f"nonzero={nonzero}: it must be in 1 … {family.size}")
        supports = math.comb(family.size, nonzero)
        if supports > _MAX_SUPPORTS:
            raise DormantError(
                f"nonzero={nonzero} of {family.size} weights gives {supports} supports, above "
                f"{_MAX_SUPPORTS}: the exact solution needs fewer dimensions or fewer non-zeros"
            )
        self.nonzero = nonzero
        self._supports = torch.tensor(list(itertools.combinations(range(family.size), nonzero)))

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each with a support and weights of its own."""
        device = generator.device
        size = self.family.size
        order = torch.rand(batch, size, generator=generator, device=device).argsort(-1)
        tasks = standard_normal((batch, size), generator) * (order < self.nonzero)
        return self._labelled(self.tau * tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve for every support and weigh the supports by evidence."""
        features = self._checked_features(xs, ys)
        supports = self._supports.to(xs.device)
        chosen = features[..., supports].transpose(1, 2)  # (B, supports, K, nonzero)
        parts = one_step(chosen, ys[:, None], tau=self.tau, sigma=self.sigma)
        return combined(parts, torch.zeros(len(supports)).to(parts.mean).log_softmax(0))
