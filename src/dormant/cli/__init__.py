"""The command line: one subcommand a file; each parses, calls, prints."""

from __future__ import annotations

import os
import sys

import typer

from dormant.errors import DormantError

_HARNESS = "lm-eval"


def build() -> typer.Typer:
    """Put the subcommands together.

    Returns:
        The Typer application, which the documentation reads its help from too.
    """
    from dormant.cli import (
        ask,
        audit,
        check,
        compare,
        demo,
        lab,
        listing,
        lm_eval,
        report,
        task,
        transform,
        tune,
    )
    from dormant.cli.options import underscores

    app = typer.Typer(
        name="dormant",
        help="What did fine-tuning cost a language model: was it suppressed or forgotten, and "
        "how do you get it back?",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_top)
    app.command()(demo.demo)
    app.command(context_settings={"token_normalize_func": underscores})(audit.audit)
    app.command()(report.report)
    app.command()(compare.compare)
    app.command()(check.check)
    app.command()(ask.ask)
    app.command()(transform.transform)
    app.command()(tune.tune)
    app.command(name="list")(listing.list_)
    app.command(
        name=_HARNESS,
        add_help_option=False,
        context_settings={
            "allow_extra_args": True,
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        },
    )(lm_eval.lm_eval)
    app.add_typer(lab.app, name="lab")
    app.add_typer(task.app, name="task")
    return app


def _version(show: bool) -> None:
    if show:
        import dormant

        typer.echo(f"dormant {dormant.__version__}")
        raise typer.Exit


def _top(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    del version


def main() -> None:
    """Run the command line: bad input is one line and exit code 2, never a traceback."""
    # Libraries draw bars of their own while a model loads; ours are rich's. The harness has no
    # others.
    if sys.argv[1:2] != [_HARNESS]:
        os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        # The name under `python -m` too, in help and in what completes it.
        build()(prog_name="dormant")
    except DormantError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
