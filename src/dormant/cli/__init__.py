"""The command line: one subcommand a file; each parses, calls, prints."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dormant.errors import DormantError

if TYPE_CHECKING:
    import typer

_HARNESS = "lm-eval"

COMMANDS: Mapping[str, tuple[str, str]] = {
    "demo": (
        "demo.demo",
        "Audit a real 135M model, fine-tuned on English sentiment, in minutes on a laptop.",
    ),
    "audit": (
        "audit.audit",
        "Audit a base model and the model fine-tuned from it: retained, suppressed, forgotten?",
    ),
    "recover": (
        "recover.recover",
        "Give suppressed abilities back to a fine-tuned model, keep its new skill, and prove both.",
    ),
    "report": (
        "report.report",
        "Print a finished run, or write it: HTML, LaTeX, CSV, JSON, JUnit, Markdown, model card.",
    ),
    "open": (
        "open_run.open_run",
        "Serve a run's page on this machine: cells fill in while it runs, then the report.",
    ),
    "compare": (
        "compare.compare",
        "Compare evaluations that were run elsewhere, item by item. No model is run.",
    ),
    "check": (
        "check.check",
        "Check that an adapter, its merged copy, a GGUF file or a server compute the same.",
    ),
    "ask": (
        "ask.ask",
        "Ask s⁻¹(model(s(prompt))): the prompt transformed, the answer transformed back.",
    ),
    "serve": (
        "serve.serve",
        "Serve s⁻¹(MODEL(s(request))): OpenAI's completions and chats, each of them conjugated.",
    ),
    "transform": (
        "transform.transform",
        "Print s(TEXT), or s⁻¹(TEXT) with --invert; or measure s⁻¹(s(line)) with --check FILE.",
    ),
    "tune": (
        "tune.tune",
        "Fine-tune MODEL: make a LoRA adapter that `dormant audit MODEL OUT` can audit.",
    ),
    "list": (
        "listing.list_",
        "List tasks, transforms, models or the laboratory's presets by name.",
    ),
    _HARNESS: (
        "lm_eval.lm_eval",
        "Run lm-evaluation-harness (`lm_eval`) with its model `dormant`, which conjugates any "
        "task.",
    ),
    "doctor": (
        "doctor.doctor",
        "Say what is installed and what of it works, and what to install for the rest.",
    ),
    "lab": ("lab.app", "The laboratory: regression in context (paper §2)."),
    "task": (
        "task.app",
        "Make a task of your own, check it, and label what a model generated.",
    ),
    "cache": (
        "cache.app",
        "Checkpoints that are kept converted, so that they load in seconds the next time.",
    ),
}
"""Where each subcommand is, and the first line of its help, which the program's own help shows: so
none is imported for that."""


def build(only: str | None = None) -> typer.Typer:
    """Put the subcommands together.

    Args:
        only: The one that is to be run; of the others the names alone are there then. `None`
            imports all.

    Returns:
        The Typer application, which the documentation reads its help from too.
    """
    import typer

    app = typer.Typer(
        name="dormant",
        help="What did fine-tuning cost a language model: was it suppressed or forgotten, and "
        "how do you get it back?",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    app.callback()(_top())
    for name, (where, summary) in COMMANDS.items():
        if only not in (None, name):
            app.command(name=name, help=summary)(_not_run)
            continue
        module, _, attribute = where.partition(".")
        command: Any = getattr(importlib.import_module(f"dormant.cli.{module}"), attribute)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name=name, **_settings(name))(command)
    return app


def _settings(name: str) -> dict[str, Any]:
    if name == "audit":
        from dormant.cli.options import underscores

        return {"context_settings": {"token_normalize_func": underscores}}
    if name == _HARNESS:
        return {
            "add_help_option": False,
            "context_settings": {
                "allow_extra_args": True,
                "ignore_unknown_options": True,
                "allow_interspersed_args": False,
            },
        }
    return {}


def _not_run() -> None:
    raise AssertionError("a subcommand that was named is imported")


def _top() -> Any:
    import typer

    def show(asked: bool) -> None:
        if asked:
            typer.echo(_version())
            raise typer.Exit

    def top(
        version: bool = typer.Option(
            False, "--version", callback=show, is_eager=True, help="Print the version and stop."
        ),
    ) -> None:
        del version

    return top


def _version() -> str:
    import dormant

    return f"dormant {dormant.__version__}"


def main() -> None:
    """Run the command line: bad input is one line and exit code 2, never a traceback."""
    words = sys.argv[1:]
    if words == ["--version"]:
        sys.stdout.write(f"{_version()}\n")
        return
    # Libraries draw bars of their own while a model loads; ours are rich's. The harness has no
    # others.
    if words[:1] != [_HARNESS]:
        os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        # The name under `python -m` too, in help and in what completes it.
        build(_named(words))(prog_name="dormant")
    except DormantError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)


def _named(words: list[str]) -> str | None:
    """Return the subcommand that is asked for, "" where it is none; `None` where all may be."""
    if "_DORMANT_COMPLETE" in os.environ:
        return None  # The shell asks what could be written.
    first = next((word for word in words if not word.startswith("-")), "")
    return first if first in COMMANDS else ""
