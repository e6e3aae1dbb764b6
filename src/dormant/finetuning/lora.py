"""LoRA fine-tuning of a causal language model on prompts and completions.

Small on purpose: it makes the fine-tuned models that Dormant audits, with the interventions that
an audit suggests (fewer steps, a smaller rate, replay). Adapters are Hu et al. (2021), by PEFT.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, cast

from dormant.errors import DormantError
from dormant.finetuning.batches import encode_all
from dormant.finetuning.data import Pair
from dormant.finetuning.settings import TuningSettings
from dormant.finetuning.training import StepLog, train


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
        train(tuned, weights, encoded, settings, replay=encoded_replay, on_step=on_step)
    return tuned.eval()
