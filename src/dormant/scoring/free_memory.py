"""How much memory is free just now, on any device."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_GROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device) -> float:
    """Return the bytes that can still be taken on a device; infinite where it can't be told.

    In main memory, what files occupy there for quick reading counts as free, as the system gives
    it up; a limit on this process's group counts as well.
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.mem_get_info(device)[0]
    if device.type == "cpu":
        return min(psutil.virtual_memory().available, _of_group())
    return math.inf


def _of_group() -> float:
    limit, used = _text(_GROUP / "memory.max").strip(), _text(_GROUP / "memory.current").strip()
    files = re.search(r"^file (\d+)$", _text(_GROUP / "memory.stat"), re.MULTILINE)
    if not (limit.isdecimal() and used.isdecimal()):
        return math.inf
    return int(limit) - int(used) + (int(files[1]) if files else 0)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
