"""``dormant report``: a finished run in another form, or two evaluations that others made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from dormant.errors import DormantError

_SUFFIX = {"html": "html", "latex": "tex", "csv": "csv", "json": "json"}


def report(
    run: Annotated[Path | None, typer.Argument(help="A run directory.")] = None,
    from_: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--from",
            metavar="BASE TUNED",
            help="Compare two evaluations instead: what `lm_eval --log_samples` wrote, or .eval "
            "logs of Inspect. No model is run.",
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(help="With --from: drop that counts as one.", min=0.001, max=0.999),
    ] = 0.05,
    format: Annotated[
        Literal["terminal", "html", "latex", "csv", "json"], typer.Option(help="What to make.")
    ] = "terminal",
    out: Annotated[Path | None, typer.Option(help="File to write [default: RUN/report.…].")] = None,
) -> None:
    """Print a finished run, or write it as HTML, LaTeX, CSV or JSON."""
    from dormant import posthoc
    from dormant.language.store import RunDirectory
    from dormant.report import print_report, write_report

    if (run is None) == (from_ is None):
        raise DormantError("name a run directory, or two evaluations with --from BASE TUNED")
    if from_ is not None:
        base, tuned = (posthoc.read_log(path) for path in from_)
        results, folder = posthoc.compare(base, tuned, margin), Path()
        outcomes = posthoc.outcomes(base, tuned)
    else:
        assert run is not None
        directory, folder = RunDirectory.read(run), run
        results, outcomes = directory.results(), directory.all_outcomes()
    if format == "terminal":
        print_report(results, Console())
        return
    target = out or folder / f"report.{_SUFFIX[format]}"
    typer.echo(write_report(results, outcomes, target, format))
