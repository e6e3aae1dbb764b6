"""Classical predictors at every prefix, called as priors and transformers are: f(prompts).

The discrete baseline is `priors.Discrete` itself; these know less than a prior does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from dormant.errors import DormantError
from dormant.regression.functions import Family
from dormant.regression.one_step import CHUNK_NUMBERS, one_step
from dormant.regression.shapes import Predictions, Prompts, checked


@final
@dataclass(frozen=True, kw_only=True)
class Ridge:
    """w = (ΦᵀΦ + λI)⁻¹ Φᵀy from the pairs before each position; λ in units of labels squared."""

    family: Family
    penalty: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.penalty) and self.penalty > 0):
            raise DormantError(f"ridge penalty {self.penalty}: it must be above 0 and finite")

    def __call__(self, prompts: Prompts) -> Predictions:
        """Predict every label (B, K)."""
        xs, ys = checked(*prompts, self.family.dim)
        # Ridge is the posterior mean for τ = 1 and σ² = λ.
        features = self.family.features(xs.double())
        return one_step(features, ys, tau=1.0, sigma=math.sqrt(self.penalty)).mean.to(ys.dtype)


@final
@dataclass(frozen=True, kw_only=True)
class LeastSquares:
    """The shortest w among those that fit the pairs before each position best.

    All prefixes go to LAPACK in one call, on the CPU: a prefix is the whole prompt with what comes
    later set to zero, and rows of zeros change nothing.
    """

    family: Family

    def __call__(self, prompts: Prompts) -> Predictions:
        """Predict every label (B, K)."""
        xs, ys = checked(*prompts, self.family.dim)
        features = self.family.features(xs.double()).cpu()
        positions, size = features.shape[1:]
        past = torch.ones(positions, positions, dtype=torch.float64).tril(-1)  # (prefix, pair)
        chunk = max(1, CHUNK_NUMBERS // max(positions**2 * size, 1))
        parts = [
            self._solve(some, labels, past)
            for some, labels in zip(
                features.split(chunk), ys.double().cpu().split(chunk), strict=True
            )
        ]
        return torch.cat(parts).to(ys)

    def _solve(self, features: Tensor, ys: Tensor, past: Tensor) -> Tensor:
        rows, labels = past[..., None] * features[:, None], past * ys[:, None]
        # A complete orthogonal factorisation, which finds the shortest w where many fit.
        solved = torch.linalg.lstsq(rows, labels[..., None], driver="gelsy").solution[..., 0]
        return (solved * features).sum(-1)


@final
@dataclass(frozen=True, kw_only=True)
class NearestNeighbours:
    """The mean label of the nearest inputs seen so far; 0 before any."""

    neighbours: int = 3

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise DormantError(f"neighbours={self.neighbours}: it must be at least 1")

    def __call__(self, prompts: Prompts) -> Predictions:
        """Predict every label (B, K)."""
        xs, ys = checked(*prompts)
        positions = ys.shape[1]
        distances = torch.cdist(xs.double(), xs.double())
        future = torch.ones(positions, positions, device=xs.device).triu().bool()
        order = distances.masked_fill(future, math.inf).argsort(-1)[..., : self.neighbours]
        labels = ys[:, None].expand(-1, positions, -1).gather(-1, order)
        # Position k has only k neighbours; the others in `order` lie in the future.
        count = torch.arange(positions, device=xs.device).clamp(max=self.neighbours)
        valid = torch.arange(order.shape[-1], device=xs.device) < count[:, None]
        return (labels * valid).sum(-1) / count.clamp(min=1)


@final
@dataclass(frozen=True, kw_only=True)
class Averaging:
    """w = (1/k) Σ_j y_j φ_j: right in the mean where E[φφᵀ] = I; 0 before any pair."""

    family: Family

    def __call__(self, prompts: Prompts) -> Predictions:
        """Predict every label (B, K)."""
        xs, ys = checked(*prompts, self.family.dim)
        features = self.family.features(xs)
        summed = (ys[..., None] * features).cumsum(1)
        before = torch.nn.functional.pad(summed, (0, 0, 1, 0))[:, :-1]
        count = torch.arange(ys.shape[1], device=xs.device).clamp(min=1)
        return (before * features).sum(-1) / count
