"""A timeline as JUnit XML: a suite for each child, a test case for each of its abilities."""

from __future__ import annotations

from collections.abc import Collection
from xml.etree import ElementTree as XML

from dormant.report import formatting
from dormant.report.junit import add_properties, clean, outcome_of, tally, written
from dormant.results import Verdict
from dormant.results.timeline import ChildRun, Point, Timeline
from dormant.statistics.failing import LOSSES


def timeline_junit(timeline: Timeline, fail_on: Collection[Verdict] = ()) -> str:
    """Write a timeline as JUnit XML, in the elements that Jenkins' schema knows.

    An ability of a child fails, is skipped or passes as in the child's own document. A child that
    could not be audited has one case, which is an error.

    Args:
        timeline: What was found.
        fail_on: Verdicts that fail; none means all that say that something was lost.

    Returns:
        A document in ASCII, other letters as character references.
    """
    failing = fail_on or LOSSES
    root = XML.Element("testsuites")
    outcomes: list[str] = []
    for child in timeline.children:
        points = [
            (course.task, point)
            for course in timeline.courses
            for point in course.points
            if point.child == child.name
        ]
        told = [outcome_of(point.verdict, failing) for _, point in points]
        told = ["error"] if child.problem else told
        outcomes += told
        title = clean(f"{timeline.base} → {child.name}")
        suite = XML.SubElement(root, "testsuite", {"name": title, **tally(told)})
        add_properties(suite, timeline.versions)
        if child.problem:
            _unaudited(suite, child)
        else:
            for (task, point), outcome in zip(points, told, strict=True):
                _case(suite, task, point, outcome)
        if child.name == timeline.keep:
            kept = clean(f"the one to keep: {timeline.keep_reason}")
            XML.SubElement(suite, "system-out").text = kept
    # The outermost element has no "skipped" in the schema.
    whole = {name: count for name, count in tally(outcomes).items() if name != "skipped"}
    root.attrib.update({"name": "dormant", **whole})
    return written(root)


def _unaudited(suite: XML.Element, child: ChildRun) -> None:
    named = {"classname": clean(child.name), "name": "audit"}
    case = XML.SubElement(suite, "testcase", named)
    XML.SubElement(case, "error", {"type": "not audited", "message": clean(child.problem)})


def _case(suite: XML.Element, task: str, point: Point, outcome: str) -> None:
    named = {"classname": clean(point.child), "name": clean(task)}
    case = XML.SubElement(suite, "testcase", named)
    rung = "" if point.rung is None else f" ({point.rung})"
    said = clean(
        f"{point.verdict}{rung}: base {formatting.accuracy_of(point.base)}, "
        f"fine-tuned {formatting.accuracy_of(point.tuned)}, drop in points "
        f"{formatting.difference(point.drop)}, n = {point.n_items}"
    )
    if outcome == "failure":
        XML.SubElement(case, "failure", {"type": point.verdict, "message": said})
    elif outcome == "skipped":
        XML.SubElement(case, "skipped", {"message": said})
    XML.SubElement(case, "system-out").text = said
