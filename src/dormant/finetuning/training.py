"""Optimiser steps on prompts and completions, in smaller parts where memory is short."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dormant.errors import DormantError
from dormant.finetuning.batches import Example, batches
from dormant.finetuning.loss import completion_loss
from dormant.finetuning.settings import TuningSettings

if TYPE_CHECKING:
    import torch


class StepLog(NamedTuple):
    """One line of the training log.

    Attributes:
        step: Counted from 1.
        loss: Mean cross entropy of the completions' tokens, nats, before the step.
        replay_loss: The same on the replay examples; `None` without any.
        learning_rate: Rate of the step.
        seconds: Wall time since training began.
    """

    step: int
    loss: float
    replay_loss: float | None
    learning_rate: float
    seconds: float


def train(
    model: Any,
    weights: Sequence[torch.Tensor],
    data: Sequence[Example],
    settings: TuningSettings,
    *,
    replay: Sequence[Example] = (),
    on_step: Callable[[StepLog], None] | None = None,
) -> None:
    """Fit some weights to examples by AdamW, in place.

    Where memory runs out, a batch is taken in parts from then on, whose gradients add up to the
    whole batch's, but for rounding.

    Args:
        model: A causal language model of Transformers.
        weights: What is trained.
        data: Examples to learn; drawn in shuffled passes, from a stream of their own.
        settings: See `TuningSettings`.
        replay: Examples of what should not be lost; they change nothing in the order of the data.
        on_step: Called after each step.

    Raises:
        DormantError: The loss is not a number, or memory doesn't suffice for one example.
    """
    import torch

    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, settings.rate_factor)
    learnt = batches(data, settings.batch_size, f"{settings.seed}/data")
    replayed = batches(replay, settings.batch_size, f"{settings.seed}/replay")
    gradient = _Gradient(model, weights, settings)
    began = time.perf_counter()
    for step in range(1, settings.steps + 1):
        optimizer.zero_grad()
        loss = gradient.add(next(learnt), 1.0)
        replay_loss = gradient.add(next(replayed), settings.replay_weight) if replay else None
        if not math.isfinite(loss + (replay_loss or 0.0)):
            raise DormantError(
                f"the loss at step {step} is not a number: lower the learning rate "
                f"({settings.learning_rate:g})"
            )
        torch.nn.utils.clip_grad_norm_(weights, settings.max_gradient_norm)
        rate = float(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(StepLog(step, loss, replay_loss, rate, time.perf_counter() - began))


class _Gradient:
    """Adds up gradients of weights, batch by batch.

    Args:
        model: See `train`.
        weights: See `train`.
        settings: See `train`.
    """

    def __init__(
        self, model: Any, weights: Sequence[torch.Tensor], settings: TuningSettings
    ) -> None:
        self._model = model
        self._weights = weights
        self._settings = settings
        self._at_once = self._tried = settings.batch_size

    def add(self, batch: Sequence[Example], weight: float) -> float:
        """Add the gradient of weight · loss to the weights', and return the loss (not weighted).

        Raises:
            DormantError: Memory doesn't suffice for one example.
        """
        from dormant.scoring.memory import within_memory

        whole, loss, done = _predicted(batch), 0.0, 0

        def work(part: Sequence[Example]) -> tuple[float, Sequence[torch.Tensor | None]]:
            self._tried = len(part)
            return self._of(part, _predicted(part) / whole, weight)

        while done < len(batch):
            some = batch[done : done + self._at_once]
            done += len(some)
            for _, (own, gradients) in within_memory(some, work, halved=self._halve):
                loss += own
                for one, more in zip(self._weights, gradients, strict=True):
                    if more is not None:
                        one.grad = more if one.grad is None else one.grad.add_(more)
        return loss

    def _of(
        self, part: Sequence[Example], share: float, weight: float
    ) -> tuple[float, Sequence[torch.Tensor | None]]:
        """Return a part's share of the loss, and its gradients: nothing is added half."""
        import torch

        device = next(self._model.parameters()).device
        half = self._settings.compute == "bfloat16"
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            loss = share * completion_loss(self._model, part, device)
        gradients = torch.autograd.grad(weight * loss, self._weights, allow_unused=True)
        return float(loss.detach()), gradients

    def _halve(self) -> None:
        self._at_once = min(self._at_once, max(1, self._tried // 2))


def _predicted(examples: Sequence[Example]) -> int:
    """Count the tokens that a loss is taken on."""
    return sum(len(one.tokens) - one.prompt_length for one in examples)
