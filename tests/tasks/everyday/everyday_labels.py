"""What a judge of `everyday` calls an answer."""

from __future__ import annotations

from dormant import tasks
from dormant.tasks.task import judge_all


def label(name, item, output, language="english"):
    (task,) = tasks.get([name])
    case = task.case(item, language=language, shots=0, seed=0)
    (judged,) = judge_all(task, [case], [output])
    return judged.label
