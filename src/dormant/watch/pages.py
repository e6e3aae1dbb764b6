"""Which page a run directory has at the moment: cells that fill in, the report, the timeline."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from dormant.audit.many import TIMELINE, is_timeline, read_timeline, runs_in
from dormant.audit.run_dir import RunDirectory
from dormant.errors import DormantError
from dormant.report import formatting
from dormant.report.files import judged
from dormant.report.page import render_page
from dormant.report.so_far import render_children, render_so_far
from dormant.report.timeline_files import render_timeline
from dormant.results.so_far import ChildSoFar
from dormant.rundirs import in_use
from dormant.watch.so_far import RunReader, newest

_Stamp: TypeAlias = "tuple[int, int, int] | None"


class RunPages:
    """One run's page.

    Args:
        path: The run directory; nothing is written into it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader = RunReader(path)
        self._report: tuple[_Stamp, str] = (None, "")

    @property
    def finished(self) -> bool:
        """Whether its results are of all that it holds."""
        stamp = _stamp(self._path / "results.json")
        if stamp is None:
            return False
        last = newest(self._path)
        # Copying a directory mixes times up, so who says that an audit goes on has to be there.
        return last is None or last <= stamp[1] or not in_use(self._path)

    def page(self) -> str:
        """Return the report where the audit has ended, else what its cells are so far.

        Raises:
            DormantError: There is no run, or it is damaged.
        """
        if not self.finished:
            return render_so_far(self._reader.read())
        stamp = _stamp(self._path / "results.json")
        if self._report[0] != stamp:
            run = RunDirectory.read(self._path)
            results = run.results()
            page = render_page(results, judged(results, run.all_outcomes()))
            self._report = stamp, page
        return self._report[1]

    def child(self) -> ChildSoFar:
        """Return what a list of several says of it.

        Raises:
            DormantError: There is no run, or it is damaged.
        """
        so_far = self._reader.read()
        done = self.finished
        return ChildSoFar(
            name=self._path.name,
            tuned=so_far.tuned,
            finished=done,
            cells=len(so_far.cells),
            cells_done=sum(cell.done == cell.n for cell in so_far.cells),
            summary=formatting.summary(RunDirectory.read(self._path).results()) if done else "",
        )


class Pages:
    """The pages of a run directory, or of a directory of several.

    Args:
        path: The directory.

    Raises:
        DormantError: It holds no run.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs: dict[str, RunPages] = {}
        if not self._children():
            RunDirectory.read(path)

    def page(self, place: str) -> str | None:
        """Return a page.

        Args:
            place: "" for the directory's own, the name of a child for its.

        Returns:
            The page; `None` where there is no such child.

        Raises:
            DormantError: The directory is gone, or what it holds is damaged.
        """
        if not self._path.is_dir():
            raise DormantError(f"{self._path} has vanished: nothing of the run is there any more")
        children = self._children()
        if place:
            return self._run(place).page() if place in children else None
        if not children:
            return self._run("").page()
        if is_timeline(self._path) and not in_use(self._path):
            timeline = read_timeline(self._path)
            problems = {child.name: child.problem for child in timeline.children}
            if all(
                (problems.get(name) or self._run(name).finished)
                and (name in problems or self._older(name))
                for name in children
            ):
                return render_timeline(timeline)
        runs = [self._run(name) for name in children]
        return render_children(self._path.resolve().name, [run.child() for run in runs])

    def _older(self, name: str) -> bool:
        """Whether a run was there before the timeline, which leaves it out then."""
        run = _stamp(self._path / name / "results.json")
        timeline = _stamp(self._path / TIMELINE)
        return run is not None and timeline is not None and run[1] <= timeline[1]

    def _children(self) -> list[str]:
        """Name the runs below a directory that isn't one itself, those of a timeline in order."""
        if (self._path / "run.json").exists() or not self._path.is_dir():
            return []
        there = runs_in(self._path)
        if not (self._path / TIMELINE).is_file():
            return there
        order = [child.name for child in read_timeline(self._path).children]
        return sorted(there, key=lambda name: order.index(name) if name in order else len(order))

    def _run(self, name: str) -> RunPages:
        if name not in self._runs:
            self._runs[name] = RunPages(self._path / name if name else self._path)
        return self._runs[name]


def _stamp(file: Path) -> _Stamp:
    """Return what changes where a file does; `None` where there is none."""
    try:
        facts = file.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size
