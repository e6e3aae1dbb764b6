"""``dormant recover``: give an ability back, keep the new skill, prove both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from dormant.cli.audit import MODEL
from dormant.cli.common import progress, resumable, split
from dormant.cli.options import option_of, takes_settings
from dormant.errors import DormantError
from dormant.recovery.settings import RecoverSettings, default_out


@takes_settings(RecoverSettings)
def recover(
    base: Annotated[
        str, typer.Argument(help=f"The base model: {MODEL}. Alone, it is the fine-tuned one.")
    ],
    tuned: Annotated[str | None, typer.Argument(help="The model fine-tuned from it.")] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time after which no further candidate is made: 10m, 90s, 1h."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the model is saved; goes on if it holds this recovery "
            "[default: recovered/TUNED]."
        ),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it takes, and stop; nothing is written.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print recovery.json.")] = False,
    **given: Any,
) -> None:
    """Give suppressed abilities back to a fine-tuned model, keep its new skill, and prove both.

    Treatments propose changed weights; items that no treatment sees choose between them; others,
    that chose nothing, say what the chosen one did. It is saved with a model card. The same command
    goes on where it was stopped.
    """
    if "skill" not in given:
        raise DormantError(
            "--skill is missing: without examples of what the model was tuned for, nothing says "
            "what a treatment costs, so none is chosen, not even a λ; give held-out examples "
            "(--skill FILE) or a task"
        )
    if not {"task", "tasks"} & {*given}:
        raise DormantError("--task is missing: name the abilities to give back (dormant audit)")
    for word in ("task", "tasks", "also"):
        if word in given:
            given[word] = split(given[word])
    models = {"base": base if tuned else None, "tuned": tuned or base}
    settings = RecoverSettings.of({**models, **given}, option_of)
    where = out or Path(default_out(settings))
    if plan:
        _foresee(settings, quiet=quiet, json=json)
        return
    _run(settings, where, seconds(budget), quiet=quiet, json=json)


def seconds(text: str | None) -> float | None:
    """Read a time: ``90s``, ``10m``, ``1h``, or seconds.

    Raises:
        DormantError: It is none.
    """
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise DormantError(f"--budget {text!r}: write a time such as 90s, 10m or 1h")
    return float(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[match[2]]


def _foresee(settings: RecoverSettings, *, quiet: bool, json: bool) -> None:
    """Print what a recovery will take."""
    from dormant.recovery.forecast import forecast

    with progress(quiet or json) as bar:
        found = forecast(settings, bar)
    typer.echo(found.model_dump_json(indent=1) if json else str(found))


def _run(
    settings: RecoverSettings, out: Path, budget: float | None, *, quiet: bool, json: bool
) -> None:
    """Recover, and print what came of it."""
    from rich.console import Console

    from dormant.recovery.run import FOLDER
    from dormant.recovery.run import recover as run
    from dormant.report.recovered import print_recovery
    from dormant.report.recovery_page import write_recovery

    with resumable(out, "computed"), progress(quiet or json) as bar:
        results = run(settings, out, bar, budget=budget)
    page = write_recovery(results, out / FOLDER / "report.html")
    if json:
        typer.echo(results.to_json(), nl=False)
        return
    print_recovery(results, Console(), page)
