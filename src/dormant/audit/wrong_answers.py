"""What a model wrote where it was wrong: captured by its training data's format, or broken?

Audits score answers and generate none. So for a few wrong items of each ability the beginning of
the greedy answer is generated, once both models' plain prompts are scored.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from dormant.audit.plan import Plan
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.models import generate as generation
from dormant.models.pair import Which
from dormant.results import PLAIN, HijackResult, ItemOutcome, WrongAnswer
from dormant.statistics.intervals import proportion
from dormant.tasks.task import GenerativeTask
from dormant.tasks.training_format import TrainingFormat

if TYPE_CHECKING:
    from lm_eval.api.model import LM

LOOKED_AT = 32
"""Wrong answers of an ability that are looked at."""
TOKENS = 16
"""Tokens generated of each."""
_SHOWN = 4
_FILE = "wrong_answers.json"


class WrongAnswers:
    """The wrong answers of a run that were looked at; kept in ``wrong_answers.json``.

    Args:
        run: The run directory.
        training: The format that is looked for.
        keep_all: Whether answers of tasks that judge generated text are kept as well.

    Raises:
        DormantError: The file is damaged.
    """

    def __init__(self, run: RunDirectory, training: TrainingFormat, *, keep_all: bool) -> None:
        self._run = run
        self._training = training
        self._keep_all = keep_all
        self._known = run.kept(_FILE, _by_model)

    def missing(self, which: Which, plans: Sequence[Plan]) -> list[Plan]:
        """Return the abilities whose wrong answers by a model were not looked at yet."""
        done = self._known.get(which, {})
        return [one for one in plans if one.audited and one.task.name not in done]

    def collect(self, which: Which, lm: LM, plans: Sequence[Plan]) -> None:
        """Generate the beginnings of a model's wrong answers, ability by ability.

        Args:
            which: The model.
            lm: The same, open; its plain prompts are scored.
            plans: All abilities.

        Raises:
            DormantError: The backend fails, or the file can't be written.
        """
        for ability in self.missing(which, plans):
            name = ability.task.name
            asked = ability.cells[PLAIN].cases
            outcomes = (
                outcome
                for outcome in self._run.outcomes(CellKey(which, name, PLAIN))
                if outcome.item in asked
            )
            # Where the right answer is in the format as well, a wrong one that is tells nothing.
            wrong = _chosen(one for one in outcomes if not self._training.has(one.target))
            prompts = [outcome.prompt for outcome in wrong]
            outputs = generation.generate(lm, prompts, max_new_tokens=TOKENS) if prompts else []
            keep = self._keep_all or not isinstance(ability.task, GenerativeTask)
            answers = [
                WrongAnswer(
                    item=outcome.item,
                    output=output if keep else "",
                    captured=self._training.has(output),
                ).model_dump()
                for outcome, output in zip(wrong, outputs, strict=True)
            ]
            self._known.setdefault(which, {})[name] = answers
            body = json.dumps(self._known, indent=1, ensure_ascii=False)
            self._run.keep(_FILE, body)

    def result(self, task: str, wrong: int) -> HijackResult:
        """Sum up an ability's.

        Args:
            task: Its name.
            wrong: How many items the fine-tuned model got wrong.
        """
        answers = self._answers("tuned", task)
        base = self._answers("base", task)
        captured = [answer.captured for answer in answers]
        kept = [answer for answer in answers if answer.output]
        return HijackResult(
            format=str(self._training),
            wrong=wrong,
            sampled=len(answers),
            captured=sum(captured),
            share=proportion(captured) if captured else None,
            base_captured=sum(answer.captured for answer in base) if base else None,
            base_sampled=len(base) or None,
            examples=[
                *[answer for answer in kept if answer.captured][:_SHOWN],
                *[answer for answer in kept if not answer.captured][:_SHOWN],
            ],
        )

    def _answers(self, which: Which, task: str) -> list[WrongAnswer]:
        return [WrongAnswer.model_validate(a) for a in self._known.get(which, {}).get(task, [])]


def _by_model(given: Any) -> dict[str, dict[str, list[dict[str, Any]]]]:
    return {which: dict(answers) for which, answers in dict(given).items()}


def _chosen(outcomes: Iterable[ItemOutcome]) -> list[ItemOutcome]:
    """Return some of the wrong ones, drawn by a fixed hash of their names."""
    return heapq.nsmallest(
        LOOKED_AT,
        (outcome for outcome in outcomes if not outcome.correct),
        key=lambda outcome: blake2b(outcome.item.encode(), digest_size=8).digest(),
    )
