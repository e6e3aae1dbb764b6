"""What planning found out, kept in the run directory: a resumed run makes no text for it again.

Of each cell, ``plan.json`` says what came through its transform and what did not. It holds as long
as settings, tasks and code are those that it was made with; what decides whether a run may be
resumed at all (`dormant.audit.run_dir`) is looked at anew each time.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dormant.audit.plan import Known, KnownCell, Plan
from dormant.audit.settings import AuditSettings
from dormant.audit.transformed import Decided
from dormant.files import guarded, json_file, write_atomically
from dormant.rundirs import versions
from dormant.tasks.task import Task

_FILE = "plan.json"
_CODE = ("audit", "prompts", "tasks", "transforms", "translation")
"""Parts of this package that decide what planning finds out."""
_LIBRARIES = ("dormant", "regex", "sacrebleu", "py3langid")


def known_plan(out: Path, settings: AuditSettings, tasks: Sequence[Task]) -> Known:
    """Return what an earlier start in a run directory found out.

    Args:
        out: The run directory.
        settings: The audit's.
        tasks: Its tasks, the skill included.

    Returns:
        The cells; none where there are none, or they were made with other settings, tasks or code.
    """
    said = json_file(out / _FILE)
    if not said or said.get("made_with") != _made_with(settings, tasks):
        return {}
    try:
        return {
            task: {name: _cell(kept) for name, kept in cells.items()}
            for task, cells in said["cells"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}  # Damaged: it is made again.


def known_from(plans: Sequence[Plan]) -> Known:
    """Return what planning found out, for a process that is to plan the same."""
    return {
        ability.task.name: {
            name: KnownCell(Decided.of(cell), ability.sizes[name])
            for name, cell in ability.cells.items()
        }
        for ability in plans
    }


def keep_plan(out: Path, settings: AuditSettings, plans: Sequence[Plan]) -> None:
    """Keep what planning found out, unless it is there.

    Raises:
        DormantError: The disk is full or can't be written.
    """
    made_with = _made_with(settings, [ability.task for ability in plans])
    if json_file(out / _FILE).get("made_with") == made_with:
        return
    cells = {
        ability.task.name: {name: _kept(ability, name) for name in ability.cells}
        for ability in plans
    }
    body = json.dumps({"made_with": made_with, "cells": cells}, ensure_ascii=False)
    guarded(out, lambda: write_atomically(out / _FILE, body))


def _kept(ability: Plan, name: str) -> dict[str, Any]:
    return {**Decided.of(ability.cells[name])._asdict(), "sizes": ability.sizes[name]}


def _cell(kept: Mapping[str, Any]) -> KnownCell:
    decided = {name: kept[name] for name in Decided._fields}
    return KnownCell(Decided(**decided), [*map(int, kept["sizes"])])


def _made_with(settings: AuditSettings, tasks: Sequence[Task]) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "tasks": {task.name: task.version for task in tasks},
        "code": _code(),
        "versions": versions(*_LIBRARIES),
    }


@functools.cache
def _code() -> str:
    """Return a hash over the code that plans."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for part in _CODE:
        for file in sorted((root / part).rglob("*.py")):
            digest.update(f"{file.relative_to(root)}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
