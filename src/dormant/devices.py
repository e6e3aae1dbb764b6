"""Where models run: one choice for audits, translators and the laboratory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from contextvars import ContextVar

from dormant.errors import DormantError, one_line

_wanted: ContextVar[str] = ContextVar("device", default="auto")


@contextlib.contextmanager
def use(name: str) -> Generator[None]:
    """Let translation engines that run here take a device, as long as the block lasts.

    An engine is named deep inside of a transform's name, where no option reaches it.

    Args:
        name: See `pick_device`; looked at when an engine wants it.
    """
    token = _wanted.set(name)
    try:
        yield
    finally:
        _wanted.reset(token)


def wanted() -> str:
    """Return the name that `use` was given; "auto" outside of it."""
    return _wanted.get()


def local_rank() -> int:
    """Return this process's number on its machine: torchrun gives each a device of its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def pick_device(name: str = "auto", *, mps: bool = True) -> str:
    """Return a device that is there, by PyTorch's name.

    Args:
        name: "auto" for the first of cuda, mps and cpu; "cpu", "cuda", "cuda:1", "mps". Under
            torchrun, "auto" and "cuda" are a process's own GPU.
        mps: Whether "auto" may take Apple's GPUs, which have no float64.

    Raises:
        DormantError: It is not there, or PyTorch knows no such name.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return f"cuda:{local_rank()}"
        return "mps" if mps and torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and local_rank():
        name = f"cuda:{local_rank()}"
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
