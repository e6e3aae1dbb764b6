"""Relearning: a few steps of training, with examples that tell nothing of an ability, or little.

An ability that is back after a model learnt *nothing* about it was there all the time. What is
learnt is what prompts and answers of this kind look like: answers of other prompts, or another task
in the same form. One that is back after a few right answers only may have been taught.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dormant.audit.plan import Plan
from dormant.audit.rung import HigherRung, Intervention
from dormant.audit.score import continuations, rendered
from dormant.audit.settings import AuditSettings, Style
from dormant.evidence.examples import other_answers, other_task, right_answers
from dormant.evidence.layout import UnfitError
from dormant.evidence.noise import no_weights
from dormant.models.comparability import is_local
from dormant.prompts.case import Case
from dormant.results import NotTried, Rung

if TYPE_CHECKING:
    from dormant.finetuning.settings import TuningSettings

STEPS, BATCH, RATE, RANK = 20, 8, 3e-4, 8
"""Of each training, as in the trials that found them enough (docs/evidence.md)."""
TAUGHT = (1, 4, 16)
"""Right answers that are told."""


def uninformative(settings: AuditSettings) -> HigherRung:
    """Return the rung that teaches nothing of an ability but its form."""
    make: dict[str, Callable[[Plan], Sequence[Case]]] = {
        "other-answers": lambda plan: other_answers(plan, settings),
        "other-task": lambda plan: other_task(plan, settings),
    }
    what = {"other-answers": "answers of other prompts", "other-task": "past tenses of verbs"}
    return HigherRung(
        "relearn",
        no_weights,
        lambda plan: [
            _cell("relearn", name, what[name], made, plan, settings) for name, made in make.items()
        ],
    )


def informative(settings: AuditSettings) -> HigherRung:
    """Return the rung that tells right answers to a few prompts that are not asked."""
    return HigherRung(
        "teach",
        no_weights,
        lambda plan: [
            _cell(
                "teach",
                f"taught-{count}",
                "right answers",
                lambda plan, count=count: right_answers(plan, settings, count),
                plan,
                settings,
            )
            for count in TAUGHT
        ],
    )


def _cell(
    rung: Rung,
    name: str,
    what: str,
    make: Callable[[Plan], Sequence[Case]],
    plan: Plan,
    settings: AuditSettings,
) -> Intervention | NotTried:
    try:
        cases = make(plan)
    except UnfitError as error:
        return NotTried(rung=rung, name=name, reason=str(error))
    return training(name, what, cases, settings)


def training(name: str, what: str, cases: Sequence[Case], settings: AuditSettings) -> Intervention:
    """Return a short training, as the rungs' are, on cases of one's own.

    Args:
        name: The cell's.
        what: What the cases are, for the signature.
        cases: Examples: their prompts with their targets.
        settings: Its seed decides the start, and the order of the examples.
    """
    made = _Training(cases, settings.seed, settings.dtype)
    return Intervention(name, f"{made} with {what}", made.on)


@dataclass(frozen=True)
class _Training:
    """A short training on some cases.

    Attributes:
        cases: The examples.
        seed: Decides the start, and the order of examples.
        dtype: What the user asked for.
    """

    cases: Sequence[Case]
    seed: int
    dtype: str

    def __str__(self) -> str:
        return (
            f"{STEPS} LoRA steps (rank {RANK}, rate {RATE:g}, seed {self.seed}) on "
            f"{len(self.cases)} prompt{'s' if len(self.cases) > 1 else ''}"
        )

    @contextlib.contextmanager
    def on(self, lm: Any, style: Style) -> Generator[None]:
        """Train a harness model as long as the block runs; see `Intervention.on`."""
        from dormant.finetuning.harness import examples_for
        from dormant.finetuning.relearning import relearnt
        from dormant.models.effective import NotEditableError

        if not is_local(lm):
            raise NotEditableError("the model shows no weights")
        if lm.backend != "causal":
            raise NotEditableError("it isn't a decoder")
        examples = examples_for(
            lm,
            [rendered(lm, case, case.prompt, style) for case in self.cases],
            [continuations(case, style) for case in self.cases],
        )
        with relearnt(lm.model, examples, self._settings(lm)):
            yield

    def _settings(self, lm: Any) -> TuningSettings:
        from dormant.finetuning.harness import arithmetic
        from dormant.finetuning.settings import TuningSettings

        return TuningSettings(
            steps=STEPS,
            batch_size=min(BATCH, len(self.cases)),
            learning_rate=RATE,
            rank=RANK,
            compute=arithmetic(lm, self.dtype),
            seed=self.seed,
        )
