"""Writing files so that nothing is lost: atomically, and with refusals in one line."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

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


def opened(file: Path) -> BinaryIO:
    """Open a file for reading.

    Raises:
        DormantError: It is there and can't be read.
        FileNotFoundError: There is none.
    """
    try:
        return file.open("rb")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DormantError(f"{file} can't be read: {error.strerror or error}") from error


def content_of(file: Path) -> bytes:
    """Return what is in a file; see `opened`."""
    with opened(file) as stream:
        return stream.read()


@contextmanager
def replacing(file: Path) -> Generator[Path]:
    """Give a place to write to, whose content takes a file's place when the block ends well.

    A reader sees the old content or the new, never a part; after an error the old is still there.

    Args:
        file: The file to make or replace; one process at a time may do so.

    Yields:
        A path beside the file, to be written and closed inside the block.
    """
    part = file.with_name(f".{file.name}.part")
    try:
        yield part
        with part.open("r+b") as stream:
            os.fsync(stream.fileno())
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_atomically(file: Path, content: str | bytes) -> None:
    """Replace a file's whole content (see `replacing`)."""
    with replacing(file) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)


def append(file: Path, block: bytes) -> None:
    """Add a block to a file's end, all of it or nothing; it is on disk when this returns.

    Only a kill in mid-write can leave a part, at the file's end.
    """
    with file.open("ab", buffering=0) as stream:
        size = stream.tell()
        try:
            rest = memoryview(block)
            while rest:
                rest = rest[stream.write(rest) :]
            os.fsync(stream.fileno())
        except OSError:
            os.truncate(file, size)
            raise


def user_cache() -> Path | None:
    """Return the directory of what need not be made twice, or `None` if the user wants none."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "dormant"


def json_file(file: Path | None) -> dict[str, Any]:
    """Return the object in a JSON file; an empty one where there is none to read."""
    if file is not None:
        with suppress(OSError, ValueError):
            known: object = json.loads(file.read_text(encoding="utf-8"))
            return cast("dict[str, Any]", known) if isinstance(known, dict) else {}
    return {}
