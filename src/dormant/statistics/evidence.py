"""All that a verdict depends on, and what follows from it at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dormant.results import (
    INFORMATIVE,
    RELEARNING,
    RUNGS,
    AsTrainedResult,
    Estimate,
    NotTried,
    Rung,
    RungResult,
    TransformResult,
)
from dormant.statistics.choosing import lower_of
from dormant.statistics.intervals import LEVEL

ALPHA = 1 - LEVEL
QUARTER = 0.25
"""Share of a drop below which nothing came back; and that may be left where it is explained."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a verdict depends on.

    Attributes:
        drop: On all items; `None` without a base model.
        base: Accuracy of the base model on plain prompts, all items.
        margin: Drop, as a fraction, that counts as one.
        chance: Accuracy of guessing.
        n_items: Number of items.
        rungs: What came back at each rung of which a cell passed its control, lowest first.
        transforms: Every transform and edit, on all its items.
        as_trained: The wrapping of the training data, on all items, where one is known.
        not_tried: Rungs and cells that could not be run.
        alpha: Two-sided error of the intervals on all items: less than `ALPHA` where the audit
            looks several times.
        looked: Whether it does.
        up_to: The highest rung that may be climbed; `None` where none can be, as in logs.
    """

    drop: Estimate | None
    base: Estimate | None
    margin: float
    chance: float
    n_items: int
    rungs: Sequence[RungResult]
    transforms: Sequence[TransformResult]
    as_trained: AsTrainedResult | None = None
    not_tried: Sequence[NotTried] = ()
    alpha: float = ALPHA
    looked: bool = False
    up_to: Rung | None = None

    @property
    def passed(self) -> list[TransformResult]:
        """The transforms and edits that passed their control."""
        return [result for result in self.transforms if result.control_passed]

    @property
    def hopes(self) -> list[Estimate | None]:
        """Every contrast that must be below 0 before an ability is *gone*; `None` is unknown."""
        hopes = [result.returned_quarter for result in self.passed]
        hopes += [result.reached_quarter for result in self.passed]
        if self.as_trained is not None:
            hopes.append(self.as_trained.returned_quarter)
        return hopes

    @property
    def telling(self) -> bool:
        """Whether anything passed its control that may say what is *not* there.

        Noise may bring an ability back, but is no more likely to than to harm it: where it doesn't,
        it says nothing by itself.
        """
        return any(result.rung != "noise" for result in self.passed)

    @property
    def gone(self) -> bool:
        """Whether a drop above the margin surely comes back by less than a quarter anywhere."""
        return (
            self.drop is not None
            and self.drop.low > self.margin
            and self.telling
            and all(hope is not None and hope.high < 0 for hope in self.hopes)
        )

    @property
    def relearnt(self) -> bool:
        """Whether a training passed its control: without one, what is gone is only *lost*."""
        return any(result.rung in RELEARNING for result in self.passed)

    @property
    def may_relearn(self) -> bool:
        """Whether relearning was not asked for, and nothing shows that it couldn't be tried.

        Where a whole rung below it can't be, as the weights can't be changed, it can't be, either.
        """
        whole = any(not cell.name for cell in self.not_tried)
        return self.up_to is not None and self.up_to not in RELEARNING and not whole

    @property
    def barren(self) -> list[Rung]:
        """Rungs of which cells were tried, and none passed its control."""
        tried = {result.rung for result in self.transforms}
        return [rung for rung in RUNGS if rung in tried - {cell.rung for cell in self.passed}]

    @property
    def absent(self) -> bool:
        """Whether the base model can't be said to have the ability: nothing to lose."""
        return self.base is not None and (
            self.base.low <= self.chance or self.base.estimate < self.chance + self.margin
        )

    @property
    def never_there(self) -> bool:
        """Whether the base model surely has less than the margin of it."""
        return self.base is not None and self.base.high < self.chance + self.margin

    @property
    def there_as_trained(self) -> bool:
        """Whether a drop above the margin is gone where the model is asked as it was trained."""
        cell = self.as_trained
        if self.drop is None or cell is None or cell.recovery is None:
            return False
        remaining, beyond = cell.remaining, cell.beyond_quarter
        gone = (remaining is not None and remaining.high < self.margin) or (
            beyond is not None and beyond.high < 0
        )
        return (
            self.drop.low > self.margin
            and gone
            and cell.recovery.low > 0
            and cell.p_adjusted < self.alpha
        )

    @property
    def back(self) -> RungResult | None:
        """The lowest rung at which some of the drop surely came back untaught."""
        return self._returned(informative=False)

    @property
    def taught(self) -> RungResult | None:
        """The lowest rung at which some of the drop surely came back, and may have been taught."""
        return self._returned(informative=True)

    def _returned(self, *, informative: bool) -> RungResult | None:
        for rung in self.rungs:
            if (
                (rung.rung in INFORMATIVE) == informative
                and rung.recovery is not None
                and lower_of(rung.gain, rung.recovery) > 0
                and rung.tuned.low > self.chance
            ):
                return rung
        return None


def leading(rungs: Sequence[RungResult], decided: Rung | None) -> RungResult | None:
    """Return the rung to name: the one that decided, or else the surest."""
    at = [rung for rung in rungs if rung.rung == decided] or rungs
    return max(at, key=lambda rung: lower_of(rung.gain, rung.recovery), default=None)
