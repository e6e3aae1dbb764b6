"""What an audit shows while it runs and when it ends, as its user chose."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from dormant.rundirs import first_process

if TYPE_CHECKING:
    from dormant.watch.watching import Watching

JsonLinesOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json-lines",
        help="Write progress to standard output, a JSON object a line, and nothing else there.",
    ),
]


@dataclass(frozen=True)
class Showing:
    """What is shown.

    Attributes:
        quiet: Nothing while it runs.
        json: The results as JSON in the end, and nothing before.
        lines: Events on standard output, and nothing else there.
    """

    quiet: bool = False
    json: bool = False
    lines: bool = False

    @contextlib.contextmanager
    def watching(self) -> Generator[Watching]:
        """Let an audit be watched; of several processes, in the first."""
        from dormant.watch.watching import watching

        first = first_process()
        quiet = self.quiet or self.json or not first
        with watching(quiet=quiet, lines=self.lines and first) as watch:
            yield watch
