"""How far the tuned model is from the base on a few of the run's own prompts.

By logits where both models show them; else by the log-probabilities of the answers, and for tasks
that generate by greedy texts, which any server gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dormant.models import generate as generation
from dormant.models.comparability import encoded, is_local
from dormant.models.effect import (
    ROUNDING,
    LogitDifference,
    Logits,
    compare_logits,
    last_logits,
    noise,
)
from dormant.results import Effect
from dormant.scoring.harness import scorer_of
from dormant.scoring.protocol import Answer

if TYPE_CHECKING:
    from lm_eval.api.model import LM

_NOISY = 4
"""Prompts that the base reads once more in another shape."""
_PLACES = 8
"""Last places of a prompt whose logits are kept until the tuned model is there: 8 prompts' are
64 × 262 144 words × 4 bytes, 67 MB, for the largest vocabularies."""
_TEXTS, _TOKENS = 8, 16
"""Prompts completed, and tokens of each, where a server shows no probabilities."""


@dataclass(kw_only=True)
class BaseAnswers:
    """What the base made of a sample: what the tuned model is compared with.

    Attributes:
        prompts: The prompts, as they were put to it; the tuned model is asked the very same.
        answers: The answers whose log-probabilities can be compared; those of prompts that are
            completed are empty.
        ids: The prompts as tokens, and `words`, what its tokenizer calls these; where logits are
            compared.
        logits: The logits after each prompt's last tokens.
        rounding: Its difference from itself in another shape.
        scored: Its log-probabilities of `answers`, and `again`, in another order.
        texts: Its completions.
    """

    prompts: list[str]
    answers: list[list[str]]
    ids: list[list[int]] = field(default_factory=list[list[int]])
    words: list[list[str]] = field(default_factory=list[list[str]])
    logits: Logits = field(default_factory=list)
    rounding: LogitDifference | None = None
    scored: list[list[Answer]] = field(default_factory=list[list[Answer]])
    again: list[list[Answer]] = field(default_factory=list[list[Answer]])
    texts: list[str] = field(default_factory=list[str])

    @classmethod
    def of(
        cls, lm: LM, prompts: Sequence[str], answers: Sequence[Sequence[str]], *, logits: bool
    ) -> BaseAnswers:
        """Ask the base.

        Args:
            lm: The base model.
            prompts: N rendered prompts.
            answers: N rows of answers, empty for prompts that are completed.
            logits: Whether the tuned model will show logits, too.

        Raises:
            DormantError: The model failed.
        """
        asked = cls(prompts=list(prompts), answers=[list(row) for row in answers])
        if logits and is_local(lm):
            asked._ask_logits(lm)
        elif any(asked.answers):
            asked.scored = asked._score(lm)
            asked.again = asked._score(lm, backwards=True)
        else:
            asked.texts = asked._complete(lm)
        return asked

    def compare(self, lm: LM) -> Effect | None:
        """Ask the tuned model the same, and return how far it is from the base.

        Returns:
            The difference; `None` where the two have other tokens, and what they make of them can't
            be compared.

        Raises:
            DormantError: The model failed.
        """
        if self.rounding is not None:
            return self._by_logits(lm, self.rounding)
        return self._by_logprobs(lm) if self.scored else self._by_texts(lm)

    def _ask_logits(self, lm: Any) -> None:
        self.ids = [encoded(lm, prompt)[-lm.max_length :] for prompt in self.prompts]
        self.words = self._words(lm)
        self.logits = last_logits(lm, self.ids, places=_PLACES)
        self.rounding = noise(lm, self.ids[:_NOISY], self.logits[:_NOISY], places=_PLACES)

    def _words(self, lm: Any) -> list[list[str]]:
        return [list(lm.tokenizer.convert_ids_to_tokens(ids)) for ids in self.ids]

    def _by_logits(self, lm: LM, rounding: LogitDifference) -> Effect | None:
        if not is_local(lm) or self._words(lm) != self.words:
            return None
        found = compare_logits(self.logits, last_logits(lm, self.ids, places=_PLACES))
        return Effect(
            measure="logits",
            prompts=len(self.ids),
            places=found.places,
            distance=_finite(found.kl),
            changed=found.changed,
            noise=_finite(rounding.kl),
            noise_changed=rounding.changed,
            identical=found.within(rounding),
        )

    def _by_logprobs(self, lm: LM) -> Effect:
        tuned = self._score(lm)
        distance, changed = _apart(self.scored, tuned)
        noise_distance, noise_changed = _apart(self.scored, self.again)
        return Effect(
            measure="log-probabilities",
            prompts=len(tuned),
            places=sum(map(len, tuned)),
            distance=distance,
            changed=changed,
            noise=noise_distance,
            noise_changed=noise_changed,
            identical=distance <= ROUNDING * noise_distance and changed <= noise_changed,
        )

    def _by_texts(self, lm: LM) -> Effect:
        other = [a != b for a, b in zip(self.texts, self._complete(lm), strict=True)]
        return Effect(
            measure="answers",
            prompts=len(other),
            places=len(other),
            changed=sum(other) / max(1, len(other)),
            identical=not any(other),
        )

    def _score(self, lm: LM, *, backwards: bool = False) -> list[list[Answer]]:
        """Score the answers; backwards, so that they share batches with others, or a cache."""
        rows = [
            (prompt, row) for prompt, row in zip(self.prompts, self.answers, strict=True) if row
        ]
        step = -1 if backwards else 1
        asked = rows[::step]
        scored = scorer_of(lm).score([prompt for prompt, _ in asked], [row for _, row in asked])
        return scored[::step]

    def _complete(self, lm: LM) -> list[str]:
        return generation.generate(lm, self.prompts[:_TEXTS], max_new_tokens=_TOKENS)


def _apart(
    one: Sequence[Sequence[Answer]], other: Sequence[Sequence[Answer]]
) -> tuple[float, float]:
    """Return the mean difference of log-probabilities, nats, and the share of other verdicts."""
    pairs = [pair for a, b in zip(one, other, strict=True) for pair in zip(a, b, strict=True)]
    distance = sum(abs(a.logprob - b.logprob) for a, b in pairs) / len(pairs)
    return distance, sum(a.greedy != b.greedy for a, b in pairs) / len(pairs)


def _finite(kl: float) -> float | None:
    """JSON knows no infinity: a word that only one of the two can say."""
    return kl if math.isfinite(kl) else None
