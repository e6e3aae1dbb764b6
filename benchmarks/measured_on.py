"""What every benchmark says of the machine and of its own process."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import resource
import sys
import warnings
from pathlib import Path
from typing import Any


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


def machine(device: str = "cpu") -> dict[str, Any]:
    """Return what decides the speed of language models."""
    import torch

    from dormant.audit.manifest import LIBRARIES
    from dormant.rundirs import versions
    from dormant.scoring.precision import fast_bfloat16

    return {
        "processor": processor(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") else None,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16_instructions": fast_bfloat16(torch.device(device)),
        "threads": torch.get_num_threads(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "versions": versions(*LIBRARIES),
    }


def quiet() -> None:
    """Hold back the libraries' advice, for good."""
    for name in ("lm_eval", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    import transformers.utils.logging as transformers_logging

    transformers_logging.disable_progress_bar()


def synchronise(device: str) -> None:
    """Wait until a device has done what it was told; a clock is read only then."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
