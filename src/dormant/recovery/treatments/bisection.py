"""How far an update can be turned down before the skill is lost."""

from __future__ import annotations

from collections.abc import Callable, Generator

from dormant.recovery.treatment import Change, Given, Measured, UnfitTreatmentError


def least_kept(
    given: Given, change: Callable[[float], Change], steps: int
) -> Generator[Change, Measured, float]:
    """Propose changes in search of the least size under which the skill is kept.

    Args:
        given: Says whether there is an update to scale.
        change: Makes a change of a size in [0, 1]; 1 leaves the fine-tuned model as it is.
        steps: Halvings.

    Returns:
        The least size that was seen to keep it.

    Raises:
        UnfitTreatmentError: There is no update to scale.
    """
    refuse_unfit(given)
    least, kept = 0.0, 1.0
    for _ in range(steps):
        middle = (least + kept) / 2
        measured = yield change(middle)
        least, kept = (least, middle) if measured.kept else (middle, kept)
    return kept


def refuse_unfit(given: Given) -> None:
    """Refuse where there is no update to scale.

    Raises:
        UnfitTreatmentError: There is none.
    """
    if given.scales is not None:
        raise UnfitTreatmentError(given.scales)
