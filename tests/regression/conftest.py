"""Small priors and models that the laboratory's tests share."""

import pytest
import torch

from dormant.regression.functions import Linear
from dormant.regression.priors import Discrete, Gaussian, Mixture
from dormant.regression.streams import stream
from dormant.regression.transformer import Transformer, TransformerSettings


@pytest.fixture
def small():
    """Return a maker of a tiny transformer, D = 3, K = 8."""

    def make(seed=0, **changed):
        sizes = {"dim": 3, "positions": 8, "width": 16, "depth": 2, "heads": 2, "tokens": "paired"}
        return Transformer(TransformerSettings(**(sizes | changed)), stream(seed, "weights"))

    return make


@pytest.fixture
def mixed():
    """Return a mixture of four tasks and a Gaussian, D = 3."""
    tasks = torch.randn(4, 3, generator=stream(0, "tasks"), dtype=torch.float64)
    linear = Linear(dim=3)
    parts = [Discrete(linear, sigma=0.5, tasks=tasks), Gaussian(linear, sigma=0.5)]
    return Mixture(parts, [0.5, 0.5])
