"""``dormant compare``: evaluations that other tools made, as cells of one comparison."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dormant.cli.output import Form, Out, write
from dormant.results import MARGIN


def compare(
    logs: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOG…",
            help="What `lm_eval --log_samples` wrote, .eval logs of Inspect, or directories of "
            "them: base and fine-tuned model, plain and under transforms.",
        ),
    ],
    base: Annotated[
        str | None, typer.Option(help="The base model's name [default: the first log's].")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Drop that counts as one, as a fraction.", min=0.001, max=0.999)
    ] = MARGIN,
    format: Form = "terminal",
    out: Out = None,
) -> None:
    """Compare evaluations that were run elsewhere, item by item. No model is run.

    Two plain logs are base and fine-tuned model, in this order, and give the drop; logs under
    transforms, made with Dormant's plug-ins, complete the four cells.
    """
    from dormant.integrations import logs as reading

    read = reading.read_logs(logs)
    results = reading.compare(read, base, margin)
    write(results, reading.outcomes(read, base), format, out, Path())
