"""Loads a task of the harness by its name or from its YAML file."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import re
from functools import cache
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError, one_line, unknown
from dormant.libraries import quiet
from dormant.tasks.harness.task import MEASURES, GenerativeHarnessTask, HarnessTask

_LOCAL = (
    "to run offline, pass a task's own YAML file (--task lm-eval:FILE.yaml) that names local data: "
    "dataset_path: json, dataset_kwargs: {data_files: {test: FILE.jsonl}}"
)


def load(name: str) -> list[HarnessTask]:
    """Load a task, tag or group of the harness.

    Args:
        name: Its name, or a YAML file's path; followed by ``@METRIC`` to choose another metric
            than the task's first.

    Raises:
        DormantError: There is no such task, its data can't be fetched, or it is of a kind that
            can't be put as a case.
    """
    name, _, metric = name.partition("@")
    importlib.import_module("datasets")  # so that its bars are held back
    with quiet():
        if name.endswith((".yaml", ".yml")):
            path = Path(name).expanduser()
            spec = _task_name(path)
            manager = _manager(path.parent)
        else:
            spec, manager, path = name, _manager(None), None
        if spec not in manager.all_tasks:
            close = difflib.get_close_matches(spec, manager.all_tasks, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise DormantError(f"unknown lm-eval task {spec!r}: {hint}`lm_eval ls tasks` lists all")
        try:
            loaded = _loaded(manager, spec, path)
        except Exception as error:
            # The harness, the data sets library and a task's own code raise whatever they like.
            raise DormantError(
                f"lm-eval task {spec!r} can't be loaded ({one_line(error, 200)}); {_LOCAL}"
            ) from error
    return [_wrap(task_name, task, metric) for task_name, task in loaded.items()]


def _loaded(manager: Any, spec: str, path: Path | None) -> dict[str, Any]:
    """Load a task; local data files are looked for from here, as lm_eval does, and beside it."""
    try:
        return cast("dict[str, Any]", manager.load(spec)["tasks"])
    except FileNotFoundError:
        if path is None:
            raise
        with contextlib.chdir(path.parent):
            return cast("dict[str, Any]", manager.load(spec)["tasks"])


def _manager(folder: Path | None) -> Any:
    """Index the tasks of a folder, or, which takes seconds, of the harness itself."""
    from lm_eval.tasks import TaskManager

    if folder is None:
        return _harness_manager()
    return TaskManager(include_path=folder.resolve(), include_defaults=False)


@cache
def _harness_manager() -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _wrap(name: str, task: Any, metric: str) -> HarnessTask:
    kind = str(task.OUTPUT_TYPE)
    metrics: list[str] = list(task._metric_fn_list)
    chosen = metric or next(iter(metrics), "none")
    if chosen not in metrics:
        raise unknown(f"metric of lm-eval task {name!r}", chosen, metrics)
    if kind == "generate_until":
        return GenerativeHarnessTask(name, task, chosen)
    if (kind, chosen) not in MEASURES or callable(task.config.process_results):
        raise DormantError(
            f"lm-eval task {name!r} ({kind}, metric {chosen}) has no right answer to count: "
            "multiple choice by acc or acc_norm, loglikelihood by acc and generation tasks can be "
            "audited"
        )
    if task.multiple_input or task.multiple_target:
        raise DormantError(
            f"lm-eval task {name!r} has several prompts or several right answers an item, which "
            "an audit can't pair"
        )
    return HarnessTask(name, task, chosen)


def _task_name(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DormantError(f"{path}: can't be read: {error}") from None
    match = re.search(r"^task:\s*[\"']?([^\"'\s#]+)", text, re.MULTILINE)
    if match is None:
        raise DormantError(f"{path}:1: a task of lm-eval needs a line `task: NAME`")
    return match[1]
