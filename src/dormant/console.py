"""The bar that people watch: on standard error, so that standard output holds results only."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import TYPE_CHECKING

from rich.console import Console

from dormant.progress import Progress, Silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

errors = Console(stderr=True)
"""Progress and notes go here."""


def say(line: str, style: str | None = None) -> None:
    """Print a line where notes go, as it is: whatever stands in it is no markup."""
    errors.print(line, style=style, soft_wrap=True, highlight=False, markup=False)


@contextlib.contextmanager
def progress(quiet: bool) -> Generator[Progress]:
    """Show a bar with the share done and an estimate of the time left, unless `quiet`."""
    if quiet:
        yield Silent()
        return
    with bar(errors) as shown:
        yield Bar(shown)


def bar(console: Console) -> RichProgress:
    """Make the bar; who enters it has it on the screen."""
    from rich.progress import (
        BarColumn,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as RichProgress

    return RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Speed over the last minutes, so that a change of model shows soon.
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
        transient=True,
        speed_estimate_period=120,
        # It would be an empty line before whatever is said there next.
        disable=not (console.is_interactive or console.is_jupyter),
    )


def watched() -> bool:
    """Whether a bar would be seen: by a terminal, or by a notebook with widgets."""
    if errors.is_jupyter:
        from importlib.util import find_spec

        return find_spec("ipywidgets") is not None
    return errors.is_terminal


class Bar:
    """Progress on a bar.

    Args:
        shown: What `bar` made.
    """

    def __init__(self, shown: RichProgress) -> None:
        self._bar = shown
        self._task = shown.add_task("starting", total=None)
        self._first = True

    def start(self, total: int, done: int) -> None:
        """Hear the whole amount of work, and how much of it an earlier run did."""
        # What an earlier run did took no time in this one: it is left out of the speed.
        self._bar.update(self._task, total=max(1, total - done), completed=0)
        first, self._first = self._first, False
        # Later on it may be this run that did it.
        if done and first:
            self._bar.console.print(f"resuming: {done / max(1, total):.0%} was already done")

    def stage(self, text: str) -> None:
        """Hear what is being done now."""
        self._bar.update(self._task, description=text)

    def say(self, text: str) -> None:
        """Hear what people should know."""
        self._bar.console.print(f"note: {text}", soft_wrap=True, highlight=False, markup=False)

    def advance(self, amount: int) -> None:
        """Hear that a part is done."""
        self._bar.advance(self._task, amount)
