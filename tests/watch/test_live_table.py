"""The table that fills in while an audit runs, as a terminal shows it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dormant.console import bar
from dormant.results import CellSoFar
from dormant.results.events import CellEvent, Planned, Started
from dormant.statistics.so_far import accuracy_so_far
from dormant.watch import watching as module
from dormant.watch.live_table import LiveTable
from dormant.watch.watching import watching


def cell(model: str, task: str, transform: str, done: int, correct: int, n: int = 60) -> CellSoFar:
    accuracy = accuracy_so_far(correct, done)
    return CellSoFar(
        model=model, task=task, transform=transform, n=n, done=done, correct=correct,
        accuracy=accuracy,
    )  # fmt: skip


def screen(height: int, width: int = 80) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )


def test_where_nobody_sees_a_bar_nothing_is_written():
    console = Console(file=io.StringIO())
    with bar(console) as hidden:
        hidden.advance(hidden.add_task("asking", total=2))
    assert console.file.getvalue() == ""
    terminal = screen(20)
    with bar(terminal) as seen:
        seen.add_task("asking", total=2)
    assert "asking" in terminal.file.getvalue()


def shown(table: LiveTable, console: Console) -> list[str]:
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def started(base: str | None = "BASE") -> Started:
    return Started(run="x", base=base, tuned="TUNED", version="1", resumed=False)


def test_cells_with_accuracies_so_far_and_how_many():
    console = screen(24)
    table = LiveTable(bar(console))
    table.tell(started())
    cells = [
        cell(model, "icl/copy", transform, 0, 0)
        for model in ("base", "tuned")
        for transform in ("plain", "french")
    ]
    table.tell(Planned(run="x", cells=cells))
    table.tell(
        CellEvent(event="cell-done", run="x", cell=cell("base", "icl/copy", "plain", 60, 54))
    )
    table.tell(
        CellEvent(event="cell-progress", run="x", cell=cell("tuned", "icl/copy", "plain", 16, 2))
    )
    table.start(100, 0)
    table.stage("tuned · icl/copy · plain")
    table.advance(40)
    lines = shown(table, console)
    assert lines[0] == "BASE → TUNED"
    assert lines[1].split() == ["Ability", "Prompts", "Base", "Tuned"]
    assert lines[2].split() == [
        "icl/copy", "plain", "90%", "(80–95%)", "12%", "(3–36%)", "16/60"
    ]  # fmt: skip
    assert lines[3].split() == ["icl/copy", "french", "0/60", "0/60"]
    assert lines[4] == "1 of 4 cells done"
    assert "tuned · icl/copy · plain" in lines[5]
    assert "40%" in lines[5]
    assert all(len(line) <= 80 for line in lines)


def test_rows_that_do_not_fit_are_counted_and_the_active_one_is_there():
    console = screen(14)
    table = LiveTable(bar(console))
    table.tell(started(base=None))
    names = [f"task/{number:02d}" for number in range(30)]
    table.tell(Planned(run="x", cells=[cell("tuned", name, "plain", 0, 0) for name in names]))
    table.tell(
        CellEvent(event="cell-started", run="x", cell=cell("tuned", names[20], "plain", 0, 0))
    )
    lines = shown(table, console)
    assert len(lines) <= 14
    assert "Base" not in lines[1]
    assert any(line.startswith("task/20") for line in lines)
    assert "0 of 30 cells done; 22 of 30 rows don't fit" in lines


def test_another_audit_begins_anew():
    console = screen(24)
    table = LiveTable(bar(console))
    table.tell(Planned(run="x", cells=[cell("tuned", "icl/copy", "plain", 0, 0)]))
    table.tell(started())
    table.tell(Planned(run="y", cells=[cell("tuned", "icl/plural", "plain", 0, 0)]))
    assert not any("icl/copy" in line for line in shown(table, console))


@pytest.mark.parametrize(
    ("terminal", "quiet", "there"),
    [(True, False, True), (False, False, False), (True, True, False)],
)
def test_it_is_for_terminals_alone(monkeypatch, terminal, quiet, there):
    written = io.StringIO()
    console = Console(file=written, force_terminal=terminal, width=80, height=24)
    monkeypatch.setattr(module, "errors", console)
    monkeypatch.setattr("dormant.console.errors", console)
    with watching(quiet=quiet) as watch:
        assert (watch.tell is not None) == there, "nothing is counted for nobody"
        if watch.tell is not None:
            watch.tell(started())
            watch.tell(Planned(run="x", cells=[cell("tuned", "icl/copy", "plain", 0, 0)]))
        watch.progress.start(10, 0)
    assert ("icl/copy" in written.getvalue()) == there
