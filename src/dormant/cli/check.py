"""``dormant check``: do these artefacts compute the same?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dormant.cli.common import progress
from dormant.errors import DormantError

if TYPE_CHECKING:
    from rich.console import Console

    from dormant.equivalence.results import Check, Comparison

DIFFERS = 1
"""Exit code where one model computes something else; bad input has 2."""


def check(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="REFERENCE MODEL…",
            help="Any models that `dormant audit` takes; each is compared with the first.",
        ),
    ],
    tolerance: Annotated[
        str,
        typer.Option(
            help="`exact`: as float32 computes in another order; `rounded`: as half precision and "
            "8 bits do; or nats of divergence a token, of the prompt on which it is largest."
        ),
    ] = "exact",
    prompts: Annotated[
        Path | None,
        typer.Option(
            help='Prompts to compare by: a text a line, or JSONL with "prompt" or "messages" '
            "[default: texts and chats from the shipped tasks].",
        ),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="What adapters are put on [default: the base they name].")
    ] = None,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16; for all models.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    model_args: Annotated[
        str | None,
        typer.Option(help="Arguments of lm-evaluation-harness's models, KEY=VALUE,…; for all."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")] = False,
) -> None:
    """Check that an adapter, its merged copy, a GGUF file or a server compute the same.

    Exit code 0 where all do, 1 where one doesn't: then the first layer that differs is named. A
    model with arguments of its own is written as the harness has it:
    `hf:pretrained=DIR,dtype=bfloat16`.
    """
    if prompts is not None and str(prompts) in ("raw", "chat"):
        raise DormantError(
            f"--prompts {prompts} names a file here: prompts are compared raw and, where models "
            "have a chat template, as chats"
        )
    from rich.console import Console

    from dormant.audit.model_args import parse_model_args
    from dormant.equivalence.check import check as compare
    from dormant.models.arguments import LoadOptions

    arguments = parse_model_args(model_args) if model_args else {}
    with progress(quiet or as_json) as bar:
        found = compare(
            *models,
            tolerance=tolerance,
            prompts=prompts,
            base=base,
            options=LoadOptions(dtype=dtype, device=device, model_args=arguments),
            progress=bar,
        )
    if as_json:
        typer.echo(found.to_json(), nl=False)
    else:
        _print(found, Console())
    if not found.agree:
        raise typer.Exit(DIFFERS)


_COLUMNS = ("Model", "Computes in", "By", "Mean", "Worst", "Allowed", "Logit", "Token", "")
_WORDS = 3
"""Columns of words, before those of numbers."""
_BY = {"logits": "logits", "log-probabilities": "log p", "answers": "answers"}


def _print(found: Check, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    how = ", ".join(part for part in (found.kind, found.arithmetic) if part)
    head = Text.assemble((found.reference, "bold"), f" ({how}), {found.prompts} prompts")
    console.print(head, soft_wrap=True)
    for one in found.comparisons:
        # What other tokens do to all the rest can't be read from numbers.
        for reason in one.reasons:
            pair = f"{found.reference} and {one.model}: "
            console.print(Text.assemble(("≠ ", "red"), pair, reason), soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(_COLUMNS):
        number = _WORDS <= place < len(_COLUMNS) - 1
        table.add_column(
            name, justify="right" if number else "left", overflow="fold", no_wrap=place > 0
        )
    for one in found.comparisons:
        end = Text("✔ same", "green") if one.agrees else Text("✘ differs", "red")
        table.add_row(*(Text(word) for word in _row(one)), end)
    console.print(table)
    for one in found.comparisons:
        for note in one.notes:
            console.print(Text(f"{one.model}: {note}", "dim"), soft_wrap=True)


def _row(one: Comparison) -> list[str]:
    if one.by is None:
        return [one.model, one.arithmetic or one.kind, "–", *[""] * 5]
    if one.by == "answers":
        numbers = [f"{one.answers:.0%}", "", f"{one.bound:.0%}", "", ""]
    else:
        mean, worst = (
            (one.divergence, one.worst_divergence)
            if one.by == "logits"
            else (one.log_probability, one.worst_log_probability)
        )
        numbers = [f"{mean:.1e}", f"{worst:.1e}", f"{one.bound:.1e}"]
        numbers += ["", ""] if one.logit is None else [f"{one.logit:.1e}", f"{one.changed:.1%}"]
    return [one.model, one.arithmetic or one.kind, _BY[one.by], *numbers]
