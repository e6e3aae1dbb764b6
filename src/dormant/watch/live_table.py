"""A table in the terminal that fills in while an audit runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.live import Live
from rich.progress import Progress as RichProgress
from rich.table import Table
from rich.text import Text

from dormant.console import Bar, bar
from dormant.report import formatting
from dormant.report.terminal import Renderer
from dormant.results import CellSoFar
from dormant.results.events import AuditEvent, CellEvent, Planned, Started

_OTHER_LINES = 6
"""Lines of the screen that rows can't have: heading, names of columns, what is left out, bar."""
_CELL = 18
"""Letters of a cell, so that columns stand still."""
_Row = tuple[str, str]


class LiveTable(Bar):
    """Cells, their accuracies so far, and the bar below.

    Args:
        shown: The bar.
    """

    def __init__(self, shown: RichProgress) -> None:
        super().__init__(shown)
        self._shown = shown
        # The screen is drawn by a thread of its own.
        self._lock = threading.Lock()
        self._models = Started(run="", base=None, tuned="", version="", resumed=False)
        self._rows: dict[_Row, dict[str, CellSoFar]] = {}
        self._active: _Row | None = None

    def tell(self, event: AuditEvent) -> None:
        """Hear how full the cells are."""
        with self._lock:
            match event:
                case Started():
                    self._models, self._rows, self._active = event, {}, None
                case Planned(cells=cells):
                    for cell in cells:
                        self._put(cell)
                case CellEvent(cell=cell):
                    self._put(cell)
                    self._active = cell.task, cell.transform
                case _:
                    pass

    def _put(self, cell: CellSoFar) -> None:
        self._rows.setdefault((cell.task, cell.transform), {})[cell.model] = cell

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the screen at hand: rows that don't fit are counted."""
        with self._lock:
            rows, active, models = dict(self._rows), self._active, self._models
        if rows:
            height = options.height or console.height
            yield from _table(rows, active, models, height, Renderer(ascii_only=options.ascii_only))
        yield self._shown


@contextlib.contextmanager
def live_table(console: Console) -> Generator[LiveTable]:
    """Show the table until the block ends; nothing of it is left on the screen then.

    Args:
        console: A terminal's.
    """
    table = LiveTable(bar(console))
    with Live(table, console=console, transient=True, refresh_per_second=4):
        yield table


def _table(
    rows: dict[_Row, dict[str, CellSoFar]],
    active: _Row | None,
    models: Started,
    height: int,
    renderer: Renderer,
) -> RenderResult:
    if models.base is not None:
        heading = renderer.text((models.base, ""), (" → ", "dim"), (models.tuned, "bold"))
    else:
        heading = renderer.text((models.tuned, "bold"))
    heading.truncate(10_000)
    heading.no_wrap = True
    yield heading
    shown = _window(list(rows), active, max(3, height - _OTHER_LINES))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("Ability", overflow="ellipsis", no_wrap=True, max_width=20)
    table.add_column("Prompts", overflow="ellipsis", no_wrap=True, max_width=14)
    sides = ("base", "tuned") if models.base is not None else ("tuned",)
    for side in sides:
        table.add_column(side.capitalize(), no_wrap=True, min_width=_CELL)
    for row in shown:
        task, transform = row
        style = "bold" if row == active else ""
        cells: list[RenderableType] = [
            renderer.text((task, style)),
            renderer.text((transform, style)),
            *(_cell(rows[row].get(side), renderer) for side in sides),
        ]
        table.add_row(*cells)
    yield table
    every = [cell for by_model in rows.values() for cell in by_model.values()]
    whole = sum(cell.done == cell.n for cell in every)
    hidden = len(rows) - len(shown)
    more = f"; {hidden} of {len(rows)} rows don't fit" if hidden else ""
    yield renderer.text((f"{whole} of {len(every)} cells done{more}", "dim"))


def _cell(cell: CellSoFar | None, renderer: Renderer) -> Text:
    if cell is None:
        return renderer.text((formatting.DASH, "dim"))
    of_all = "" if cell.done == cell.n else f" {cell.done}/{cell.n}"
    if cell.accuracy is None:
        return renderer.text((of_all.strip(), "dim"))
    return renderer.text(
        (formatting.percent(cell.accuracy.estimate), ""),
        (f" ({formatting.percent_interval(cell.accuracy)})", "dim"),
        (of_all, "dim"),
    )


def _window(rows: Sequence[_Row], active: _Row | None, room: int) -> Sequence[_Row]:
    """Choose as many rows as there is room for, around the one that is being filled."""
    middle = rows.index(active) if active in rows else 0
    first = max(0, min(middle - room // 2, len(rows) - room))
    return rows[first : first + room]
