"""Translations on disk, so that none is made twice: SQLite, shared by processes, safe to kill."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from dormant.errors import DormantError
from dormant.files import CACHE_VARIABLE, user_cache

_SECONDS_TO_WAIT = 60.0
_ROWS_AT_ONCE = 500


def default_path() -> Path | None:
    """Return the cache's file, or `None` if the user wants none."""
    folder = user_cache()
    return None if folder is None else folder / "translations.sqlite3"


class Cache:
    """Translations by engine (with version), pair and text.

    Every call is one transaction on a connection of its own, so threads and processes may share a
    file, and a kill loses at most the batch being written.

    Args:
        path: The SQLite file; made, with its directories, when first written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, engine: str, source: str, target: str, texts: Sequence[str]) -> dict[str, str]:
        """Return the translations that are there, by text.

        Raises:
            DormantError: The file can't be read.
        """
        if not self.path.exists():
            return {}
        found: dict[str, str] = {}
        with self._open() as connection:
            for start in range(0, len(texts), _ROWS_AT_ONCE):
                some = texts[start : start + _ROWS_AT_ONCE]
                rows = connection.execute(
                    "SELECT text, translation FROM translations WHERE engine = ? AND source = ? "
                    f"AND target = ? AND text IN ({', '.join('?' * len(some))})",
                    (engine, source, target, *some),
                )
                found.update(rows)
        return found

    def put(self, engine: str, source: str, target: str, made: Mapping[str, str]) -> None:
        """Add translations; those that are there already stay.

        Raises:
            DormantError: The file can't be written.
        """
        if not made:
            return
        with self._open() as connection:
            connection.executemany(
                "INSERT OR IGNORE INTO translations VALUES (?, ?, ?, ?, ?)",
                [(engine, source, target, text, result) for text, result in made.items()],
            )

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_SECONDS_TO_WAIT)) as connection:
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS translations (engine TEXT, source TEXT, "
                    "target TEXT, text TEXT, translation TEXT NOT NULL, "
                    "PRIMARY KEY (engine, source, target, text)) WITHOUT ROWID"
                )
                with connection:
                    yield connection
        except (sqlite3.Error, OSError) as error:
            raise DormantError(
                f"the translation cache {self.path} can't be used ({error}): delete it, or set "
                f"{CACHE_VARIABLE} to another directory (empty for no cache)"
            ) from error
