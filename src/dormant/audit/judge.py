"""From a finished run's outcomes to its verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dormant.audit.plan import Plan
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.results import PLAIN, AbilityResult, AuditResults
from dormant.statistics import Success, Successes, judge_ability, plain_cells, transform_cells


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

    def read(name: str) -> tuple[list[str], Successes, Successes | None]:
        """Return a cell's items, and the outcomes of the tuned model and of the base."""
        items = list(ability.cells[name].cases)
        tuned = _successes(run, CellKey("tuned", task.name, name), items)
        if settings.base is None:
            return items, tuned, None
        return items, tuned, _successes(run, CellKey("base", task.name, name), items)

    return judge_ability(
        task.name,
        plain_cells(*read(PLAIN)),
        [
            transform_cells(
                name,
                *read(name),
                signature=cell.signature,
                excluded=cell.excluded.values(),
                fidelity=cell.fidelity,
            )
            for name, cell in ability.cells.items()
            if name != PLAIN
        ],
        title=task.title,
        margin=settings.margin,
        chance=task.chance,
        seed=settings.seed,
    )


def _successes(run: RunDirectory, cell: CellKey, items: Iterable[str]) -> Successes:
    """Read what the verdict needs of a cell: two numbers an item.

    Raises:
        DormantError: An item was not scored.
    """
    successes = {
        outcome.item: Success(outcome.correct, outcome.log_odds) for outcome in run.outcomes(cell)
    }
    missing = [item for item in items if item not in successes]
    if missing:
        raise DormantError(
            f"{run.cell_file(cell)}: {len(missing)} items are missing, {missing[0]} first; "
            "start the run again to score them"
        )
    return successes
