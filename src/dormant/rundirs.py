"""What run directories of both halves share: one owner, one run, and what made it."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from filelock import FileLock, Timeout

from dormant.errors import DormantError
from dormant.files import guarded


def first_process() -> bool:
    """Say whether this is the process that writes and reports: the only one, or the first of many.

    ``torchrun`` and ``accelerate launch`` number their processes in RANK.
    """
    return int(os.environ.get("RANK", "0")) == 0


def locked(path: Path) -> FileLock:
    """Make a directory and take its lock.

    Raises:
        DormantError: Another process has it, or the directory can't be written.
    """
    lock = FileLock(path / ".lock")
    guarded(path, lambda: path.mkdir(parents=True, exist_ok=True))
    guarded(path, lambda: _acquire(lock, path))
    return lock


def in_use(path: Path) -> bool:
    """Say whether another process has a directory's lock, without writing anything.

    Who asks has a share of it for an instant, in which nobody else can begin: ask seldom. Where
    it can't be told, nobody has it.
    """
    try:
        import fcntl

        with (path / ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        pass
    return False


def refuse_unexpected_files(path: Path) -> None:
    """Refuse a directory that holds anything, where a run is to begin.

    Raises:
        DormantError: It does; the first name is given.
    """
    unexpected = sorted(p.name for p in path.iterdir() if p.name != ".lock")
    if unexpected:
        raise DormantError(
            f"{path} is not empty ({unexpected[0]} …) and holds no run: choose another directory"
        )


def refuse_other_settings(path: Path, different: Sequence[str]) -> None:
    """Refuse to go on with a run whose settings were others.

    Args:
        path: The run directory.
        different: What was and what is now, for each setting that changed.

    Raises:
        DormantError: There is any.
    """
    if different:
        raise DormantError(
            f"{path} holds a run with other settings ({'; '.join(different)}): choose another "
            "--out, or repeat its settings to resume it"
        )


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of packages; "missing" for those that are not installed."""
    installed = {"python": platform.python_version()}
    for name in packages:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = "missing"
    return installed


def _acquire(lock: FileLock, path: Path) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DormantError(f"{path} is in use by another process; wait for it") from None
