"""What tells one checkpoint from another of the same name: a hash over all that is loaded."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from dormant.errors import DormantError
from dormant.files import user_cache, write_atomically
from dormant.models.spec import ModelSpec, parse

_LOADED = {
    ".bin", ".gguf", ".jinja", ".json", ".model", ".py", ".safetensors", ".tiktoken", ".txt",
}  # fmt: skip
"""Weights, configurations, tokenizers, chat templates and code."""
_FOLDERS = ("additional_chat_templates",)
_LARGE = 1 << 20
"""Bytes from which a file's hash is kept, so that it is read once."""
_SECONDS_TO_WAIT = 10.0


def fingerprint(spec: ModelSpec, model_args: Mapping[str, Any] | None = None) -> str:
    """Return a short hash of every byte that is loaded for a model, and of how it is loaded.

    Weights, configuration, generation settings, tokenizer, chat templates and code files count;
    for an adapter, its base as well. A hub id is its name: which commit is loaded is known only
    after it was fetched, so name a `revision`.

    Hashes of large files are kept in the user's cache by path, size, time of change and inode.

    Args:
        spec: The model.
        model_args: See `LoadOptions`.
    """
    digest = hashlib.sha256()
    path = Path(spec.location)
    arguments = dict(model_args or {})
    files = _files(path, str(arguments.get("subfolder", "")))
    if not files:
        digest.update(f"{spec.backend}:{spec.location}".encode())
    kept = _Kept.read()
    for name, file in files.items():
        digest.update(f"{name}:{kept.digest(file)}\n".encode())
    kept.write()
    tokenizer = arguments.get("tokenizer")
    for part in (spec.base, tokenizer if isinstance(tokenizer, str) else None):
        if part:
            digest.update(f"{_of_name(part)}\n".encode())
    if arguments:
        digest.update(json.dumps(arguments, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:16]


def _of_name(name: str) -> str:
    """Return the fingerprint of what a base or tokenizer's name stands for; else the name."""
    try:
        return fingerprint(parse(name))
    except DormantError:
        files = _files(Path(name), "")
        kept = _Kept({})
        return name if not files else "".join(kept.digest(file) for file in files.values())


def _files(path: Path, subfolder: str) -> dict[str, Path]:
    """Return what is loaded from a checkpoint, by its name inside."""
    if path.is_file():
        return {path.name: path}
    folders = dict.fromkeys(("", *_FOLDERS, subfolder))
    return {
        str(file.relative_to(path)): file
        for folder in folders
        for file in sorted((path / folder).glob("*"))
        if file.is_file() and file.suffix in _LOADED
    }


class _Kept:
    """Hashes of large files that were read before."""

    def __init__(self, known: dict[str, list[Any]]) -> None:
        self._known = known
        self._new: dict[str, list[Any]] = {}

    @classmethod
    def read(cls) -> _Kept:
        return cls(_entries(_place()))

    def digest(self, file: Path) -> str:
        before = _state(file)
        name = str(file.resolve())
        if before[0] >= _LARGE and (entry := self._known.get(name)) and entry[:-1] == before:
            return str(entry[-1])
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        if before[0] >= _LARGE and _state(file) == before:
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
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


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
