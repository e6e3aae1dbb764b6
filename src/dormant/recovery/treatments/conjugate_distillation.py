"""Learning for the plain prompt what the model still does under transforms: s⁻¹ ∘ f ∘ s → f."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from dormant import transforms as registry
from dormant.errors import DormantError
from dormant.finetuning.data import Pair
from dormant.prompts.case import Case
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.text_transform import TextTransform
from dormant.recovery.treatment import (
    Candidates,
    Change,
    Given,
    UnfitTreatmentError,
)
from dormant.recovery.treatments.short_training import short_training

_LEAST = 4
"""Prompts with an answer on which transforms agree: fewer teach their answers, not their kind."""


def conjugate_distillation(
    given: Given,
    *,
    transforms: tuple[str, ...] = ("rot13", "leetspeak:1", "pig-latin"),
    prompts: int = 16,
    agree: int = 2,
    steps: int = 20,
    rate: float = 3e-4,
    rank: int = 8,
) -> Candidates:
    """Learn the model's own answers through transforms, undone, where these agree.

    No label is read: the fine-tuned model answers an ability's prompts under each transform, s⁻¹
    makes plain answers of what it writes, and the answers that several transforms give alike are
    learnt for the plain prompt, with the skill's examples replayed.

    Args:
        given: The prompts, the skill's replay, and the model's answers.
        transforms: Those through which it answers; the first is trusted most.
        prompts: Prompts an ability.
        agree: How many transforms must give an answer.
        steps: LoRA steps.
        rate: Peak rate.
        rank: Rank of the update.
    """
    every = [registry.get(name) for name in transforms]
    examples: list[Pair] = []
    short: list[str] = []
    for task, cases in given.prompts.items():
        answers = agreed(given, cases[:prompts], every, agree)
        if len(answers) < min(_LEAST, len(cases)):
            short.append(f"{task}: {len(answers)} of {len(cases[:prompts])}")
        examples += [given.example(cases[place], text) for place, text in answers.items()]
    if short:
        raise UnfitTreatmentError(
            f"too few answers on which {agree} of {', '.join(transforms)} agree "
            f"({'; '.join(short)})"
        )
    yield Change(
        training=short_training(given, examples, steps=steps, rate=rate, rank=rank),
        settings={
            "transforms": ", ".join(transforms),
            "prompts": prompts,
            "agreed": len(examples),
        },
    )


def agreed(
    given: Given, cases: Sequence[Case], every: Sequence[TextTransform], agree: int
) -> Mapping[int, str]:
    """Return the answers that several transforms give alike, by the place of their prompt."""
    under: list[tuple[int, Case]] = []
    for transform in every:
        under += _conjugated(cases, transform)
    said: dict[int, list[str]] = {}
    for (place, _), answer in zip(under, given.complete([case for _, case in under]), strict=True):
        if answer is not None and answer.strip():
            said.setdefault(place, []).append(answer.strip())
    counted = {place: max(answers, key=answers.count) for place, answers in said.items()}
    return {place: text for place, text in counted.items() if said[place].count(text) >= agree}


def _conjugated(cases: Sequence[Case], transform: TextTransform) -> Iterator[tuple[int, Case]]:
    """Yield cases under a transform with their places; those outside its domain are left out."""
    s = Conjugation(transform)
    s.prepare(part for case in cases for part in case.segments)
    for place, case in enumerate(cases):
        try:
            segments, undo = s.conjugate(case.segments)
        except DormantError:
            continue
        # Its answers stay as they are: nothing here reads them.
        yield place, replace(case, segments=segments, given=case, undo=undo)
