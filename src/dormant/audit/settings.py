"""What an audit's user decides; everything that decides its numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from dormant.models.arguments import Scorer
from dormant.results import Record
from dormant.transforms.fidelity import MIN_CHRF

Style: TypeAlias = Literal["raw", "chat"]


class AuditSettings(Record):
    """Everything that decides an audit's numbers; kept in its run directory.

    Attributes:
        base: The base model's specification; `None` audits the tuned model alone.
        tuned: The fine-tuned model's.
        tasks: Abilities or groups of them.
        transforms: Names; empty means every native language, leetspeak and pig latin.
        n: Items an ability; `None` means 100, or the whole pool where it is smaller.
        shots: Demonstrations a prompt; `None` means the task's own number (icl: 2, as the paper).
        seed: Decides items, demonstrations, halves and resamples.
        base_prompts: "raw", or "chat" to put each prompt into the base's chat template.
        tuned_prompts: Likewise for the tuned model.
        margin: Drop, as a fraction, that counts as one (verdicts).
        min_chrf: Least round-trip chrF, 0 … 100, at which an item counts as translated; items below
            it are left out of all four cells.
        batch: Prompts a batch: what a kill may lose.
        dtype: See `LoadOptions`.
        device: See `LoadOptions`.
        scorer: See `LoadOptions`.
        keep_generations: Keep generated text in the records.
    """

    base: str | None
    tuned: str
    tasks: tuple[str, ...] = ("icl", "icl_vs_if")
    transforms: tuple[str, ...] = ()
    n: int | None = None
    shots: int | None = Field(default=None, ge=0)
    seed: int = 0
    base_prompts: Style = "raw"
    tuned_prompts: Style = "raw"
    margin: float = Field(default=0.05, gt=0, lt=1)
    min_chrf: float = Field(default=MIN_CHRF, ge=0, le=100)
    batch: int = Field(default=64, ge=1)
    dtype: str = "auto"
    device: str = "auto"
    scorer: Scorer = "fast"
    keep_generations: bool = False


def default_directory(settings: AuditSettings) -> Path:
    """Return ``runs/BASE--TUNED``, with what names can't hold in file names replaced."""
    names = [name for name in (settings.base, settings.tuned) if name is not None]
    return Path("runs") / "--".join(re.sub(r"[^\w.-]+", "-", name).strip("-.") for name in names)
