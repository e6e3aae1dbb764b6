"""Records as lines of a file, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from dormant.errors import DormantError
from dormant.files import opened
from dormant.results import Record, parse_record

_DELETE = "delete the file to score its cell again"
_Record = TypeVar("_Record", bound=Record)


class _Name(Record):
    """What is read of a record to know that it is there; the rest of its line must be JSON."""

    item: str


def records_in(file: Path, kind: type[_Record]) -> Iterator[_Record]:
    """Read a file's records.

    Args:
        file: One record a line.
        kind: What is read of each; what else it has is skipped, which saves most of the time.

    Raises:
        DormantError: A record is damaged.
    """
    with opened(file) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                record = kind.model_validate_json(line)
            except ValidationError:
                # For its message: a path a line takes longer than the line.
                record = parse_record(kind, line, _line(file, number), _DELETE)
            yield record


def item_of(line: bytes, file: Path, number: int) -> str:
    """Return which item a line is of.

    Args:
        line: The line.
        file: Where it was read.
        number: Which line it is, from 1.

    Raises:
        DormantError: It is damaged.
    """
    try:
        return _Name.model_validate_json(line).item
    except ValidationError:
        raise DormantError(f"{_line(file, number)}: damaged record; {_DELETE}") from None


def _line(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}:{number}")
