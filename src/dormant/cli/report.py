"""``dormant report``: a finished run in another form, or evaluations that others made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from dormant.errors import DormantError

_SUFFIX = {"html": "html", "latex": "tex", "csv": "csv", "json": "json"}


def report(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="RUN", help="A run directory; with --from, evaluations."),
    ] = None,
    from_: Annotated[
        bool,
        typer.Option(
            "--from",
            help="Compare evaluations instead: --from BASE TUNED, each what `lm_eval "
            "--log_samples` wrote or a .eval log of Inspect; or any number of them "
            "(--from logs/*.eval), plain and under transforms. No model is run.",
        ),
    ] = False,
    base: Annotated[
        str | None,
        typer.Option(help="With --from: the base model's name [default: the first log's]."),
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
    from dormant.audit.run_dir import RunDirectory
    from dormant.integrations import logs as posthoc
    from dormant.report import print_report, write_report

    if not paths or (len(paths) > 1 and not from_):
        raise DormantError("name one run directory, or evaluations with --from BASE TUNED")
    if from_:
        logs = posthoc.read_logs(paths)
        results, folder = posthoc.compare(logs, base, margin), Path()
        outcomes = posthoc.outcomes(logs, base)
    else:
        directory, folder = RunDirectory.read(paths[0]), paths[0]
        results, outcomes = directory.results(), directory.all_outcomes()
    if format == "terminal":
        print_report(results, Console())
        return
    target = out or folder / f"report.{_SUFFIX[format]}"
    typer.echo(write_report(results, outcomes, target, format))
