"""``dormant report``: a finished run in another form."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dormant.cli import gate
from dormant.cli.common import say
from dormant.cli.output import Form, Out, refuse_file_for_terminal, write
from dormant.errors import DormantError
from dormant.results import MARGIN


def report(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="RUN", help="A run directory.")
    ] = None,
    format: Form = "terminal",
    out: Out = None,
    fail_on: gate.FailOn = None,
    from_: Annotated[bool, typer.Option("--from", hidden=True)] = False,
    base: Annotated[str | None, typer.Option(hidden=True)] = None,
    margin: Annotated[float | None, typer.Option(hidden=True, min=0.001, max=0.999)] = None,
) -> None:
    """Print a finished run, or write it: HTML, LaTeX, CSV, JSON, JUnit, Markdown, model card."""
    if from_:
        from dormant.cli.compare import compare

        say("warning: dormant report --from is now dormant compare")
        if not paths:
            raise DormantError("name evaluations: dormant compare BASE TUNED")
        compare(
            paths, base=base, margin=MARGIN if margin is None else margin, format=format, out=out,
            fail_on=fail_on,
        )  # fmt: skip
        return
    for option, value in (("--base", base), ("--margin", margin)):
        if value is not None:
            raise DormantError(
                f"{option} is for dormant audit and dormant compare: a finished run is reported as "
                "it was judged"
            )
    if not paths or len(paths) > 1:
        raise DormantError("name one run directory; dormant compare takes evaluations")
    from dormant.audit.many import TIMELINE, is_timeline, runs_in
    from dormant.audit.run_dir import RunDirectory
    from dormant.cli import timeline

    refuse_file_for_terminal(format, out)
    failing = gate.verdicts_named(fail_on or ())
    if is_timeline(paths[0]):
        timeline.show(paths[0], format, out, failing)
        return
    if not (paths[0] / "run.json").exists() and (several := runs_in(paths[0])):
        raise DormantError(
            f"{paths[0]} holds {len(several)} runs, and no timeline of them yet ({TIMELINE} is "
            f"missing): give their audit again, or name one, as in {paths[0] / several[0]}"
        )
    run = RunDirectory.read(paths[0])
    results = run.results()
    gate.refuse_what_cannot_fail(results.base, failing)
    write(results, run.all_outcomes(), format, out, paths[0], failing)
    gate.hold_audit(results, failing)
