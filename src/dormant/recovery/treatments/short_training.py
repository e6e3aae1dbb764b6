"""What treatments that train a little have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dormant.finetuning.data import Pair
from dormant.finetuning.settings import TuningSettings
from dormant.recovery.treatment import Given, Training

_BATCH = 8


def short_training(
    given: Given,
    examples: Sequence[Pair],
    *,
    steps: int,
    rate: float,
    rank: int,
    teacher: Literal["base"] | None = None,
) -> Training:
    """Return a training of some examples, with the skill replayed.

    Args:
        given: The skill's replay, and the seed.
        examples: What is learnt.
        steps: LoRA steps, of up to 8 examples and as many of the replay.
        rate: Peak rate.
        rank: Rank of the update.
        teacher: See `Training`.
    """
    settings = TuningSettings(
        steps=steps,
        batch_size=min(_BATCH, len(examples)),
        learning_rate=rate,
        rank=rank,
        seed=given.seed,
    )
    return Training(tuple(examples), tuple(given.replay()), settings, teacher)
