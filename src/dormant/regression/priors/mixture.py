"""Priors mixed: D_mix(α), what pretraining draws from (paper §2.1–2.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Generator, Tensor

from dormant.errors import DormantError
from dormant.regression.one_step import OneStep
from dormant.regression.priors.prior import Prior, combined
from dormant.regression.shapes import Inputs, Labels, Prompts


@final
class Mixture(Prior):
    """D_mix: a component is drawn by its weight, then a prompt from it. Mixtures nest.

    With components (D_disc, D_cont) and weights (α, 1 − α) the solution is
    g · w_disc + (1 − g) · w_cont, and `task_posterior(xs, ys)[..., 0]` is g (paper, §2.2).

    Args:
        components: The priors mixed, over inputs of one dimension.
        weights: A probability for each.

    Raises:
        DormantError: Weights are negative or don't sum to 1, or differ in number from the
            components, or the components' inputs differ in dimension.
    """

    def __init__(self, components: Sequence[Prior], weights: Sequence[float]) -> None:
        if not components or len(components) != len(weights):
            raise DormantError(
                f"{len(components)} components and {len(weights)} weights: give one weight each"
            )
        if min(weights) < 0 or not math.isclose(sum(weights), 1.0, abs_tol=1e-6):
            raise DormantError(
                f"mixture weights {list(weights)} sum to {sum(weights):g}: "
                "give weights of at least 0 that sum to 1"
            )
        dims = {component.family.dim for component in components}
        if len(dims) > 1:
            raise DormantError(f"components take inputs of different dimensions: {sorted(dims)}")
        super().__init__(components[0].family, components[0].sigma)
        self.components = tuple(components)
        self.weights = tuple(weights)

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each from a component of its own."""
        device = generator.device
        probabilities = torch.tensor(self.weights, device=device)
        which = torch.multinomial(probabilities, batch, replacement=True, generator=generator)
        drawn = [component.sample(batch, positions, generator) for component in self.components]
        rows = torch.arange(batch, device=device)
        return Prompts(
            torch.stack([prompts.xs for prompts in drawn])[which, rows],
            torch.stack([prompts.ys for prompts in drawn])[which, rows],
        )

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve every component and weigh them by evidence."""
        parts = [component.solve(xs, ys) for component in self.components]
        stacked = OneStep(*(torch.stack(part, 1) for part in zip(*parts, strict=True)))
        return combined(stacked, self._log_weights(xs))

    def task_posterior(self, xs: Inputs, ys: Labels) -> Tensor:
        """Return the probability of every component after 0 … K pairs (B, K+1, M).

        Raises:
            DormantError: Shapes disagree or a value is not finite.
        """
        evidence = [component.log_evidence(xs, ys) for component in self.components]
        return (torch.stack(evidence, -1) + self._log_weights(xs)).softmax(-1)

    def _log_weights(self, xs: Inputs) -> Tensor:
        return torch.tensor(self.weights, dtype=torch.float64, device=xs.device).log()
