"""``dormant audit``: the main job."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dormant.audit.children import children_of, default_parent, many
from dormant.audit.settings import AuditSettings, default_directory
from dormant.cli import gate
from dormant.cli.common import progress, resumable, say, split
from dormant.cli.options import option_of, takes_settings
from dormant.cli.watched import JsonLinesOption, Showing
from dormant.clusters import joined, known_backend
from dormant.errors import DormantError
from dormant.results import Verdict

if TYPE_CHECKING:
    from dormant.audit.ray import Workers

MODEL = (
    "a Hugging Face id or directory, a PEFT adapter directory, a .gguf file, `smollm2`, "
    "a shipped fine-tuned model (`dormant list models`), or BACKEND:ARGS as "
    "lm-evaluation-harness spells them"
)


@takes_settings(AuditSettings)
def audit(
    base: Annotated[
        str, typer.Argument(help=f"The base model: {MODEL}. Alone, it is audited on two cells.")
    ],
    tuned: Annotated[
        list[str] | None,
        typer.Argument(
            help="The model fine-tuned from it. Several, or a directory of `checkpoint-STEP`, "
            "make a timeline."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run directory; resumed if it holds this run. Several models have one each in "
            "it [default: runs/NAMES]."
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print results.json, not tables.")] = False,
    json_lines: JsonLinesOption = False,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            help="Say how many prompts, minutes and how much memory it takes, and stop: both "
            "models are loaded and asked a few prompts, and nothing is written.",
        ),
    ] = False,
    closeness: Annotated[
        bool,
        typer.Option(
            "--closeness",
            help="Measure by how much fine-tuning made each prompt likelier, and whether what is "
            "closer lost more. The prompts are read once more by both models.",
        ),
    ] = False,
    density: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The same by another model as well: one tuned on the whole text of the "
            "fine-tuning data (`dormant tune --whole-text`).",
        ),
    ] = None,
    backend: Annotated[
        str,
        typer.Option(
            help="Where prompts are scored. local: by this process; ray: by workers of the cluster "
            "that RAY_ADDRESS names, or of this machine."
        ),
    ] = "local",
    workers: Annotated[
        int | None,
        typer.Option(
            help="Ray's workers, at most [default: what the cluster has room for].", min=1
        ),
    ] = None,
    fail_on: gate.FailOn = None,
    **given: Any,
) -> None:
    """Audit a base model and the model fine-tuned from it: retained, suppressed, forgotten?

    With one model, gains only are measured. A run that was stopped goes on when the same command
    is given again. Several fine-tuned models of one base give a timeline; the base is asked once.
    lm-evaluation-harness's words are taken too: --tasks, --limit, --num_fewshot,
    --apply_chat_template.
    """
    if json_lines and (json or plan):
        raise DormantError(
            f"--json-lines and {'--json' if json else '--plan'} both write to standard output: "
            "give one of them (results.json is in the run directory)"
        )
    for word in ("task", "tasks", "transform", "transforms"):
        if word in given:
            given[word] = split(given[word])
    failing = gate.verdicts_named(fail_on or ())
    cluster = _cluster(backend, workers)
    named = tuned or [base]
    models = {"base": base if tuned else None, "tuned": named[0]}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", FutureWarning)
        settings = AuditSettings.of({**models, **given}, option_of)
    for warning in said:
        say(f"warning: {warning.message}")
    if tuned and many(tuned):
        for option, asked in (("--plan", plan), ("--closeness", closeness or density)):
            if asked:
                raise DormantError(f"{option} is for one fine-tuned model: name one of them")
        from dormant.cli.timeline import run_many

        folder = out or default_parent(settings, named)
        children = children_of(named)
        showing = Showing(quiet=quiet, json=json, lines=json_lines)
        with cluster as found:
            run_many(settings, children, folder, showing, fail_on=failing, workers=found)
    elif plan:
        if backend == "ray":
            raise DormantError("--plan measures on this machine: leave --backend ray out")
        if closeness or density:
            raise DormantError(
                "--plan doesn't foresee --closeness, which reads the same prompts once more: leave "
                "it out"
            )
        foresee(settings, quiet=quiet, json=json)
    else:
        with cluster as found:
            run(
                settings,
                out or default_directory(settings),
                Showing(quiet=quiet, json=json, lines=json_lines),
                fail_on=failing,
                closeness=closeness or density is not None,
                density=density,
                workers=found,
            )


@contextlib.contextmanager
def _joined(most: int | None) -> Generator[Workers]:
    from dormant.audit.ray import Workers

    with joined() as ray:
        yield Workers(ray, most)


def _cluster(backend: str, workers: int | None) -> AbstractContextManager[Workers | None]:
    """Return what joins the cluster that is asked for.

    Raises:
        DormantError: There is no such backend, or it has no workers.
    """
    if known_backend(backend) == "ray":
        return _joined(workers)
    if workers is not None:
        raise DormantError(f"--workers {workers} is for --backend ray: give that too")
    return contextlib.nullcontext()


def foresee(settings: AuditSettings, *, quiet: bool, json: bool) -> None:
    """Print what an audit will take."""
    from dormant.audit.forecast import forecast
    from dormant.evidence import rungs_of

    with progress(quiet or json) as bar:
        found = forecast(settings, bar, rungs=rungs_of(settings))
    typer.echo(found.model_dump_json(indent=1) if json else str(found))


def run(
    settings: AuditSettings,
    out: Path,
    showing: Showing,
    fail_on: Sequence[Verdict] = (),
    closeness: bool = False,
    density: str | None = None,
    workers: Workers | None = None,
) -> None:
    """Run an audit, write its report, print both, and hold the gate.

    Raises:
        typer.Exit: The gate fails (1), or closeness could not be measured (2).
        DormantError: Bad input, a model that can't be loaded, a disk that is full.
    """
    from rich.console import Console

    from dormant.audit.run import audit as run_audit
    from dormant.audit.run_dir import RunDirectory
    from dormant.evidence import rungs_of
    from dormant.report import print_report, write_report
    from dormant.rundirs import first_process

    gate.refuse_what_cannot_fail(settings.base, fail_on)
    unmeasured = ""
    if closeness:
        from dormant.closeness.run import refuse_unmeasurable

        refuse_unmeasurable(settings, density)
    with resumable(out, "scored"), showing.watching() as watch:
        results = run_audit(
            settings,
            out,
            watch.progress,
            rungs=rungs_of(settings),
            tell=watch.tell,
            workers=workers,
        )
        if not first_process():
            return
        if closeness:
            from dormant.closeness.run import measure

            try:
                results = measure(out, density=density, progress=watch.progress)
            except DormantError as error:
                # The audit itself is whole: its report is written all the same.
                unmeasured = str(error)
        outcomes = RunDirectory.read(out).all_outcomes()
        page = write_report(results, outcomes, out / "report.html", "html")
        watch.finished(results, out, page)
    if showing.json:
        typer.echo(results.to_json(), nl=False)
    elif not showing.lines:
        print_report(results, Console(), page)
    if unmeasured:
        say(f"error: closeness was not measured: {unmeasured}")
    gate.hold_audit(results, fail_on)
    if unmeasured:
        raise typer.Exit(2)
