"""Users' tables: rows of a CSV, TSV, JSONL or Parquet file that remember where they stand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from dormant.errors import DormantError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        values: Column to value; strings in CSV and TSV, anything in JSONL and Parquet.
        file: The file that it is from.
        line: Its line (from 1), or its row (from 1) in a Parquet file.
    """

    values: Mapping[str, Any]
    file: Path
    line: int

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
        path: A file ending in .csv, .tsv, .jsonl or .parquet.

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
            # A spreadsheet's byte-order mark would become part of the first column's name.
            text = path.read_text(encoding="utf-8-sig")
            rows = list(_jsonl(path, text) if suffix == ".jsonl" else _separated(path, text))
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
    columns = {name.casefold(): name for name in first.values}
    for name in names:
        if name.casefold() in columns:
            return columns[name.casefold()]
    raise DormantError(
        f"{first.file}: no column for {meaning}: expected {' or '.join(map(repr, names))}, found "
        f"{', '.join(first.values) or 'none'}"
    )


def _separated(path: Path, text: str) -> Iterator[Row]:
    tabs = path.suffix.lower() == ".tsv"
    # XNLI's TSV files hold bare quotation marks: in a TSV they are letters like any other.
    reader = csv.DictReader(
        io.StringIO(text, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=not tabs,
    )
    try:
        for values in reader:
            row = Row(cast("dict[str, Any]", values), path, reader.line_num)
            if None in values:
                raise row.error("more fields than the header has columns")
            if None in values.values():
                raise row.error("fewer fields than the header has columns")
            yield row
    except csv.Error as error:
        raise DormantError(f"{path}:{reader.line_num}: not valid CSV: {error}") from None


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
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Row(values, path, number)
