"""What every benchmark says of the machine and of its own process."""

from __future__ import annotations

import contextlib
import platform
import resource
import sys
from pathlib import Path


def processor() -> str:
    """Return the processor's name."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), name)
    return name


def peak_mebibytes() -> float:
    """Return this process's peak memory so far."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used / (2**20 if sys.platform == "darwin" else 2**10)
