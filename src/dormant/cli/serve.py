"""``dormant serve``: an OpenAI-compatible server that conjugates each request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dormant.cli.common import errors, say, split, tell_engines

if TYPE_CHECKING:
    from dormant.integrations.serve.app import Served
    from dormant.integrations.serve.run import Ready


def serve(
    model: Annotated[
        str,
        typer.Argument(
            help="Any model that `dormant audit` takes, or the address of an OpenAI-compatible "
            "server: http://HOST:PORT/v1."
        ),
    ],
    transform: Annotated[
        list[str] | None,
        typer.Option(
            "--transform",
            "-s",
            help="Transform that requests may choose; repeat, or separate by commas. The first is "
            "the default [default: none, requests are answered plainly].",
        ),
    ] = None,
    choose: Annotated[
        Path | None,
        typer.Option(
            help="A finished audit: a request may name an ability, and gets the transform that was "
            "found best for it.",
            metavar="RUN",
        ),
    ] = None,
    source: Annotated[
        str, typer.Option(help="Language of the requests, which languages translate from.")
    ] = "english",
    keep: Annotated[
        bool,
        typer.Option(help="Leave numbers, URLs, code, tags and placeholders as they are."),
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen at; 0 for any.", min=0, max=65535)
    ] = 8400,
    timeout: Annotated[
        float, typer.Option(help="Seconds that another server may be silent.", min=0.01)
    ] = 120,
    max_new_tokens: Annotated[
        int,
        typer.Option(
            help="Length of an answer, in tokens, where a request doesn't say; of models that run "
            "here.",
            min=1,
        ),
    ] = 256,
    dtype: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
) -> None:
    """Serve s⁻¹(MODEL(s(request))): OpenAI's completions and chats, each of them conjugated.

    A request's field `dormant` chooses: {"transform": "leetspeak"}, {"transform": null} for none,
    or {"ability": "icl/copy"} with --choose. Ctrl-C stops the server.
    """
    from dormant.devices import use
    from dormant.integrations.serve import server_packages

    with server_packages():
        from dormant.integrations.serve.run import ServeSettings, example, prepare, run
    settings = ServeSettings(
        model=model,
        transforms=split(transform),
        run=choose,
        source=source,
        keep=keep,
        host=host,
        port=port,
        timeout=timeout,
        max_tokens=max_new_tokens,
        dtype=dtype,
        device=device,
    )
    with use(device):
        with errors.status(f"loading {model}"):
            ready = prepare(settings)
        tell_engines([*ready.switch.offered.values()])
        for warning in ready.warnings:
            say(f"warning: {warning}")
        run(ready, _tell, lambda: _introduce(ready, model, example(ready, model)))
    say("stopped")


def _introduce(ready: Ready, model: str, command: str) -> None:
    names = [*ready.switch.offered]
    offered = ", ".join([f"{names[0]} (default)", *names[1:]] if names else ["none"])
    typer.echo(f"{model} at {ready.address}\ntransforms: {offered}")
    for name, choice in ready.switch.abilities.items():
        note = f" ({choice.note})" if choice.note else ""
        typer.echo(f"{name}: {choice.verdict}, {choice.transform.name}{note}")
    typer.echo(f"try: {command}\nCtrl-C stops it")


def _tell(served: Served) -> None:
    what = f"{served.path} {served.transform or '–'} {served.status} {served.seconds:.2f} s"
    say(f"{what}: {served.problem}" if served.problem else what, "dim")
