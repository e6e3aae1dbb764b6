"""What the subcommands share: how progress looks, and how lists are written."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from dormant.console import errors as errors
from dormant.console import progress as progress
from dormant.errors import DormantError
from dormant.names import flat_names

if TYPE_CHECKING:
    from dormant.prompts.text_transform import TextTransform


def split(values: Sequence[str] | None) -> tuple[str, ...]:
    """Flatten a repeated option whose values are lists (`dormant.names`), dropping repetitions."""
    return flat_names(values or ())


def given_text(text: str | None) -> str:
    """Return what the user gave: the argument, or standard input for ``-`` or none.

    The line break that ends standard input is not part of it.

    Raises:
        DormantError: It is not UTF-8.
    """
    try:
        if text is None or text == "-":
            return sys.stdin.buffer.read().decode().removesuffix("\n")
        text.encode()
    except UnicodeError as error:
        where = "standard input" if text in (None, "-") else "the text"
        raise DormantError(f"{where} is not UTF-8 ({error}): convert it first") from error
    return text


def tell_engines(chosen: Sequence[TextTransform]) -> None:
    """Say which translator was taken, for every language that was named without one."""
    for one in chosen:
        for part in one.parts or (one,):
            if part.language and "@" not in part.name:
                errors.print(f"{part.name}: by {part.signature}", style="dim", soft_wrap=True)


@contextlib.contextmanager
def resumable(out: Path, done: str) -> Generator[None]:
    """Let Ctrl-C end work that a run directory keeps: one line on how to go on, and exit code 130.

    Args:
        out: The run directory.
        done: What is kept there, as in "what was … is in".
    """
    try:
        yield
    except KeyboardInterrupt:
        errors.print(
            f"stopped; what was {done} is in {shlex.quote(str(out))}: the same command goes on",
            soft_wrap=True,
            highlight=False,
        )
        raise typer.Exit(130) from None
