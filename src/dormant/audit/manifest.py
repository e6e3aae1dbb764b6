"""What decides an audit's numbers: kept by its run, and compared wherever a part of it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dormant.audit.plan import Plan
from dormant.audit.settings import AuditSettings
from dormant.audit.training import Training
from dormant.models.pair import ModelPair
from dormant.results import PLAIN

LIBRARIES = ("dormant", "torch", "transformers", "peft", "lm-eval", "numpy", "scipy")
"""All that touch a number."""


def recorded(
    settings: AuditSettings, pair: ModelPair, plans: Sequence[Plan], training: Training
) -> dict[str, Any]:
    """Return all that decides the numbers, as JSON values: a resumed run must have the same.

    Raises:
        DormantError: A model has no weights to know it by.
    """
    decisive = settings.recorded()
    decisive["fingerprints"] = pair.fingerprints()
    # A user's file may change between a run and its resumption.
    decisive["task_versions"] = {ability.task.name: ability.task.version for ability in plans}
    if training.digest is not None:
        decisive["training_examples"] = training.digest
    # So may the translator: another engine or version would mix two translations in one cell.
    decisive["transforms_used"] = {
        f"{ability.task.name} under {name}": cell.signature
        for ability in plans
        for name, cell in ability.cells.items()
        if name != PLAIN
    }
    return decisive
