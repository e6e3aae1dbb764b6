"""An audit that has not ended, as its run directory shows it."""

from __future__ import annotations

from dormant.results.estimates import Record
from dormant.results.events import CellSoFar


class RunSoFar(Record):
    """What a run directory holds before there are results."""

    base: str | None
    tuned: str
    version: str
    """Dormant's, which began it."""
    cells: list[CellSoFar]
    """In the order of the plan: ability by ability, plain first. `CellSoFar.n` is what there is
    where the plan is not known."""
    planned: bool
    """Whether the plan is known."""
    at_most: bool
    """Whether `CellSoFar.n` is the most that there may be, as it ends once all is decided."""
    seconds_ago: float | None
    """Since something was last written; `None` where nothing was."""
    seconds_left: float | None
    """How long what is planned takes at the speed of late; `None` where that isn't known."""


class ChildSoFar(Record):
    """One of several fine-tuned models of a base, before all are audited."""

    name: str
    """Of its run directory."""
    tuned: str
    finished: bool
    cells: int
    cells_done: int
    summary: str
    """What came of it; empty before it has ended."""
