"""Did the skill arrive? The fine-tuned model against the base on what it was tuned on."""

from __future__ import annotations

from collections.abc import Sequence

from dormant.results import MARGIN, Estimate, SkillResult
from dormant.results.training import Learned
from dormant.statistics.cells import Successes
from dormant.statistics.intervals import (
    LEVEL,
    mcnemar_exact,
    mean_contrast,
    paired_difference,
    proportion,
)
from dormant.statistics.sequential import Looks


def judge_skill(
    task: str,
    items: Sequence[str],
    tuned: Successes,
    base: Successes | None,
    *,
    title: str = "",
    margin: float = MARGIN,
    looks: Looks | None = None,
) -> SkillResult:
    """Say by accuracy whether tuning taught a skill.

    *Learned*: the lower 95 % bound of accuracy(tuned) − accuracy(base) is above 0. *Not learned*:
    its upper bound is below the margin. Anything between is undecided.

    Args:
        task: Its name.
        items: The items, in order (n,).
        tuned: Outcomes of the fine-tuned model.
        base: Likewise of the base; without it there is nothing to compare with.
        title: One line for people.
        margin: Gain, as a fraction, that counts as one.
        looks: Where the skill is an ability that was audited until decided: its schedule.

    Raises:
        DormantError: No look is due at that many items.
    """
    after = [tuned[item].correct for item in items]
    before = None if base is None else [base[item].correct for item in items]
    level = LEVEL if looks is None else looks.nominal(len(items))
    gain = None if before is None else paired_difference(after, before, level=level)
    if gain is not None:
        gain = gain.model_copy(update={"level": LEVEL})
    verdict, reason = _decide(gain, margin, "points", 100)
    return SkillResult(
        task=task,
        title=title,
        verdict=verdict,
        reason=reason,
        n_items=len(items),
        measure="accuracy",
        base=None if before is None else proportion(before),
        tuned=proportion(after),
        gain=gain,
        p_value=None if before is None else mcnemar_exact(after, before),
    )


def judge_skill_by_likelihood(
    task: str,
    tuned: Sequence[float],
    base: Sequence[float] | None,
    *,
    title: str = "",
) -> SkillResult:
    """Say by log-probabilities whether tuning taught a skill, where answers are texts of their own.

    No model writes a held-out text word for word. *Learned*: the lower 95 % bound of the mean
    difference is above 0 (Student's t on paired items); *not learned*: its upper bound is not.

    Args:
        task: Its name.
        tuned: Log-probability of each right answer, nats a character (n,), n ≥ 2.
        base: Likewise by the base, in the same order.
        title: One line for people.
    """
    gain = None if base is None else mean_contrast(tuned, base, weights=(1, -1))
    verdict, reason = _decide(gain, 0.0, "nats a character", 1)
    return SkillResult(
        task=task,
        title=title,
        verdict=verdict,
        reason=reason,
        n_items=len(tuned),
        measure="log-probability",
        base=None if base is None else mean_contrast(base, weights=(1,)),
        tuned=mean_contrast(tuned, weights=(1,)),
        gain=gain,
    )


def _decide(gain: Estimate | None, margin: float, unit: str, scale: float) -> tuple[Learned, str]:
    if gain is None:
        return "undecided", "Without a base model nothing says what the skill was before tuning."
    digits = 0 if scale > 1 else 3

    def number(value: float) -> str:
        return f"{scale * value:.{digits}f}".replace("-", "\N{MINUS SIGN}")

    change = f"{number(gain.estimate)} {unit} ({number(gain.low)} to {number(gain.high)})"
    if gain.low > 0:
        return "learned", f"Tuning changed it by {change}: the lower 95% bound is above 0."
    if gain.high <= margin:
        bound = f"the margin of {number(margin)} {unit}" if margin else "0"
        return (
            "not learned",
            f"Tuning changed it by {change}: the upper 95% bound is below {bound}.",
        )
    return "undecided", (
        f"Tuning changed it by {change}: more items would say whether it was learnt."
    )
