"""Results as a command gives them: printed, or written to a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, get_args

import typer
from rich.console import Console

from dormant.errors import DormantError
from dormant.report.files import Format, usual_name
from dormant.results import AuditResults, ItemOutcome, Verdict

Shown: TypeAlias = Literal["terminal", Format]
Form: TypeAlias = Annotated[Shown, typer.Option(help="What to make.")]
Out: TypeAlias = Annotated[
    Path | None, typer.Option(help="File to write [default: report.… in RUN, or here].")
]


def refuse_file_for_terminal(format: Shown, out: Path | None) -> None:
    """Refuse a file to write where nothing would be written.

    Raises:
        DormantError: A file is named, and no format of one.
    """
    if format == "terminal" and out is not None:
        raise DormantError(
            f"--out {out} names a file to write, and without --format the report is printed: give "
            f"--format {', '.join(get_args(Format)[:-1])} or {get_args(Format)[-1]}"
        )


def write(
    results: AuditResults,
    outcomes: Iterable[ItemOutcome],
    format: Shown,
    out: Path | None,
    folder: Path,
    fail_on: Sequence[Verdict] = (),
) -> None:
    """Print results, or write them to a file and print its path."""
    from dormant.report import print_report, write_report

    if format == "terminal":
        print_report(results, Console())
        return
    # In a run directory results.json is the run's own.
    name = "report.json" if format == "json" else usual_name(format)
    target = out or folder / name
    typer.echo(write_report(results, outcomes, target, format, fail_on))
