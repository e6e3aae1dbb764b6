"""A finite set of tasks: D_disc, whose solution is a posterior mean (paper §2.1–2.2)."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from dormant.errors import DormantError
from dormant.regression.functions import Family
from dormant.regression.one_step import OneStep
from dormant.regression.priors.prior import Prior
from dormant.regression.shapes import Inputs, Labels, Prompts

_CACHED_NUMBERS = 30_000  # float64s: a few such arrays fit in a core's second-level cache


@final
class Discrete(Prior):
    """D_disc: w is one of n fixed tasks, each as likely as another.

    p_i ∝ exp(−‖y − Φw_i‖²/2σ²) at every prefix, and w_disc = Σ_i p_i w_i (paper §2.2).

    Args:
        family: The functions.
        sigma: Noise.
        tasks: The task vectors (n, P).

    Raises:
        DormantError: σ is not positive, or the tasks have another shape or a non-finite value.
    """

    def __init__(self, family: Family, *, sigma: float, tasks: Tensor) -> None:
        super().__init__(family, sigma)
        if tasks.ndim != 2 or tasks.shape[1] != family.size or not len(tasks):
            raise DormantError(
                f"tasks of shape {tuple(tasks.shape)}: expected (n, {family.size}) with n ≥ 1"
            )
        if not bool(torch.isfinite(tasks).all()):
            raise DormantError("a task vector holds a value that is not finite")
        self.tasks = tasks.double()

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each of one of the tasks."""
        device = generator.device
        which = torch.randint(len(self.tasks), (batch,), generator=generator, device=device)
        tasks = self.tasks.to(device, torch.get_default_dtype())[which]
        return self._labelled(tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve by cumulated squared residuals of every task."""
        outputs = self._checked_features(xs, ys) @ self.tasks.to(xs.device).T  # (B, K, n)
        numbers = outputs.shape[1] * outputs.shape[2]
        chunk = max(1, len(outputs) if xs.is_cuda else _CACHED_NUMBERS // max(numbers, 1))
        parts = [
            self._solve(some, labels)
            for some, labels in zip(outputs.split(chunk), ys.split(chunk), strict=True)
        ]
        return OneStep(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def _solve(self, outputs: Tensor, ys: Labels) -> OneStep:
        joint = self._log_joint(outputs, ys)
        top = joint.amax(-1, keepdim=True)
        likelihood = (joint - top).exp()
        total = likelihood.sum(-1, keepdim=True)
        posterior = (likelihood / total)[:, :-1]
        mean = (posterior * outputs).sum(-1)
        spread = (posterior * (outputs - mean[..., None]).square()).sum(-1)
        return OneStep(mean, spread + self.sigma**2, (total.log() + top)[..., 0])

    def task_posterior(self, xs: Inputs, ys: Labels) -> Tensor:
        """Return p_i, the probability of every task after 0 … K pairs (B, K+1, n).

        Raises:
            DormantError: Shapes disagree or a value is not finite.
        """
        outputs = self._checked_features(xs, ys) @ self.tasks.to(xs.device).T
        return self._log_joint(outputs, ys).softmax(-1)

    def _log_joint(self, outputs: Tensor, ys: Labels) -> Tensor:
        """Log p(task, y_<k) (B, K+1, n)."""
        residuals = (ys.double()[..., None] - outputs) / self.sigma
        terms = -0.5 * residuals.square() - math.log(self.sigma) - 0.5 * math.log(2 * math.pi)
        summed = torch.nn.functional.pad(terms.cumsum(1), (0, 0, 1, 0))
        return summed - math.log(len(self.tasks))
