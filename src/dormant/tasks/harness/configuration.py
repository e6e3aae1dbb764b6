"""What of a lm-evaluation-harness task's configuration decides its prompts and what is right."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, cast

_ELSEWHERE = {
    *("task", "task_alias", "tag", "metadata"),
    *("custom_dataset", "dataset_path", "dataset_name", "dataset_kwargs"),
}
"""Names, notes, and where the items are: they have a fingerprint of their own, and data that were
moved are the same data."""


def configuration(task: Any) -> str:
    """Return a task's templates, few-shot, generation, filter and metric settings as text.

    All settings count but those that are known not to matter, so that one which a later version of
    the harness adds counts as well. A function counts with the whole file that it is in, as it may
    call others there.

    Args:
        task: The harness's object.
    """
    settings = {
        setting.name: _plain(getattr(task.config, setting.name))
        for setting in fields(task.config)
        if setting.name not in _ELSEWHERE
    }
    return json.dumps(settings, sort_keys=True)


def _plain(value: object) -> object:
    """Turn a setting into what JSON holds, the same in every process."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in cast("Mapping[object, object]", value).items()}
    if callable(value):
        return _source(value)
    if isinstance(value, Iterable):
        return [_plain(part) for part in cast("Iterable[object]", value)]
    return type(value).__qualname__


def _source(function: Callable[..., object]) -> list[str]:
    inner = inspect.unwrap(getattr(function, "func", function))
    name = str(getattr(inner, "__qualname__", type(inner).__qualname__))
    try:
        file = inspect.getsourcefile(inner)
        return [name, Path(file).read_text(encoding="utf-8") if file else ""]
    except (TypeError, OSError):
        return [name]
