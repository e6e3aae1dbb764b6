"""Which candidate is taken, by a rule that is fixed before anything is measured.

The skill comes first. Among candidates whose loss of the skill has an upper bound below the margin,
on the items that choose, the one is taken that brings most back; where several bring back as much,
within the interval of the best, the one that changes least: nothing trained before trained, one
factor before several. Where no candidate's bound is below the margin, those are considered whose
bound is the smallest. A candidate that doesn't surely bring anything back is never taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dormant.recovery.treatment import Change, Measured
from dormant.results import Estimate


@dataclass(frozen=True)
class Candidate:
    """A change that was measured.

    Attributes:
        key: Its key.
        treatment: Whose it is.
        change: The change.
        measured: What it did on the items that choose.
        seconds: How long it took to make and measure.
    """

    key: str
    treatment: str
    change: Change
    measured: Measured
    seconds: float

    @property
    def back(self) -> Estimate:
        """What it brings back: the share of the drop, or the gain where there is no base."""
        return self.measured.returned or self.measured.gain


def is_kept(loss: Estimate, margin: float, least: float) -> bool:
    """Say whether a skill counts as kept while a treatment searches.

    Args:
        loss: The skill's loss on the items that choose.
        margin: What counts as one.
        least: The upper bound that a model would have of which no answer differs: where even that
            is above the margin, there are too few items to prove anything, and what no more than
            such a model loses counts as kept.
    """
    return loss.high < max(margin, least + 1e-12)


def choose(candidates: Sequence[Candidate], margin: float) -> tuple[Candidate | None, str]:
    """Take one of the candidates.

    Args:
        candidates: Those that were measured.
        margin: The skill's.

    Returns:
        The one, `None` where none may be taken; and why, in a sentence.
    """
    able = [one for one in candidates if one.measured.gain.low > 0]
    if not able:
        return None, "No candidate surely brings anything back on the items that choose."
    proven = [one for one in able if one.measured.skill_loss.high < margin]
    least = min(one.measured.skill_loss.high for one in able)
    eligible = proven or [one for one in able if one.measured.skill_loss.high <= least]
    best = max(eligible, key=lambda one: one.back.estimate)
    alike = [one for one in eligible if one.back.estimate >= best.back.low]
    taken = min(alike, key=lambda one: (one.change.cost, -one.back.estimate))
    first = (
        f"{len(proven)} of {len(able)} that bring something back surely "
        f"{'keeps' if len(proven) == 1 else 'keep'} the skill within the margin"
        if proven
        else f"None of {len(candidates)} candidates surely keeps the skill within the margin, so "
        "the smallest bound counts"
    )
    second = (
        "this one brings most back"
        if taken is best
        else "this one changes least of those that bring back as much as the best, within its "
        "interval"
    )
    return taken, f"{first}; {second}."


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates than which no other keeps more of the skill and brings more back."""

    def better(one: Candidate, other: Candidate) -> bool:
        loss, others = one.measured.skill_loss.estimate, other.measured.skill_loss.estimate
        back, other_back = one.back.estimate, other.back.estimate
        return loss <= others and back >= other_back and (loss < others or back > other_back)

    return [one for one in candidates if not any(better(other, one) for other in candidates)]
