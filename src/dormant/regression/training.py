"""One training loop: pretraining and fine-tuning differ only by the prior they draw from.

The paper's loss (§2.1): squared error of every prediction of a prompt, averaged. Every batch is
new, drawn from a stream named by the seed, the phase, the process and the step; so the state of a
run is its weights, its optimisers and its step, and a resumed run gives the unbroken run's numbers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from dormant.errors import DormantError
from dormant.regression.checkpoints import load_checkpoint, save_checkpoint
from dormant.regression.optimisers import OptimiserName, ScheduleName, optimisers, rate_factor
from dormant.regression.priors import Prior
from dormant.regression.shapes import Prompts
from dormant.regression.streams import stream

CHECK_EVERY = 50
"""Steps between readings of the losses: reading one waits for the device."""


class TrainingSettings(BaseModel):
    """How long and how fast; the defaults are the paper's pretraining (§2.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=50_000, ge=1)
    """Optimiser steps (the paper's number is unconfirmed)."""
    batch: int = Field(default=64, ge=1)
    """Prompts a step, over all processes."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak rate of Adam or AdamW; see `optimisers.MUON_RATIO` for Muon's."""
    optimiser: OptimiserName = "adam"
    schedule: ScheduleName = "constant"
    warmup: int = Field(default=0, ge=0)
    """Steps of linear rise."""
    clip: float = Field(default=0.0, ge=0)
    """Largest norm of the gradient; 0 for no limit."""
    bfloat16: bool = False
    """Multiply matrices in bfloat16 (autocast); weights stay float32."""
    compile: bool = False
    """Use `torch.compile`: needs a C++ compiler on a CPU, and pays after about a minute."""
    targets: Literal["labels", "posterior mean"] = "labels"
    """What predictions are compared with. The posterior mean E[y_k | pairs < k, x_k] has the same
    expected gradient as the label, by the tower rule, and none of the label's noise: learning is
    faster, and its optimum is the same (Rao–Blackwell)."""
    precision_weights: bool = False
    """Weigh each squared error by σ² / Var[y_k | pairs < k, x_k]. The optimum is the same, since
    the weight depends only on what the prediction may see; large tasks no longer drown small."""
    checkpoint_every: int = Field(default=1_000, ge=1)
    """Steps between checkpoints, where a directory is given."""


class StepLog(NamedTuple):
    """One line of the log."""

    phase: str
    step: int
    """1 after the first."""
    loss: float
    """Mean squared error over positions, averaged over the steps since the last line."""


def train(
    model: nn.Module,
    prior: Prior,
    settings: TrainingSettings,
    *,
    positions: int,
    seed: int,
    phase: str,
    checkpoint: Path | None = None,
    on_log: Callable[[StepLog], None] = lambda line: None,
) -> None:
    """Train a model in place, one or many processes.

    Under ``torchrun`` every process calls this alike; Accelerate averages the gradients.

    Args:
        model: Maps `Prompts` to predictions (B, K); on the device to train on.
        prior: What to draw from.
        settings: How long and how fast.
        positions: K.
        seed: Seed of the run.
        phase: Name of the data's stream: "pretraining" or "fine-tuning".
        checkpoint: File to resume from if it exists and to write to; none is kept without one.
        on_log: Called every `CHECK_EVERY` steps and after the last, on the first process.

    Raises:
        DormantError: The loss stopped being finite. The message names the step; the checkpoint is
            the last one from before it, and the model is given those weights back.
    """
    device = next(model.parameters()).device
    made = optimisers(model, settings.optimiser, settings.learning_rate)
    processes = _ProcessGroup(model, device)
    identity = (
        f"{phase} {settings.model_dump_json()} seed {seed} positions {positions} "
        f"processes {processes.size}"
    )
    start = 0
    if checkpoint is not None and checkpoint.exists():
        start = load_checkpoint(checkpoint, model, made, identity)
    factor = rate_factor(settings.schedule, settings.steps, settings.warmup)
    schedules = [LambdaLR(optimiser, factor, start - 1) for optimiser in made]
    forward: Callable[[Prompts], Tensor] = processes.model
    if settings.compile:
        forward = torch.compile(processes.model)
    losses: list[Tensor] = []
    model.train()
    for step in range(start, settings.steps):
        generator = stream(seed, phase, processes.rank, step, device=device)
        prompts = prior.sample(-(-settings.batch // processes.size), positions, generator)
        with _precision(settings.bfloat16, device):
            predictions = forward(prompts)
        loss = _loss(predictions.float(), prompts, prior, settings)
        loss.backward()
        if settings.clip:
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
        for optimiser in made:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        for schedule in schedules:
            schedule.step()
        losses.append(loss.detach())
        done = step + 1
        writes = checkpoint is not None and done % settings.checkpoint_every == 0
        if done % CHECK_EVERY == 0 or done == settings.steps or writes:
            seen = processes.mean(torch.stack(losses))
            bad = _first_bad(seen, model, done)
            if bad:
                raise DormantError(
                    f"training diverged at step {bad}: the loss is not finite; "
                    f"{_kept(checkpoint, model, made)}; lower the learning rate or raise the "
                    "warm-up"
                )
            losses.clear()
            if processes.rank == 0:
                on_log(StepLog(phase, done, float(seen.mean())))
        if (writes or done == settings.steps) and checkpoint is not None and processes.rank == 0:
            save_checkpoint(checkpoint, model, made, step=done, identity=identity)
    model.eval()


def _loss(
    predictions: Tensor, prompts: Prompts, prior: Prior, settings: TrainingSettings
) -> Tensor:
    if settings.targets == "labels" and not settings.precision_weights:
        return (predictions - prompts.ys).square().mean()
    exact = prior.solve(*prompts)
    means = settings.targets == "posterior mean"
    target = exact.mean.to(predictions) if means else prompts.ys
    errors = (predictions - target).square()
    if settings.precision_weights:
        errors = errors * (prior.sigma**2 / exact.variance).to(errors)
    return errors.mean()


class _ProcessGroup:
    """The processes that train together: one, or those that torchrun started."""

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.model, self.rank, self.size = model, 0, 1
        self._accelerator: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:  # torchrun's own contract
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=device.type == "cpu")
            self.model = self._accelerator.prepare_model(model)
            self.rank = self._accelerator.process_index
            self.size = self._accelerator.num_processes

    def mean(self, values: Tensor) -> Tensor:
        """Average over the processes, so that all of them see a divergence alike."""
        if self._accelerator is None:
            return values
        return self._accelerator.reduce(values, reduction="mean")


def _precision(bfloat16: bool, device: torch.device) -> AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def _first_bad(losses: Tensor, model: nn.Module, done: int) -> int:
    """Return the step (from 1) of the first loss that is not finite, or 0.

    A step whose own loss was fine may still have broken the weights: its number is that of the
    next step, the first to show it. So no checkpoint ever holds broken weights.
    """
    bad = (~torch.isfinite(losses)).nonzero()
    if len(bad):
        return done - len(losses) + int(bad[0]) + 1
    sound = all(bool(torch.isfinite(value).all()) for value in model.parameters())
    return 0 if sound else done + 1


def _kept(checkpoint: Path | None, model: nn.Module, made: Sequence[torch.optim.Optimizer]) -> str:
    """Go back to the last checkpoint and say which it is."""
    if checkpoint is None:
        return "no checkpoint was kept, since no directory was given"
    if not checkpoint.exists():
        return "no checkpoint had been written yet"
    step = load_checkpoint(checkpoint, model, made, None)
    return f"the last good checkpoint, of step {step}, is {checkpoint}"
