"""``dormant recover``: give an ability back, keep the new skill, prove both."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dormant.cli.audit import MODEL
from dormant.cli.common import progress, resumable, split
from dormant.errors import DormantError

if TYPE_CHECKING:
    from dormant.recovery.settings import RecoverSettings


def recover(
    base: Annotated[
        str, typer.Argument(help=f"The base model: {MODEL}. Alone, it is the fine-tuned one.")
    ],
    tuned: Annotated[str | None, typer.Argument(help="The model fine-tuned from it.")] = None,
    task: Annotated[
        list[str] | None, typer.Option("--task", "-t", help="Ability to give back; repeat.")
    ] = None,
    skill: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|TASK",
            help="What the model was tuned on, which is to be kept: held-out examples, or a task. "
            "It is measured by these, and nothing is trained on them.",
        ),
    ] = None,
    skill_train: Annotated[
        Path | None,
        typer.Option(
            help="Training examples of the skill, which may be replayed [default: the fine-tuned "
            "model's own answers to a part of the skill's prompts]."
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(help="Ability to report on as well, which no treatment sees; repeat."),
    ] = None,
    treatment: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME or NAME:KEY=VALUE;KEY=VALUE; repeat "
            "[default: scale, conjugate-distillation]."
        ),
    ] = None,
    items: Annotated[int, typer.Option("--items", "-n", help="Items that are reported on.")] = 200,
    choose: Annotated[int, typer.Option(help="Items an ability that choose.")] = 100,
    train: Annotated[int, typer.Option(help="Items an ability that treatments may see.")] = 60,
    control: Annotated[
        bool,
        typer.Option(
            help="Train the base alike where training was chosen: what of it is teaching?"
        ),
    ] = True,
    replay: Annotated[int, typer.Option(help="Examples of the skill that may be replayed.")] = 200,
    margin: Annotated[
        float, typer.Option(help="Loss of an ability that counts as one, a fraction.")
    ] = 0.05,
    skill_margin: Annotated[float, typer.Option(help="The same of the skill.")] = 0.02,
    shots: Annotated[
        int | None, typer.Option(help="Demonstrations a prompt [default: the task's own].")
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides items and trainings.")] = 0,
    prompts: Annotated[str, typer.Option(help="raw, or chat: the models' templates.")] = "raw",
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
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    model_args: Annotated[
        str, typer.Option(help="What else lm-evaluation-harness's models take: KEY=VALUE,…")
    ] = "",
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it takes, and stop; nothing is written.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print recovery.json.")] = False,
) -> None:
    """Give suppressed abilities back to a fine-tuned model, keep its new skill, and prove both.

    Treatments propose changed weights; items that no treatment sees choose between them; others,
    that chose nothing, say what the chosen one did. It is saved with a model card. The same command
    goes on where it was stopped.
    """
    from dormant.audit.model_args import parse_model_args
    from dormant.recovery.settings import RecoverSettings, default_out

    if skill is None:
        raise DormantError(
            "--skill is missing: without examples of what the model was tuned for, nothing says "
            "what a treatment costs, so none is chosen, not even a λ; give held-out examples "
            "(--skill FILE) or a task"
        )
    if not task:
        raise DormantError("--task is missing: name the abilities to give back (dormant audit)")
    settings = RecoverSettings.of(
        base=base if tuned else None,
        tuned=tuned or base,
        tasks=split(task),
        skill=skill,
        skill_train=None if skill_train is None else str(skill_train),
        also=split(also),
        n=items,
        choose=choose,
        train=train,
        replay=replay,
        margin=margin,
        skill_margin=skill_margin,
        control=control,
        shots=shots,
        seed=seed,
        prompts=prompts,
        dtype=dtype,
        device=device,
        model_args=parse_model_args(model_args) if model_args else {},
        **({"treatments": tuple(treatment)} if treatment else {}),
    )
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
