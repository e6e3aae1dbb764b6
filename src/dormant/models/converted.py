"""Checkpoints that had to be converted, kept converted in the user's cache.

An entry is a directory that Transformers loads as it is, with a file `entry.json` that says what
was converted, and holds sizes and hashes of the rest. It is written beside its place and takes it
by being renamed, so that no reader sees a part of one; what is damaged later is not used.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from filelock import FileLock, Timeout

from dormant.errors import DormantError
from dormant.files import json_file, user_cache
from dormant.models.file_hashes import FileHashes
from dormant.rundirs import versions

CAP_VARIABLE = "DORMANT_CONVERTED_GB"
"""Environment variable: how many gigabytes are kept; 0 for none."""
_CAP_GB = 20.0
_CONVERTERS = ("transformers", "tokenizers", "gguf", "torch")
"""Packages whose version decides what a conversion gives."""
_FORMAT = 2
_ENTRY, _LOCK, _PART = "entry.json", ".lock", ".part"
_SPARE = 1 << 30
"""Bytes of the disk that are left free."""


@dataclass(frozen=True)
class Entry:
    """A converted checkpoint.

    Attributes:
        path: Its directory.
        name: What the user called the source.
        source: The source's path.
        dtype: Of its weights.
        bytes: Its size on disk.
        used: When it was last loaded or made, in seconds since the epoch.
        warnings: What the libraries warned of when it was converted.
        settings: What else the conversion has set, of configuration and tokenizer
            (`dormant.models.converting`).
    """

    path: Path
    name: str
    source: str
    dtype: str
    bytes: int
    used: float
    warnings: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def key_of(contents: Mapping[str, str], dtype: str) -> str:
    """Return an entry's name: a hash over what is converted, into what, and by which versions.

    Args:
        contents: SHA-256 of the source, and of all that is read beside it, by what each is for.
        dtype: Of the weights.
    """
    decides = [_FORMAT, dict(contents), dtype, versions(*_CONVERTERS)]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]


def folder() -> Path | None:
    """Return where entries are kept; `None` if the user wants none.

    Raises:
        DormantError: `CAP_VARIABLE` is no number.
    """
    cache = user_cache()
    return cache / "converted" if cache is not None and cap() > 0 else None


def cap() -> int:
    """Return how many bytes may be kept.

    Raises:
        DormantError: `CAP_VARIABLE` is no number.
    """
    given = os.environ.get(CAP_VARIABLE, "")
    try:
        wanted = float(given) if given else _CAP_GB
        if not 0 <= wanted < float("inf"):
            raise ValueError
    except ValueError:
        raise DormantError(
            f"{CAP_VARIABLE} is {given!r}: give a number of gigabytes, or 0 to keep no converted "
            "checkpoints"
        ) from None
    return int(wanted * 1e9)


def find(key: str) -> Entry | None:
    """Return an entry that is whole, and note that it was used; `None` where there is none."""
    place = folder()
    entry = None if place is None else _read(place / key)
    if entry is None or not _whole(entry):
        return None
    with contextlib.suppress(OSError):
        os.utime(entry.path / _ENTRY)
    return entry


@contextlib.contextmanager
def writing(key: str, size: int) -> Generator[Path | None]:
    """Give a directory to write an entry to, for `publish` to put in its place.

    What is left there when the block ends is removed.

    Args:
        key: The entry's.
        size: How many bytes it will have, about; older entries make room for them.

    Yields:
        The directory; `None` where nothing is kept: the user wants none, the entry is larger than
        what may be kept, there is no space, the place can't be written, or another process is
        writing.
    """
    place = folder()
    if place is None or size > cap():
        yield None
        return
    part = place / f"{key}{_PART}"
    with contextlib.ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FileLock(place / _LOCK, timeout=0))
            _make_room(place, size)
            part.mkdir()
        except (OSError, Timeout):
            part = None
        if part is not None:
            stack.callback(shutil.rmtree, part, ignore_errors=True)
        yield part


def publish(part: Path, key: str, entry: Mapping[str, Any]) -> Entry | None:
    """Give a written directory its name.

    Args:
        part: What `writing` gave, and what was written there.
        key: The entry's.
        entry: Fields of `Entry`: name, source, dtype, warnings, settings.

    Returns:
        The entry; `None` where that failed.
    """
    hashes = FileHashes()
    with contextlib.suppress(OSError):
        files = {
            str(file.relative_to(part)): [file.stat().st_size, hashes.digest(file)]
            for file in _files(part)
        }
        body = {"format": _FORMAT, "made": time.time(), **entry, "files": files}
        (part / _ENTRY).write_text(json.dumps(body, indent=1), encoding="utf-8")
        for name in (*files, _ENTRY):
            with (part / name).open("rb") as stream:
                os.fsync(stream.fileno())
        place = part.with_name(key)
        if place.exists():
            # It was damaged, or it would have been used.
            shutil.rmtree(place)
        part.rename(place)
        return _read(place)
    return None


def entries() -> list[Entry]:
    """Return all entries, whole or not, those used last first."""
    place = folder()
    if place is None or not place.is_dir():
        return []
    known = [_read(path) for path in place.iterdir() if (path / _ENTRY).is_file()]
    return sorted((one for one in known if one is not None), key=lambda one: -one.used)


def clear(chosen: Sequence[Entry] | None = None) -> int:
    """Remove entries; all of them, and what a kill has left, where none are named.

    Returns:
        The bytes set free.

    Raises:
        DormantError: They can't be removed.
    """
    place = folder()
    if place is None or not place.is_dir():
        return 0
    some = [one.path for one in chosen] if chosen is not None else _directories(place)
    free = sum(_size(path) for path in some)
    try:
        # Nobody may be writing what is removed.
        with FileLock(place / _LOCK, timeout=60):
            for path in some:
                shutil.rmtree(path)
    except (OSError, Timeout) as error:
        raise DormantError(f"{place} can't be cleared: {error}") from None
    return free


def _make_room(place: Path, size: int) -> None:
    """Remove what a kill left, and the entries used least recently, until `size` more fit.

    Raises:
        OSError: The disk has too little space.
    """
    for left in place.glob(f"*{_PART}"):
        shutil.rmtree(left, ignore_errors=True)
    kept = {path: _size(path) for path in _directories(place)}
    last_used = {path: _used(path) for path in kept}
    for path in sorted(kept, key=lambda path: last_used[path]):
        free = shutil.disk_usage(place).free
        if sum(kept.values()) + size <= cap() and free >= size + _SPARE:
            break
        shutil.rmtree(path, ignore_errors=True)
        del kept[path]
    if shutil.disk_usage(place).free < size + _SPARE:
        raise OSError(f"no space for {size} bytes")


def _directories(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir()]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def _used(path: Path) -> float:
    try:
        return (path / _ENTRY).stat().st_mtime
    except OSError:
        return 0.0


def _read(path: Path) -> Entry | None:
    """Read what an entry says of itself; `None` where that is damaged."""
    said = json_file(path / _ENTRY)
    try:
        return Entry(
            path=path,
            name=str(said["name"]),
            source=str(said["source"]),
            dtype=str(said["dtype"]),
            bytes=_size(path),
            used=_used(path),
            warnings=tuple(map(str, said["warnings"])),
            settings=dict(said["settings"]),
        )
    except (KeyError, TypeError, ValueError, OSError):
        return None


def _whole(entry: Entry) -> bool:
    """Whether an entry's files are those that were written, byte for byte."""
    said: object = json_file(entry.path / _ENTRY).get("files")
    if not isinstance(said, dict):
        return False
    hashes = FileHashes()
    try:
        for name, (size, digest) in cast("dict[str, list[Any]]", said).items():
            file = entry.path / name
            if file.stat().st_size != size or hashes.digest(file) != digest:
                return False
    except (OSError, TypeError, ValueError):
        return False
    hashes.write()
    return True
