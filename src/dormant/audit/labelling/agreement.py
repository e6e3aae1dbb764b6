"""How far two labellings agree."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from dormant.audit.labelling.records import Labels
from dormant.errors import DormantError
from dormant.tasks.refusal.labels import LABELS


class Agreement(NamedTuple):
    """How far two labellings agree over the answers that both label.

    Attributes:
        n: Answers that both label.
        share: Share of them with the same label.
        kappa: Cohen's κ, which takes off what chance would give; `None` where it is undefined
            because both use one and the same label only.
    """

    n: int
    share: float
    kappa: float | None


def agreement(one: Labels, other: Labels) -> Agreement:
    """Compare two labellings.

    Raises:
        DormantError: They have no answer in common.
    """
    both = [name for name in one if name in other]
    if not both:
        raise DormantError("the two labellings have no answer in common: are they of one run?")
    n = len(both)
    share = sum(one[name] == other[name] for name in both) / n
    first, second = (Counter(labels[name] for name in both) for labels in (one, other))
    chance = sum(first[label] * second[label] for label in LABELS) / n**2
    # Cohen (1960), equation 1.
    return Agreement(n, share, None if chance == 1 else (share - chance) / (1 - chance))
