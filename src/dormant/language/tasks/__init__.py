"""Abilities to audit, by name: the shipped ones, and those that a user brings.

A shipped ability or group is named as it is listed (`icl/copy`, `nli`). What a user brings is
named by where it is: `path/to/task.toml`, `nli:path=FILE`, `nli:hub=DATASET`,
`refusal:path=FILE`, `lm-eval:NAME` (a task of lm-evaluation-harness).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from dormant.errors import DormantError, unknown
from dormant.language.tasks import custom, data, icl, icl_vs_if, induction, nli, refusal
from dormant.language.tasks.task import Task, draw_items

__all__ = ["Task", "draw_items", "get", "shipped"]


_HARNESS = "lm-eval:"


def shipped() -> dict[str, Task]:
    """Return every task that comes with Dormant, by name."""
    tasks: tuple[Task, ...] = (
        *icl_vs_if.TASKS,
        *icl.TASKS,
        _recall(),
        *induction.TASKS,
        *nli.TASKS,
        *refusal.TASKS,
    )
    return {task.name: task for task in tasks}


@cache
def _recall() -> Task:
    """The ability that is shipped as a user would write it: one file."""
    return custom.read(data.SHIPPED / "recall" / "capital.toml")


def get(names: Sequence[str]) -> list[Task]:
    """Return the tasks that `names` stand for, each once, in order.

    Args:
        names: Abilities ("icl/copy"), groups ("icl"), or a user's own ("nli:path=FILE").

    Raises:
        DormantError: A name is unknown (the nearest is suggested), or what it names can't be
            read.
    """
    known = shipped()
    groups = {name.split("/")[0] for name in known}
    found: dict[str, Task] = {}
    for name in names:
        if name in groups:
            new = [task for task in known.values() if task.name.startswith(f"{name}/")]
        elif name in known:
            new = [known[name]]
        else:
            brought = _brought(name)
            if brought is None:
                raise unknown("task", name, [*known, *groups])
            new = brought
        for task in new:
            if found.setdefault(task.name, task) is not task:
                raise DormantError(f"two tasks are named {task.name!r}: rename a file")
    return list(found.values())


def _brought(name: str) -> list[Task] | None:
    """Return the tasks of a user's own data; `None` where the name is not of that kind."""
    if name.startswith(_HARNESS):
        from dormant.language.tasks import harness

        return [*harness.load(name.removeprefix(_HARNESS))]
    if name.endswith((".toml", ".jsonl")) and ":" not in name:
        return [custom.read(Path(name).expanduser())]
    match = re.fullmatch(r"([\w-]+)(/[\w-]+)?:(?:(\w+)=)?(.+)", name)
    if match is None or match[1] not in _READERS:
        return None
    kind, ability, option, value = match.groups()
    readers = _READERS[kind]
    if option not in readers:
        options = " or ".join(f"{kind}:{key}=…" for key in readers)
        raise DormantError(f"task {name!r}: write {options}")
    tasks = list(readers[option](value))
    chosen = [task for task in tasks if ability is None or task.name.endswith(ability)]
    if not chosen:
        raise unknown("ability", f"{kind}{ability}", [task.name for task in tasks])
    return chosen


def _nli_path(value: str) -> Sequence[Task]:
    from dormant.language.tasks import xnli

    return nli.with_source(xnli.from_path(Path(value).expanduser()))


def _nli_hub(value: str) -> Sequence[Task]:
    from dormant.language.tasks import xnli

    name, _, languages = value.partition("@")
    return nli.with_source(xnli.from_hub(name, languages.split("+") if languages else ()))


def _refusal_path(value: str) -> Sequence[Task]:
    return refusal.with_source(refusal.from_path(Path(value).expanduser()))


_READERS: Mapping[str, Mapping[str, Callable[[str], Sequence[Task]]]] = {
    "nli": {"path": _nli_path, "hub": _nli_hub},
    "refusal": {"path": _refusal_path},
}
"""What reads a user's data: kind of task, then option."""
