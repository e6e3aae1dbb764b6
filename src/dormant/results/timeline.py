"""What became of each ability over several fine-tuned models of one base: checkpoints, mostly."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from dormant.results.abilities import Rung, Verdict
from dormant.results.estimates import Estimate, Record
from dormant.results.training import Learned


class ChildRun(Record):
    """One fine-tuned model of the series."""

    name: str
    """The name of its run's directory, below the series' own."""
    model: str
    """As it was given."""
    step: int | None = None
    """Optimiser steps of training, where its directory is called ``checkpoint-STEP``."""
    problem: str = ""
    """Why it could not be audited; empty where it was."""
    skill: Learned | None = None
    """Whether it learnt what it was tuned on; `None` where nobody asked."""


class Point(Record):
    """One ability of one child: what a timeline needs of an `AbilityResult`."""

    child: str
    """`ChildRun.name`."""
    verdict: Verdict
    rung: Rung | None = None
    n_items: int
    base: Estimate | None = None
    """Accuracy on plain prompts, a fraction."""
    tuned: Estimate | None = None
    drop: Estimate | None = None
    """base − tuned."""
    best_transform: str | None = None
    gain: Estimate | None = None
    recovery: Estimate | None = None


class Course(Record):
    """One ability over all children that were audited, in their order."""

    task: str
    title: str = ""
    points: list[Point]
    suppressed_at: str | None = None
    """The first child at which it was *suppressed*."""
    beyond_at: str | None = None
    """The first child at which nothing that was tried brought it back: *lost* or *forgotten*."""
    back_at: str | None = None
    """The first child after the first loss of any kind at which it was *retained*."""


class Timeline(Record):
    """``timeline.json``: audits of several fine-tuned models of one base."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)

    schema_: Literal[1] = Field(default=1, alias="schema")
    base: str
    settings: dict[str, Any]
    """Those of all audits, but for the fine-tuned model."""
    versions: dict[str, str]
    children: list[ChildRun]
    """In order: by step, or as they were given."""
    courses: list[Course]
    """By ability, in the audits' own order."""
    keep: str | None
    """`ChildRun.name` of the one to keep; `None` where none was audited."""
    keep_reason: str
    """The rule by which, and what it found."""

    def to_json(self) -> str:
        """Return the text of ``timeline.json``."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"
