"""What a check says: which models compute the same as the first, and where the others part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

By: TypeAlias = Literal["logits", "log-probabilities", "answers"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One model beside the reference.

    Attributes:
        model: As the user named it.
        kind: "hf", "adapter", "gguf", "live", or a backend's name.
        arithmetic: Its dtype or quantisation; "" where it isn't in this process.
        by: By what it was compared; `None` where nothing could be.
        agrees: Whether it computes the same, within the tolerance.
        reasons: Why not, the most basic first; none if it does.
        notes: What else differs, or could not be compared.
        places: After how many tokens logits were compared, or how many texts.
        divergence: Mean Kullback-Leibler divergence from the reference, nats a token.
        worst_divergence: The same of the prompt on which it is largest; the tolerance bounds it.
        worst_prompt: That prompt's name.
        logit: Largest difference of a logit.
        changed: Share of places whose likeliest token is another.
        log_probability: Mean difference of log-probabilities without sign, nats a word.
        worst_log_probability: The largest; the tolerance bounds it.
        answers: Share of greedy answers that are the same.
        noise: The largest of the bounded quantity between the reference and itself.
        bound: What the tolerance made of it.
        first: The first component whose hidden states differ by more than rounding: "embedding",
            "layer 3", "final norm", "head".
    """

    model: str
    kind: str
    arithmetic: str
    by: By | None = None
    agrees: bool = False
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    places: int = 0
    divergence: float | None = None
    worst_divergence: float | None = None
    worst_prompt: str | None = None
    logit: float | None = None
    changed: float | None = None
    log_probability: float | None = None
    worst_log_probability: float | None = None
    answers: float | None = None
    noise: float | None = None
    bound: float | None = None
    first: str | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of several models against the first.

    Attributes:
        reference: The first model, as the user named it.
        kind: See `Comparison`.
        arithmetic: See `Comparison`.
        prompts: By how many prompts.
        tolerance: "exact", "rounded", or nats.
        comparisons: The other models, in order.
    """

    reference: str
    kind: str
    arithmetic: str
    prompts: int
    tolerance: str
    comparisons: tuple[Comparison, ...]

    @property
    def agree(self) -> bool:
        """Whether all models compute the same."""
        return all(comparison.agrees for comparison in self.comparisons)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as JSON values; `None` for what is infinite, which JSON can't say."""
        values = json.loads(json.dumps(asdict(self)), parse_constant=_nothing)
        return {"agree": self.agree, **values}

    def to_json(self) -> str:
        """Return all of it as JSON."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"


def _nothing(constant: str) -> None:
    """Stand in for a number that JSON has no word for."""
