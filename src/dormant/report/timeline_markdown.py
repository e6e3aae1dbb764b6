"""A timeline as Markdown, for pull requests and jobs' summaries."""

from __future__ import annotations

from collections.abc import Iterator

from dormant.report import formatting
from dormant.report.markdown import code, code_in_table, table_row, text
from dormant.report.timeline import LEVEL, counted, drop, kept, problems, story
from dormant.results.timeline import Point, Timeline


def timeline_summary(timeline: Timeline) -> str:
    """Write a timeline as GitHub's Markdown: a heading, which to keep, a column a child."""
    heading = f"### Dormant: {code(timeline.base)} → {counted(timeline)}"
    return "\n".join([heading, "", *_lines(timeline), ""])


def _lines(timeline: Timeline) -> Iterator[str]:
    yield f"**{text(kept(timeline))}** {text(timeline.keep_reason)}"
    audited = [child for child in timeline.children if not child.problem]
    if audited and timeline.courses:
        yield ""
        yield from _table(timeline, [child.name for child in audited])
        yield f"\nVerdicts, and the drop on plain prompts in points. {text(LEVEL)}\n"
        for course in timeline.courses:
            yield f"- {code(course.task)}: {text(story(course))}"
    if skills := [child for child in audited if child.skill is not None]:
        yield "\n**The skill that was tuned for**\n"
        yield from (f"- {code(child.name)}: {child.skill}" for child in skills)
    if lines := [*problems(timeline)]:
        yield "\n**Not audited**\n"
        yield from (f"- {text(line)}" for line in lines)


def _table(timeline: Timeline, names: list[str]) -> Iterator[str]:
    yield table_row(["Ability", *map(code_in_table, names)])
    yield table_row("---" for _ in ["Ability", *names])
    for course in timeline.courses:
        points = {point.child: point for point in course.points}
        yield table_row([code_in_table(course.task), *(_cell(points.get(name)) for name in names)])


def _cell(point: Point | None) -> str:
    if point is None:
        return formatting.DASH
    return f"{formatting.MARKS[point.verdict]} {point.verdict}, {drop(point)}"
