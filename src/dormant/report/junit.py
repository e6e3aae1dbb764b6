"""JUnit XML: one test case an ability, for the programs that show test results."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from xml.etree import ElementTree as XML

from dormant.report import formatting
from dormant.results import AbilityResult, AuditResults, Verdict
from dormant.statistics.failing import LOSSES, fails

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML 1.0 document may hold, however it is written."""


def junit(results: AuditResults, fail_on: Collection[Verdict] = ()) -> str:
    """Write an audit as the XML that JUnit made common, in the elements that Jenkins' schema knows.

    An ability fails where its verdict is one of `fail_on`; where it is *inconclusive* and that is
    no failure, it is skipped; else it passes.

    Args:
        results: The audit.
        fail_on: Verdicts that fail; none means all that say that something was lost.

    Returns:
        A document in ASCII, other letters as character references.
    """
    failing = fail_on or LOSSES
    outcomes = [outcome_of(ability.verdict, failing) for ability in results.abilities]
    counts = tally(outcomes)
    if results.wall_seconds is not None:
        counts["time"] = f"{results.wall_seconds:.1f}"
    # The outermost element has no "skipped" in the schema.
    whole = {name: count for name, count in counts.items() if name != "skipped"}
    root = XML.Element("testsuites", {"name": "dormant", **whole})
    title = " → ".join(name for name in (results.base, results.tuned) if name is not None)
    suite = XML.SubElement(root, "testsuite", {"name": clean(title), **counts})
    add_properties(suite, results.versions)
    for ability, outcome in zip(results.abilities, outcomes, strict=True):
        _case(suite, results, ability, outcome)
    if results.warnings:
        XML.SubElement(suite, "system-err").text = clean("\n".join(results.warnings))
    return written(root)


def outcome_of(verdict: Verdict, failing: Collection[Verdict]) -> str:
    """Say what becomes of a test case: "failure", "skipped" or "passed"."""
    if fails(verdict, failing):
        return "failure"
    return "skipped" if verdict == "inconclusive" else "passed"


def tally(outcomes: Sequence[str]) -> dict[str, str]:
    """Count outcomes as a test suite's attributes."""
    return {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("failure")),
        "errors": str(outcomes.count("error")),
        "skipped": str(outcomes.count("skipped")),
    }


def add_properties(suite: XML.Element, versions: Mapping[str, str]) -> None:
    """Say in a test suite which versions were at work."""
    properties = XML.SubElement(suite, "properties")
    for name, version in versions.items():
        XML.SubElement(properties, "property", {"name": clean(name), "value": clean(version)})


def written(root: XML.Element) -> str:
    """Return a document in ASCII, other letters as character references."""
    XML.indent(root, " ")
    text = XML.tostring(root, encoding="us-ascii", xml_declaration=True)
    return f"{text.decode('ascii')}\n"


def clean(text: str) -> str:
    """Put a replacement character where XML can't hold one."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)


def _case(suite: XML.Element, results: AuditResults, ability: AbilityResult, outcome: str) -> None:
    named = {"classname": clean(results.tuned), "name": clean(ability.task)}
    case = XML.SubElement(suite, "testcase", named)
    verdict = formatting.with_rung(ability)
    said = clean(f"{verdict}: {ability.reason}")
    if outcome == "failure":
        told = {"type": ability.verdict, "message": said}
        XML.SubElement(case, "failure", told).text = clean(formatting.advice(ability))
    elif outcome == "skipped":
        XML.SubElement(case, "skipped", {"message": said})
    plain, intervals = ability.accuracy, ability.accuracy_intervals
    lines = [
        *([ability.title] if ability.title else []),
        f"{verdict}: {ability.reason}",
        f"base {formatting.accuracy(plain.base_plain, intervals.base_plain)}, "
        f"fine-tuned {formatting.accuracy(plain.tuned_plain, intervals.tuned_plain)}, "
        f"drop in points {formatting.difference(ability.drop)}, n = {ability.n_items}",
        *(f"not tried: {one.name or one.rung}: {one.reason}" for one in ability.not_tried),
    ]
    XML.SubElement(case, "system-out").text = clean("\n".join(lines))
