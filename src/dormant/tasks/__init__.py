"""Abilities to audit, by name: the shipped ones, and those that a user brings.

A shipped ability or group is named as it is listed (`icl/copy`, `nli`). What a user brings is
named by where it is: `path/to/task.toml`, `examples.jsonl`, `nli:path=FILE`, `nli:hub=DATASET`,
`refusal:path=FILE`, `refusal/answers:path=FILE`, `lm-eval:NAME` (a task of
lm-evaluation-harness). Other packages add theirs through the entry point group `dormant.tasks`
(`dormant.extend`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

from dormant import extend
from dormant.errors import DormantError, unknown
from dormant.tasks import custom, data, everyday, icl, icl_vs_if, induction, nli, refusal, rules
from dormant.tasks.task import Task, check_judge, draw_items

__all__ = ["Task", "draw_items", "get", "names", "shipped"]


_HARNESS = "lm-eval:"
_FILE = r"([^:]+\.(?:toml|jsonl|json|csv|tsv|parquet))(?:@([\w=-]*))?"
"""A file of a user's own, and perhaps how its answers are judged."""


def shipped() -> dict[str, Task]:
    """Return every task that comes with Dormant, by name."""
    tasks: tuple[Task, ...] = (
        *icl_vs_if.TASKS,
        *icl.TASKS,
        *rules.TASKS,
        _recall(),
        *induction.TASKS,
        *nli.TASKS,
        *refusal.TASKS,
        *everyday.TASKS,
    )
    return {task.name: task for task in tasks}


def names() -> list[str]:
    """Return the names of all abilities, those of other packages included."""
    return [*shipped(), *extend.installed("dormant.tasks")]


@cache
def _added(entry: EntryPoint) -> Task:
    """Make what an entry point names.

    Raises:
        DormantError: It can't be loaded, or is no task of that name.
    """
    made = extend.load(entry)()
    if not isinstance(made, Task) or made.name != entry.name:
        got = f"the task {made.name!r}" if isinstance(made, Task) else f"a {type(made).__name__}"
        raise DormantError(f"{entry.value} made {got}, not a task named {entry.name!r}")
    check_judge(made)
    return made


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
    ours, added = shipped(), extend.installed("dormant.tasks")
    chosen: dict[str, Task] = {}
    for name in names:
        # A group of ours stays as it is, whatever else is installed.
        if within := _within(name, ours):
            new = [ours[ability] for ability in within]
        elif within := _within(name, added):
            new = [_added(added[ability]) for ability in within]
        else:
            brought = _brought(name)
            if brought is None:
                every = (*ours, *added)
                raise unknown("task", name, {*every, *(ability.split("/")[0] for ability in every)})
            new = brought
        for task in new:
            if chosen.setdefault(task.name, task) is not task:
                raise DormantError(f"two tasks are named {task.name!r}: rename a file")
    return list(chosen.values())


def _within(name: str, known: Iterable[str]) -> list[str]:
    """Return the ability of that name, or all of the group of that name."""
    return [full for full in known if full == name or full.startswith(f"{name}/")]


def _brought(name: str) -> list[Task] | None:
    """Return the tasks of a user's own data; `None` where the name is not of that kind."""
    if name.startswith(_HARNESS):
        from dormant.tasks import harness

        return [*harness.load(name.removeprefix(_HARNESS))]
    if match := re.fullmatch(_FILE, name):
        return [custom.read(Path(match[1]).expanduser(), match[2] or "")]
    match = re.fullmatch(r"([\w-]+)(/[\w-]+)?:(?:(\w+)=)?(.+)", name)
    if match is None or match[1] not in _READERS:
        return None
    kind, ability, option, value = match.groups()
    readers = _READERS[kind]
    if option not in readers:
        options = " or ".join(f"{kind}:{key}=…" for key in readers)
        raise DormantError(f"task {name!r}: write {options}")
    tasks = list(readers[option](value, ability.removeprefix("/") if ability else None))
    chosen = [task for task in tasks if ability is None or task.name.endswith(ability)]
    if not chosen:
        raise unknown("ability", f"{kind}{ability}", [task.name for task in tasks])
    return chosen


def _nli_path(value: str, ability: str | None) -> Sequence[Task]:
    from dormant.tasks.nli import xnli

    path, at, classes = value.rpartition("@")
    if at and not Path(value).expanduser().exists():
        return nli.with_source(xnli.from_path(Path(path).expanduser(), classes.split("+")))
    return nli.with_source(xnli.from_path(Path(value).expanduser()))


def _nli_hub(value: str, ability: str | None) -> Sequence[Task]:
    from dormant.tasks.nli import xnli

    name, _, languages = value.partition("@")
    return nli.with_source(xnli.from_hub(name, languages.split("+") if languages else ()))


def _refusal_path(value: str, ability: str | None) -> Sequence[Task]:
    path, at, labeller = value.rpartition("@")
    if at and not Path(value).expanduser().exists():
        _refusal_labels(labeller, None)
        value = path
    known = ability if ability in refusal.ABILITIES else None
    return refusal.with_source(refusal.from_path(Path(value).expanduser(), known))


def _refusal_labels(value: str, ability: str | None) -> Sequence[Task]:
    """Refuse what chose a labeller in Dormant 0.1: "trained" is the only one left."""
    if value != "trained":
        raise DormantError(
            f"there is no refusal labeller {value!r}: answers are labelled by the trained "
            "classifier (the rules of Dormant 0.1 are gone); leave the choice out"
        )
    return refusal.TASKS


_READERS: Mapping[str, Mapping[str, Callable[[str, str | None], Sequence[Task]]]] = {
    "nli": {"path": _nli_path, "hub": _nli_hub},
    "refusal": {"path": _refusal_path, "labels": _refusal_labels},
}
"""What reads a user's data, by kind of task, then option: its value, and the ability if named."""
