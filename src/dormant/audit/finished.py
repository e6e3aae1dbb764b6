"""What a finished run was: its settings, and its plans made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from dormant import tasks
from dormant.audit.kept_plan import known_plan
from dormant.audit.plan import Plan, plan
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.prompts.case import Style
from dormant.results import AS_TRAINED, PLAIN, RUNGS, AbilityResult
from dormant.tasks.custom import Examples
from dormant.tasks.plain_language import asked_in
from dormant.tasks.task import Task


def settings_of(run: RunDirectory) -> AuditSettings:
    """Return the settings that a run was made with."""
    recorded: Mapping[str, Any] = run.manifest["settings"]
    return AuditSettings.model_validate(
        {name: value for name, value in recorded.items() if name in AuditSettings.model_fields}
    )


def _put_as(task: Task, version: str) -> Task:
    """Return a task as it was put to the models: examples, raw or in their chat templates."""
    if isinstance(task, Examples):
        for style in get_args(Style):
            if (put := task.asked(style, "asked as the run did")).version == version:
                return put
    return task


def plans_of(
    run: RunDirectory, settings: AuditSettings, found: Mapping[str, AbilityResult]
) -> list[Plan]:
    """Return a finished run's plans, with the cells of all rungs that were tried.

    Args:
        run: The run.
        settings: Its settings.
        found: Its abilities by name.

    Raises:
        DormantError: A task's items have changed since.
    """
    versions: Mapping[str, str] = run.manifest["settings"]["task_versions"]
    chosen = asked_in(tasks.get(settings.tasks), settings.plain)
    named = [_put_as(task, versions[task.name]) for task in chosen if task.name in found]
    for task in named:
        if task.version != versions[task.name]:
            raise DormantError(
                f"{run.path}: task {task.name} was version {versions[task.name]}, and is "
                f"{task.version}: the records are of other prompts"
            )
    known = known_plan(run.path, settings, named)
    plans: list[Plan] = []
    for task in named:
        made = plan(task, settings, None, known)
        ability, plain = found[task.name], made.cells[PLAIN]
        higher = {one.name: one.rung for one in ability.transforms if one.rung != RUNGS[0]}
        added = [(one.name, one.signature) for one in ability.transforms if one.name in higher]
        if ability.as_trained is not None:
            added.append((AS_TRAINED, ability.as_trained.signature))
        cells = {name: replace(plain, signature=signature) for name, signature in added}
        plans.append(replace(made, cells=made.cells | cells, rungs=higher))
    return plans
