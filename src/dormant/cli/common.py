"""What the subcommands share: how progress looks, and how lists are written."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from dormant.errors import DormantError

if TYPE_CHECKING:
    from dormant.progress import Progress
    from dormant.transforms.text import TextTransform

errors = Console(stderr=True)
"""Progress and notes go here, so that standard output holds results only."""


def split(values: Sequence[str] | None) -> tuple[str, ...]:
    """Flatten a repeated option whose values may hold commas, dropping repetitions."""
    parts = [part.strip() for value in values or () for part in value.split(",")]
    return tuple(dict.fromkeys(part for part in parts if part))


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


@contextlib.contextmanager
def progress(quiet: bool) -> Generator[Progress]:
    """Show a bar with the share done and an estimate of the time left, unless `quiet`."""
    from dormant.progress import Silent

    if quiet:
        yield Silent()
        return
    from rich.progress import (
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Speed over the last minutes, so that a change of model shows soon.
        TimeRemainingColumn(elapsed_when_finished=False),
        console=errors,
        transient=True,
        speed_estimate_period=120,
    )
    with bar:
        yield _Bar(bar)


class _Bar:
    def __init__(self, bar: object) -> None:
        from rich.progress import Progress as Bar

        assert isinstance(bar, Bar)
        self._bar = bar
        self._task = bar.add_task("starting", total=None)

    def start(self, total: int, done: int) -> None:
        # What an earlier run did took no time in this one: it is left out of the speed.
        self._bar.update(self._task, total=max(1, total - done))
        if done:
            self._bar.console.print(f"resuming: {done / max(1, total):.0%} was already done")

    def stage(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def advance(self, amount: int) -> None:
        self._bar.advance(self._task, amount)
