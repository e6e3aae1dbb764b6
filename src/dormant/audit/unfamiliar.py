"""Answers on whose labels nobody can rely: they are like none that the labels were learnt from."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from dormant.audit.plan import Plan, cells
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.models.pair import Which

FEW = 1 / 4
"""Share of a model's answers to an ability that may be unfamiliar without a word."""
_NAMES: dict[Which, str] = {"base": "the base's", "tuned": "the fine-tuned model's"}


def unfamiliar(plans: Sequence[Plan], settings: AuditSettings, run: RunDirectory) -> list[str]:
    """Say of which models' answers the labels are not to be relied on, a line an ability.

    Args:
        plans: The audit's, all of whose cells are on disk.
        settings: The audit's.
        run: Its directory.

    Raises:
        DormantError: A record is damaged.
    """
    seen: dict[tuple[str, Which], Counter[bool]] = {}
    for key, _ in cells(settings, [plan for plan in plans if plan.task.measure == "generate"]):
        count = seen.setdefault((key.task, key.model), Counter())
        count.update(one.familiar for one in run.outcomes(key) if one.familiar is not None)
    lines: dict[str, list[str]] = {}
    look = f"dormant task label {shlex.quote(str(run.path))} --page label.html"
    for (task, model), count in seen.items():
        if count[False] > FEW * count.total():
            lines.setdefault(task, []).append(
                f"{count[False]} of {_NAMES[model]} {count.total()} answers"
            )
    return [
        f"{task}: {' and '.join(parts)} are unlike all that its labels were learnt from, so labels "
        f"may be wrong: read some (`{look}`, of a run with --keep-generations)"
        for task, parts in lines.items()
    ]
