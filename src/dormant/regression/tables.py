"""The tables under the figures and of a sweep: rows of named cells, kept as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from dormant.files import guarded, write_atomically
from dormant.results import Estimate

Row: TypeAlias = "dict[str, float | str]"


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV; columns are the first row's, numbers have six digits."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _written(cell) for name, cell in row.items()})
    guarded(path, lambda: write_atomically(path, text.getvalue()))


def estimate_row(estimate: Estimate) -> Row:
    """Return an estimate's numbers and the kind of its interval, as cells of a row."""
    return {
        "estimate": estimate.estimate,
        "low": estimate.low,
        "high": estimate.high,
        "interval": estimate.method,
    }


def _written(cell: float | str) -> str:
    return cell if isinstance(cell, str) else f"{cell:.6g}"
