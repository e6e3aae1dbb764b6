"""Finished audits, to be looked at from Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dormant.errors import DormantError, unknown
from dormant.results import AbilityResult, AuditResults, ItemOutcome, Verdict
from dormant.results.timeline import Timeline

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from dormant.report import Format
    from dormant.report.timeline_files import TimelineFormat

_TABLES = ("abilities", "transforms", "items")


@dataclass(frozen=True, repr=False)
class Audit:
    """What an audit found, and where it is kept.

    A notebook shows it as a table; ``print`` as one line an ability.

    Attributes:
        results: Everything that ``results.json`` holds, as typed records.
        path: The run directory.
    """

    results: AuditResults
    path: Path

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict on each ability, by its name."""
        return {ability.task: ability.verdict for ability in self.results.abilities}

    @property
    def warnings(self) -> list[str]:
        """What a reader should know first: templates that differ, items left out."""
        return list(self.results.warnings)

    def __getitem__(self, task: str) -> AbilityResult:
        """Return all that was found on one ability.

        Raises:
            DormantError: It was not audited; the nearest name is suggested.
        """
        for ability in self.results.abilities:
            if ability.task == task:
                return ability
        raise unknown("ability", task, self.verdicts)

    def items(self) -> Iterator[ItemOutcome]:
        """Read every scored prompt from the run directory, one at a time.

        Raises:
            DormantError: The directory is gone, or a record in it is damaged.
        """
        from dormant.audit.run_dir import RunDirectory

        return RunDirectory.read(self.path).all_outcomes()

    def to_pandas(
        self, table: Literal["abilities", "transforms", "items"] = "abilities"
    ) -> pd.DataFrame:
        """Return a table for pandas.

        Args:
            table: "abilities", one row each; "transforms", one row per ability × transform, with
                the columns of ``report.csv``; or "items", one row a scored prompt.

        Raises:
            DormantError: There is no such table, or pandas is not installed.
        """
        if table not in _TABLES:
            raise unknown("table", table, _TABLES)
        from dormant.report import frames

        if table == "abilities":
            return frames.abilities_frame(self.results)
        if table == "transforms":
            return frames.transforms_frame(self.results)
        return frames.items_frame(self.items())

    def plot(self, *tasks: str) -> Figure:
        """Draw accuracy in every cell, with intervals.

        Args:
            tasks: Abilities to draw; none means all, trouble first.

        Raises:
            DormantError: An ability was not audited, or Matplotlib is not installed.
        """
        from dormant.report import formatting

        try:
            from dormant.report import figure
        except ImportError as error:
            raise DormantError(
                f"figures need matplotlib, which can't be imported ({error}): "
                "pip install 'dormant[notebook]'"
            ) from None
        chosen = [self[task] for task in tasks] or formatting.by_severity(self.results)
        return figure.draw(self.results, chosen)

    def report(self, out: Path | str | None = None, format: Format = "html") -> Path:
        """Write a report.

        Args:
            out: The file to write, or a directory; default: the run directory.
            format: "html", "latex", "csv", "json", "junit", "markdown" or "model-card".

        Returns:
            The path of the file written.

        Raises:
            DormantError: The format is unknown, or the file can't be written.
        """
        from dormant.report import write_report

        return write_report(
            self.results, self.items(), self.path if out is None else Path(out), format
        )

    def __repr__(self) -> str:
        from dormant.report import formatting

        models = [name for name in (self.results.base, self.results.tuned) if name is not None]
        lines = [f"{' → '.join(models)}: {formatting.summary(self.results)}"]
        for ability in formatting.by_severity(self.results):
            mark = formatting.MARKS[ability.verdict]
            lines.append(f"{mark} {ability.task}: {ability.verdict}. {ability.reason}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from dormant.report.notebook import render_table

        return render_table(self.results)


@dataclass(frozen=True, repr=False)
class AuditSeries:
    """Audits of several fine-tuned models of one base, and where they are kept.

    Attributes:
        timeline: Everything that ``timeline.json`` holds, as typed records.
        path: The directory that has a run directory for each child.
    """

    timeline: Timeline
    path: Path

    @property
    def children(self) -> list[str]:
        """The names of the children that were audited, in order."""
        return [child.name for child in self.timeline.children if not child.problem]

    @property
    def problems(self) -> dict[str, str]:
        """Why the others were not, by name."""
        return {child.name: child.problem for child in self.timeline.children if child.problem}

    @property
    def verdicts(self) -> dict[str, dict[str, Verdict]]:
        """The verdict on each ability at each child: ``verdicts[ability][child]``."""
        return {
            course.task: {point.child: point.verdict for point in course.points}
            for course in self.timeline.courses
        }

    @property
    def keep(self) -> str | None:
        """The child to keep, by the rule that ``timeline.keep_reason`` states."""
        return self.timeline.keep

    def __getitem__(self, child: str) -> Audit:
        """Return the audit of one child.

        Raises:
            DormantError: It was not audited; the nearest name is suggested.
        """
        if child not in self.children:
            raise unknown("child", child, self.children)
        from dormant.audit.run_dir import RunDirectory

        folder = self.path / child
        return Audit(RunDirectory.read(folder).results(), folder)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per child × ability: the columns of ``timeline.csv``.

        Raises:
            DormantError: pandas is not installed.
        """
        from dormant.report import frames

        return frames.timeline_frame(self.timeline)

    def report(self, out: Path | str | None = None, format: TimelineFormat = "html") -> Path:
        """Write the timeline.

        Args:
            out: The file to write, or a directory; default: the runs' directory.
            format: "html", "csv", "json", "junit" or "markdown".

        Returns:
            The path of the file written.

        Raises:
            DormantError: The format is unknown, or the file can't be written.
        """
        from dormant.report.timeline_files import write_missing_pages, write_timeline

        if format == "html":
            write_missing_pages(self.timeline, self.path, lambda name: self[name].report())
        target = self.path if out is None else Path(out)
        return write_timeline(self.timeline, target, format, runs=self.path)

    def __repr__(self) -> str:
        from dormant.report.timeline import counted, kept, problems, story

        lines = [f"{self.timeline.base} → {counted(self.timeline)}: {kept(self.timeline)}"]
        lines += [f"{course.task}: {story(course)}" for course in self.timeline.courses]
        return "\n".join([*lines, *problems(self.timeline)])
