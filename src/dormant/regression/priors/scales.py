"""Tasks of many sizes and labels in many units: one parameter integrated out (ours)."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from torch import Generator, Tensor

from dormant.errors import DormantError
from dormant.regression.functions import Family
from dormant.regression.one_step import OneStep, one_step
from dormant.regression.priors.prior import Prior, combined, positive, standard_normal
from dormant.regression.shapes import Inputs, Labels, Prompts


@final
class ScaleMixture(Prior):
    """w | τ ~ N(0, τ² I_P), τ uniform in [low, high]: tasks of many sizes.

    Given τ the solution is ridge; τ is integrated out by Gauss–Legendre quadrature on the
    evidence, whose error is far below single precision while high/low is up to about ten.

    Args:
        family: The functions.
        sigma: Noise.
        low: Smallest τ, above 0.
        high: Largest τ, above `low`.
        nodes: Quadrature nodes.

    Raises:
        DormantError: σ is not positive, or not 0 < low < high.
    """

    def __init__(
        self, family: Family, *, sigma: float, low: float, high: float, nodes: int = 24
    ) -> None:
        super().__init__(family, sigma)
        if not (math.isfinite(high) and 0 < low < high):
            raise DormantError(f"tau uniform in [{low}, {high}]: it needs 0 < low < high")
        self.low, self.high = low, high
        self._taus, self._log_weights = _quadrature(low, high, nodes)

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each with a τ and a task of its own."""
        taus = torch.rand(batch, 1, generator=generator, device=generator.device)
        taus = self.low + (self.high - self.low) * taus
        tasks = standard_normal((batch, self.family.size), generator)
        return self._labelled(taus * tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve at every node and weigh the nodes by evidence."""
        features = self._checked_features(xs, ys)
        taus = self._taus.to(xs.device)
        parts = one_step(features[:, None], ys[:, None], tau=taus, sigma=self.sigma)
        return combined(parts, self._log_weights.to(xs.device))


@final
class Units(Prior):
    """D_cont in many units: y = c·(⟨w, φ(x)⟩ + σε), w ~ N(0, τ² I_P), c uniform in [low, high].

    Signal and noise grow together, as when another quantity is measured, so the ridge penalty
    σ²/τ² is right in every unit and the mean is `Gaussian`'s; c matters to variance and evidence
    alone. One Cholesky factor a prompt serves all units: in unit c the standardised residuals z
    shrink to z/c. c is integrated out by Gauss–Legendre quadrature, as in `ScaleMixture`, but with
    more nodes: every label tells of c, so its posterior is as narrow as c/√(2K).

    Args:
        family: The functions.
        sigma: Noise in the unit c = 1.
        tau: Standard deviation of each weight in the unit c = 1.
        low: Smallest unit, above 0.
        high: Largest unit, above `low`.
        nodes: Quadrature nodes.

    Raises:
        DormantError: σ or τ is not positive, or not 0 < low < high.
    """

    def __init__(
        self,
        family: Family,
        *,
        sigma: float,
        tau: float = 1.0,
        low: float,
        high: float,
        nodes: int = 64,
    ) -> None:
        super().__init__(family, sigma)
        self.tau = positive("tau", tau)
        if not (math.isfinite(high) and 0 < low < high):
            raise DormantError(f"units uniform in [{low}, {high}]: they need 0 < low < high")
        self.low, self.high = low, high
        self._units, self._log_weights = _quadrature(low, high, nodes)

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each with a unit and a task of its own."""
        units = torch.rand(batch, 1, generator=generator, device=generator.device)
        units = self.low + (self.high - self.low) * units
        tasks = standard_normal((batch, self.family.size), generator)
        xs, ys = self._labelled(self.tau * tasks, positions, generator)
        return Prompts(xs, units * ys)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve once, and weigh the units by evidence."""
        features = self._checked_features(xs, ys)
        mean, variance, _ = one_step(features, ys, tau=self.tau, sigma=self.sigma)
        units = self._units.to(xs.device)[:, None]  # (M, 1)
        squares = ((ys - mean).square() / variance)[:, None] / units.square()
        terms = -0.5 * (squares + variance.log()[:, None] + math.log(2 * math.pi)) - units.log()
        evidence = torch.nn.functional.pad(terms.cumsum(-1), (1, 0))  # (B, M, K+1)
        parts = OneStep(
            mean[:, None].expand_as(squares), variance[:, None] * units.square(), evidence
        )
        return combined(parts, self._log_weights.to(xs.device))


def _quadrature(low: float, high: float, nodes: int) -> tuple[Tensor, Tensor]:
    """Return Gauss–Legendre points and log weights of the uniform distribution on an interval."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    placed = torch.from_numpy((low + high) / 2 + (high - low) / 2 * points)
    return placed, torch.from_numpy(np.log(weights / 2))
