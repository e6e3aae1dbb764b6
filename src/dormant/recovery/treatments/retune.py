"""Tuning once more, from the base, as it should have been done: a recipe for the next time."""

from __future__ import annotations

from dormant.finetuning.settings import TuningSettings
from dormant.recovery.treatment import (
    Candidates,
    Change,
    Given,
    Training,
    UnfitTreatmentError,
)
from dormant.recovery.treatments.self_distillation import base_answers


def retune(
    given: Given,
    *,
    shares: tuple[float, ...] = (0.5,),
    prompts: int = 60,
    steps: int = 40,
    rate: float = 3e-4,
    rank: int = 8,
) -> Candidates:
    """Learn the skill's data from the base on, with the base's own answers replayed.

    It brings nothing back: it says at which share of replay nothing would have been lost.

    Args:
        given: The skill's training data, and the base's answers to unlabelled prompts.
        shares: Weights of the replay's loss, one a candidate; the data's is 1.
        prompts: Prompts an ability that are replayed.
        steps: LoRA steps.
        rate: Peak rate.
        rank: Rank of the update.
    """
    if not given.has_data:
        raise UnfitTreatmentError("it learns the skill's own data: give --skill-train")
    replay = tuple(base_answers(given, prompts))
    data = tuple(given.replay())
    for share in shares:
        settings = TuningSettings(
            steps=steps,
            batch_size=min(8, len(data)),
            learning_rate=rate,
            rank=rank,
            replay_weight=share,
            seed=given.seed,
        )
        yield Change(
            (0.0,),
            Training(data, replay, settings),
            settings={"from": "base", "replay weight": share, "steps": steps, "rate": rate},
        )
