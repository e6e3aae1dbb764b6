"""From a finished run's outcomes to its verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dormant.audit.plan import Plan
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.load import Which
from dormant.results import PLAIN, AbilityResult, AuditResults
from dormant.statistics import PlainCells, TransformCells, judge_ability


def judge(
    settings: AuditSettings, plans: Sequence[Plan], run: RunDirectory, warnings: list[str]
) -> AuditResults:
    """Turn a finished run's outcomes into verdicts, one ability in memory at a time."""
    return AuditResults(
        base=settings.base,
        tuned=settings.tuned,
        settings={**run.manifest["settings"], **run.notes()},
        versions=dict(run.manifest["versions"]),
        abilities=[_judge_plan(settings, ability, run) for ability in plans],
        warnings=warnings,
    )


def _judge_plan(settings: AuditSettings, ability: Plan, run: RunDirectory) -> AbilityResult:
    task = ability.task
    two_cells = settings.base is None

    def read(which: Which, name: str) -> _Column:
        return _column(run, CellKey(which, task.name, name), list(ability.cells[name].cases))

    transforms: list[TransformCells] = []
    for name, cell in ability.cells.items():
        if name == PLAIN:
            continue
        tuned, base = read("tuned", name), None if two_cells else read("base", name)
        transforms.append(
            TransformCells(
                name=name,
                signature=cell.signature,
                items=list(cell.cases),
                tuned=tuned.correct,
                base=base.correct if base else None,
                tuned_log_odds=tuned.log_odds,
                base_log_odds=base.log_odds if base else None,
                exclusions=Counter(cell.excluded.values()),
                fidelity=cell.fidelity,
            )
        )
    tuned, base = read("tuned", PLAIN), None if two_cells else read("base", PLAIN)
    plain = PlainCells(
        items=list(ability.cells[PLAIN].cases),
        tuned=tuned.correct,
        base=base.correct if base else None,
        tuned_log_odds=tuned.log_odds,
        base_log_odds=base.log_odds if base else None,
    )
    return judge_ability(
        task.name,
        plain,
        transforms,
        title=task.title,
        margin=settings.margin,
        chance=task.chance,
        seed=settings.seed,
    )


@dataclass(frozen=True)
class _Column:
    """One cell's outcomes, in the order of its items."""

    correct: list[bool]
    log_odds: list[float] | None


def _column(run: RunDirectory, cell: CellKey, items: Sequence[str]) -> _Column:
    found = {outcome.item: (outcome.correct, outcome.log_odds) for outcome in run.outcomes(cell)}
    missing = [item for item in items if item not in found]
    if missing:
        raise DormantError(
            f"{run.cell_file(cell)}: {len(missing)} items are missing, {missing[0]} first; "
            "start the run again to score them"
        )
    odds = [found[item][1] for item in items]
    return _Column(
        correct=[found[item][0] for item in items],
        log_odds=None if any(o is None for o in odds) else [o for o in odds if o is not None],
    )
