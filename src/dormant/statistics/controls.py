"""Which interventions are evidence: those that the base model withstands."""

from __future__ import annotations

from dormant.results import CellEstimates
from dormant.statistics.cells import TransformCells
from dormant.statistics.wording import percent

NO_BASE = "not checked: no base model"

KEEPS = 0.5
"""Share of its plain accuracy that the base model must keep."""


def complaint(cells: TransformCells, accuracy: CellEstimates, chance: float) -> str:
    """Say why a transform or an edit proves nothing; empty if it may."""
    if not len(cells.items):
        return "no items are left"
    if cells.fidelity is not None and cells.fidelity < cells.fidelity_gate:
        return f"round-trip fidelity {cells.fidelity:.2f} is below {cells.fidelity_gate:.2f}"
    plain, transformed = accuracy.base_plain, accuracy.base_transformed
    if plain is None or transformed is None:
        return NO_BASE
    if transformed.low <= chance:
        return (
            f"the base model is not above chance under it ({percent(transformed)}, chance "
            f"{100 * chance:.0f}%)"
        )
    if transformed.estimate < KEEPS * plain.estimate:
        return (
            f"the base model keeps less than half of its accuracy under it "
            f"({100 * transformed.estimate:.0f}% of {100 * plain.estimate:.0f}%)"
        )
    return ""
