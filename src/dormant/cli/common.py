"""What the subcommands share: how progress looks, and how lists are written."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import typer

from dormant.console import errors as errors
from dormant.console import progress as progress
from dormant.console import say as say
from dormant.errors import DormantError, Terminated
from dormant.names import flat_names
from dormant.rundirs import first_process

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
    for transform in chosen:
        for part in transform.parts or (transform,):
            if part.language and "@" not in part.name:
                say(f"{part.name}: by {part.signature}", "dim")


@contextlib.contextmanager
def resumable(out: Path, done: str) -> Generator[None]:
    """Let Ctrl-C and SIGTERM end work that a run directory keeps, with one line on how to go on.

    The exit codes are a shell's for these signals: 130 and 143.

    Args:
        out: The run directory.
        done: What is kept there, as in "what was … is in".
    """
    try:
        with terminable():
            yield
    except (KeyboardInterrupt, Terminated) as stop:
        if first_process():
            say(f"stopped; what was {done} is in {shlex.quote(str(out))}: the same command goes on")
        raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from None


@contextlib.contextmanager
def terminable() -> Generator[None]:
    """Raise `Terminated` where SIGTERM comes; only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def terminate(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
