"""Where models run: one choice for audits, translators and the laboratory."""

from __future__ import annotations

import os

from dormant.errors import DormantError, one_line


def pick_device(name: str = "auto", *, mps: bool = True) -> str:
    """Return a device that is there, by PyTorch's name.

    Args:
        name: "auto" for the first of cuda, mps and cpu; "cpu", "cuda", "cuda:1", "mps".
        mps: Whether "auto" may take Apple's GPUs, which have no float64.

    Raises:
        DormantError: It is not there, or PyTorch knows no such name.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            # Under torchrun each process has a device of its own.
            return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        return "mps" if mps and torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DormantError(f"device {name!r} is unknown: auto, cpu, cuda, cuda:1 or mps") from None
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DormantError(
            f"device {name!r} can't be used here ({one_line(error, 100)}): use {_present()}"
        ) from None
    return name


def _present() -> str:
    """Name what is there, for a message."""
    import torch

    names = ["auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        names.append("mps")
    return f"{', '.join(names[:-1])} or {names[-1]}"
