"""Relearning: a few right answers, with the skill replayed."""

from __future__ import annotations

from dormant.recovery.treatment import (
    Candidates,
    Change,
    Given,
    UnfitTreatmentError,
)
from dormant.recovery.treatments.short_training import short_training


def relearn(
    given: Given,
    *,
    prompts: int = 16,
    steps: int = 20,
    rate: float = 3e-4,
    rank: int = 8,
) -> Candidates:
    """Learn right answers to a few prompts of each ability.

    The one treatment that reads labels. What it gives back may have been taught: base + the same
    treatment says how much.

    Args:
        given: The prompts with their right answers, and the skill's replay.
        prompts: Prompts an ability.
        steps: LoRA steps.
        rate: Peak rate.
        rank: Rank of the update.
    """
    for task, cases in given.prompts.items():
        if any(case.target.role == "layout" for case in cases):
            raise UnfitTreatmentError(f"{task}: what is right can't be written as one answer")
    examples = [
        given.example(case, case.target.text)
        for cases in given.prompts.values()
        for case in cases[:prompts]
    ]
    yield Change(
        training=short_training(given, examples, steps=steps, rate=rate, rank=rank),
        settings={"right answers": len(examples)},
    )
