"""Base and tuned beside each other, before any verdict: what every format says of the pair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dormant.report import formatting
from dormant.results import AuditResults, Effect, ModelFacts

_TOLD = ("tokenizer from", "weights")
"""What only says where something is from: what is equal may be from two places."""
_SPACES = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"})


@dataclass(frozen=True)
class Row:
    """One thing that should be equal in both models.

    Attributes:
        name: What it is.
        base: As the base has it.
        tuned: As the tuned model has it.
    """

    name: str
    base: str
    tuned: str

    @property
    def differs(self) -> bool:
        """Whether both are known, and are not equal."""
        if self.name in _TOLD or formatting.DASH in (self.base, self.tuned):
            return False
        return self.base != self.tuned


def effect(results: AuditResults) -> str:
    """Say in one sentence how far the tuned model is from the base; empty where nobody looked."""
    found = results.effect
    if found is None:
        facts = results.comparability
        looked = facts is not None and facts.base is not None and facts.tuned is not None
        return "Not measured: the two read prompts as different tokens." if looked else ""
    sample = f"{found.prompts} of this run’s prompts"
    if found.identical:
        return f"None: on {sample} the tuned model does what the base does, within rounding."
    if found.measure == "answers":
        share = formatting.percent(found.changed)
        return f"The tuned model writes other texts for {share} of {sample}."
    if found.measure == "log-probabilities":
        return (
            f"Log-probabilities of {found.places} answers to {sample} differ by "
            f"{small(found.distance)} nats on average, and {formatting.percent(found.changed)} of "
            f"their greedy verdicts{_rounding(found)}."
        )
    return (
        f"The tuned model is {small(found.distance)} nats from the base (mean KL divergence at "
        f"{found.places} places of {sample}), and its likeliest token is another at "
        f"{formatting.percent(found.changed)} of them{_rounding(found)}."
    )


def _rounding(found: Effect) -> str:
    if found.noise is None:
        return ""
    return f"; rounding alone: {small(found.noise)} nats, {formatting.percent(found.noise_changed)}"


def small(nats: float | None) -> str:
    """Write a distance whose size may be any: "0.42", "3e−11", "∞"."""
    if nats is None:
        return "∞"
    text = f"{nats:.2g}" if nats == 0 or nats >= 1e-3 else f"{nats:.0e}"
    return text.replace("e-0", "e-").replace("-", formatting.MINUS)


def rows(results: AuditResults) -> list[Row]:
    """Return what should be equal in both models; empty without a base or an older run's."""
    facts = results.comparability
    if facts is None or facts.base is None or facts.tuned is None:
        return []
    base, tuned = facts.base, facts.tuned
    return [
        row
        for name, value in _ROWS
        if {(row := Row(name, value(base), value(tuned))).base, row.tuned} != {formatting.DASH}
    ]


def alike(results: AuditResults) -> str:
    """Say in one line in what the two differ; empty where nobody looked."""
    every = rows(results)
    if not every:
        return ""
    different = [row.name for row in every if row.differs]
    if not different:
        return f"Alike in {', '.join(row.name for row in every)}."
    return f"They differ in {', '.join(different)}."


def tokens(facts: ModelFacts | None) -> list[tuple[int, str]]:
    """Return the first tokens of a prompt as ids and text, with blanks made visible."""
    if facts is None:
        return []
    words = zip(facts.first_ids, facts.first_tokens, strict=True)
    return [(number, text.translate(_SPACES)) for number, text in words]


def _text(value: object) -> str:
    return formatting.DASH if value in (None, "", {}) else str(value)


def _listed(values: dict[str, str] | dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(values.items())) or formatting.DASH


def _vocabulary(facts: ModelFacts) -> str:
    if facts.vocabulary is None:
        return formatting.DASH
    return f"{formatting.grouped(facts.vocabulary)} words ({facts.vocabulary_hash})"


def _special(facts: ModelFacts) -> str:
    # How a text begins and ends has rows of its own, and padding decides nothing.
    apart = ("bos_token", "eos_token", "pad_token")
    return _listed({k: v for k, v in facts.special_tokens.items() if k not in apart})


def _bos(facts: ModelFacts) -> str:
    token = facts.special_tokens.get("bos_token")
    if facts.adds_bos is None or token is None:
        return token or _known(facts, None)
    return f"{token}, {'begins' if facts.adds_bos else 'does not begin'} a prompt"


def _generation(facts: ModelFacts) -> str:
    said = facts.generation_config
    return _listed(said) if said else _known(facts, None)


def _template(facts: ModelFacts) -> str:
    if facts.tokenizer is None:
        return formatting.DASH
    return facts.chat_template or "none"


def _known(facts: ModelFacts, value: str | None) -> str:
    """Return a value, and "none" where it is known that there is none."""
    return value or ("none" if facts.dtype else formatting.DASH)


_ROWS: tuple[tuple[str, Callable[[ModelFacts], str]], ...] = (
    ("tokenizer", lambda facts: _text(facts.tokenizer)),
    ("tokenizer from", lambda facts: _text(facts.tokenizer_of)),
    ("vocabulary", _vocabulary),
    ("beginning of text", _bos),
    ("end of text", lambda facts: _text(facts.special_tokens.get("eos_token"))),
    ("special tokens", _special),
    ("chat template", _template),
    ("prompts", lambda facts: _text(facts.prompts)),
    ("dtype", lambda facts: _text(facts.dtype)),
    ("quantisation", lambda facts: _known(facts, facts.quantisation)),
    ("generation config", _generation),
    ("context", lambda facts: _text(facts.max_length)),
    ("weights", lambda facts: _text(facts.weights)),
)
