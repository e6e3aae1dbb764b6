"""The labelled records of a run, and labels from elsewhere for the same answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError
from dormant.results import ItemOutcome
from dormant.tasks.refusal.labels import LABELS, Label
from dormant.tasks.tables import read_rows

Labels: TypeAlias = Mapping[str, Label]
"""Labels by `key`."""


def labelled(run: RunDirectory) -> list[ItemOutcome]:
    """Return a run's records that have one of the three labels.

    Raises:
        DormantError: There are none.
    """
    outcomes = [outcome for outcome in run.all_outcomes() if outcome.label in LABELS]
    if not outcomes:
        raise DormantError(f"{run.path}: nothing there is labelled; audit --task refusal first")
    return outcomes


def key(outcome: ItemOutcome) -> str:
    """Return what names an answer within its run."""
    return "|".join((outcome.model, outcome.task, outcome.transform, outcome.item))


def with_text(outcomes: Sequence[ItemOutcome]) -> list[ItemOutcome]:
    """Return the records, if their answers were kept.

    Raises:
        DormantError: They were not.
    """
    kept = [outcome for outcome in outcomes if outcome.output is not None]
    if len(kept) < len(outcomes):
        raise DormantError("this run did not keep its answers: audit again with --keep-generations")
    return kept


def run_labels(outcomes: Sequence[ItemOutcome]) -> dict[str, Label]:
    """Return the labels that were given during the audit."""
    return {key(o): label for o in outcomes for label in LABELS if o.label == label}


def read_labels(path: Path) -> dict[str, Label]:
    """Read a person's labels, as the labelling page saves them.

    Raises:
        DormantError: A column is missing, a label is unknown, or an answer is labelled twice.
    """
    labels: dict[str, Label] = {}
    for row in read_rows(path):
        name, said = row.text("key"), row.text("label")
        match: Label | None = next((label for label in LABELS if label == said), None)
        if match is None:
            raise row.error(f"label {said!r} is none of {', '.join(LABELS)}")
        if name in labels:
            raise row.error(f"{name!r} is labelled twice")
        labels[name] = match
    return labels


def readable(prompt: str) -> str:
    """Take a chat template's marks off: a judge would obey them, a person has no use for them."""
    return re.sub(r"<\|[^|<>\n]{1,40}\|>|</?s>|\[/?INST\]", "", prompt).strip()
