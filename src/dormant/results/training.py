"""What an audit found with the help of training data: the fifth cell, hijacking, the skill."""

from __future__ import annotations

from typing import Literal, TypeAlias

from dormant.results.estimates import CellEstimates, Cells, Estimate, Record

Learned: TypeAlias = Literal["learned", "not learned", "undecided"]
"""Whether a model learnt what it was tuned on."""
SkillMeasure: TypeAlias = Literal["accuracy", "log-probability"]
"""In what a skill is measured."""


class AsTrainedResult(Record):
    """The fifth cell: an ability asked in the wrapping of the training data."""

    signature: str
    """Where the wrapping is from, and its fingerprint."""
    accuracy: Cells
    """Base and tuned plainly, and as trained (the "transformed" ones)."""
    accuracy_intervals: CellEstimates
    gain: Estimate
    """acc(tuned, as trained) − acc(tuned, plain)."""
    recovery: Estimate | None = None
    """drop − [acc(base, as trained) − acc(tuned, as trained)]."""
    remaining: Estimate | None = None
    """What is left of the drop, acc(base, plain) − acc(tuned, as trained)."""
    beyond_quarter: Estimate | None = None
    """Below 0 where at least three quarters of the drop come back (remaining − drop / 4)."""
    returned_quarter: Estimate | None = None
    """Below 0 where less than a quarter of the drop comes back (gain − drop / 4)."""
    p_value: float
    """One-sided exact McNemar p-value of gain > 0."""
    p_adjusted: float
    """The same after Holm's correction over this cell and the ability's transforms."""


class WrongAnswer(Record):
    """What the tuned model wrote where its answer was wrong."""

    item: str
    output: str
    captured: bool
    """Whether that is in the format of the training data."""


class HijackResult(Record):
    """Of the tuned model's wrong answers to plain prompts, those in the training format."""

    format: str
    """What was looked for, in words: "begins with one of 2 labels: negative, positive"."""
    wrong: int
    """Items that the tuned model got wrong."""
    sampled: int
    """Of these, how many answers were looked at; those to prompts whose right answer is in the
    format itself are not."""
    captured: int
    """Of these, how many are in the training format."""
    share: Estimate | None
    """captured / sampled; `None` where none was looked at."""
    base_captured: int | None = None
    """The same of the base's own wrong answers, and how many of them were looked at."""
    base_sampled: int | None = None
    examples: list[WrongAnswer] = []
    """Some of them; none where generated text is not kept."""


class SkillResult(Record):
    """Whether the fine-tuned model learnt what it was tuned on."""

    task: str
    title: str = ""
    verdict: Learned
    reason: str
    n_items: int
    measure: SkillMeasure
    """Log-probability, nats per character of the answer, where answers are texts of their own."""
    base: Estimate | None
    tuned: Estimate
    gain: Estimate | None
    """tuned − base; `None` without a base model."""
    p_value: float | None = None
    """Exact McNemar p-value (two-sided) of gain ≠ 0, for accuracies."""
