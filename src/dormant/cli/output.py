"""Results as a command gives them: printed, or written to a file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer
from rich.console import Console

from dormant.results import AuditResults, ItemOutcome

Form: TypeAlias = Annotated[
    Literal["terminal", "html", "latex", "csv", "json"], typer.Option(help="What to make.")
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option(help="File to write [default: report.… in RUN, or here].")
]
_SUFFIX = {"html": "html", "latex": "tex", "csv": "csv", "json": "json"}


def write(
    results: AuditResults,
    outcomes: Iterable[ItemOutcome],
    format: Literal["terminal", "html", "latex", "csv", "json"],
    out: Path | None,
    folder: Path,
) -> None:
    """Print results, or write them to a file and print its path."""
    from dormant.report import print_report, write_report

    if format == "terminal":
        print_report(results, Console())
        return
    target = out or folder / f"report.{_SUFFIX[format]}"
    typer.echo(write_report(results, outcomes, target, format))
