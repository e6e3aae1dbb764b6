"""The rules: from estimates to a verdict, a reason, and how many items would decide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from dormant.results import (
    RUNGS,
    AsTrainedResult,
    Estimate,
    NotTried,
    Rung,
    TransformResult,
    Verdict,
)
from dormant.statistics.intervals import LEVEL

ALPHA = 1 - LEVEL
LEFT_OVER = 0.25
"""Share of a drop that may be left where the rest comes back as trained."""
_BOUND = f"{100 * LEVEL:g}% bound"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a verdict depends on.

    Attributes:
        drop: On all items; `None` without a base model.
        base: Accuracy of the base model on plain prompts, all items.
        margin: Drop, as a fraction, that counts as one.
        chance: Accuracy of guessing.
        n_items: Number of items.
        best: The transform chosen on one half of the items.
        gain: Its gain on the other half.
        recovery: Its recovery on the other half.
        transforms: Every transform, on all its items.
        as_trained: The wrapping of the training data, on all items, where one is known.
        not_tried: Rungs and cells that could not be run.
    """

    drop: Estimate | None
    base: Estimate | None
    margin: float
    chance: float
    n_items: int
    best: TransformResult | None
    gain: Estimate | None
    recovery: Estimate | None
    transforms: Sequence[TransformResult]
    as_trained: AsTrainedResult | None = None
    not_tried: Sequence[NotTried] = ()

    @property
    def passed(self) -> list[TransformResult]:
        """The transforms that passed their control."""
        return [result for result in self.transforms if result.control_passed]

    @property
    def hopes(self) -> list[Estimate]:
        """Every gain that would speak against *forgotten*."""
        gains = [result.gain for result in self.passed]
        return gains if self.as_trained is None else [*gains, self.as_trained.gain]

    @property
    def absent(self) -> bool:
        """Whether the base model can't be said to have the ability: nothing to lose."""
        return self.base is not None and (
            self.base.low <= self.chance or self.base.estimate < self.chance + self.margin
        )

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
            and cell.p_adjusted < ALPHA
        )


def rung_of(verdict: Verdict, evidence: Evidence) -> Rung | None:
    """Return the rung that decided: where the ability came back, or up to which it did not."""
    if verdict == "suppressed" and evidence.best is not None:
        return evidence.best.rung
    if verdict == "forgotten":
        return RUNGS[max(RUNGS.index(cell.rung) for cell in evidence.passed)]
    return None


def decide(evidence: Evidence) -> tuple[Verdict, str]:
    """Return the verdict and why: one sentence, and one more where something was not tried.

    The rules are in the package's docstring. One more: where the base model scarcely has the
    ability (not above chance, or by less than the margin), "retained" would be vacuous, so the
    verdict is inconclusive, even where tuning raised the accuracy.
    """
    verdict, reason = _decide(evidence)
    # Of what was retained, or came back, nothing more needs to be tried.
    open_end = verdict in ("forgotten", "inconclusive")
    return verdict, f"{reason}{_not_tried(evidence.not_tried) if open_end else ''}"


def _not_tried(missing: Sequence[NotTried]) -> str:
    if not missing:
        return ""
    parts = (f"{cell.name or f'the {cell.rung} rung'} ({cell.reason})" for cell in missing)
    return f" Not tried: {', '.join(parts)}."


def _decide(evidence: Evidence) -> tuple[Verdict, str]:
    drop, margin = evidence.drop, evidence.margin
    gain, recovery, best = evidence.gain, evidence.recovery, evidence.best
    if drop is None:
        if best is None or gain is None:
            return "inconclusive", "Without a base model there is no drop to judge."
        return "inconclusive", (
            f"Without a base model there is no drop to judge; under {best.name} the model gains "
            f"{_points(gain)} on held-out items, which may mean only that it is easier there."
        )
    if drop.high < margin:
        if evidence.absent:
            change = f"; tuning changed accuracy by {_points(_negative(drop))}"
            return "inconclusive", (
                f"The base model scarcely has this ability ({percent(evidence.base)}), so there is "
                f"nothing to retain or to lose{change if drop.high < 0 else ''}."
            )
        change = "The drop" if drop.high >= 0 else "Accuracy did not drop: the change"
        return "retained", (
            f"{change} is {_points(drop)}, and its upper {_BOUND} is below the margin of "
            f"{_number(margin)}."
        )
    if drop.low <= 0:
        return "inconclusive", (
            f"The drop is {_points(drop)}: its lower {_BOUND} is not above 0, and its upper one "
            f"not below the margin of {_number(margin)}."
        )
    fell = f"Accuracy fell by {_points(drop)}"
    trained = evidence.as_trained
    if evidence.there_as_trained and trained is not None and trained.remaining is not None:
        return "asked otherwise", (
            f"{fell} on plain prompts; in the wrapping of the training data the fine-tuned model "
            f"gains {_points(trained.gain)}, and what is left of the drop is "
            f"{_points(trained.remaining)}."
        )
    if trained is not None and trained.gain.low > 0:
        fell += f" (as trained, the fine-tuned model gains {_points(trained.gain)})"
    if best is None or gain is None or recovery is None:
        lacking = "passed its control" if evidence.transforms else "was tried"
        return "inconclusive", (
            f"{fell}, but no transform {lacking}, so nothing says whether the ability is still "
            "there."
        )
    if gain.low > 0 and recovery.low > 0 and best.p_adjusted < ALPHA:
        return "suppressed", (
            f"{fell}; under {best.name}, on held-out items, the fine-tuned model gains "
            f"{_points(gain)}, and the drop is smaller by {_points(recovery)}: both lower "
            f"{_BOUND}s are above 0."
        )
    if drop.low > margin and all(gain.high < margin for gain in evidence.hopes):
        also = "" if trained is None else " and as trained"
        return "forgotten", (
            f"{fell}, with a lower {_BOUND} above the margin of {_number(margin)}; under every "
            f"transform that passed its control ({len(evidence.passed)}){also}, the gain's upper "
            f"{_BOUND} is below the margin."
        )
    return "inconclusive", (
        f"{fell}, but whether a transform brings it back is undecided: under {best.name}, on "
        f"held-out items, the gain is {_points(gain)} and the recovery {_points(recovery)}."
    )


