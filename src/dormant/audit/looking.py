"""Asking about more and more items, until each ability is decided.

An audit of a fixed number of items is the case of a single look.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from dormant.audit.ladder import Climbed
from dormant.audit.plan import Plan
from dormant.results import AbilityResult, NotTried
from dormant.statistics import hopeless


def until_decided(
    plans: Sequence[Plan],
    ask: Callable[[Sequence[Plan]], Climbed],
    decided: Callable[[Climbed], Collection[str]],
) -> Climbed:
    """Ask about each ability until it is decided, or there are no more items.

    Whether it is depends on what is on disk alone: a resumed run goes the same way.

    Args:
        plans: The audit's, with all items that there may be.
        ask: Scores what is not on disk yet of some abilities' first items, on every rung that they
            climb.
        decided: Returns the abilities that are, or that no number of items would decide; not asked
            where nothing is left to score.

    Returns:
        The plans as far as each was asked, in their order.
    """
    reached: dict[str, Plan] = {}
    not_tried: dict[str, Sequence[NotTried]] = {}
    undecided = list(plans)
    look = 0
    while undecided:
        climbed = ask([plan.at(look) for plan in undecided])
        for plan in climbed.plans:
            task = plan.task.name
            reached[task], not_tried[task] = plan, climbed.not_tried.get(task, ())
        look += 1
        undecided = [plan for plan in undecided if plan.looks and look < len(plan.looks.sizes)]
        settled = decided(climbed) if undecided else ()
        undecided = [plan for plan in undecided if plan.task.name not in settled]
    return Climbed([reached[plan.task.name] for plan in plans], not_tried)


def is_decided(ability: AbilityResult, margin: float, chance: float) -> bool:
    """Say whether an ability needs no more items: its verdict stands, or none is in reach.

    Args:
        ability: What is known of it, on every rung that it was let climb.
        margin: Drop, as a fraction, that counts as one.
        chance: Accuracy of guessing.
    """
    return ability.verdict != "inconclusive" or hopeless(ability, margin, chance)
