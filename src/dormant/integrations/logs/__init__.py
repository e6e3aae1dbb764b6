"""Paired comparison of evaluations that were run elsewhere, without a model.

Reads what lm-evaluation-harness writes with ``--log_samples`` and Inspect's ``.eval`` logs. Both
tools report each model on its own; here the same items are compared pairwise, which the drop's
interval and McNemar's test need. Logs under transforms, made with Dormant's plug-ins, complete the
four cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dormant.errors import DormantError
from dormant.integrations.logs import inspect_logs
from dormant.integrations.logs import lm_eval_logs as harness
from dormant.integrations.logs.comparison import compare, outcomes
from dormant.integrations.logs.scored_log import HOW, Log

__all__ = ["Log", "compare", "outcomes", "read_log", "read_logs"]


def read_log(path: Path) -> Log:
    """Read one evaluation.

    Args:
        path: A directory that lm_eval wrote, one of its samples files, or an Inspect log.

    Raises:
        DormantError: It is none of these, or damaged; the message names file and line. Or it holds
            several evaluations.
    """
    logs = _read(path)
    if len(logs) > 1:
        raise DormantError(f"{path} holds {len(logs)} evaluations, and one is needed")
    return logs[0]


def read_logs(paths: Sequence[Path]) -> list[Log]:
    """Read evaluations; a directory stands for all that are in it.

    Raises:
        DormantError: See `read_log`.
    """
    return [log for path in paths for log in _read(path)]


def _read(path: Path) -> list[Log]:
    if path.is_dir():
        files = sorted(path.glob("*.eval"))
        if files:
            return [inspect_logs.read(file) for file in files]
        return harness.read(path, sorted(path.rglob("samples_*.jsonl")))
    if path.suffix == ".eval":
        return [inspect_logs.read(path)]
    if path.is_file() and path.suffix == ".jsonl":
        return harness.read(path, [path])
    raise DormantError(f"{path}: {'no such log' if not path.exists() else 'not a log'}; {HOW}")
