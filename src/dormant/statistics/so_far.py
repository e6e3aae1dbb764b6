"""How accurate a cell is that is still being filled."""

from __future__ import annotations

from dormant.results import Estimate
from dormant.statistics.intervals import proportion


def accuracy_so_far(correct: int, done: int) -> Estimate | None:
    """Estimate an accuracy from counts, as it stands.

    The interval holds for one look at a number that was fixed before. Who looks again and again
    sees one that misses more often than it says, so no verdict is made of it.

    Args:
        correct: Successes.
        done: Items.

    Returns:
        Wilson's score interval; `None` without items.
    """
    if not done:
        return None
    return proportion([True] * correct + [False] * (done - correct))
