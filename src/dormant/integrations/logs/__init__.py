"""Paired comparison of evaluations that were run elsewhere, without a model.

Reads what lm-evaluation-harness writes with ``--log_samples`` and Inspect's logs. Both
tools report each model on its own; here the same items are compared pairwise, which the drop's
interval and McNemar's test need. Logs under transforms, made with Dormant's plug-ins, complete the
four cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dormant.errors import DormantError
from dormant.integrations.logs import inspect_logs, lm_eval_files
from dormant.integrations.logs import lm_eval_logs as harness
from dormant.integrations.logs.comparison import compare, outcomes
from dormant.integrations.logs.identity import models_of, tell_apart
from dormant.integrations.logs.measures import Directions
from dormant.integrations.logs.scored_log import HOW, Log
from dormant.integrations.logs.several import Compared, compare_children

__all__ = [
    "Compared",
    "Directions",
    "Log",
    "compare",
    "compare_children",
    "models_of",
    "outcomes",
    "read_log",
    "read_logs",
]


def read_log(path: Path, directions: Directions | None = None) -> Log:
    """Read one evaluation.

    Args:
        path: A directory that lm_eval wrote, one of its samples files, or an Inspect log.
        directions: What the user says of metrics whose logs don't say which way is better.

    Raises:
        DormantError: It is none of these, or damaged; the message names file and line. Or it holds
            several evaluations.
    """
    logs = _read(path, directions or Directions())
    if len(logs) > 1:
        raise DormantError(f"{path} holds {len(logs)} evaluations, and one is needed")
    return logs[0]


def read_logs(paths: Sequence[Path], directions: Directions | None = None) -> list[Log]:
    """Read evaluations; a directory stands for all that are in it.

    Raises:
        DormantError: See `read_log`; or no log has a metric that `directions` names.
    """
    given = directions or Directions()
    logs = [log for path in paths for log in _read(path, given)]
    given.refuse_unmet()
    return tell_apart(logs)


def _read(path: Path, directions: Directions) -> list[Log]:
    if not path.exists():
        raise DormantError(f"{path}: no such log; {HOW}")
    if path.is_dir():
        files = sorted(
            file
            for pattern in ("*.eval", "*.json")
            for file in path.rglob(pattern)
            if inspect_logs.is_log(file)
        )
        logs = [inspect_logs.read(file, directions) for file in files]
        if not logs or lm_eval_files.find(path):
            logs += harness.read(path, directions)
        return logs
    if inspect_logs.is_log(path):
        return [inspect_logs.read(path, directions)]
    if lm_eval_files.is_samples(path) or lm_eval_files.is_results(path):
        return harness.read(path, directions)
    if path.suffix == ".jsonl":
        raise DormantError(f"{path}: holds no samples of lm_eval; {HOW}")
    raise DormantError(f"{path}: not a log; {HOW}")
