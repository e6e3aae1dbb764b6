"""Abilities to audit, by name."""

from __future__ import annotations

from collections.abc import Sequence

from dormant.errors import unknown
from dormant.language.tasks import icl, icl_vs_if
from dormant.language.tasks.task import Task, draw_items

__all__ = ["Task", "draw_items", "get", "shipped"]


def shipped() -> dict[str, Task]:
    """Return every task that comes with Dormant, by name."""
    tasks: tuple[Task, ...] = (*icl_vs_if.TASKS, *icl.TASKS)
    return {task.name: task for task in tasks}


def get(names: Sequence[str]) -> list[Task]:
    """Return the tasks that `names` stand for, each once, in order.

    Args:
        names: Abilities ("icl/copy") or groups ("icl").

    Raises:
        DormantError: A name is unknown; the nearest is suggested.
    """
    known = shipped()
    groups = {name.split("/")[0] for name in known}
    found: dict[str, Task] = {}
    for name in names:
        if name in groups:
            found |= {
                task.name: task for task in known.values() if task.name.startswith(f"{name}/")
            }
        elif name in known:
            found[name] = known[name]
        else:
            raise unknown("task", name, [*known, *groups])
    return list(found.values())