def items_needed(evidence: Evidence) -> int | None:
    """Return about how many items would have decided an inconclusive verdict.

    An interval's half-width shrinks with 1/√n. So with the point estimates as they are, a bound
    at distance w from an estimate that lies d on the right side of its threshold would have been
    decided by n (w/d)² items. A verdict needs the most demanding of its bounds; the answer is for
    the verdict that needs fewest, rounded up to two digits. New items bring new estimates, so the
    chance that this many decide is about one half to begin with, and better with more.

    Returns:
        The number of items, or `None` where no verdict is within reach of the estimates as they
        are (or of any number of items: no base model, no control passed).
    """
    drop, margin, n = evidence.drop, evidence.margin, evidence.n_items
    if drop is None:
        return None

    def above(estimate: Estimate, threshold: float) -> float:
        return _factor(estimate.estimate - threshold, estimate.estimate - estimate.low)

    def below(estimate: Estimate, threshold: float) -> float:
        return _factor(threshold - estimate.estimate, estimate.high - estimate.estimate)

    factors = [math.inf if evidence.absent else below(drop, margin)]
    best, gain, recovery = evidence.best, evidence.gain, evidence.recovery
    if best is not None and gain is not None and recovery is not None:
        tested = _test_factor(best.p_value, best.p_adjusted)
        factors.append(max(above(drop, 0), above(gain, 0), above(recovery, 0), tested))
        factors.append(max(above(drop, margin), *(below(gain, margin) for gain in evidence.hopes)))
    trained = evidence.as_trained
    if (
        trained is not None
        and trained.recovery is not None
        and trained.remaining is not None
        and trained.beyond_quarter is not None
    ):
        gone = min(below(trained.remaining, margin), below(trained.beyond_quarter, 0))
        tested = _test_factor(trained.p_value, trained.p_adjusted)
        factors.append(max(above(drop, margin), gone, above(trained.recovery, 0), tested))
    factor = min(factors)
    if not math.isfinite(factor):
        return None
    needed = max(n * factor, n + 1)
    unit = 10 ** max(math.floor(math.log10(needed)) - 1, 0)
    return math.ceil(needed / unit) * unit


def _factor(distance: float, half_width: float) -> float:
    return (half_width / distance) ** 2 if distance > 0 else math.inf


def _test_factor(p_value: float, p_adjusted: float) -> float:
    """The same for a test: its z grows with √n, and Holm's factor stays as it is."""
    if p_adjusted < ALPHA:
        return 0.0
    observed = -float(special.ndtri(p_value))
    wanted = -float(special.ndtri(ALPHA * p_value / p_adjusted))
    return _factor(observed, wanted)


def _number(fraction: float) -> str:
    rounded = f"{100 * fraction:.0f}" if abs(fraction) >= 0.1 else f"{100 * fraction:.1f}"
    rounded = rounded.removesuffix(".0")
    text = "0" if rounded == "-0" else rounded.replace("-", "\N{MINUS SIGN}")
    return f"{text} points"


def _negative(estimate: Estimate) -> Estimate:
    return Estimate(estimate=-estimate.estimate, low=-estimate.high, high=-estimate.low)


def _points(estimate: Estimate) -> str:
    low, high = (_number(bound).removesuffix(" points") for bound in (estimate.low, estimate.high))
    return f"{_number(estimate.estimate)} ({low} to {high})"


def percent(estimate: Estimate | None) -> str:
    """Write an accuracy for a reason: "83%"."""
    return "unknown" if estimate is None else f"{100 * estimate.estimate:.0f}%"
