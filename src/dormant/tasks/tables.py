"""Users' tables: rows of a CSV, TSV, JSONL, JSON or Parquet file that remember where they stand."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".json")
_INDEX = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")
"""Names of the index column that pandas writes, and reads back: it says nothing of the rows."""


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        values: Column to value; strings in CSV and TSV, anything in the others.
        file: The file that it is from.
        line: Its line (from 1), or its row (from 1) in a Parquet file.
        classes: Names of the classes that numbers stand for, by column, where the file has them.
    """

    values: Mapping[str, Any]
    file: Path
    line: int
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def error(self, message: str) -> DormantError:
        """Return an error that points at the row."""
        return DormantError(f"{self.file}:{self.line}: {message}")

    def text(self, column: str) -> str:
        """Return the non-empty string in `column`.

        Raises:
            DormantError: The column is missing, or its value is empty or not a string.
        """
        value = self.values.get(column)
        if not isinstance(value, str) or not value.strip():
            raise self.error(f"{column!r} must be a non-empty text, not {value!r}")
        return value


def read_rows(path: Path) -> list[Row]:
    """Read every row of a table.

    Args:
        path: A file ending in .csv, .tsv, .jsonl, .json (one list of objects) or .parquet.

    Raises:
        DormantError: No such file, an unknown ending, not UTF-8, a damaged or empty file; the
            message names file and line.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DormantError(f"{path}: a table must end in {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DormantError(f"{path}: no such file")
    try:
        if suffix == ".parquet":
            rows = list(_parquet(path))
        else:
            # A spreadsheet's byte-order mark would become part of the first column's name, and
            # line ends within quotes are part of the text.
            with path.open(encoding="utf-8-sig", newline="") as stream:
                text = stream.read()
            rows = list(_READERS.get(suffix, _separated)(path, text))
    except UnicodeDecodeError as error:
        raise DormantError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise DormantError(f"{path}: can't be read: {error.strerror or error}") from None
    if not rows:
        raise DormantError(f"{path}: the file holds no rows")
    return rows


def column(rows: Iterable[Row], names: Iterable[str], meaning: str) -> str:
    """Return the first of `names` that is a column of the table.

    Args:
        rows: The table's rows.
        names: Columns that would do, the preferred one first; letter case is ignored.
        meaning: What the column is for, for the message.

    Raises:
        DormantError: None of them is there.
    """
    first = next(iter(rows))
    if (found := optional_column([first], names)) is not None:
        return found
    raise DormantError(
        f"{first.file}: no column for {meaning}: expected {' or '.join(map(repr, names))}, found "
        f"{', '.join(first.values) or 'none'}"
    )


def optional_column(rows: Sequence[Row], names: Iterable[str]) -> str | None:
    """Return the first of `names` that is a column of the table, if one is."""
    columns = {name.casefold(): name for name in rows[0].values}
    return next((columns[name.casefold()] for name in names if name.casefold() in columns), None)


def _separated(path: Path, text: str) -> Iterator[Row]:
    delimiter = _delimiter(path, text)
    literal = delimiter == "\t" and not _quoted(text)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_NONE if literal else csv.QUOTE_MINIMAL,
        strict=not literal,
    )
    names: list[str] | None = None
    try:
        for fields in reader:
            if not fields:
                continue
            if names is None:
                names = _names(path, reader.line_num, fields)
                continue
            row = Row(dict(zip(names, fields, strict=False)), path, reader.line_num)
            if len(fields) > len(names):
                raise row.error("more fields than the header has columns")
            if len(fields) < len(names):
                raise row.error("fewer fields than the header has columns")
            yield _without_index(row)
    except csv.Error as error:
        raise DormantError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


def _delimiter(path: Path, text: str) -> str:
    """Return what stands between fields: some spreadsheets' CSV has semicolons or tabs."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    header = text.split("\n", 1)[0]
    return next((mark for mark in (",", "\t", ";") if mark in header), ",")


_FIELD = re.compile(r'"(?:[^"]|"")*"(?=[\t\r\n]|$)|[^"\t\r\n]*(?=[\t\r\n]|$)')
_NEEDED = re.compile(r'[\t\r\n]|""')


def _quoted(text: str) -> bool:
    """Return whether a TSV's quotation marks are those of `csv` and pandas, or letters.

    XNLI's files hold bare quotation marks as letters like any other. Who quotes writes them
    around whole fields only, around those that need it (a tab, a line break, a quotation mark,
    which then is doubled) or around all, the header's included.
    """
    if text.startswith('"'):
        return True
    place = 0
    needed = False
    while place <= len(text):
        match = _FIELD.match(text, place)
        if match is None:
            return False
        inside = match[0][1:-1] if match[0].startswith('"') else ""
        needed = needed or _NEEDED.search(inside) is not None
        place = match.end() + 1
    return needed


def _names(path: Path, line: int, header: Sequence[str]) -> list[str]:
    names = [name.strip() for name in header]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DormantError(f"{path}:{line}: two columns are called {twice!r}: rename one")
    return names


def _without_index(row: Row) -> Row:
    values = {name: value for name, value in row.values.items() if not _INDEX.fullmatch(name)}
    return replace(row, values=values) if values else row


def _jsonl(path: Path, text: str) -> Iterator[Row]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError as error:
            raise DormantError(f"{path}:{number}: not valid JSON: {error}") from None
        if not isinstance(values, dict):
            raise DormantError(f"{path}:{number}: a line must be an object {{…}}")
        yield Row(cast("dict[str, Any]", values), path, number)


def _json(path: Path, text: str) -> Iterator[Row]:
    """Yield the objects of one list, each with its line."""
    decoder = json.JSONDecoder()
    between = re.compile(r"[\s,]*")
    start = re.match(r"\s*\[", text)
    if start is None:
        raise DormantError(f"{path}:1: a .json table must be one list of objects [{{…}}, …]")
    place, line, counted = start.end(), 1, 0
    while (place := _end(between.match(text, place))) < len(text) and text[place] != "]":
        line, counted = line + text.count("\n", counted, place), place
        try:
            values, place = decoder.raw_decode(text, place)
        except ValueError as error:
            raise DormantError(f"{path}:{line}: not valid JSON: {error}") from None
        if not isinstance(values, dict):
            raise DormantError(f"{path}:{line}: an element must be an object {{…}}")
        yield Row(cast("dict[str, Any]", values), path, line)
    if place >= len(text):
        raise DormantError(f"{path}:{text.count(chr(10)) + 1}: not valid JSON: the list has no end")


def _end(match: re.Match[str] | None) -> int:
    assert match is not None  # what stands between elements may be empty
    return match.end()


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise DormantError(f"{path}: reading Parquet needs pyarrow: pip install pyarrow") from None
    try:
        table = parquet.read_table(path)
    except arrow.ArrowException as error:
        raise DormantError(f"{path}: not a Parquet file: {error}") from None
    classes = _classes(table.schema.metadata or {})
    for number, values in enumerate(table.to_pylist(), start=1):
        yield _without_index(Row(values, path, number, classes))


def _classes(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Read the names of classes, which Hugging Face's data sets keep in a Parquet file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {name: each["names"] for name, each in features.items() if "names" in each}
    except (KeyError, TypeError, ValueError):
        return {}


_READERS = {".jsonl": _jsonl, ".json": _json}
