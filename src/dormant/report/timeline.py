"""A timeline in a terminal, and the words that its page has too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from dormant.report import formatting
from dormant.report.terminal import COLOURS, Renderer, print_page
from dormant.results.timeline import Course, Point, Timeline

_COLUMN, _NAME = 8, 22
"""Letters that a child takes in the table, and the names of abilities."""

LEVEL = "Each verdict holds at its own level; that several are read in a row is not corrected for."


def print_timeline(timeline: Timeline, console: Console, page: Path | None = None) -> None:
    """Print the course of each ability, and which child to keep.

    Args:
        timeline: What was found.
        console: Where to print; the table is cut where children take more than its width.
        page: The HTML page, if there is one: its path is printed last.
    """
    console.print(TerminalTimeline(timeline))
    print_page(page, console)


class TerminalTimeline:
    """A timeline as a rich renderable.

    Args:
        timeline: What was found.
    """

    def __init__(self, timeline: Timeline) -> None:
        self.timeline = timeline

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for the console at hand, in ASCII where it knows nothing else."""
        renderer, timeline = _Renderer(ascii_only=options.ascii_only), self.timeline
        text = renderer.text
        yield text((timeline.base, ""), (" → ", "dim"), (counted(timeline), "bold"))
        yield text((kept(timeline), "bold"))
        yield text((timeline.keep_reason, "dim"))
        yield Text()
        audited = [child.name for child in timeline.children if not child.problem]
        room = max(1, (options.max_width - _NAME) // _COLUMN)
        for start in range(0, len(audited), room):
            yield renderer.table(timeline, audited[start : start + room], start)
        for number, name in enumerate(audited, start=1):
            mark = "  (keep)" if name == timeline.keep else ""
            yield text((f"{number} ", "dim"), (name, ""), (mark, "bold"))
        yield text((f"Beside each mark, the drop on plain prompts in points. {LEVEL}", "dim"))
        yield Text()
        for course in timeline.courses:
            yield text((f"{course.task}: ", "bold"), (story(course), ""))
        for line in problems(timeline):
            yield text(("! ", "yellow"), (line, ""))


class _Renderer(Renderer):
    """Builds the parts of a timeline."""

    def table(self, timeline: Timeline, names: Sequence[str], start: int) -> Table:
        """Some of the children, a column each under its number, from `start` + 1."""
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
        table.add_column("Ability", overflow="fold", max_width=_NAME)
        for number, _ in enumerate(names, start=start + 1):
            table.add_column(str(number), no_wrap=True, min_width=_COLUMN - 1)
        for course in timeline.courses:
            points = {point.child: point for point in course.points}
            cells = [self._cell(points.get(name)) for name in names]
            table.add_row(self.text((course.task, "")), *cells)
        return table

    def _cell(self, point: Point | None) -> Text:
        if point is None:
            return self.text((formatting.DASH, "dim"))
        mark = (f"{formatting.MARKS[point.verdict]} ", COLOURS[point.verdict])
        return self.text(mark, (drop(point), ""))


def drop(point: Point) -> str:
    """Write a drop in points; a dash where there is none."""
    return formatting.points(None if point.drop is None else point.drop.estimate)


def counted(timeline: Timeline) -> str:
    """Say how many fine-tuned models there are, and how many were not audited."""
    failed = sum(bool(child.problem) for child in timeline.children)
    word = "fine-tuned model" if len(timeline.children) == 1 else "fine-tuned models"
    rest = f", {failed} of them not audited" if failed else ""
    return f"{len(timeline.children)} {word}{rest}"


def kept(timeline: Timeline) -> str:
    """Say which child to keep."""
    if timeline.keep is not None:
        return f"Keep {timeline.keep}."
    audited = any(not child.problem for child in timeline.children)
    return "Which to keep is not said." if audited else "None to keep."


def problems(timeline: Timeline) -> Iterator[str]:
    """Say which children were not audited, and why."""
    for child in timeline.children:
        if child.problem:
            yield f"{child.name} was not audited: {child.problem}"


def story(course: Course) -> str:
    """Say in one line what became of an ability."""
    points = {point.child: point for point in course.points}
    parts: list[str] = []
    otherwise = next((one.child for one in course.points if one.verdict == "asked otherwise"), None)
    if otherwise is not None:
        parts.append(f"first asked otherwise at {otherwise}")
    if course.suppressed_at is not None:
        parts.append(f"first suppressed at {course.suppressed_at}")
    if course.beyond_at is not None:
        point = points[course.beyond_at]
        rung = f", up to {point.rung}" if point.rung else ""
        parts.append(
            f"past what was tried to bring it back at {point.child} ({point.verdict}{rung})"
        )
    if course.back_at is not None:
        parts.append(f"retained again at {course.back_at}")
    if parts:
        return "; ".join(parts) + "."
    undecided = sum(point.verdict == "inconclusive" for point in course.points)
    if not undecided:
        return "retained throughout."
    of_all = f"undecided at {undecided} of {len(course.points)}"
    fell = next((one.child for one in course.points if one.drop and one.drop.low > 0), None)
    if fell is not None:
        return f"{of_all}; a drop whose lower bound is above 0 first at {fell}."
    return f"never surely lost; {of_all}."
