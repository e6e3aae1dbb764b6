"""One task size for all prompts: D_cont, whose solution is ridge (paper §2.1–2.2)."""

from __future__ import annotations

from typing import final

from torch import Generator

from dormant.regression.functions import Family
from dormant.regression.one_step import OneStep, one_step
from dormant.regression.priors.prior import Prior, positive, standard_normal
from dormant.regression.shapes import Inputs, Labels, Prompts


@final
class Gaussian(Prior):
    """D_cont: w ~ N(0, τ² I_P). Its solution is ridge regression with penalty σ²/τ².

    Raises:
        DormantError: σ or τ is not positive.
    """

    def __init__(self, family: Family, *, sigma: float, tau: float = 1.0) -> None:
        super().__init__(family, sigma)
        self.tau = positive("tau", tau)

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each of a new task."""
        tasks = standard_normal((batch, self.family.size), generator)
        return self._labelled(self.tau * tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve by one Cholesky factor a prompt (`one_step`)."""
        features = self._checked_features(xs, ys)
        return one_step(features, ys, tau=self.tau, sigma=self.sigma)
