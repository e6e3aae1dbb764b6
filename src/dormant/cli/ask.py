"""``dormant ask``: conjugate prompting as a tool."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from dormant.cli.common import errors, given_text, split, tell_engines
from dormant.errors import DormantError

if TYPE_CHECKING:
    from dormant.models.ask import Completion


def ask(
    model: Annotated[str, typer.Argument(help="Any model that `dormant audit` takes.")],
    prompt: Annotated[str, typer.Argument(help="The prompt; `-` reads standard input.")],
    transform: Annotated[
        list[str] | None,
        typer.Option(
            "--transform",
            "-s",
            help="Transform; repeat, or separate by commas, to compare several; KEY=VALUE after "
            "a comma goes on with an engine's arguments [default: identity, the prompt as it is].",
        ),
    ] = None,
    keep: Annotated[
        bool,
        typer.Option(help="Leave numbers, URLs, code, tags and placeholders as they are."),
    ] = False,
    prompts: Annotated[
        Literal["raw", "chat"], typer.Option(help="Raw prompt, or the model's chat template.")
    ] = "raw",
    max_new_tokens: Annotated[
        int, typer.Option(help="Length of the answer, in tokens.", min=1)
    ] = 64,
    until: Annotated[
        list[str] | None,
        typer.Option(help="Text at which the answer ends, e.g. '\\n' for its first line."),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show s(prompt) and the model's own words too.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print s(prompt), output and answer of each as JSON.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    r"""Ask s⁻¹(model(s(prompt))): the prompt transformed, the answer transformed back.

    A line break in PROMPT or --until may be written as \n. An answer that can't be transformed
    back is an error, and the others are printed all the same.
    """
    from dormant import transforms
    from dormant.devices import use
    from dormant.models.ask import ask as put
    from dormant.models.load import LoadOptions, load

    found: list[Completion] = []
    with use(device):
        chosen = [transforms.get(name) for name in split(transform) or ("identity",)]
        tell_engines(chosen)
        text = given_text(prompt)
        if prompt != "-":
            text = text.replace("\\n", "\n")
        ends = tuple(end.replace("\\n", "\n") for end in until or ())
        with errors.status(f"loading {model}"):
            lm = load(model, LoadOptions(dtype=dtype, device=device))
        for one in chosen:
            with errors.status(f"asking under {one.name}"):
                found.append(put(lm, text, one, keep, prompts, max_new_tokens, ends))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=1, ensure_ascii=False))
    elif verbose:
        _at_length(Console(), found)
    elif len(found) == 1:
        if found[0].answer is not None:
            typer.echo(found[0].answer.strip())
    else:
        _side_by_side(Console(), found)
    failed = [one for one in found if one.problem is not None]
    if failed:
        raise DormantError(
            f"the answer under {failed[0].transform} can't be transformed back: "
            f"{failed[0].problem}; see the model's own words with --verbose"
        )


def _side_by_side(console: Console, found: list[Completion]) -> None:
    """One row a transform; further lines of an answer stand under its first."""
    width = max(len(one.transform) for one in found)
    for one in found:
        lines = ["–"] if one.answer is None else one.answer.strip().splitlines() or [""]
        for name, line in zip([one.transform, *[""] * len(lines)], lines, strict=False):
            console.print(
                Text.assemble((f"{name:<{width}}", "bold"), "  ", line),
                soft_wrap=True,
            )


def _at_length(console: Console, found: list[Completion]) -> None:
    for one in found:
        console.rule(Text(one.signature, style="bold"), align="left")
        answer = f"({one.problem})" if one.answer is None else one.answer
        for title, body in (("s(prompt)", one.prompt), ("model", one.output), ("answer", answer)):
            console.print(Text(title, style="bold"))
            console.print(Text(body.strip("\n")), soft_wrap=True)
            console.print()
