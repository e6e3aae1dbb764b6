"""Hashes of files, kept so that a large one is read once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from dormant.files import user_cache, write_atomically

_LARGE = 1 << 20
"""Bytes from which a file's hash is kept."""
_UNSETTLED_NS = 2_000_000_000
"""A file that changed less long ago may change again within one tick of its file system's clock."""
_SECONDS_TO_WAIT = 10.0


class FileHashes:
    """SHA-256 of files; those of large ones are kept in the user's cache.

    A kept hash holds for a path, size, times of change (of content and of inode) and inode. SHA-256
    is the fastest of the standard library's safe hashes where processors have instructions for it
    (docs/benchmarks.md).
    """

    def __init__(self) -> None:
        self._known = _entries(_place())
        self._new: dict[str, list[Any]] = {}

    def digest(self, file: Path) -> str:
        """Return the hash of all of a file's bytes, in hexadecimal."""
        before = _state(file)
        name = str(file.resolve())
        if before[0] >= _LARGE and (entry := self._known.get(name)) and entry[:-1] == before:
            return str(entry[-1])
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        settled = time.time_ns() - before[1] > _UNSETTLED_NS
        if before[0] >= _LARGE and settled and _state(file) == before:
            self._new[name] = [*before, digest]
        return digest

    def write(self) -> None:
        """Add what is new to what others may have written meanwhile; a cache may also fail."""
        place = _place()
        if place is None or not self._new:
            return
        with contextlib.suppress(OSError, Timeout):
            place.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{place}.lock", timeout=_SECONDS_TO_WAIT):
                body = json.dumps(_entries(place) | self._new, indent=0)
                write_atomically(place, body)


def _state(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _place() -> Path | None:
    folder = user_cache()
    return None if folder is None else folder / "fingerprints.json"


def _entries(place: Path | None) -> dict[str, list[Any]]:
    """Read the kept hashes; a damaged file holds none."""
    if place is None:
        return {}
    try:
        known: object = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries: Iterable[tuple[Any, Any]] = (
        cast("dict[Any, Any]", known).items() if isinstance(known, dict) else ()
    )
    return {name: entry for name, entry in entries if isinstance(entry, list) and entry}
