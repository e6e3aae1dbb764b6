"""Before a model is scored: does the pair differ at all, and can the two be compared?

The base's answers to a sample of the run's prompts are kept until the tuned model is opened, for
one of the two is in memory at a time; where both are at hand, as an adapter and its base are, both
are asked before anything is scored.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dormant.audit.effect import BaseAnswers
from dormant.audit.lazy_cases import some
from dormant.audit.plan import Plan
from dormant.audit.score import continuations, rendered
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.comparability import differences, facts_of, is_local, refuse_wrong_bos
from dormant.models.inert import likely_cause
from dormant.models.live import LiveModel
from dormant.models.pair import Model, ModelPair, Which
from dormant.prompts.case import Case
from dormant.results import Comparability, Comparison, Effect, ModelFacts
from dormant.tasks.task import GenerativeTask

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_PROMPTS = 8
"""Prompts of the sample. Weights that differ at all differ on every prompt. These are read 20
times, one by one or in twos; sixteen, read 40 times, took 6.8 s of the demo's 133."""


class Gate:
    """Looks at each model once, and refuses where nothing would be audited.

    Args:
        settings: The audit's.
        pair: Its models.
        plans: Its prompts.
        known: What an earlier run in this directory saw; it is not looked at again.

    Attributes:
        seen: What is known of the pair so far.
    """

    def __init__(
        self,
        settings: AuditSettings,
        pair: ModelPair,
        plans: Sequence[Plan],
        known: Comparison | None = None,
    ) -> None:
        self._settings, self._pair = settings, pair
        self._plans = plans
        self._base: BaseAnswers | None = None
        # Half a comparison is none: what the base answered is gone with the process that asked.
        self.seen = known if known and known.comparability.tuned else Comparison()

    @functools.cached_property
    def _sample(self) -> list[tuple[Case, bool]]:
        return _sample(self._plans)

    @property
    def both_at_hand(self) -> bool:
        """Whether both models can be looked at before one is scored, without loading one twice."""
        pair = self._pair
        live = isinstance(pair.base, LiveModel) and isinstance(pair.tuned, LiveModel)
        return pair.base is not None and (pair.shares_weights or live)

    def waits_for(self, which: Which) -> bool:
        """Whether a model is still to be looked at, be there prompts left to score or not."""
        facts = self.seen.comparability
        if which == "tuned":
            return facts.tuned is None
        return self._pair.base is not None and facts.base is None

    def look(self, which: Which, lm: LM) -> Comparison:
        """Look at a model that is about to be scored.

        Returns:
            What is known of the pair so far.

        Raises:
            DormantError: Prompts begin with two beginning-of-text tokens, or with none where the
                model's settings want one; or the model failed.
        """
        if self.waits_for(which):
            facts = self._facts(which, lm)
            if which == "base":
                self._base = self._ask_base(lm)
                self.seen = Comparison(comparability=Comparability(base=facts))
            else:
                effect = None if self._base is None else self._base.compare(lm)
                self._base = None
                base = self.seen.comparability.base
                self.seen = Comparison(
                    effect=effect, comparability=Comparability(base=base, tuned=facts)
                )
        return self.seen

    def warnings(self) -> list[str]:
        """Return what a reader should know before the verdicts."""
        facts, effect = self.seen.comparability, self.seen.effect
        lines: list[str] = []
        if effect is not None and effect.identical:
            lines.append(f"base and tuned are identical: they {_same(effect)}")
        if facts.base is not None and facts.tuned is not None:
            lines += differences(facts.base, facts.tuned)
        return lines

    def refuse_identical(self) -> None:
        """Refuse to go on where the tuned model does what the base does.

        Raises:
            DormantError: It does, and `allow_identical` is off.
        """
        effect = self.seen.effect
        if effect is not None and effect.identical and not self._settings.allow_identical:
            raise nothing_audited(f"base and tuned {_same(effect)}", likely_cause(self._pair))

    def _facts(self, which: Which, lm: LM) -> ModelFacts:
        style = self._settings.style(which)
        loading = self._pair.facts(which)
        names = {"weights": "weights", "tokenizer": "tokenizer_of"}
        prompts = [rendered(lm, case, case.prompt, style) for case, _ in self._sample]
        if is_local(lm):
            for prompt, (_, generates) in zip(prompts, self._sample, strict=True):
                refuse_wrong_bos(_name(self._pair, which), lm, prompt, generates=generates)
        return facts_of(
            lm,
            prompts,
            [case.prompt for case, _ in self._sample],
            style=style,
            generates=any(generates for _, generates in self._sample[:1]),
            said={name: loading[subject] for subject, name in names.items() if subject in loading},
        )

    def _ask_base(self, lm: LM) -> BaseAnswers:
        style = self._settings.style("base")
        return BaseAnswers.of(
            lm,
            [rendered(lm, case, case.prompt, style) for case, _ in self._sample],
            [[] if generates else continuations(case, style) for case, generates in self._sample],
            logits=_shows_logits(self._pair.base) and _shows_logits(self._pair.tuned),
        )


def refuse_same(
    pair: ModelPair, fingerprints: dict[str, str | None], allow_identical: bool
) -> None:
    """Refuse a model beside itself, before anything is loaded.

    Args:
        pair: The models.
        fingerprints: Theirs, by "base" and "tuned".
        allow_identical: Don't.

    Raises:
        DormantError: Both are one: by name and arguments, by every byte, or by being the same
            object.
    """
    base, tuned = pair.base, pair.tuned
    if base is None or allow_identical:
        return
    same = fingerprints["base"] is not None and fingerprints["base"] == fingerprints["tuned"]
    if isinstance(base, LiveModel) and isinstance(tuned, LiveModel):
        same |= base.lm is not None and base.lm is tuned.lm
    if same:
        names = base.text if base.text == tuned.text else f"{base.text} and {tuned.text}"
        raise nothing_audited(
            f"base and tuned are the same model ({names})", "name the fine-tuned one second"
        )


def nothing_audited(what: str, cause: str) -> DormantError:
    """Return the error of an audit without an object."""
    return DormantError(
        f"nothing was audited: {what}; {cause}{'' if cause.endswith('?') else '.'} To audit it all "
        "the same: --allow-identical"
    )


def _same(effect: Effect) -> str:
    where = f"on {effect.prompts} of the run's prompts"
    if effect.measure == "answers":
        return f"write the same texts {where}"
    word = "logits" if effect.measure == "logits" else "log-probabilities"
    return f"have the same {word}, within rounding, {where}"


def _name(pair: ModelPair, which: Which) -> str:
    model = pair.model(which)
    return which if model is None else repr(model.text)


def _shows_logits(model: Model | None) -> bool:
    if isinstance(model, LiveModel):
        return model.model is not None
    return model is not None and model.kind != "backend"


def _sample(plans: Sequence[Plan]) -> list[tuple[Case, bool]]:
    """Take prompts from every cell in turn, with whether each is completed."""
    rows = [
        [
            (case, isinstance(ability.task, GenerativeTask))
            for case in some(cell.cases, [*itertools.islice(cell.cases, _PROMPTS)])
        ]
        for ability in plans
        for cell in ability.cells.values()
    ]
    turns = itertools.chain.from_iterable(itertools.zip_longest(*rows))
    return [one for one in turns if one is not None][:_PROMPTS]
