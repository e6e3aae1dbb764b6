"""``dormant serve``: an OpenAI-compatible server that conjugates each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dormant.cli.common import errors, say, split, tell_engines
from dormant.cli.options import option_of, takes_settings
from dormant.integrations.serve.settings import ServeSettings

if TYPE_CHECKING:
    from dormant.integrations.serve.app import Served
    from dormant.integrations.serve.run import Ready


@takes_settings(ServeSettings)
def serve(
    model: Annotated[
        str,
        typer.Argument(
            help="Any model that `dormant audit` takes, or the address of an OpenAI-compatible "
            "server: http://HOST:PORT/v1."
        ),
    ],
    **given: Any,
) -> None:
    """Serve s⁻¹(MODEL(s(request))): OpenAI's completions and chats, each of them conjugated.

    A request's field `dormant` chooses: {"transform": "leetspeak"}, {"transform": null} for none,
    or {"ability": "icl/copy"} with --choose. Ctrl-C stops the server.
    """
    from dormant.devices import use
    from dormant.integrations.serve import server_packages

    with server_packages():
        from dormant.integrations.serve.run import example, prepare, run

    for word in ("transform", "transforms"):
        if word in given:
            given[word] = split(given[word])
    settings = ServeSettings.of({"model": model, **given}, option_of)
    with use(settings.device):
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
