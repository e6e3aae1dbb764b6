"""Several children of one base: the course of each ability, and which child to keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dormant.results import AbilityResult, AuditResults, Verdict
from dormant.results.timeline import ChildRun, Course, Point

BEYOND: frozenset[Verdict] = frozenset({"lost", "forgotten"})
"""Nothing that was tried brought it back."""
BENEATH: frozenset[Verdict] = frozenset({"suppressed", "asked otherwise"})
"""Plain prompts lost it, and something brought it back."""

RULE = "fewest abilities lost or forgotten, then fewest suppressed or asked otherwise, then latest"
"""Which child is kept: among those that learned their skill, where any did."""


def courses(children: Sequence[ChildRun], found: Mapping[str, AuditResults]) -> list[Course]:
    """Follow each ability over the children.

    Each verdict holds at its own level. That several are read in a row is not corrected for, so
    the first child with a verdict is where that was first seen, no estimate of when it began.

    Args:
        children: In order.
        found: What was found of each, by name; those that could not be audited are missing.
    """
    audited = [child.name for child in children if child.name in found]
    tasks = dict.fromkeys(one.task for name in audited for one in found[name].abilities)
    return [_course(task, audited, found) for task in tasks]


def keep(children: Sequence[ChildRun], found: Mapping[str, AuditResults]) -> tuple[str | None, str]:
    """Choose the child to keep, by `RULE`.

    Args:
        children: In order.
        found: What was found of each, by name.

    Returns:
        Its name, and the reason; no name where nothing was audited, or no ability in all. Only
        abilities that all were asked count.
    """
    audited = [child for child in children if child.name in found]
    if not audited:
        return None, "No model was audited."
    # Who was asked less has lost less.
    asked = [{one.task for one in found[child.name].abilities} for child in audited]
    shared, every = set.intersection(*asked), set.union(*asked)
    if not shared:
        return None, "There is no ability that all of them were asked, so none can be preferred."
    abilities_of = {
        child.name: [one for one in found[child.name].abilities if one.task in shared]
        for child in audited
    }
    learned = [child for child in audited if child.skill == "learned"]
    chosen = min(reversed(learned or audited), key=lambda child: _losses(abilities_of[child.name]))
    abilities = abilities_of[chosen.name]
    beyond, beneath = _losses(abilities)
    open_ = sum(one.verdict == "inconclusive" for one in abilities)
    among = f"{len(learned)} that learned the skill" if learned else f"{len(audited)} audited"
    own = f"its {len(abilities)} abilities"
    if shared != every:
        own = f"the {len(abilities)} of {len(every)} abilities that all were asked"
    reason = (
        f"Of {among}: {RULE}. Of {own} {beyond} are lost or forgotten, "
        f"{beneath} suppressed or asked otherwise, {open_} inconclusive."
    )
    if not learned:
        measured = any(child.skill is not None for child in audited)
        reason += (
            " None of them surely learned the skill."
            if measured
            else " No skill was measured (--skill): whether it learned anything isn't known."
        )
    return chosen.name, reason


def _losses(abilities: Sequence[AbilityResult]) -> tuple[int, int]:
    verdicts = [one.verdict for one in abilities]
    return (
        sum(verdict in BEYOND for verdict in verdicts),
        sum(verdict in BENEATH for verdict in verdicts),
    )


def _course(task: str, audited: Sequence[str], found: Mapping[str, AuditResults]) -> Course:
    by_child = {name: one for name in audited for one in found[name].abilities if one.task == task}
    verdicts = [(name, one.verdict) for name, one in by_child.items()]
    losses = [place for place, (_, verdict) in enumerate(verdicts) if verdict in BEYOND | BENEATH]
    after = verdicts[losses[0] :] if losses else []
    return Course(
        task=task,
        title=next(iter(by_child.values())).title,
        points=[_point(name, one) for name, one in by_child.items()],
        suppressed_at=next((name for name, verdict in verdicts if verdict == "suppressed"), None),
        beyond_at=next((name for name, verdict in verdicts if verdict in BEYOND), None),
        back_at=next((name for name, verdict in after if verdict == "retained"), None),
    )


def _point(child: str, one: AbilityResult) -> Point:
    return Point(
        child=child,
        verdict=one.verdict,
        rung=one.rung,
        n_items=one.n_items,
        base=one.accuracy_intervals.base_plain,
        tuned=one.accuracy_intervals.tuned_plain,
        drop=one.drop,
        best_transform=one.best_transform,
        gain=one.gain,
        recovery=one.recovery,
    )
