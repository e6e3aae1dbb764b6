"""The base's own answers, learnt back by their distribution over tokens."""

from __future__ import annotations

from dormant.finetuning.data import Pair
from dormant.recovery.treatment import (
    Candidates,
    Change,
    Given,
    UnfitTreatmentError,
)
from dormant.recovery.treatments.short_training import short_training


def self_distillation(
    given: Given,
    *,
    prompts: int = 16,
    steps: int = 20,
    rate: float = 3e-4,
    rank: int = 8,
) -> Candidates:
    """Learn the base's answers to unlabelled prompts back, by KL divergence on their tokens.

    Args:
        given: The prompts, the base's answers, and the skill's replay.
        prompts: Prompts an ability.
        steps: LoRA steps.
        rate: Peak rate.
        rank: Rank of the update.
    """
    examples = base_answers(given, prompts)
    yield Change(
        training=short_training(given, examples, steps=steps, rate=rate, rank=rank, teacher="base"),
        settings={"base's answers": len(examples)},
    )


def base_answers(given: Given, prompts: int) -> list[Pair]:
    """Return prompts of each ability with what the base answers.

    Raises:
        UnfitTreatmentError: There is no base, or it says nothing.
    """
    if not given.has_base:
        raise UnfitTreatmentError("without the base nobody knows what it answers: name it")
    cases = [case for some in given.prompts.values() for case in some[:prompts]]
    said = given.complete(cases, "base")
    found = [
        given.example(case, text.strip())
        for case, text in zip(cases, said, strict=True)
        if text and text.strip()
    ]
    if not found:
        raise UnfitTreatmentError("the base answers nothing")
    return found
