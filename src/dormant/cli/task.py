"""``dormant task``: make a task of one's own, and look at any task's prompts."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.rule import Rule
from rich.text import Text

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

    if file.suffix != ".toml":
        raise DormantError(f"{file}: the file must end in .toml")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(TEMPLATE)
    except FileExistsError:
        raise DormantError(f"{file} exists: choose another name") from None
    except OSError as error:
        raise DormantError(f"{file} can't be written: {error.strerror or error}") from None
    typer.echo(f"{file} written; next: dormant task check {file}")


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

    console = Console()
    for found in tasks.get([task]):
        pool = found.pool()
        chosen = pool[0] if item is None else item
        if chosen not in pool:
            raise unknown(f"item of {found.name}", chosen, pool)
        console.print(
            Text.assemble(
                (found.name, "bold"),
                f"  {found.title} · {len(pool)} items · {', '.join(found.languages())} · "
                f"measure {found.measure} · chance {found.chance:.0%}",
            )
        )
        sample = ItemSample((chosen,), found.default_shots if shots is None else shots, seed)
        plain = plain_cases(found, sample)
        shown = {f"{found.languages()[0]} (plain)": plain}
        for name in (*found.languages()[1:], *split(transform)):
            shown[name] = transformed_cases(found, sample, name)
        for name, made in shown.items():
            console.print(Rule(f"{name} · {chosen}", align="left"))
            for case in made.cases.values():
                answers = [repr(f"{case.answer_prefix}{answer}") for answer in case.answers]
                console.print(Text(case.prompt), soft_wrap=True)
                console.print(Text(f"→ {', '.join(answers)}", style="green"), soft_wrap=True)
            for reason in explain(made).values():
                console.print(Text(f"excluded: {reason}", style="yellow"), soft_wrap=True)
        # Every prompt is rendered, so that a fault in any item shows now and not in an audit.
        for language in found.languages():
            for key in pool:
                found.case(key, language=language, shots=sample.shots, seed=seed)
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
    from dormant.audit.transformed import ItemSample
    from dormant.integrations.lm_eval.tasks import export as write

    for found in tasks.get(task):
        file = write(found, ItemSample.of(found, n=n, shots=shots, seed=seed), out)
        typer.echo(f"{file}: --include_path {out} --tasks {file.stem}")


@app.command()
def label(
    run: Annotated[Path, typer.Argument(help="A run directory with a refusal task in it.")],
    judge: Annotated[
        str | None, typer.Option(help="Have this model label the answers, too.")
    ] = None,
    judge_prompts: Annotated[
        Literal["raw", "chat"], typer.Option(help="How the judge is asked.")
    ] = "raw",
    page: Annotated[
        Path | None, typer.Option(help="Write a page on which a person labels a sample.")
    ] = None,
    labels: Annotated[Path | None, typer.Option(help="The labels that such a page saved.")] = None,
    n: Annotated[int, typer.Option("-n", help="Answers on the page.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Decides which.")] = 0,
) -> None:
    """Show how often a model declined and answered, and check the labels by judge and by hand.

    The labels of the audit are in every run; a judge and a page need one made with
    --keep-generations.
    """
    from rich.table import Column, Table

    from dormant.audit import labelling
    from dormant.audit.run_dir import RunDirectory
    from dormant.files import guarded, write_atomically
    from dormant.models.load import load

    console = Console()
    found = labelling.labelled(RunDirectory.read(run))
    names = [Column(name, no_wrap=True) for name in ("ability", "transform", "model", "n")]
    table = Table(*names, *labelling.LABELS, "answered in", box=None)
    for cell in labelling.rates(found):
        shares = [
            f"{rate.estimate:.0%} [{rate.low:.0%}, {rate.high:.0%}]" for rate in cell.rates.values()
        ]
        spoken = ", ".join(f"{code} {count}" for code, count in cell.languages.items())
        empty = f" ({cell.empty} empty)" if cell.empty else ""
        table.add_row(cell.task, cell.transform, cell.model, f"{cell.n}{empty}", *shares, spoken)
    console.print(table)
    by = {"audit": labelling.run_labels(found)}
    if judge is not None:
        answers = labelling.with_text(found)
        judged = labelling.judge(load(judge), answers, chat=judge_prompts == "chat")
        by["judge"] = judged.labels
        if judged.outside:
            console.print(
                f"{judged.outside} of the judge's {len(answers)} replies were none of the labels: "
                "counted AMBIGUOUS"
            )
    if labels is not None:
        by["person"] = labelling.read_labels(labels)
    for one, other in itertools.combinations(by, 2):
        agreed = labelling.agreement(by[one], by[other])
        kappa = "undefined" if agreed.kappa is None else f"{agreed.kappa:.2f}"
        console.print(
            f"{one} and {other}: the same label for {agreed.share:.0%} of {agreed.n} answers, "
            f"Cohen's κ {kappa}"
        )
    if page is not None:
        text = labelling.page(labelling.with_text(found), n=n, seed=seed)
        guarded(page, lambda: write_atomically(page, text))
        console.print(f"{page} written: label, save, then --labels labels.jsonl", soft_wrap=True)


@app.command()
def why(
    answer: Annotated[str, typer.Argument(help="What a model said.")],
    prompt: Annotated[str | None, typer.Option(help="What it was asked.")] = None,
    top: Annotated[int, typer.Option(help="Words to show.", min=1)] = 8,
) -> None:
    """Show how an answer is labelled, REFUSE, ANSWER or AMBIGUOUS, and what speaks for it."""
    from rich.table import Table

    from dormant.tasks.refusal import classifier

    console = Console()
    explained = classifier.explain((answer, prompt))
    scores = ", ".join(f"{label} {score:.2f}" for label, score in explained.scores.items())
    console.print(f"{explained.label} ({scores})", highlight=False)
    if not explained.words:
        console.print("There is nothing to be read in it, or only the prompt.")
        return
    table = Table("word", "what the lead owes to it", box=None)
    for word, lead in sorted(explained.words, key=lambda pair: -abs(pair[1]))[:top]:
        table.add_row(Text(word), f"{lead:+.3f}")
    console.print(table)
    table = Table("most similar labelled answers (tests/golden)", "label", "similarity", box=None)
    for name, label, similarity in explained.support:
        table.add_row(Text(name), label, f"{similarity:.2f}")
    console.print(table)


TEMPLATE = """\
# A task of your own. `dormant task check FILE` shows its prompts; docs/tasks.md explains it all.
name = "opposites"              # ability, as it is named in results
title = "Name the opposite"     # one line for people
measure = "greedy"              # or "most-likely", "most-likely-whole", "generate"
shots = 2                       # demonstrations before each query

# One table a language, the plain one first. Items are parallel: the same ids everywhere.
[languages.english]
instruction = "Write the opposite of the word."
input = "Input"
output = "Output"

[languages.english.items]
hot = { input = "hot", target = "cold" }
big = { input = "big", target = "small" }
fast = { input = "fast", target = "slow" }
# `distractor` is the answer that fine-tuning favours, `others` are further wrong answers:
good = { input = "good", target = "bad", distractor = "positive", others = ["great"] }

[languages.french]
instruction = "Écris le contraire du mot."
input = "Entrée"
output = "Sortie"

[languages.french.items]
hot = { input = "chaud", target = "froid" }
big = { input = "grand", target = "petit" }
fast = { input = "rapide", target = "lent" }
good = { input = "bon", target = "mauvais", distractor = "positif", others = ["super"] }
"""
