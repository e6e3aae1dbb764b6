"""The prompts of an audit put to its models, one model after the other, one a process at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dormant.audit.arithmetic import choose_precision
from dormant.audit.gate import Gate
from dormant.audit.plan import Batch, Plan, batches
from dormant.audit.score import refuse_long
from dormant.audit.scoring import Scoring
from dormant.audit.wrong_answers import WrongAnswers
from dormant.models.pair import ModelPair, Which

if TYPE_CHECKING:
    from lm_eval.api.model import LM


@dataclass(frozen=True)
class Asking:
    """How an audit puts its prompts to its models.

    Attributes:
        pair: The models.
        sample: The plans by whose prompts a scorer chooses its arithmetic. The same at each look:
            a resumed run, which may begin at another one, chooses alike.
        scoring: Puts batches to a model that is open.
        gate: Looks at each model once.
        looked: What looks at wrong answers; empty where nothing does.
        spread: Scores missing batches on other machines, where there are some.
    """

    pair: ModelPair
    sample: Sequence[Plan]
    scoring: Scoring
    gate: Gate
    looked: Sequence[WrongAnswers]
    spread: Callable[[Sequence[Batch]], None] | None = None

    def ask(self, plans: Sequence[Plan]) -> None:
        """Score what is not on disk of some abilities.

        Raises:
            DormantError: A model can't be loaded or fails, nothing would be audited, a prompt is
                too long, or the disk is full.
        """
        scoring, pair, gate = self.scoring, self.pair, self.gate
        progress = scoring.progress
        missing = scoring.missing(batches(scoring.settings, plans))
        if missing:
            gate.refuse_identical()
        if missing and self.spread is not None:
            self.spread(missing)
            missing = []
        if missing:
            if pair.shares_weights:
                progress.stage(f"loading {pair.tuned.text}")
            pair.settle()
        if missing and gate.both_at_hand:
            for which, model in pair.models().items():
                if gate.waits_for(which):
                    progress.stage(f"loading {model.text}")
                    with pair.open(which) as lm:
                        self._compare(which, lm)
        for which, model in pair.models().items():
            own = [batch for batch in missing if batch.key.model == which]
            # All processes must agree, and the first one alone has the run.
            looking = scoring.group.once(functools.partial(self._unseen, which, plans))
            if not (own or looking or (missing and gate.waits_for(which))):
                continue
            progress.stage(f"loading {model.text}")
            with pair.open(which) as lm:
                self._compare(which, lm)
                self._score(which, lm, own)
                if looking:
                    progress.stage(f"{which} · wrong answers")
                    scoring.group.once(functools.partial(self._look, which, lm, plans))

    def _compare(self, which: Which, lm: LM) -> None:
        gate, scoring = self.gate, self.scoring
        if gate.waits_for(which):
            scoring.progress.stage("comparing base and tuned")
            gate.seen = scoring.group.once(lambda: gate.look(which, lm))
            if scoring.opened and which == "tuned":
                scoring.opened[0].keep_comparison(gate.seen)
            gate.refuse_identical()

    def _score(self, which: Which, lm: LM, work: Sequence[Batch]) -> None:
        scoring, pair = self.scoring, self.pair
        style = scoring.settings.style(which)
        if scoring.opened and (lines := pair.warnings()):
            # A resumed run may load the other one alone.
            scoring.opened[0].warn(lines)
        for batch in work:
            refuse_long(lm, batch.plan.task, batch.cases(), style)
        scoring.progress.stage(f"checking precision of {pair.models()[which].text}")
        chosen = choose_precision(lm, scoring.settings, self.sample, style)
        scoring.note(f"precision of {which}", chosen)
        for turn in scoring.turns(work):
            scoring.keep(turn, scoring.ask(lm, turn, style))

    def _unseen(self, which: Which, plans: Sequence[Plan]) -> bool:
        return any(answers.missing(which, plans) for answers in self.looked)

    def _look(self, which: Which, lm: LM, plans: Sequence[Plan]) -> None:
        for answers in self.looked:
            answers.collect(which, lm, plans)
