"""Writing files so that nothing is lost: at one stroke, and refusals told in one line."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dormant.errors import DormantError

CACHE_VARIABLE = "DORMANT_CACHE"
"""Environment variable: the directory of the caches; empty for none."""

_T = TypeVar("_T")


def guarded(path: Path, write: Callable[[], _T]) -> _T:
    """Do something that writes, turning the system's refusals into one clear line.

    Raises:
        DormantError: The disk is full, or the path can't be written.
    """
    try:
        return write()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DormantError(
                f"disk full while writing {path}: finished work is kept; free some space and "
                "start again"
            ) from error
        raise DormantError(f"{path} can't be written: {error.strerror or error}") from error


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replace a file in one step: a reader sees the old content or the new, never a part."""
    data = content.encode() if isinstance(content, str) else content
    part = file.with_name(f".{file.name}.part")
    with part.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def user_cache() -> Path | None:
    """Return the directory of what need not be made twice, or `None` if the user wants none."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dormant"
