"""``dormant open``: a run's page, which fills in while its audit runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dormant.cli.common import say, terminable
from dormant.errors import Terminated


def open_run(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run directory, or that of a timeline.")
    ],
    port: Annotated[
        int, typer.Option(help="Port on loopback [default: any that is free].", min=0, max=65535)
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address; open no browser.")
    ] = False,
) -> None:
    """Serve a run's page on this machine: cells fill in while it runs, then the report.

    Nothing is written into the run directory, and nobody else on the network can look. Ctrl-C ends
    it.
    """
    from dormant.watch.pages import Pages
    from dormant.watch.server import PageServer

    def trouble(line: str) -> None:
        say(f"note: {line}")

    try:
        with terminable(), PageServer(Pages(run), port, trouble) as server:
            typer.echo(server.address)
            sys.stdout.flush()
            say("Ctrl-C ends it", "dim")
            if not no_browser and _has_screen():
                import webbrowser

                webbrowser.open(server.address)
            server.serve_forever(poll_interval=0.2)
    except (KeyboardInterrupt, Terminated):
        return


def _has_screen() -> bool:
    """Whether a browser would have a window: one that has none would take over the terminal."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
