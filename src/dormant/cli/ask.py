"""``dormant ask``: conjugate prompting as a tool."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.text import Text

from dormant.cli.common import errors, split


def ask(
    model: Annotated[str, typer.Argument(help="Any model that `dormant audit` takes.")],
    prompt: Annotated[str, typer.Argument(help="The prompt; `-` reads standard input.")],
    transform: Annotated[
        list[str] | None,
        typer.Option("--transform", "-s", help="Transform; repeat to see several side by side."),
    ] = None,
    prompts: Annotated[
        Literal["raw", "chat"], typer.Option(help="Raw prompt, or the model's chat template.")
    ] = "raw",
    max_new_tokens: Annotated[
        int, typer.Option(help="Length of the answer, in tokens.", min=1)
    ] = 64,
    until: Annotated[
        list[str] | None, typer.Option(help="Text at which the answer ends, e.g. a line break.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show s(prompt) and the model's own words too.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
) -> None:
    r"""Ask s⁻¹(model(s(prompt))): the prompt transformed, the answer transformed back.

    A line break in PROMPT or --until may be written as \n.
    """
    from dormant import transforms
    from dormant.language.asking import ask as put
    from dormant.language.models import LoadOptions, load

    names = split(transform) or ("identity",)
    chosen = [transforms.get(name) for name in names]
    text = sys.stdin.read() if prompt == "-" else prompt.replace("\\n", "\n")
    ends = tuple(end.replace("\\n", "\n") for end in until or ())
    with errors.status(f"loading {model}"):
        lm = load(model, LoadOptions(dtype=dtype))
    console = Console()
    for one in chosen:
        with errors.status(f"asking under {one.name}"):
            said = put(lm, text, one, style=prompts, max_new_tokens=max_new_tokens, until=ends)
        if verbose:
            _block(console, f"{one.name} · s(prompt)", said.prompt)
            _block(console, f"{one.name} · model", said.output)
        if verbose or len(chosen) > 1:
            _block(console, f"{one.name} · answer", said.answer)
        else:
            console.print(Text(said.answer.strip()), soft_wrap=True)


def _block(console: Console, title: str, body: str) -> None:
    console.print(Text(title, style="bold"))
    console.print(Text(body.strip("\n")), soft_wrap=True)
    console.print()
