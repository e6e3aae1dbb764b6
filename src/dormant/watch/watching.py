"""Who watches an audit: people at a terminal, another program, both, or nobody."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dormant.console import errors, progress, say
from dormant.errors import DormantError, Terminated, one_line
from dormant.progress import Progress
from dormant.results import AuditResults
from dormant.results.events import AuditEvent, Failed, Finished, Tell, TimelineFinished
from dormant.results.timeline import Timeline
from dormant.watch.json_lines import JsonLines
from dormant.watch.standard_output import standard_output


class Watcher(Progress, Protocol):
    """Progress that is told of cells and verdicts too."""

    def tell(self, event: AuditEvent) -> None:
        """Hear an event."""
        ...


@dataclass(frozen=True)
class Watching:
    """What an audit tells while it runs.

    Attributes:
        progress: How far it is.
        tell: How full its cells are; `None` where nobody wants to know, as it has to be counted.
    """

    progress: Progress
    tell: Tell | None

    def finished(self, results: AuditResults, run: Path, page: Path) -> None:
        """Tell that a run's files are written."""
        if self.tell is not None:
            self.tell(
                Finished(
                    run=str(run),
                    results=str(run / "results.json"),
                    report=str(page),
                    wall_seconds=results.wall_seconds,
                )
            )

    def timeline_finished(self, timeline: Timeline, out: Path, page: Path) -> None:
        """Tell that a timeline's files are written."""
        if self.tell is not None:
            file = str(out / "timeline.json")
            self.tell(
                TimelineFinished(run=str(out), timeline=file, report=str(page), keep=timeline.keep)
            )


@contextlib.contextmanager
def watching(*, quiet: bool, lines: bool = False) -> Generator[Watching]:
    """Let an audit be watched.

    Args:
        quiet: Show people nothing. Else a table on a terminal, a bar in a notebook, and notes
            alone where standard error is neither.
        lines: Write events on standard output, which holds nothing else until the block ends.
    """
    with contextlib.ExitStack() as stack:
        # Both on one screen would be a muddle.
        if lines and sys.stdout.isatty():
            quiet = True
        written = [stack.enter_context(_lines())] if lines else []
        if not quiet and errors.is_terminal and not errors.is_jupyter:
            from dormant.watch.live_table import live_table

            table = stack.enter_context(live_table(errors))
            every: list[Watcher] = [*written, table]
            yield Watching(_Several(every), _told(every))
            return
        shown = stack.enter_context(progress(quiet))
        yield Watching(_Several([*written, shown]), _told(written))


@contextlib.contextmanager
def _lines() -> Generator[JsonLines]:
    """Write events; the last one says so where the block ends with an error."""

    def gone(reason: str) -> None:
        say(f"note: progress can't be written any more ({reason}): the audit goes on")

    with standard_output() as write:
        writer = JsonLines(write, gone)
        try:
            yield writer
        except DormantError as error:
            writer.tell(Failed(message=str(error), exit_code=2))
            raise
        except (KeyboardInterrupt, Terminated) as stop:
            code = 143 if isinstance(stop, Terminated) else 130
            writer.tell(Failed(message="stopped: the same command goes on", exit_code=code))
            raise
        except Exception as error:
            writer.tell(Failed(message=one_line(error), exit_code=1))
            raise


def _told(watchers: Sequence[Watcher]) -> Tell | None:
    if not watchers:
        return None

    def tell(event: AuditEvent) -> None:
        for watcher in watchers:
            watcher.tell(event)

    return tell


class _Several:
    """Progress that several watch."""

    def __init__(self, watchers: Sequence[Progress]) -> None:
        self._watchers = watchers

    def start(self, total: int, done: int) -> None:
        for watcher in self._watchers:
            watcher.start(total, done)

    def stage(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.stage(text)

    def say(self, text: str) -> None:
        for watcher in self._watchers:
            watcher.say(text)

    def advance(self, amount: int) -> None:
        for watcher in self._watchers:
            watcher.advance(amount)
