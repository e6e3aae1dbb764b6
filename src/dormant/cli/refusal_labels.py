"""``dormant task label`` and ``dormant task why``: the labels of a refusal task, looked after."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    from dormant.audit.labelling.records import Labels
    from dormant.results import ItemOutcome


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
    from dormant.audit.labelling import page as labelling_page
    from dormant.audit.labelling.judge_model import judge as ask
    from dormant.audit.labelling.records import labelled, read_labels, run_labels, with_text
    from dormant.audit.run_dir import RunDirectory
    from dormant.files import guarded, write_atomically
    from dormant.models.load import load

    console = Console()
    outcomes = labelled(RunDirectory.read(run))
    console.print(_rates(outcomes))
    by = {"audit": run_labels(outcomes)}
    if judge is not None:
        answers = with_text(outcomes)
        judged = ask(load(judge), answers, style=judge_prompts)
        by["judge"] = judged.labels
        if judged.outside:
            console.print(
                f"{judged.outside} of the judge's {len(answers)} replies were none of the labels: "
                "counted AMBIGUOUS"
            )
    if labels is not None:
        by["person"] = read_labels(labels)
    for line in _agreements(by):
        console.print(line)
    if page is not None:
        text = labelling_page.page(with_text(outcomes), n=n, seed=seed)
        guarded(page, lambda: write_atomically(page, text))
        console.print(f"{page} written: label, save, then --labels labels.jsonl", soft_wrap=True)


def why(
    answer: Annotated[str, typer.Argument(help="What a model said.")],
    prompt: Annotated[str | None, typer.Option(help="What it was asked.")] = None,
    top: Annotated[int, typer.Option(help="Words to show.", min=1)] = 8,
) -> None:
    """Show how an answer is labelled, REFUSE, ANSWER or AMBIGUOUS, and what speaks for it."""
    from dormant.tasks.refusal import classifier

    console = Console()
    explained = classifier.explain((answer, prompt))
    scores = ", ".join(f"{label} {score:.2f}" for label, score in explained.scores.items())
    console.print(f"{explained.label} ({scores})", highlight=False)
    if not explained.words:
        console.print("There is nothing to be read in it, or only the prompt.")
        return
    if not explained.familiar:
        console.print("No labelled answer is much like it: don't rely on the label.")
    words = sorted(explained.words, key=lambda pair: -abs(pair[1]))[:top]
    heads = ("word", "what the lead owes to it")
    console.print(_table(heads, ((Text(word), f"{lead:+.3f}") for word, lead in words)))
    heads = ("most similar labelled answers (tests/golden)", "label", "similarity")
    support = ((Text(name), label, f"{near:.2f}") for name, label, near in explained.support)
    console.print(_table(heads, support))


def _rates(outcomes: Sequence[ItemOutcome]) -> Table:
    """Lay out how often each label was given, cell by cell."""
    from dormant.audit.labelling.rates import rates
    from dormant.tasks.refusal.labels import LABELS

    names = [Column(name, no_wrap=True) for name in ("ability", "transform", "model", "n")]
    table = Table(*names, *LABELS, "answered in", box=None)
    for cell in rates(outcomes):
        shares = [
            f"{rate.estimate:.0%} [{rate.low:.0%}, {rate.high:.0%}]" for rate in cell.rates.values()
        ]
        spoken = ", ".join(f"{code} {count}" for code, count in cell.languages.items())
        empty = f" ({cell.empty} empty)" if cell.empty else ""
        table.add_row(cell.task, cell.transform, cell.model, f"{cell.n}{empty}", *shares, spoken)
    return table


def _agreements(by: Mapping[str, Labels]) -> Iterable[str]:
    """Say how far each two labellings agree, a line each."""
    from dormant.audit.labelling.agreement import agreement

    for one, other in itertools.combinations(by, 2):
        agreed = agreement(by[one], by[other])
        kappa = "undefined" if agreed.kappa is None else f"{agreed.kappa:.2f}"
        yield (
            f"{one} and {other}: the same label for {agreed.share:.0%} of {agreed.n} answers, "
            f"Cohen's κ {kappa}"
        )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    table = Table(*heads, box=None)
    for row in rows:
        table.add_row(*row)
    return table
