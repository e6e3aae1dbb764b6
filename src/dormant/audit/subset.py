"""A finished run, judged once more on fewer of its items or up to a lower rung: nothing is scored.

What an audit of fewer items would have said is in the records of a larger one: items are drawn
without regard to their outcomes, and each is scored by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from dormant.audit.finished import plans_of, settings_of
from dormant.audit.judge import judge
from dormant.audit.ladder import is_open
from dormant.audit.plan import Plan
from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError
from dormant.results import (
    PLAIN,
    RUNGS,
    AbilityResult,
    AuditResults,
    Comparability,
    Comparison,
    NotTried,
    Rung,
    rungs_up_to,
)
from dormant.tasks.task import in_random_order


def judge_subset(
    path: Path, *, n: int | None = None, evidence: Rung | None = None, seed: int = 0
) -> AuditResults:
    """Judge a finished run as if it had had fewer items, or fewer rungs.

    An ability climbs as it would have climbed then: a rung counts where those below it leave the
    ability open. Where it would have climbed further than the run did, it stays open at the
    highest rung whose cells there are. What the training data taught (`skill`) and what wrong
    answers say of it are left out.

    Args:
        path: The run directory.
        n: Items an ability, of those of the run; `None` takes all. Fewer are among more.
        evidence: The highest rung; `None` means the run's own.
        seed: Decides which items.

    Raises:
        DormantError: The run hasn't finished, has fewer items or no such rung, or a task's file
            has changed since.
    """
    run = RunDirectory.read(path)
    results = run.results()
    highest = cast("Rung", results.settings.get("evidence", RUNGS[0]))
    up_to = evidence or highest
    if RUNGS.index(up_to) > RUNGS.index(highest):
        raise DormantError(
            f"{path} was run with --evidence {highest}: there is nothing of {up_to} in it"
        )
    settings = settings_of(run)
    seen = Comparison(effect=results.effect, comparability=results.comparability or Comparability())

    def judged(plans: Sequence[Plan], left_out: Mapping[str, Sequence[NotTried]]) -> AuditResults:
        warnings = list(results.warnings)
        return judge(settings, plans, run, seen, warnings, None, left_out, up_to)

    found = {ability.task: ability for ability in results.abilities}
    chosen: list[Plan] = []
    not_tried: dict[str, list[NotTried]] = {}
    for whole in plans_of(run, settings, found):
        task = whole.task.name
        few = whole if n is None else _on(whole, drawn(task, [*whole.cells[PLAIN].cases], n, seed))
        reached = _up_to(few, RUNGS[0])
        for rung in rungs_up_to(up_to):
            reached = _up_to(few, rung)
            not_tried[task] = _left_out(found[task], rung)
            if not is_open(judged([reached], not_tried).abilities[0]):
                break
        chosen.append(reached)
    again = judged(chosen, not_tried)
    changed = again.settings if n is None else again.settings | {"n": n, "subset_seed": seed}
    return again.model_copy(update={"settings": changed})


def drawn(task: str, items: Sequence[str], n: int, seed: int = 0) -> list[str]:
    """Draw some of a run's items, in their order; fewer are among more.

    Args:
        task: The ability's name.
        items: The run's.
        n: How many.
        seed: Decides which.

    Raises:
        DormantError: There are fewer.
    """
    if not 1 <= n <= len(items):
        raise DormantError(f"{task} has {len(items)} items in this run: ask for 1 to {len(items)}")
    chosen = set(in_random_order(items, f"subset/{seed}/{task}")[:n])
    return [item for item in items if item in chosen]


def _on(plan: Plan, items: Sequence[str]) -> Plan:
    chosen = set(items)
    return replace(plan, cells={name: cell.only(chosen) for name, cell in plan.cells.items()})


def _up_to(plan: Plan, rung: Rung) -> Plan:
    """Return a plan without the cells of rungs above one."""
    cells = {
        name: cell
        for name, cell in plan.cells.items()
        if RUNGS.index(plan.rungs.get(name, RUNGS[0])) <= RUNGS.index(rung)
    }
    return replace(plan, cells=cells)


def _left_out(ability: AbilityResult, rung: Rung) -> list[NotTried]:
    return [one for one in ability.not_tried if RUNGS.index(one.rung) <= RUNGS.index(rung)]
