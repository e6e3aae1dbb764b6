"""``dormant audit``: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dormant.cli.common import progress, resumable, split

if TYPE_CHECKING:
    from dormant.audit.settings import AuditSettings

_MODEL = (
    "a Hugging Face id or directory, a PEFT adapter directory, a .gguf file, `smollm2`, "
    "one of its shipped children (`dormant list models`), or BACKEND:ARGS as "
    "lm-evaluation-harness spells them"
)


def audit(
    base: Annotated[
        str, typer.Argument(help=f"The base model: {_MODEL}. Alone, it is audited on two cells.")
    ],
    tuned: Annotated[str | None, typer.Argument(help="Its fine-tuned child.")] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", "-t", help="Ability or group; repeat, or separate by commas."),
    ] = None,
    transform: Annotated[
        list[str] | None,
        typer.Option(
            "--transform",
            "-s",
            help="Transform; repeat, or separate by commas. Default: every language a task "
            "ships, leetspeak and pig-latin.",
        ),
    ] = None,
    n: Annotated[
        int | None, typer.Option("-n", "--items", help="Items an ability [default: up to 100].")
    ] = None,
    shots: Annotated[
        int | None,
        typer.Option(help="Demonstrations a prompt [default: the task's own; icl: 2].", min=0),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides items, demonstrations and resamples.")] = 0,
    prompts: Annotated[
        Literal["raw", "chat"], typer.Option(help="Raw prompts, or the model's chat template.")
    ] = "raw",
    base_prompts: Annotated[
        Literal["raw", "chat"] | None, typer.Option(help="The same, for the base model alone.")
    ] = None,
    tuned_prompts: Annotated[
        Literal["raw", "chat"] | None, typer.Option(help="The same, for the tuned model alone.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Drop that counts as one, as a fraction.", min=0.001, max=0.999)
    ] = 0.05,
    min_chrf: Annotated[
        float,
        typer.Option(
            help="Least round-trip chrF of a translated item; those below are left out of all "
            "four cells.",
            min=0,
            max=100,
        ),
    ] = 40.0,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    scorer: Annotated[
        Literal["fast", "lm-eval"], typer.Option(help="Dormant's scorer, or lm-eval's own.")
    ] = "fast",
    batch: Annotated[int, typer.Option(help="Prompts a batch: what a kill may lose.", min=1)] = 64,
    keep_generations: Annotated[
        bool, typer.Option("--keep-generations", help="Keep generated text in the records.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Run directory; resumed if it holds this run [default: runs/NAMES]."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print results.json, not tables.")] = False,
) -> None:
    """Audit a base model and its fine-tuned child: what was retained, suppressed, forgotten?

    With one model, gains only are measured. A run that was stopped goes on when the same command
    is given again.
    """
    from dormant.audit.settings import AuditSettings, default_directory

    settings = AuditSettings(
        base=base if tuned else None,
        tuned=tuned or base,
        **_given(tasks=split(task)),
        transforms=split(transform),
        n=n,
        shots=shots,
        seed=seed,
        base_prompts=base_prompts or prompts,
        tuned_prompts=tuned_prompts or prompts,
        margin=margin,
        min_chrf=min_chrf,
        batch=batch,
        dtype=dtype,
        device=device,
        scorer=scorer,
        keep_generations=keep_generations,
    )
    run(settings, out or default_directory(settings), quiet=quiet, json=json)


def run(settings: AuditSettings, out: Path, *, quiet: bool, json: bool) -> None:
    """Run an audit, write its report, and print both."""
    from rich.console import Console

    from dormant.audit.run import audit as run_audit
    from dormant.audit.run_dir import RunDirectory
    from dormant.report import print_report, write_report
    from dormant.rundirs import first_process

    with resumable(out, "scored"), progress(quiet or json or not first_process()) as bar:
        results = run_audit(settings, out, bar)
    if not first_process():
        return
    page = write_report(results, RunDirectory.read(out).all_outcomes(), out / "report.html", "html")
    if json:
        typer.echo(results.to_json(), nl=False)
        return
    print_report(results, Console(), page)


def _given(**options: Any) -> dict[str, Any]:
    """Drop the options that were not given, so that the settings' own defaults hold."""
    return {name: value for name, value in options.items() if value}
