"""Resuming, diverging, learning, fine-tuning in part, and several processes."""

import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch.optim.optimizer import register_optimizer_step_pre_hook

from dormant.errors import DormantError
from dormant.regression.checkpoints import load_checkpoint
from dormant.regression.functions import Linear
from dormant.regression.muon import Muon
from dormant.regression.optimisers import optimisers
from dormant.regression.priors import Discrete, Gaussian, Mixture
from dormant.regression.shapes import Prompts
from dormant.regression.streams import stream
from dormant.regression.training import TrainingSettings, train
from dormant.regression.tuning import TuningSettings, tunable

WORKER = Path(__file__).with_name("train_worker.py")


def settings(**changed):
    usual = {"steps": 12, "batch": 8, "learning_rate": 1e-3, "checkpoint_every": 5}
    return TrainingSettings(**(usual | changed))


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def loss(predictor, prior, seed=99):
    prompts = prior.sample(1_000, 8, stream(seed, "test"))
    with torch.no_grad():
        return float((predictor(prompts) - prompts.ys).square().mean())


class Stopped(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("optimiser", ["adam", "adamw", "muon"])
def test_a_resumed_run_gives_the_unbroken_runs_numbers(small, mixed, tmp_path, optimiser):
    chosen = settings(optimiser=optimiser, schedule="cosine", warmup=3, clip=1.0)

    def run(model, stop_at=None, checkpoint=None):
        def on_log(line):
            if line.step == stop_at:
                raise Stopped

        train(
            model, mixed, chosen, positions=8, seed=3, phase="pretraining",
            checkpoint=checkpoint, on_log=on_log,
        )  # fmt: skip

    unbroken, broken = small(), small()
    run(unbroken)
    with pytest.raises(Stopped):
        run(broken, stop_at=10, checkpoint=tmp_path / "c.pt")  # the file is of step 5
    resumed = small(seed=8)  # its weights come from the file
    run(resumed, checkpoint=tmp_path / "c.pt")
    for name, value in weights(unbroken).items():
        assert bool((weights(resumed)[name] == value).all()), name
    # A finished run is not trained again.
    run(resumed, checkpoint=tmp_path / "c.pt")
    assert all(bool((weights(resumed)[n] == v).all()) for n, v in weights(unbroken).items())


@pytest.mark.parametrize("which", range(4))
def test_checkpoints_of_other_runs_and_shapes_are_refused(small, mixed, tmp_path, which):
    file = tmp_path / "c.pt"
    train(small(), mixed, settings(), positions=8, seed=3, phase="pretraining", checkpoint=file)
    with pytest.raises(DormantError, match="belongs to another run"):
        train(small(), mixed, settings(), positions=8, seed=4, phase="pretraining", checkpoint=file)
    wide = small(width=32)
    with pytest.raises(DormantError, match="of another shape"):
        load_checkpoint(file, wide, optimisers(wide, "adam", 1e-3), None)
    gated = small(gated=True)
    with pytest.raises(DormantError, match="another kind of model"):
        load_checkpoint(file, gated, optimisers(gated, "adam", 1e-3), None)
    whole = file.read_bytes()
    torn = (b"torn", b"", whole[: len(whole) // 2], pickle.dumps([1, 2], protocol=2))[which]
    file.write_bytes(torn)
    with pytest.raises(DormantError, match="can't be read"):
        train(small(), mixed, settings(), positions=8, seed=3, phase="pretraining", checkpoint=file)


class Breaks(torch.nn.Module):
    """A model whose predictions, or whose weights, go bad at its n-th call."""

    def __init__(self, inner, at, *, weights_too=False):
        super().__init__()
        self.inner, self.at, self.weights_too, self.calls = inner, at, weights_too, 0

    def forward(self, prompts):
        self.calls += 1
        predictions = self.inner(prompts)
        if self.calls == self.at:
            if self.weights_too:
                predictions.register_hook(lambda gradient: gradient * torch.nan)
            else:
                predictions = predictions * torch.inf
        return predictions


def test_a_diverged_run_says_where_and_goes_back(small, mixed, tmp_path):
    file = tmp_path / "c.pt"
    model = Breaks(small(), at=8)
    with pytest.raises(DormantError, match=r"diverged at step 8: .* of step 5, is .*c\.pt"):
        train(model, mixed, settings(), positions=8, seed=3, phase="p", checkpoint=file)
    assert all(bool(torch.isfinite(value).all()) for value in model.parameters())
    kept = Breaks(small(), at=0)
    assert load_checkpoint(file, kept, optimisers(kept, "adam", 1e-3), None) == 5
    with pytest.raises(DormantError, match="no directory was given"):
        train(Breaks(small(), at=8), mixed, settings(), positions=8, seed=3, phase="p")
    early = tmp_path / "early.pt"
    with pytest.raises(DormantError, match=r"step 2: .* no checkpoint had been written yet"):
        train(
            Breaks(small(), at=2), mixed, settings(), positions=8, seed=3, phase="p",
            checkpoint=early,
        )  # fmt: skip
    assert not early.exists()


def test_broken_weights_are_never_kept(small, mixed, tmp_path):
    # The loss of step 10 is fine, and the step that follows it writes NaN into the weights.
    file = tmp_path / "c.pt"
    model = Breaks(small(), at=10, weights_too=True)
    with pytest.raises(DormantError, match="diverged at step 11"):
        train(model, mixed, settings(), positions=8, seed=3, phase="p", checkpoint=file)
    kept = Breaks(small(), at=0)
    assert load_checkpoint(file, kept, optimisers(kept, "adam", 1e-3), None) == 5


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
@pytest.mark.parametrize("targets", ["labels", "posterior mean"])
def test_training_learns(small, optimiser, targets):
    # One task: the constant solution is within reach of a few steps.
    task = torch.tensor([[1.0, -1.0, 0.5]], dtype=torch.float64)
    prior = Discrete(Linear(dim=3), sigma=0.2, tasks=task)
    model = small()
    before = loss(model, prior)
    chosen = settings(
        steps=300, batch=32, learning_rate=3e-3, optimiser=optimiser, targets=targets,
        precision_weights=targets == "labels", schedule="linear",
    )  # fmt: skip
    lines = []
    train(model, prior, chosen, positions=8, seed=1, phase="p", on_log=lines.append)
    assert [line.step for line in lines] == [50, 100, 150, 200, 250, 300]
    assert loss(model, prior) < 0.1 < 1.5 < before
    assert loss(prior, prior) < loss(model, prior)


def test_posterior_means_give_the_labels_gradient_with_less_noise(small, mixed):
    # E[gradient] is the same (tower rule), so many prompts bring them together.
    model = small()
    xs, ys = mixed.sample(10_000, 8, stream(0, "gradient"))
    exact = mixed.predict(xs, ys)
    predictions = model(Prompts(xs, ys))
    value = model.predict.weight
    (by_labels,) = torch.autograd.grad((predictions - ys).square().mean(), value, retain_graph=True)
    (by_means,) = torch.autograd.grad((predictions - exact).square().mean(), value)
    assert float((by_labels - by_means).norm() / by_means.norm()) < 0.1


def test_fine_tuning_of_every_kind_moves_what_it_should(small, mixed):
    other_tasks = torch.randn(4, 3, generator=stream(7, "other tasks"), dtype=torch.float64)
    other = Discrete(Linear(dim=3), sigma=0.5, tasks=other_tasks)
    replay = Mixture([other, mixed], [0.8, 0.2])
    moved = {}
    for name, prior, tuning in (
        ("full", other, TuningSettings()),
        ("replay", replay, TuningSettings()),
        ("last", other, TuningSettings(part="last blocks", blocks=1)),
        ("lora", other, TuningSettings(part="lora", rank=2)),
    ):
        model = small()
        before = weights(model)
        with tunable(model, tuning, stream(0, "lora")) as part:
            train(part, prior, settings(steps=20), positions=8, seed=1, phase="fine-tuning")
        after = weights(model)
        assert after.keys() == before.keys(), name
        assert all(value.requires_grad for value in model.parameters()), name
        moved[name] = {key for key in before if bool((before[key] != after[key]).any())}
        if name == "lora":
            for key in moved[name]:
                assert torch.linalg.matrix_rank(after[key] - before[key], tol=1e-6) <= 2, key
    # A key's bias shifts all scores of a query alike, so it has no gradient but rounding.
    assert moved["full"] == moved["replay"] == set(before)
    assert moved["last"] == {
        key for key in before if key.startswith(("blocks.1.", "norm.", "predict."))
    }
    assert moved["lora"] == {
        key for key in before if key.startswith("blocks.") and key.endswith("weight")
        and "norm" not in key
    }  # fmt: skip


def test_more_blocks_than_there_are(small):
    with (
        pytest.raises(DormantError, match="last 3 blocks of a transformer of 2"),
        tunable(small(), TuningSettings(part="last blocks", blocks=3), stream(0, "lora")),
    ):
        pass


def test_muon_is_pytorchs():
    # Theirs orthogonalises in bfloat16, whose eight bits are the tolerance: a step is of size 0.1.
    generator = stream(0, "muon")
    shapes = [(12, 4), (4, 12), (6, 6), (12, 4)]
    ours, theirs = ([torch.nn.Parameter(torch.zeros(shape)) for shape in shapes] for _ in range(2))
    made = [
        Muon(ours, lr=0.1),
        torch.optim.Muon(theirs, lr=0.1, weight_decay=0.0),
    ]
    for _ in range(3):
        for one, other in zip(ours, theirs, strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        for optimiser in made:
            optimiser.step()
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0.02, atol=0.01)
        assert float(one.detach().norm()) > 0.1


@pytest.fixture
def rates():
    """The learning rate of every optimiser's step while the test runs."""
    seen = []
    handle = register_optimizer_step_pre_hook(
        lambda optimiser, args, options: seen.append(optimiser.param_groups[0]["lr"])
    )
    yield seen
    handle.remove()


@pytest.mark.parametrize(
    ("schedule", "after_warmup"),
    [
        ("constant", lambda done: 1.0),
        ("linear", lambda done: 1.0 - done),
        ("cosine", lambda done: 0.5 * (1.0 + math.cos(math.pi * done))),
    ],
)
def test_rates_follow_the_formula_in_a_resumed_run_too(
    small, mixed, tmp_path, rates, schedule, after_warmup
):
    """Peak · (step + 1) / 2 at steps 0 and 1, then the shape of the share done; to the bit."""
    chosen = settings(steps=10, warmup=2, schedule=schedule)

    def run(on_log):
        train(
            small(), mixed, chosen, positions=8, seed=0, phase="p",
            checkpoint=tmp_path / "c.pt", on_log=on_log,
        )  # fmt: skip

    def stop(line):
        raise Stopped

    expected = [1e-3 * (step + 1) / 2 for step in range(2)]
    expected += [1e-3 * after_warmup((step - 2) / 8) for step in range(2, 10)]
    with pytest.raises(Stopped):
        run(stop)  # at step 5, before its file
    assert rates == expected[:5]
    rates.clear()
    run(lambda line: None)
    assert rates == expected
    rates.clear()
    (tmp_path / "c.pt").unlink()
    with pytest.raises(Stopped):
        run(lambda line: stop(line) if line.step == 10 else None)
    rates.clear()
    run(lambda line: None)  # from step 5
    assert rates == expected[5:]


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        TrainingSettings(step=3)
    assert TrainingSettings.model_validate_json(settings().model_dump_json()) == settings()


def test_bfloat16_trains(small, mixed):
    model = small()
    train(model, mixed, settings(bfloat16=True), positions=8, seed=1, phase="p")
    assert all(value.dtype == torch.float32 for value in model.parameters())
    assert loss(model, mixed) < float("inf")


def test_two_processes_train_as_one(small, tmp_path):
    # Two processes of 8 prompts each, gradients averaged, against one process that is given the
    # same 16 prompts.
    environment = dict(os.environ, OMP_NUM_THREADS="1", WORKER_OUT=str(tmp_path))
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone",
            "--nproc-per-node=2", str(WORKER),
        ],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank{rank}.pt") for rank in range(2)]
    assert all(bool((ranks[0][key] == ranks[1][key]).all()) for key in ranks[0])
    log = json.loads((tmp_path / "log.json").read_text())
    assert [line[1] for line in log] == [20]
    prior = Gaussian(Linear(dim=3), sigma=0.5)
    model = small()
    (optimiser,) = optimisers(model, "adam", 1e-3)
    for step in range(20):
        halves = [prior.sample(8, 8, stream(3, "pretraining", rank, step)) for rank in range(2)]
        xs, ys = (torch.cat(parts) for parts in zip(*halves, strict=True))
        (model(Prompts(xs, ys)) - ys).square().mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    for key, value in model.state_dict().items():
        # Sums in another order; Adam's first steps magnify rounding where a gradient is almost 0.
        torch.testing.assert_close(ranks[0][key], value, rtol=1e-2, atol=1e-4)
    assert (tmp_path / "c.pt").exists()
