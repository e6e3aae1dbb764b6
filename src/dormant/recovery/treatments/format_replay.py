"""The ability's format with nothing of the ability in it: answers of other prompts, or verbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dormant.evidence.derangement import derange
from dormant.evidence.examples import verbs_in_form
from dormant.evidence.layout import UnfitError
from dormant.finetuning.data import Pair
from dormant.prompts.case import Case
from dormant.recovery.treatment import (
    Candidates,
    Change,
    Given,
    UnfitTreatmentError,
)
from dormant.recovery.treatments.short_training import short_training

_LEAST = 4


def format_replay(
    given: Given,
    *,
    answers: Literal["other-prompts", "verbs"] = "other-prompts",
    prompts: int = 60,
    steps: int = 20,
    rate: float = 3e-4,
    rank: int = 8,
) -> Candidates:
    """Learn the form of an ability's prompts and answers, and nothing of what is right.

    What comes back so was there (docs/evidence.md): the same trainings are a rung of evidence, with
    the skill replayed here.

    Args:
        given: The prompts, and the skill's replay.
        answers: Right answers of other prompts, dealt so that none is right where it comes; or
            another task in the same layout, past tenses of English verbs.
        prompts: Prompts an ability.
        steps: LoRA steps.
        rate: Peak rate.
        rank: Rank of the update.
    """
    examples: list[Pair] = []
    for task, cases in given.prompts.items():
        try:
            made = (
                _dealt(given, cases[:prompts])
                if answers == "other-prompts"
                else [
                    given.example(case, case.target.text)
                    for case in verbs_in_form(cases, task, given.seed)[:prompts]
                ]
            )
        except UnfitError as error:
            raise UnfitTreatmentError(f"{task}: {error}") from error
        if len(made) < _LEAST:
            raise UnfitTreatmentError(f"{task}: {len(made)} prompts can have answers of others")
        examples += made
    yield Change(
        training=short_training(given, examples, steps=steps, rate=rate, rank=rank),
        settings={"answers": answers, "prompts": len(examples)},
    )


def _dealt(given: Given, cases: Sequence[Case]) -> list[Pair]:
    dealt = derange(
        [case.prompt for case in cases], [case.scored_target for case in cases], len(cases)
    )
    return [given.example(cases[one.prompt], cases[one.answer].target.text) for one in dealt]
