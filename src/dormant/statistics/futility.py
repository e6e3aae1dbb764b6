"""Where more items would be asked in vain."""

from __future__ import annotations

from dormant.results import MARGIN, AbilityResult
from dormant.statistics.cells import FIDELITY_GATE
from dormant.statistics.controls import KEEPS


def hopeless(ability: AbilityResult, margin: float = MARGIN, chance: float = 0.0) -> bool:
    """Say whether no number of items can be expected to decide on an ability.

    Either the base model surely doesn't have it to speak of; or it surely dropped beyond the
    margin, and every transform and edit that was tried surely fails its control, so that nothing
    can tell whether it is still there. To stop there can't make a verdict wrong, as it gives none.

    Args:
        ability: As far as it was audited.
        margin: Drop, as a fraction, that counts as one.
        chance: Accuracy of guessing.
    """
    base, drop = ability.accuracy_intervals.base_plain, ability.drop
    if ability.verdict != "inconclusive" or base is None or drop is None:
        return False
    if base.high < chance + margin and drop.low <= 0:
        return True
    if drop.low <= margin or ability.as_trained is not None:
        return False
    needed = max(chance, KEEPS * base.low)
    return bool(ability.transforms) and all(
        (under := cell.accuracy_intervals.base_transformed) is None
        or under.high < needed
        or (cell.fidelity is not None and cell.fidelity < FIDELITY_GATE)
        for cell in ability.transforms
    )
