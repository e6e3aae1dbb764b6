"""The priors of one seed: what it pretrains on, fine-tunes on, and is measured on."""

from __future__ import annotations

from typing import NamedTuple, final

import torch
from torch import Generator

from dormant.errors import DormantError
from dormant.regression.functions import Family, family
from dormant.regression.one_step import OneStep
from dormant.regression.priors import Discrete, Gaussian, Mixture, Prior, ScaleMixture, Units
from dormant.regression.settings import LabSettings, PriorSettings
from dormant.regression.shapes import Inputs, Labels, Prompts
from dormant.regression.streams import stream


class TaskPriors(NamedTuple):
    """The priors of one seed, each of which samples and solves."""

    cont: Gaussian
    """D_cont, on which what fine-tuning costs is measured; its solution is ridge."""
    disc: Discrete
    """D_disc, on which the model is fine-tuned."""
    pretraining: Prior
    """D_mix(α): its solution is the best that pretraining can teach."""
    finetuning: Prior
    """What fine-tuning draws from: D_disc, with replay if asked for."""


def task_priors(settings: LabSettings, seed: int) -> TaskPriors:
    """Return the priors of a seed; its discrete tasks are drawn from the seed alone."""
    prior, tuning = settings.prior, settings.finetuning
    functions = family(prior.family, dim=settings.model.dim, size=prior.features)
    cont = Gaussian(functions, sigma=prior.sigma, tau=prior.tau)
    first = _discrete(functions, prior, seed, "tasks")
    broad: Prior = cont
    if prior.pretraining_tau is not None:
        low, high = prior.pretraining_tau
        broad = ScaleMixture(functions, sigma=prior.sigma, low=low, high=high)
    elif prior.pretraining_units is not None:
        low, high = prior.pretraining_units
        broad = Units(functions, sigma=prior.sigma, tau=prior.tau, low=low, high=high)
    pretraining = _mixed(first, broad, prior.alpha)
    disc = first if tuning.tasks == "same" else _discrete(functions, prior, seed, "other tasks")
    source: Prior = disc
    if tuning.prompts:
        source = FixedPrompts(disc, tuning.prompts, settings.model.positions, seed)
    return TaskPriors(cont, disc, pretraining, _mixed(pretraining, source, tuning.replay))


@final
class FixedPrompts(Prior):
    """A finite data set: prompts drawn from a prior once, and from the set ever after.

    Its solution is that of the prior it was drawn from.

    Args:
        prior: Where the prompts come from.
        count: How many there are.
        positions: K; prompts of another length can't be drawn.
        seed: Of the set.
    """

    def __init__(self, prior: Prior, count: int, positions: int, seed: int) -> None:
        super().__init__(prior.family, prior.sigma)
        self._prior = prior
        self._set = prior.sample(count, positions, stream(seed, "fine-tuning set"))

    def sample(self, batch: int, positions: int, generator: Generator) -> Prompts:
        """Draw prompts of the set, with replacement."""
        xs, ys = self._set
        if positions != xs.shape[1]:
            raise DormantError(f"the set's prompts have {xs.shape[1]} positions, not {positions}")
        device = generator.device
        which = torch.randint(len(xs), (batch,), generator=generator, device=device).cpu()
        return Prompts(xs[which].to(device), ys[which].to(device))

    def solve(self, xs: Inputs, ys: Labels) -> OneStep:
        """Solve as the prior that the set was drawn from does."""
        return self._prior.solve(xs, ys)


def _discrete(functions: Family, prior: PriorSettings, seed: int, name: str) -> Discrete:
    generator = stream(seed, name)
    tasks = torch.randn(prior.tasks, functions.size, generator=generator, dtype=torch.float64)
    return Discrete(functions, sigma=prior.sigma, tasks=prior.tau * tasks)


def _mixed(first: Prior, second: Prior, weight: float) -> Prior:
    """Mix two priors; one whose weight is 0 is left out."""
    if weight in (0, 1):
        return first if weight else second
    return Mixture([first, second], [weight, 1 - weight])
