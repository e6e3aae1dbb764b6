"""LoRA fine-tuning of a causal language model on prompts and completions.

Small on purpose: it makes the fine-tuned models that Dormant audits, with the interventions that
an audit suggests (fewer steps, a smaller rate, replay). Adapters are Hu et al. (2021), by PEFT.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

from dormant.errors import DormantError
from dormant.finetuning.batches import Example, batches, encode_all
from dormant.finetuning.data import Pair
from dormant.finetuning.loss import completion_loss
from dormant.finetuning.settings import TuningSettings


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


def tune(
    model: Any,
    tokenizer: Any,
    data: Sequence[Pair],
    settings: TuningSettings,
    *,
    replay: Sequence[Pair] = (),
    on_step: Callable[[StepLog], None] | None = None,
) -> Any:
    """Fine-tune a LoRA adapter; the base's weights stay as they are.

    Examples are drawn in shuffled passes over the data, from a stream of their own, so that adding
    replay changes nothing in the order of the data.

    Args:
        model: A Transformers causal language model in float32 (PEFT wraps it in place).
        tokenizer: Its tokenizer.
        data: Examples to learn.
        settings: See `TuningSettings`.
        replay: Examples of what should not be lost.
        on_step: Called after each step.

    Returns:
        The PEFT model in evaluation mode.

    Raises:
        DormantError: An example that doesn't fit, or a loss that is not a number.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    if not data:
        raise DormantError("there is no training example")
    encoded = encode_all(tokenizer, data, settings, "data")
    encoded_replay = encode_all(tokenizer, replay, settings, "replay")
    device = next(model.parameters()).device
    # A stream of its own: neither reads nor moves the caller's random state.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        config = LoraConfig(
            task_type="CAUSAL_LM",
            r=settings.rank,
            lora_alpha=cast(int, settings.alpha or 2 * settings.rank),
            target_modules="all-linear",
        )
        with warnings.catch_warnings():
            # PEFT asks Transformers by a name that the latter is about to drop: nothing a user of
            # either can change.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
            tuned = get_peft_model(model, config)
        tuned.train()
        weights = [weight for weight in tuned.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, settings.rate_factor)
        learnt = batches(encoded, settings.batch_size, f"{settings.seed}/data")
        replayed = batches(encoded_replay, settings.batch_size, f"{settings.seed}/replay")
        began = time.perf_counter()
        for step in range(1, settings.steps + 1):
            optimizer.zero_grad()
            loss = _backward(tuned, next(learnt), settings, 1.0)
            replay_loss = (
                _backward(tuned, next(replayed), settings, settings.replay_weight)
                if encoded_replay
                else None
            )
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
    return tuned.eval()


def _backward(
    model: Any, batch: Sequence[Example], settings: TuningSettings, weight: float
) -> float:
    """Add the gradient of weight · loss to the parameters', and return the loss (not weighted)."""
    import torch

    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.compute == "bfloat16"):
        loss = completion_loss(model, batch, device)
    (weight * loss).backward()
    return float(loss.detach())
