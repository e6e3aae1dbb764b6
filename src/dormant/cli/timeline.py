"""``dormant audit BASE CHILD1 CHILD2 …``: several fine-tuned models, one timeline."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from dormant.audit.children import Child
from dormant.audit.settings import AuditSettings
from dormant.cli import gate
from dormant.cli.common import resumable, say
from dormant.cli.output import Shown
from dormant.cli.watched import Showing
from dormant.errors import DormantError
from dormant.files import guarded
from dormant.results import AuditResults, Verdict
from dormant.results.timeline import Timeline

if TYPE_CHECKING:
    from dormant.audit.ray import Workers
    from dormant.integrations.logs import Compared


def run_many(
    settings: AuditSettings,
    children: Sequence[Child],
    out: Path,
    showing: Showing,
    fail_on: Sequence[Verdict] = (),
    workers: Workers | None = None,
) -> None:
    """Audit children of one base, write their reports and the timeline, and hold the gate.

    Raises:
        typer.Exit: A child fails the gate (1), or could not be audited (2).
    """
    from rich.console import Console

    from dormant.audit.many import audit_children
    from dormant.audit.run_dir import RunDirectory
    from dormant.evidence import rungs_of
    from dormant.report import write_report
    from dormant.report.timeline import print_timeline
    from dormant.report.timeline_files import write_timeline

    gate.refuse_what_cannot_fail(settings.base, fail_on)
    found: dict[str, AuditResults] = {}
    with resumable(out, "scored"), showing.watching() as watch:

        def report(child: Child, results: AuditResults) -> None:
            run = out / child.name
            found[child.name] = results
            outcomes = RunDirectory.read(run).all_outcomes()
            watch.finished(
                results, run, write_report(results, outcomes, run / "report.html", "html")
            )

        timeline = audit_children(
            settings,
            children,
            out,
            watch.progress,
            rungs_of=rungs_of,
            finished=report,
            tell=watch.tell,
            workers=workers,
        )
        page = write_timeline(timeline, out, "html")
        write_timeline(timeline, out, "csv")
        watch.timeline_finished(timeline, out, page)
    if showing.json:
        typer.echo(timeline.to_json(), nl=False)
    elif not showing.lines:
        print_timeline(timeline, Console(), page)
    _warn(found)
    finish(timeline, fail_on)


def show(out: Path, format: Shown, file: Path | None, fail_on: Sequence[Verdict]) -> None:
    """Print the timeline in a directory, or write it to a file and print its path.

    Raises:
        DormantError: A timeline isn't written in this format.
        typer.Exit: A child fails the gate (1), or could not be audited (2).
    """
    from dormant.audit.many import read_timeline
    from dormant.report.timeline_files import write_missing_pages

    timeline = read_timeline(out)
    found = _runs(timeline, out)
    _warn(found)
    for line in _since(timeline, out, found):
        say(f"warning: {line}")
    if format == "html":
        try:
            # What audited them may have written none: a callback, a program.
            write_missing_pages(timeline, out, lambda name: _write_page(out / name))
        except DormantError as error:
            if file is None:
                raise
            say(f"warning: {error}")
    if not _gave(timeline, format, file or out, fail_on, out):
        first = out / (timeline.keep or timeline.children[0].name)
        raise DormantError(
            f"{out} holds several audits, and {format} is of one: dormant report "
            f"{shlex.quote(str(first))} --format {format}"
        )
    finish(timeline, fail_on)


def _runs(timeline: Timeline, out: Path) -> dict[str, AuditResults]:
    """Read the runs beside a timeline that it tells of, as far as they are there."""
    from dormant.audit.run_dir import RunDirectory

    found: dict[str, AuditResults] = {}
    for child in timeline.children:
        run = out / child.name
        if not child.problem and (run / "results.json").is_file():
            try:
                found[child.name] = RunDirectory.read(run).results()
            except DormantError as error:
                say(f"warning: {error}")
    return found


def _since(timeline: Timeline, out: Path, found: Mapping[str, AuditResults]) -> Iterator[str]:
    """Say what runs beside a timeline tell that it doesn't."""
    from dormant.audit.many import not_among

    again: list[str] = []
    for name, results in found.items():
        told = {
            course.task: (point.verdict, point.rung)
            for course in timeline.courses
            for point in course.points
            if point.child == name
        }
        if told != {one.task: (one.verdict, one.rung) for one in results.abilities}:
            again.append(name)
    if again:
        yield (
            f"{', '.join(again)}: judged otherwise since this timeline was made; the command that "
            "made it makes it anew"
        )
    if others := not_among(out, {child.name for child in timeline.children}):
        yield f"{', '.join(others)}: not in this timeline"


