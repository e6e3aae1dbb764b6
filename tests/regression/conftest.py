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


TINY = """
summary = "seconds"
seeds = [0, 1]
[prior]
sigma = 0.5
pretraining_tau = [1.0, 3.0]
tasks = 3
[model]
dim = 2
positions = 6
width = 16
depth = 1
heads = 2
tokens = "paired"
[pretraining]
steps = 60
batch = 16
learning_rate = 3e-3
optimiser = "muon"
schedule = "cosine"
checkpoint_every = 20
[finetuning]
steps = 40
batch = 16
learning_rate = 2e-3
optimiser = "muon"
checkpoint_every = 20
[evaluation]
prompts = 60
choosing_prompts = 40
curve_prompts = 30
"""


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory):
    """Path of a preset that takes a second."""
    path = tmp_path_factory.mktemp("preset") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def tiny_run(tiny_preset, tmp_path_factory):
    """A finished run of it."""
    from dormant.regression import lab, settings
    from dormant.regression.figures import write_figures
    from dormant.regression.rundir import LabRun

    out = tmp_path_factory.mktemp("runs") / "tiny"
    lab.run(settings.load(str(tiny_preset)), out, device="cpu")
    run = LabRun(out)
    write_figures(run)
    return run
