"""What every prior can do: sample prompts **and** solve them exactly."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Generator, Tensor

from dormant.errors import DormantError
from dormant.regression.functions import Family
from dormant.regression.one_step import OneStep
from dormant.regression.shapes import (
    Inputs,
    Labels,
    Predictions,
    PrefixScores,
    Prompts,
    checked,
)


class Prior(ABC):
    """A distribution over prompts that knows its own Bayes-optimal predictor.

    Args:
        family: The functions f(x) = ⟨w, φ(x)⟩.
        sigma: Standard deviation σ of the noise, above 0.

    Raises:
        DormantError: σ is not a positive finite number.
    """

    def __init__(self, family: Family, sigma: float) -> None:
        self.family = family
        self.sigma = positive("noise sigma", sigma)

    @abstractmethod
    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, x ~ N(0, I_D), y = f(x) + σε.

        Args:
            batch: B.
            positions: K.
            generator: Source of every number, on the device where the prompts are wanted.
        """

    @abstractmethod
    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Return mean, variance and evidence at every prefix, float64.

        Raises:
            DormantError: Shapes disagree or a value is not finite.
        """

    @final
    def predict(self, xs: Inputs, ys: Labels) -> Predictions:
        """Return the exact posterior predictive mean of every label given the pairs before it.

        Args:
            xs: Inputs (B, K, D).
            ys: Labels (B, K); label k is not used for prediction k.

        Returns:
            (B, K), in the labels' type.

        Raises:
            DormantError: Shapes disagree or a value is not finite.
        """
        return self.solve(xs, ys).mean.to(ys.dtype)

    @final
    def log_evidence(self, xs: Inputs, ys: Labels) -> PrefixScores:
        """Return log p(y_0 … y_{k−1} | x) for k = 0 … K, in nats, float64 (B, K+1).

        Raises:
            DormantError: Shapes disagree or a value is not finite.
        """
        return self.solve(xs, ys).log_evidence

    @final
    def __call__(self, prompts: Prompts) -> Predictions:
        """Predict, called as every predictor is (see `predict`)."""
        return self.predict(*prompts)

    def _checked_features(self, xs: Inputs, ys: Labels) -> Tensor:
        checked(xs, ys, self.family.dim)
        return self.family.features(xs.double())

    def _labelled(self, tasks: Tensor, positions: int, generator: Generator) -> Prompts:
        """Draw inputs and noise for given task vectors (B, P)."""
        batch, device = tasks.shape[0], generator.device
        xs = torch.randn(batch, positions, self.family.dim, generator=generator, device=device)
        noise = torch.randn(batch, positions, generator=generator, device=device)
        clean = (self.family.features(xs) @ tasks[..., None])[..., 0]
        return Prompts(xs, clean + self.sigma * noise)


def combined(parts: OneStep, log_weights: Tensor) -> OneStep:
    """Mix predictive distributions (B, M, …) by prior weight and evidence, in log space."""
    joint = parts.log_evidence + log_weights[:, None]
    posterior = joint.softmax(1)[..., :-1]
    mean = (posterior * parts.mean).sum(1)
    spread = (posterior * (parts.mean - mean[:, None]).square()).sum(1)
    return OneStep(mean, (posterior * parts.variance).sum(1) + spread, joint.logsumexp(1))


def standard_normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    """Draw from N(0, I), on the generator's device."""
    return torch.randn(shape, generator=generator, device=generator.device)


def positive(name: str, value: float) -> float:
    """Return the value of a setting.

    Raises:
        DormantError: It is not above 0, or not finite.
    """
    if not (math.isfinite(value) and value > 0):
        raise DormantError(f"{name}={value}: it must be above 0 and finite")
    return value