def _warn(found: Mapping[str, AuditResults]) -> None:
    """Say what a reader should know of each child's results: a timeline has no place for it."""
    of: dict[str, list[str]] = {}
    for name, results in found.items():
        for warning in results.warnings:
            of.setdefault(warning, []).append(name)
    for warning, names in of.items():
        whose = "" if len(names) == len(found) else f"{', '.join(names)}: "
        say(f"warning: {whose}{warning}")


def _write_page(run: Path) -> None:
    from dormant.audit.run_dir import RunDirectory
    from dormant.report import write_report

    read = RunDirectory.read(run)
    write_report(read.results(), read.all_outcomes(), run / "report.html", "html")


def give(compared: Compared, format: Shown, file: Path | None, fail_on: Sequence[Verdict]) -> None:
    """Print the timeline of logs of several models, or write it and print its path.

    As a page, it has each model's own beside it: ``CHILD/report.html``.

    Raises:
        DormantError: A timeline isn't written in this format.
        typer.Exit: A child fails the gate (1), or could not be compared (2).
    """
    from dormant.integrations.logs import outcomes
    from dormant.report import write_report

    target = file or Path()
    if format != "terminal" and not target.suffix:
        guarded(target, lambda: target.mkdir(parents=True, exist_ok=True))
    folder = target if target.is_dir() else target.parent
    if format == "html":
        for name, results in compared.found.items():
            items = outcomes(compared.logs[name], compared.timeline.base)
            write_report(results, items, folder / name / "report.html", "html")
    _warn(compared.found)
    if not _gave(compared.timeline, format, target, fail_on):
        raise DormantError(
            f"the logs are of {len(compared.timeline.children)} models fine-tuned from "
            f"{compared.timeline.base}, and {format} is of one: give the logs of the base and of "
            "that one"
        )
    finish(compared.timeline, fail_on, done="compared")


def _gave(
    timeline: Timeline,
    format: Shown,
    file: Path,
    fail_on: Sequence[Verdict],
    runs: Path | None = None,
) -> bool:
    """Print a timeline, or write it and print its path; say whether it has this format."""
    from rich.console import Console

    from dormant.report.timeline import print_timeline
    from dormant.report.timeline_files import TIMELINE_FORMATS, TimelineFormat, write_timeline

    if format == "terminal":
        print_timeline(timeline, Console())
    elif format in TIMELINE_FORMATS:
        made = cast("TimelineFormat", format)
        typer.echo(write_timeline(timeline, file, made, fail_on, runs))
    else:
        return False
    return True


def finish(timeline: Timeline, fail_on: Sequence[Verdict], done: str = "audited") -> None:
    """End as the gate says, or with exit code 2 where a child could not be audited, or compared."""
    judged: list[tuple[str, Verdict]] = [
        (f"{course.task} of {point.child}", point.verdict)
        for course in timeline.courses
        for point in course.points
    ]
    # Also where the gate fails, whose exit code hides theirs.
    if failed := [child for child in timeline.children if child.problem]:
        listed = "; ".join(f"{child.name}: {child.problem}" for child in failed)
        say(f"error: not {done}: {listed}")
    gate.hold(timeline.base, judged, fail_on)
    if failed:
        raise typer.Exit(2)
