"""Priors over tasks: each samples prompts **and** solves them exactly (paper §2.1–2.2).

====================  ===========================  =======================================
here                  paper                        solution
====================  ===========================  =======================================
`Gaussian`            D_cont, w ~ N(0, τ² I)       ridge, w_cont
`ScaleMixture`        (ours) τ uniform             ridges weighed by evidence, by quadrature
`Units`               (ours) labels in many units  ridge, in any unit
`Sparse`              (ours) few weights not zero  ridges of all supports, by evidence
`Discrete`            D_disc, w among n tasks      posterior mean, w_disc
`Mixture`             D_mix(α)                     g · w_disc + (1 − g) · w_cont
====================  ===========================  =======================================

Solutions are computed in float64 and returned in the labels' type.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import numpy as np
import torch
from torch import Generator, Tensor

from dormant.errors import DormantError
from dormant.regression.functions import Family
from dormant.regression.gaussian import OneStep, one_step
from dormant.regression.shapes import (
    Inputs,
    Labels,
    Predictions,
    PrefixScores,
    Prompts,
    checked,
)

_MAX_SUPPORTS = 5_000
_CACHED_NUMBERS = 30_000  # float64s: a few such arrays fit in a core's second-level cache


class Prior(ABC):
    """A distribution over prompts that knows its own Bayes-optimal predictor.

    Args:
        family: The functions f(x) = ⟨w, φ(x)⟩.
        sigma: Standard deviation σ of the noise, above 0.

    Raises:
        DormantError: σ is not a positive finite number.
    """

    def __init__(self, family: Family, sigma: float) -> None:
        if not (math.isfinite(sigma) and sigma > 0):
            raise DormantError(f"noise sigma={sigma}: it must be above 0 and finite")
        self.family = family
        self.sigma = sigma

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


@final
class Gaussian(Prior):
    """D_cont: w ~ N(0, τ² I_P). Its solution is ridge regression with penalty σ²/τ².

    Raises:
        DormantError: σ or τ is not positive.
    """

    def __init__(self, family: Family, *, sigma: float, tau: float = 1.0) -> None:
        super().__init__(family, sigma)
        self.tau = _positive("tau", tau)

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each of a new task."""
        tasks = _normal((batch, self.family.size), generator)
        return self._labelled(self.tau * tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve by one Cholesky factor a prompt (`one_step`)."""
        features = self._checked_features(xs, ys)
        return one_step(features, ys, tau=self.tau, sigma=self.sigma)


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
        tasks = _normal((batch, self.family.size), generator)
        return self._labelled(taus * tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve at every node and weigh the nodes by evidence."""
        features = self._checked_features(xs, ys)
        taus = self._taus.to(xs.device)
        parts = one_step(features[:, None], ys[:, None], tau=taus, sigma=self.sigma)
        return _combined(parts, self._log_weights.to(xs.device))


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
        self.tau = _positive("tau", tau)
        if not (math.isfinite(high) and 0 < low < high):
            raise DormantError(f"units uniform in [{low}, {high}]: they need 0 < low < high")
        self.low, self.high = low, high
        self._units, self._log_weights = _quadrature(low, high, nodes)

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts, each with a unit and a task of its own."""
        units = torch.rand(batch, 1, generator=generator, device=generator.device)
        units = self.low + (self.high - self.low) * units
        tasks = _normal((batch, self.family.size), generator)
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
        return _combined(parts, self._log_weights.to(xs.device))


@final
class Sparse(Prior):
    """Exactly `nonzero` of the P weights are not zero, any of them alike; those are N(0, τ²).

    The solution sums over all P-choose-`nonzero` supports, so P and `nonzero` must be small.

    Raises:
        DormantError: σ or τ is not positive; `nonzero` is not in 1 … P; too many supports.
    """

    def __init__(self, family: Family, *, sigma: float, tau: float, nonzero: int) -> None:
        super().__init__(family, sigma)
        self.tau = _positive("tau", tau)
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
        tasks = _normal((batch, size), generator) * (order < self.nonzero)
        return self._labelled(self.tau * tasks, positions, generator)

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve for every support and weigh the supports by evidence."""
        features = self._checked_features(xs, ys)
        supports = self._supports.to(xs.device)
        chosen = features[..., supports].transpose(1, 2)  # (B, supports, K, nonzero)
        parts = one_step(chosen, ys[:, None], tau=self.tau, sigma=self.sigma)
        return _combined(parts, torch.zeros(len(supports)).to(parts.mean).log_softmax(0))


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
        return _combined(stacked, self._log_weights(xs))

    def task_posterior(self, xs: Inputs, ys: Labels) -> Tensor:
        """Return the probability of every component after 0 … K pairs (B, K+1, M).

        Raises:
            DormantError: Shapes disagree or a value is not finite.
        """
        evidence = [component.log_evidence(xs, ys) for component in self.components]
        return (torch.stack(evidence, -1) + self._log_weights(xs)).softmax(-1)

    def _log_weights(self, xs: Inputs) -> Tensor:
        return torch.tensor(self.weights, dtype=torch.float64, device=xs.device).log()


def _combined(parts: OneStep, log_weights: Tensor) -> OneStep:
    """Mix predictive distributions (B, M, …) by prior weight and evidence, in log space."""
    joint = parts.log_evidence + log_weights[:, None]
    posterior = joint.softmax(1)[..., :-1]
    mean = (posterior * parts.mean).sum(1)
    spread = (posterior * (parts.mean - mean[:, None]).square()).sum(1)
    return OneStep(mean, (posterior * parts.variance).sum(1) + spread, joint.logsumexp(1))


def _quadrature(low: float, high: float, nodes: int) -> tuple[Tensor, Tensor]:
    """Return Gauss–Legendre points and log weights of the uniform distribution on an interval."""
    points, weights = np.polynomial.legendre.leggauss(nodes)
    placed = torch.from_numpy((low + high) / 2 + (high - low) / 2 * points)
    return placed, torch.from_numpy(np.log(weights / 2))


def _normal(shape: tuple[int, ...], generator: Generator) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def _positive(name: str, value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise DormantError(f"{name}={value}: it must be above 0 and finite")
    return value
