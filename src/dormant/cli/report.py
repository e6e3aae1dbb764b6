"""``dormant report``: a finished run, in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

_SUFFIX = {"html": "html", "latex": "tex", "csv": "csv", "json": "json"}


def report(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    format: Annotated[
        Literal["terminal", "html", "latex", "csv", "json"], typer.Option(help="What to make.")
    ] = "terminal",
    out: Annotated[Path | None, typer.Option(help="File to write [default: RUN/report.…].")] = None,
) -> None:
    """Print a finished run, or write it as HTML, LaTeX, CSV or JSON."""
    from dormant.language.store import RunDirectory
    from dormant.report import print_report, write_report

    directory = RunDirectory.read(run)
    results = directory.results()
    if format == "terminal":
        print_report(results, Console())
        return
    target = out or run / f"report.{_SUFFIX[format]}"
    typer.echo(write_report(results, directory.all_outcomes(), target, format))
