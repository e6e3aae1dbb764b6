"""``dormant task``: make a task of one's own, and look at any task's prompts."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

from dormant.cli import refusal_labels

app = typer.Typer(
    name="task",
    help="Make a task of your own, check it, and label what a model generated.",
    no_args_is_help=True,
)


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="File to write; must not exist.")] = Path(
        "task.toml"
    ),
) -> None:
    """Write a small working task to start from."""
    from dormant.errors import DormantError
    from dormant.tasks.custom import TEMPLATE

    if file.suffix != ".toml":
        raise DormantError(f"{file}: the file must end in .toml")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE.read_text(encoding="utf-8"))
    except FileExistsError:
        raise DormantError(f"{file} exists: choose another name") from None
    except OSError as error:
        raise DormantError(f"{file} can't be written: {error.strerror or error}") from None
    typer.echo(f"{file} written; next: dormant task check {shlex.quote(str(file))}")


@app.command()
def check(
    task: Annotated[str, typer.Argument(help="A task's file, or anything that --task takes.")],
    transform: Annotated[
        list[str] | None, typer.Option("--transform", "-s", help="Show it under these, too.")
    ] = None,
    item: Annotated[str | None, typer.Option(help="Item to show [default: the first].")] = None,
    shots: Annotated[
        int | None, typer.Option(help="Demonstrations [default: the task's own].", min=0)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the demonstrations.")] = 0,
) -> None:
    """Validate a task and show one prompt in every language, as a model reads it."""
    from dormant import tasks
    from dormant.audit.sample import ItemSample
    from dormant.audit.transformed import explain, plain_cases, transformed_cases
    from dormant.cli.common import split
    from dormant.errors import unknown
    from dormant.tasks.task import items_in, notes_of

    console = Console()
    for ability in tasks.get([task]):
        pool = ability.pool()
        chosen = pool[0] if item is None else item
        if chosen not in pool:
            raise unknown(f"item of {ability.name}", chosen, pool)
        console.print(
            Text.assemble(
                (ability.name, "bold"),
                f"  {ability.title} · {len(pool)} items · {', '.join(ability.languages())} · "
                f"measure {ability.measure} · chance {ability.chance:.0%}",
            )
        )
        for note in notes_of(ability):
            console.print(Text(note, style="yellow"), soft_wrap=True)
        sample = ItemSample((chosen,), ability.default_shots if shots is None else shots, seed)
        plain = plain_cases(ability, sample)
        shown = {f"{ability.languages()[0]} (plain)": plain}
        for name in (*ability.languages()[1:], *split(transform)):
            shown[name] = transformed_cases(ability, sample, name)
        for name, made in shown.items():
            console.print(Rule(f"{name} · {chosen}", align="left"))
            for case in made.cases.values():
                answers = [repr(f"{case.answer_prefix}{answer}") for answer in case.answers]
                console.print(Text(case.prompt), soft_wrap=True)
                console.print(Text(f"→ {', '.join(answers)}", style="green"), soft_wrap=True)
            for reason in explain(made).values():
                console.print(Text(f"excluded: {reason}", style="yellow"), soft_wrap=True)
        # Every prompt is rendered, so that a fault in any item shows now and not in an audit.
        for language in ability.languages():
            for key in items_in(ability, language):
                ability.case(key, language=language, shots=sample.shots, seed=seed)
        console.print()


@app.command()
def export(
    task: Annotated[
        list[str], typer.Argument(help="Abilities or groups, as `dormant audit --task` takes them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("tasks"),
    n: Annotated[
        int | None, typer.Option("-n", "--items", help="Items an ability [default: up to 100].")
    ] = None,
    shots: Annotated[
        int | None, typer.Option(help="Demonstrations [default: the task's own].", min=0)
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides items and demonstrations.")] = 0,
) -> None:
    """Write a task's plain prompts as a task of lm-evaluation-harness.

    `dormant lm-eval --include_path FOLDER --tasks NAME` then puts the prompts of `dormant audit`.
    """
    from dormant import tasks
    from dormant.audit.sample import ItemSample
    from dormant.integrations.lm_eval.tasks import export as write

    for ability in tasks.get(task):
        file = write(ability, ItemSample.of(ability, n=n, shots=shots, seed=seed), out)
        typer.echo(f"{file}: --include_path {out} --tasks {file.stem}")


app.command()(refusal_labels.label)
app.command()(refusal_labels.why)
