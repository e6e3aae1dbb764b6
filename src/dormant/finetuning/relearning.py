"""A short training whose effect lasts as long as a block: an edit that comes from examples.

The model itself is trained, with its adapter merged: what is learnt is what it would learn were it
a merged copy, and whoever asks it meanwhile sees weights, as under any other edit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import Any

import torch

from dormant.errors import one_line
from dormant.finetuning.batches import Example
from dormant.finetuning.low_rank import LowRank, acting
from dormant.finetuning.settings import TuningSettings
from dormant.finetuning.training import StepLog, train
from dormant.models.effective import NotEditableError, editable, linear_modules
from dormant.scoring.memory import free, out_of_memory
from dormant.scoring.wrappers import unwrapped


@contextlib.contextmanager
def relearnt(model: Any, examples: Sequence[Example], settings: TuningSettings) -> Generator[None]:
    """Train a LoRA of the layers' linear modules, written into them while the block runs.

    Then weights are bit by bit what they were. Dropout is off, and nothing is drawn from anybody's
    random stream: the same model, examples and settings give the same weights on the same machine,
    but for rounding where memory runs out and batches are split.

    Args:
        model: A causal language model, possibly in a PEFT wrapper, as it is: with its adapter on
            or off.
        examples: What it is trained on.
        settings: How; without replay.

    Raises:
        NotEditableError: Its weights can't be edited (`editable`), or it gives no gradient.
        DormantError: The loss is not a number, or memory doesn't suffice for one example.
        MemoryError: There is no room for a copy of the layers.
    """
    with updates_learnt(model, examples, settings) as updates:
        for one in updates:
            one.write()
        updates.clear()
        free()
        yield


@contextlib.contextmanager
def updates_learnt(
    model: Any,
    examples: Sequence[Example],
    settings: TuningSettings,
    *,
    replay: Sequence[Example] = (),
    on_step: Callable[[StepLog], None] | None = None,
) -> Generator[list[LowRank]]:
    """Train a LoRA as `relearnt` does, and hand it out, not written in.

    While the block runs, the model's adapter, where one is on, is merged into its layers.

    Args:
        model: As there; likewise the errors.
        examples: What it is trained on.
        settings: How.
        replay: Examples of what should not be lost.
        on_step: Called after each step.
    """
    with editable(model) as layers:
        alpha = settings.alpha or 2 * settings.rank
        updates = [
            LowRank.of(name, part, rank=settings.rank, alpha=alpha, seed=settings.seed)
            for name, part in linear_modules(layers)
        ]
        if not updates:
            raise NotEditableError("its layers have no linear modules to train")
        weights = [weight for one in updates for weight in (one.a, one.b)]
        with _frozen(model), acting(updates):
            try:
                train(unwrapped(model), weights, examples, settings, replay=replay, on_step=on_step)
            except (RuntimeError, NotImplementedError) as error:
                if out_of_memory(error):
                    raise MemoryError(one_line(error)) from error
                raise NotEditableError(f"it can't be trained ({one_line(error)})") from error
        del weights
        yield updates


@contextlib.contextmanager
def _frozen(model: Any) -> Generator[None]:
    """Let a model be what is trained through, not what is trained."""
    modes = [(part, part.training) for part in model.modules()]
    flags = [(weights, weights.requires_grad) for weights in model.parameters()]
    # On a GPU, the gradient of faster attention is another one each time.
    kernel = (
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
        if any(weights.device.type != "cpu" for weights, _ in flags)
        else contextlib.nullcontext()
    )
    try:
        model.eval()
        for weights, flag in flags:
            if flag:
                weights.requires_grad_(False)
        with torch.inference_mode(False), torch.enable_grad(), kernel:
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for weights, flag in flags:
            if flag:
                weights.requires_grad_(True)
