"""JUnit XML: one test case an ability, for the programs that show test results."""

from __future__ import annotations

import re
from collections.abc import Collection
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
    outcomes = [_outcome(ability, failing) for ability in results.abilities]
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("failure")),
        "errors": "0",
        "skipped": str(outcomes.count("skipped")),
    }
    if results.wall_seconds is not None:
        counts["time"] = f"{results.wall_seconds:.1f}"
    # The outermost element has no "skipped" in the schema.
    whole = {name: count for name, count in counts.items() if name != "skipped"}
    root = XML.Element("testsuites", {"name": "dormant", **whole})
    title = " → ".join(name for name in (results.base, results.tuned) if name is not None)
    suite = XML.SubElement(root, "testsuite", {"name": _clean(title), **counts})
    properties = XML.SubElement(suite, "properties")
    for name, version in results.versions.items():
        XML.SubElement(properties, "property", {"name": _clean(name), "value": _clean(version)})
    for ability, outcome in zip(results.abilities, outcomes, strict=True):
        _case(suite, results, ability, outcome)
    if results.warnings:
        XML.SubElement(suite, "system-err").text = _clean("\n".join(results.warnings))
    XML.indent(root, " ")
    text = XML.tostring(root, encoding="us-ascii", xml_declaration=True)
    return f"{text.decode('ascii')}\n"


def _outcome(ability: AbilityResult, failing: Collection[Verdict]) -> str:
    if fails(ability.verdict, failing):
        return "failure"
    return "skipped" if ability.verdict == "inconclusive" else "passed"


def _case(suite: XML.Element, results: AuditResults, ability: AbilityResult, outcome: str) -> None:
    named = {"classname": _clean(results.tuned), "name": _clean(ability.task)}
    case = XML.SubElement(suite, "testcase", named)
    verdict = formatting.with_rung(ability)
    said = _clean(f"{verdict}: {ability.reason}")
    if outcome == "failure":
        told = {"type": ability.verdict, "message": said}
        XML.SubElement(case, "failure", told).text = _clean(formatting.advice(ability))
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
    XML.SubElement(case, "system-out").text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
