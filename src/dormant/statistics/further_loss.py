"""Non-inferiority: whether something costs an ability more than a margin."""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from dormant.results import MARGIN, Estimate
from dormant.statistics.intervals import paired_difference

Answer = Literal["no", "yes", "undecided"]


def exceeds(loss: Estimate, margin: float = MARGIN) -> Answer:
    """Say whether a loss is above a margin: by its upper bound no, by its lower one yes.

    "No further loss" is a claim like any other, and absence of evidence doesn't make it: a loss
    whose interval reaches from 0 to 20 points is undecided, whatever its estimate.

    Args:
        loss: Accuracy lost, a fraction; negative where something was won.
        margin: Loss that counts as one.

    Returns:
        "no" where the upper bound is below the margin, "yes" where the lower one is above it.
    """
    if loss.high < margin:
        return "no"
    return "yes" if loss.low > margin else "undecided"


def further_loss(
    before: ArrayLike,
    after: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    margin: float = MARGIN,
) -> tuple[Estimate, Answer]:
    """Estimate what a treatment costs on the same items, and whether that is above the margin.

    Args:
        before: Success per item before it, booleans (n,).
        after: The same items after it (n,).
        groups: Source item of each prompt (n,), where several share one.
        margin: Loss that counts as one.

    Raises:
        DormantError: There are no items, the lengths differ, or an outcome is not in [0, 1].
    """
    loss = paired_difference(before, after, groups=groups)
    return loss, exceeds(loss, margin)
