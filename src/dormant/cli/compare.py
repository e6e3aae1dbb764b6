"""``dormant compare``: evaluations that other tools made, as cells of one comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dormant.cli import gate
from dormant.cli.output import Form, Out, refuse_file_for_terminal, write
from dormant.results import MARGIN


def compare(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG…",
            help="What `lm_eval --log_samples` wrote, .eval or .json logs of Inspect, or "
            "directories of them: base and fine-tuned models, plain and under transforms.",
        ),
    ],
    base: Annotated[
        str | None,
        typer.Option(
            help="The base model's name [default: the model that others are adapters on, or the "
            "first log's]."
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Drop that counts as one, as a fraction.", min=0.001, max=0.999)
    ] = MARGIN,
    higher_is_better: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC", help="More of this metric (or TASK/METRIC) is better; repeat."
        ),
    ] = None,
    lower_is_better: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="Less of it is better: counted as 1 − METRIC; repeat."),
    ] = None,
    allow_identical: Annotated[
        bool,
        typer.Option(
            "--allow-identical",
            help="Go on where logs of two models name the same weights, which is an error "
            "otherwise.",
        ),
    ] = False,
    format: Form = "terminal",
    out: Out = None,
    fail_on: gate.FailOn = None,
) -> None:
    """Compare evaluations that were run elsewhere, item by item. No model is run.

    Two plain logs are base and fine-tuned model, in this order, and give the drop; logs under
    transforms, made with Dormant's plug-ins, complete the four cells. Logs of
    several models fine-tuned from one base give a timeline.
    """
    from dormant.integrations import logs as reading

    refuse_file_for_terminal(format, out)
    failing = gate.verdicts_named(fail_on or ())
    directions = reading.Directions(higher_is_better or (), lower_is_better or ())
    read = reading.read_logs(logs, directions)
    if len(reading.models_of(read)) > 2:
        from dormant.cli.timeline import give

        compared = reading.compare_children(read, base, margin, allow_identical)
        gate.refuse_without_transforms(
            [one for results in compared.found.values() for one in results.abilities], failing
        )
        give(compared, format, out, failing)
        return
    results = reading.compare(read, base, margin, allow_identical)
    gate.refuse_what_cannot_fail(results.base, failing)
    gate.refuse_without_transforms(results.abilities, failing)
    write(results, reading.outcomes(read, base), format, out, Path(), failing)
    gate.hold_audit(results, failing)
