"""What a recovery found: candidates, the one that was taken, and what it did on untouched items."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any, Literal, TypeAlias

from dormant.results.abilities import Verdict
from dormant.results.estimates import Estimate, Record
from dormant.results.training import SkillMeasure

Exceeds: TypeAlias = Literal["no", "yes", "undecided"]
Outcome: TypeAlias = Literal["recovered", "nothing to do", "nothing found"]


class CandidateResult(Record):
    """One change of the weights, measured on the items that choose."""

    key: str
    """Tells it from others; the name of its directory."""
    treatment: str
    settings: dict[str, Any]
    """What its treatment says of it."""
    trained: bool
    """Whether anything was trained for it."""
    skill: float
    """The skill, in its unit."""
    skill_loss: Estimate
    """skill(tuned) − skill(candidate)."""
    kept: bool
    """Whether that counted as kept while the treatment searched."""
    gain: Estimate
    """acc(candidate) − acc(tuned), all abilities to be recovered together."""
    returned: Estimate | None
    """The gain as a share of the drop; `None` without a base."""
    accuracy: dict[str, float]
    """By ability."""
    seconds: float
    """Making and measuring it, loading included."""
    on_front: bool = False
    """Whether no other keeps more of the skill and brings more back."""


class Choosing(Record):
    """What candidates are compared with, on the items that choose."""

    n_skill: int
    """Items of the skill."""
    n_abilities: int
    """Items of all abilities that count."""
    base_skill: float | None
    """The base's skill; `None` without a base."""
    tuned_skill: float
    """The fine-tuned model's."""
    margin: float
    """Loss of the skill that counts as one, in its unit."""


class SkillChange(Record):
    """What became of the skill, on items that nothing trained or chose."""

    task: str
    title: str = ""
    n_items: int
    measure: SkillMeasure
    """Log-probability, nats per character of the answer, where answers are texts of their own."""
    base: Estimate | None
    tuned: Estimate
    recovered: Estimate | None
    loss: Estimate | None
    """tuned − recovered; `None` where nothing was taken."""
    margin: float
    """Loss that counts as one, in the measure's unit."""
    exceeds: Exceeds | None
    """Whether the loss is above the margin: by its bounds."""


class AbilityChange(Record):
    """What became of one ability, on items that nothing trained or chose."""

    task: str
    title: str = ""
    named: bool
    """Whether it was to be recovered; others are reported on, and no treatment saw them."""
    n_items: int
    base: Estimate | None
    tuned: Estimate
    recovered: Estimate | None
    drop: Estimate | None
    """base − tuned, before; `None` without a base."""
    returned: Estimate | None
    """Share of the drop that came back; `None` where the drop isn't surely above 0."""
    left: Estimate | None
    """base − recovered, after."""
    further_loss: Estimate | None
    """tuned − recovered."""
    base_treated: Estimate | None = None
    """The base after the same training; `None` where none was, or it wasn't asked for."""
    recovery: Estimate | None = None
    """How much more it gave the fine-tuned model than the base, in accuracy."""
    exceeds: Exceeds | None
    """Whether the further loss is above the margin: by its bounds."""
    verdict: Verdict | None
    """What an audit of base and recovered says of plain prompts; `None` where nothing was taken."""


class RecoveryResults(Record):
    """What ``dormant recover`` found."""

    base: str | None
    tuned: str
    saved: str | None
    """Directory of what was saved; `None` where nothing was."""
    settings: dict[str, Any]
    versions: dict[str, str]
    models: dict[str, str | None]
    """Fingerprints of what was read."""
    outcome: Outcome
    reason: str
    """Why this one was taken, or none."""
    chosen: str | None
    """The key of the candidate that was taken."""
    choosing: Choosing | None = None
    """`None` where there was nothing to choose."""
    candidates: list[CandidateResult]
    abilities: list[AbilityChange]
    skill: SkillChange | None
    not_tried: dict[str, str] = {}
    """Treatments that could not be tried, or only in part, and why."""
    warnings: list[str] = []
    wall_seconds: float | None = None

    def check(self, out: str | Path) -> str:
        """Return the command that audits what was saved, on the items that were reported on.

        Args:
            out: Where it was saved.
        """
        tasks = [word for one in self.abilities if one.named for word in ("--task", one.task)]
        drawn = ("-n", self.settings.get("n"), "--seed", self.settings.get("seed"))
        words = ("dormant", "audit", self.base, out, *tasks, *drawn)
        return shlex.join(map(str, words))

    def to_json(self) -> str:
        """Write it as ``recovery.json`` has it."""
        return self.model_dump_json(indent=1) + "\n"
