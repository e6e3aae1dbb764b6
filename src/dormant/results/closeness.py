"""How close prompts are to what a model was fine-tuned on, and whether that tells what was lost."""

from __future__ import annotations

from dormant.results.estimates import Estimate, Record


class PromptLikelihood(Record):
    """How likely one prompt is to one model, the answers in it left out."""

    item: str
    logprob: float
    """Natural logarithm, over all tokens but those of the demonstrations' answers."""
    tokens: int | None = None
    """How many these are; `None` where the model doesn't show them."""
    size: int
    """The same in bytes of UTF-8."""


class ClosenessBin(Record):
    """Prompts of about one closeness, a few of all."""

    prompts: int
    low: float
    """The least closeness among them…"""
    high: float
    """…and the greatest."""
    mean: float
    change: Estimate
    """acc(tuned) − acc(base) on them, a fraction; intervals over source items."""


class CellCloseness(Record):
    """One transform, or plain prompts: how close they are, and what was lost there."""

    transform: str
    prompts: int
    mean: float
    change: Estimate
    """acc(tuned) − acc(base), a fraction."""


class AbilityCloseness(Record):
    """One ability: the change of correctness against closeness, over its prompts."""

    task: str
    cells: list[CellCloseness]
    bins: list[ClosenessBin]
    across: Estimate | None = None
    """Rank correlation of closeness and change over all prompts, plain and transformed; `None`
    where one of the two is the same everywhere. Below 0: what is closer lost more."""
    within: Estimate | None = None
    """The same between prompts of one transform, which differ in nothing else."""


class ClosenessResult(Record):
    """Closeness by one measure."""

    measure: str
    """"tuned" is log p_tuned(prompt) − log p_base(prompt), and "density" the same of a model of the
    fine-tuning data's whole text."""
    model: str
    """The model whose likelihood is compared with the base's."""
    unit: str
    """"nats per token", or "nats per byte" where the two models have different tokens."""
    abilities: list[AbilityCloseness]
