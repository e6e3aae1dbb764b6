"""A timeline as a page, as CSV, as JSON, as JUnit XML and as Markdown."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Literal, TypeAlias, get_args
from urllib.parse import quote

from dormant.errors import unknown
from dormant.report import formatting
from dormant.report.files import report_stream
from dormant.report.page import asset, environment, inlined
from dormant.report.tables import BOUNDS, bounds
from dormant.report.timeline import LEVEL, counted, kept, problems, story
from dormant.report.timeline_junit import timeline_junit
from dormant.report.timeline_markdown import timeline_summary
from dormant.results import Verdict
from dormant.results.timeline import Timeline

TimelineFormat: TypeAlias = Literal["html", "csv", "json", "junit", "markdown"]
TIMELINE_FORMATS: tuple[str, ...] = get_args(TimelineFormat)

_ESTIMATES = ("base", "tuned", "drop", "gain", "recovery")
TIMELINE_COLUMNS: tuple[str, ...] = (
    "base_model",
    "child",
    "model",
    "step",
    "keep",
    "problem",
    "skill",
    "task",
    "verdict",
    "rung",
    "n_items",
    *(f"{name}_{bound}" for name in _ESTIMATES for bound in BOUNDS),
    "best_transform",
)
"""Columns of the CSV, one row per child × ability, and one for a child that was not audited.
Accuracies and differences are fractions; an empty field is what was not measured."""


def write_timeline(
    timeline: Timeline,
    out: Path,
    format: TimelineFormat,
    fail_on: Collection[Verdict] = (),
    runs: Path | None = None,
) -> Path:
    """Write a timeline.

    Args:
        timeline: What was found.
        out: The file, or an existing directory, which gets ``timeline.html`` and so on; JUnit XML
            is ``junit.xml`` there, as of one audit, and Markdown ``timeline.md``.
        format: One of `TIMELINE_FORMATS`.
        fail_on: Verdicts that fail in JUnit XML; none means all that say that something was lost.
        runs: Where the children's own pages are, ``CHILD/report.html``; `None` means beside it.

    Returns:
        The path of the file written.

    Raises:
        DormantError: The format is unknown, or the file can't be written.
    """
    if format not in TIMELINE_FORMATS:
        raise unknown("format of a timeline", format, TIMELINE_FORMATS)
    names = {"junit": "junit.xml", "markdown": "timeline.md"}
    path = out / names.get(format, f"timeline.{format}") if out.is_dir() else out
    with report_stream(path) as file:
        if format == "html":
            file.write(render_timeline(timeline, _way(path.parent, runs)))
        elif format == "csv":
            write_timeline_csv(timeline, file)
        elif format == "junit":
            file.write(timeline_junit(timeline, fail_on))
        elif format == "markdown":
            file.write(timeline_summary(timeline))
        else:
            file.write(timeline.to_json())
    return path


def write_missing_pages(timeline: Timeline, folder: Path, write: Callable[[str], object]) -> None:
    """Write the page of each child that has none, or one of older results.

    Args:
        timeline: What was found.
        folder: Where the children's runs are.
        write: Writes ``report.html`` in a child's run; it gets the child's name.
    """
    for child in timeline.children:
        results = folder / child.name / "results.json"
        page = results.with_name("report.html")
        if child.problem or not results.is_file():
            continue
        if not page.is_file() or page.stat().st_mtime_ns < results.stat().st_mtime_ns:
            write(child.name)


def write_timeline_csv(timeline: Timeline, file: IO[str]) -> None:
    """Write one row per child × ability, under a header of `TIMELINE_COLUMNS`.

    Args:
        timeline: What was found.
        file: Open for writing with ``newline=""``.
    """
    writer = csv.DictWriter(file, TIMELINE_COLUMNS)
    writer.writeheader()
    writer.writerows(timeline_rows(timeline))


def timeline_rows(timeline: Timeline) -> Iterator[dict[str, object]]:
    """Return the rows of the CSV, child by child."""
    for child in timeline.children:
        row: dict[str, object] = {
            "base_model": timeline.base,
            "child": child.name,
            "model": child.model,
            "step": child.step,
            "keep": child.name == timeline.keep,
            "problem": child.problem,
            "skill": child.skill,
        }
        if child.problem:
            yield row
        for course in timeline.courses:
            for point in course.points:
                if point.child == child.name:
                    yield {
                        **row,
                        "task": course.task,
                        "verdict": point.verdict,
                        "rung": point.rung,
                        "n_items": point.n_items,
                        "best_transform": point.best_transform,
                        **{
                            column: value
                            for name in _ESTIMATES
                            for column, value in bounds(name, getattr(point, name)).items()
                        },
                    }


def _way(page: Path, runs: Path | None) -> str:
    """Return the way from a page's directory to the children's runs, as links write it."""
    way = "." if runs is None else os.path.relpath(runs, page)
    return "" if way == "." else f"{quote(Path(way).as_posix())}/"


def render_timeline(timeline: Timeline, way: str = "") -> str:
    """Return the page as one HTML document, to be saved as UTF-8.

    It links to each child's own page. Style is inline; a content security policy names it by its
    hash and forbids all else.

    Args:
        timeline: What was found.
        way: Where the children's runs are, seen from the page, with a slash at its end; beside it
            where it is empty.
    """
    return (
        environment()
        .get_template("timeline.html.jinja")
        .render(
            timeline=timeline,
            audited=[child for child in timeline.children if not child.problem],
            points={
                (course.task, point.child): point
                for course in timeline.courses
                for point in course.points
            },
            stories={course.task: story(course) for course in timeline.courses},
            pages={
                child.name: f"{way}{quote(child.name)}/report.html" for child in timeline.children
            },
            marks=formatting.MARKS,
            counted=counted(timeline),
            kept=kept(timeline),
            problems=[*problems(timeline)],
            level=LEVEL,
            **inlined(style=asset("page.css") + asset("timeline.css")),
        )
    )
