"""Dormant's tasks for lm-evaluation-harness: the prompts of an audit, as a YAML file over JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

from dormant.audit.sample import ItemSample
from dormant.audit.transformed import plain_cases
from dormant.errors import DormantError
from dormant.files import guarded, write_atomically
from dormant.prompts.case import Case
from dormant.tasks.task import GenerativeTask, Task

_HEAD = """\
# {task}, {title}: {n} items with {shots} demonstrations each, seed {seed}.
# The prompts of `dormant audit --task {task} -n {n} --shots {shots} --seed {seed}`.
task: {name}
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
"""
_GREEDY = """\
output_type: loglikelihood
doc_to_text: prompt
doc_to_target: target
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
"""
_CHOICE = """\
output_type: multiple_choice
doc_to_text: prompt
doc_to_choice: choices
doc_to_target: answer
target_delimiter: {delimiter}
metric_list:
  - metric: {metric}
    aggregation: mean
    higher_is_better: true
"""
_METRICS = {"most-likely": "acc_norm", "most-likely-whole": "acc"}


def export(task: Task, sample: ItemSample, folder: Path) -> Path:
    """Write a task's plain prompts so that the harness puts the same to a model.

    An item counts as right as in an audit whose scorer is the harness's (``--scorer lm-eval``):
    where greedy decoding gives the target's tokens, or where the target is the likeliest choice.

    Args:
        task: The task.
        sample: Which items, with which demonstrations.
        folder: Where the two files go; made if missing.

    Returns:
        The YAML file; the items are beside it, in a ``.jsonl`` file of the same name.

    Raises:
        DormantError: The harness can't judge the task's answers as the task does, or the files
            can't be written.
    """
    cases = list(plain_cases(task, sample).cases.values())
    if isinstance(task, GenerativeTask):
        raise DormantError(
            f"{task.name} judges what a model writes by rules of its own, which the harness "
            "doesn't have: audit it with dormant audit"
        )
    if any(case.content_free for case in cases):
        raise DormantError(
            f"{task.name} is calibrated by prompts without content, which the harness can't do: "
            "audit it with dormant audit"
        )
    name = "dormant_" + re.sub(r"\W+", "_", task.name).strip("_")
    data = folder / f"{name}.jsonl"
    if task.measure == "greedy":
        rows = [_greedy(case) for case in cases]
        body = _GREEDY
    else:
        rows = [_choice(case) for case in cases]
        body = _CHOICE.format(
            delimiter=json.dumps(cases[0].answer_prefix), metric=_METRICS[task.measure]
        )
    head = _HEAD.format(
        task=task.name,
        title=task.title,
        n=len(cases),
        shots=sample.shots,
        seed=sample.seed,
        name=name,
        data=json.dumps(str(data.resolve())),
    )
    version = f"metadata:\n  version: {json.dumps(task.version)}\n"
    file = folder / f"{name}.yaml"

    def write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        write_atomically(data, "".join(lines))
        write_atomically(file, head + body + version)

    guarded(folder, write)
    return file


def _greedy(case: Case) -> dict[str, object]:
    target = f"{case.answer_prefix}{case.scored_target}"
    return {"item": case.item, "prompt": case.prompt, "target": target}


def _choice(case: Case) -> dict[str, object]:
    # Of equals the harness takes the first, and an audit none: the right one goes last.
    choices = [*case.answers[1:], case.answers[0]]
    return {
        "item": case.item,
        "prompt": case.prompt,
        "choices": choices,
        "answer": len(choices) - 1,
    }
