"""A task asked plainly in another of its languages: what is lost needn't have been English."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from functools import cached_property
from typing import Any, TypeVar

from dormant.errors import DormantError
from dormant.tasks.task import Task, items_in, stages_of

_Task = TypeVar("_Task", bound=Task)


def asked_in(tasks: Iterable[Task], language: str | None) -> list[Task]:
    """Return tasks with their plain prompts in a language; `None` leaves each its own.

    Raises:
        DormantError: One has no text in that language.
    """
    return [task if language is None else _asked_in(task, language) for task in tasks]


def _asked_in(task: _Task, language: str) -> _Task:
    """Return a task whose plain prompts are in one of its languages, the others beside it.

    It is the task in all but the order of its languages, and its pool: the items with text there.

    Args:
        task: The task.
        language: One of its languages.

    Raises:
        DormantError: It has no text in that language.
    """
    languages = task.languages()
    if language == languages[0]:
        return task
    if language not in languages:
        raise DormantError(
            f"--plain {language}: {task.name} has text in {', '.join(languages)} only"
        )
    known = frozenset(items_in(task, language))
    pool = task.pool()
    kept = tuple(item for item in pool if item in known)
    ends = [sum(item in known for item in pool[:end]) for end in stages_of(task)]
    order = (language, *(name for name in languages if name != language))
    # Of its own class, as what a task can do is asked of that.
    own: dict[str, Any] = {
        "languages": lambda self: order,  # pyright: ignore[reportUnknownLambdaType]
        "pool": lambda self: kept,  # pyright: ignore[reportUnknownLambdaType]
        "stages": tuple(dict.fromkeys(end for end in ends if end)),
    }
    again = copy.copy(task)
    for name in [*vars(again)]:
        if isinstance(getattr(type(task), name, None), cached_property):
            # What was worked out of the other language.
            del vars(again)[name]
    # Past `frozen`.
    object.__setattr__(again, "__class__", type(type(task).__name__, (type(task),), own))
    return again
