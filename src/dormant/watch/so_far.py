"""What a run directory shows of an audit that is under way; nothing is written into it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dormant.audit.run_dir import RunDirectory, cell_files
from dormant.files import json_file
from dormant.results import PLAIN, CellSoFar, Record, Which, parse_record
from dormant.results.so_far import RunSoFar
from dormant.statistics.so_far import accuracy_so_far
from dormant.watch.pace import Pace


class _Line(Record):
    """What is read of a record."""

    model: Which
    task: str
    transform: str
    item: str
    correct: bool


class _CellFile:
    """One cell's file, of which only what is new is read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self._inode, self._read, self._lines = inode, 0, 0
        self.right: dict[str, bool] = {}
        self.cell: tuple[str, str, str] | None = None

    def update(self) -> None:
        """Read what was added; all of it where the file was made anew.

        Raises:
            DormantError: A record is damaged.
            FileNotFoundError: It is gone.
        """
        with self._path.open("rb") as stream:
            facts = self._path.stat()
            if facts.st_ino != self._inode or facts.st_size < self._read:
                self._forget(facts.st_ino)
            stream.seek(self._read)
            # What is being written ends in mid-line.
            whole = stream.read().rpartition(b"\n")[0]
        if not whole:
            return
        for line in whole.split(b"\n"):
            self._lines += 1
            self._take(line)
        self._read += len(whole) + 1

    def _take(self, line: bytes) -> None:
        try:
            record = _Line.model_validate_json(line)
        except ValidationError:
            where = self._path.with_name(f"{self._path.name}:{self._lines}")
            record = parse_record(_Line, line, where, "the audit can't go on with it, either")
        if self.cell is None:
            self.cell = record.model, record.task, record.transform
        # Of an item that a kill left twice, the first counts.
        self.right.setdefault(record.item, record.correct)


class RunReader:
    """Reads a run directory again and again.

    Args:
        path: The run directory.
        clock: Tells seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._files: dict[Path, _CellFile] = {}
        self._clock = clock
        self._pace: Pace | None = None

    def read(self) -> RunSoFar:
        """Return what is there now.

        Raises:
            DormantError: There is no run, or it is damaged.
        """
        run = RunDirectory.read(self._path)
        settings: Mapping[str, Any] = run.manifest["settings"]
        on_disk = self._cells()
        plan = _plan(self._path)
        base = settings.get("base")
        sides: tuple[Which, ...] = ("base", "tuned") if base else ("tuned",)
        cells = [
            _cell(side, task, name, n, on_disk.get((side, task, name), {}), extra=n < 0)
            for (task, name), n in _planned(plan, on_disk).items()
            for side in sides
        ]
        last = newest(self._path)
        return RunSoFar(
            base=base,
            tuned=settings.get("tuned", ""),
            version=run.manifest["versions"].get("dormant", ""),
            cells=cells,
            planned=bool(plan),
            at_most=bool(settings.get("until_decided")),
            seconds_ago=None if last is None else max(0.0, time.time() - last / 1e9),
            seconds_left=self._left(cells) if plan else None,
        )

    def _left(self, cells: Sequence[CellSoFar]) -> float | None:
        """Return how long the rest takes, by what was answered from one reading to another."""
        total, done = sum(cell.n for cell in cells), sum(cell.done for cell in cells)
        if self._pace is None:
            # What is there at the first look took nobody knows how long.
            self._pace = Pace(self._clock)
            self._pace.start(total, done)
        self._pace.reach(total, done)
        return self._pace.seconds_left

    def _cells(self) -> dict[tuple[str, str, str], Mapping[str, bool]]:
        """Return success by item, of each cell that has any."""
        found = cell_files(self._path)
        self._files = {path: self._files.get(path) or _CellFile(path) for path in found}
        cells: dict[tuple[str, str, str], Mapping[str, bool]] = {}
        for file in self._files.values():
            try:
                file.update()
            except FileNotFoundError:
                continue
            if file.cell is not None:
                cells[file.cell] = file.right
        return cells


def newest(run: Path) -> int | None:
    """Return when a record was last written, nanoseconds since 1970; `None` without any."""
    times: list[int] = []
    for file in cell_files(run):
        try:
            times.append(file.stat().st_mtime_ns)
        except FileNotFoundError:
            continue
    return max(times, default=None)


def _plan(run: Path) -> Mapping[str, Mapping[str, int]]:
    """Return how many items each cell is to have, by task and name; nothing where it isn't said."""
    try:
        return {
            task: {name: int(cell["items"]) for name, cell in cells.items()}
            for task, cells in json_file(run / "plan.json")["cells"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        return {}


def _planned(
    plan: Mapping[str, Mapping[str, int]],
    on_disk: Mapping[tuple[str, str, str], Mapping[str, bool]],
) -> dict[tuple[str, str], int]:
    """Return how many items each cell is to have, those beyond the plan included.

    Edits of weights and trainings are asked the plain prompts once more. −1 where nothing tells.
    """
    cells: dict[tuple[str, str], int] = {}
    tasks = dict.fromkeys([*plan, *(task for _, task, _ in on_disk)])
    for task in tasks:
        known = plan.get(task, {})
        cells |= {(task, name): n for name, n in known.items()}
        there = sorted({name for _, of, name in on_disk if of == task} - set(known))
        # Plain prompts first, also where there is no plan.
        there.sort(key=lambda name: name != PLAIN)
        cells |= {(task, name): known.get(PLAIN, -1) for name in there}
    return cells


def _cell(
    model: Which,
    task: str,
    transform: str,
    n: int,
    right: Mapping[str, bool],
    *,
    extra: bool,
) -> CellSoFar:
    done, correct = len(right), sum(right.values())
    return CellSoFar(
        model=model,
        task=task,
        transform=transform,
        rung=None,
        n=done if extra else n,
        done=done,
        correct=correct,
        accuracy=accuracy_so_far(correct, done),
    )
