"""A timeline in a terminal, as a page and as CSV."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as XML

import pytest
from report_fixtures import HOSTILE, RATES, demonstration
from rich.console import Console

from dormant.errors import DormantError
from dormant.report.timeline import print_timeline, story
from dormant.report.timeline_files import (
    TIMELINE_COLUMNS,
    render_timeline,
    timeline_rows,
    write_timeline,
)
from dormant.report.timeline_junit import timeline_junit
from dormant.results.timeline import ChildRun, Course, Point, Timeline
from dormant.statistics.timeline import courses, keep


def timeline(count: int = 3, *, last: str = "step", problem: str = "it is gone") -> Timeline:
    """The demonstration at several steps, and a child that could not be audited."""
    names = [f"checkpoint-{100 * number}" for number in range(1, count)] + [last]
    children = [ChildRun(name=name, model=f"out/{name}", step=n) for n, name in enumerate(names)]
    children.append(ChildRun(name="broken", model="out/broken", problem=problem))
    found = {name: demonstration() for name in names}
    chosen, reason = keep(children, found)
    return Timeline(
        base="SmolLM2-135M", settings={"seed": 0}, versions={"dormant": "0.2.0"},
        children=children, courses=courses(children, found), keep=chosen, keep_reason=reason,
    )  # fmt: skip


def printed(given: Timeline, width: int = 80, encoding: str = "utf-8") -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_timeline(given, Console(file=file, width=width))
    file.flush()
    return raw.getvalue().decode(encoding)


def test_the_terminal_shows_every_verdict_and_the_child_to_keep():
    text = printed(timeline())
    assert "3 fine-tuned" not in text
    assert "4 fine-tuned models, 1 of them not audited" in text
    assert "Keep step." in text
    assert "broken was not audited: it is gone" in text
    for task in RATES:
        assert task in text
    assert text.count("◐ +72") == 3


def test_markdown_has_every_verdict_and_no_markup_of_others(tmp_path):
    given = timeline(last="a|b `c` <i> @team")
    text = write_timeline(given, tmp_path, "markdown").read_text("utf-8")
    assert (tmp_path / "timeline.md").is_file()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(RATES)
    assert len({len(line.replace(r"\|", "").split("|")) for line in table}) == 1
    assert text.count("◐ suppressed, +72") == 3
    assert "**Keep " in text
    assert "broken was not audited: it is gone" in text
    outside_code = re.sub(r"(`+).*?(?<!`)\1(?!`)", "", text)
    assert "i\\>" in outside_code  # the child to keep, or its reason
    assert not re.search(r"(?<!\\)<i|@team", outside_code)
    for course in given.courses:
        assert f"- `{course.task}`: " in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_child_is_cut_off(width):
    text = printed(timeline(14), width)
    (header_columns,) = {
        tuple(sorted(int(n) for line in text.splitlines() if line.startswith("Ability")
                     for n in line.split()[1:]))
    }  # fmt: skip
    assert header_columns == tuple(range(1, 15))
    assert max(map(len, text.splitlines())) <= width


def test_ascii_terminals_get_ascii():
    assert printed(timeline(), encoding="ascii").isascii()


def test_the_csv_has_a_row_for_each_child_and_ability_and_each_problem(tmp_path):
    path = write_timeline(timeline(), tmp_path, "csv")
    rows = [*csv.DictReader(path.read_text("utf-8").splitlines())]
    assert len(rows) == 3 * len(RATES) + 1
    assert tuple(rows[0]) == TIMELINE_COLUMNS
    assert [row["problem"] for row in rows if not row["task"]] == ["it is gone"]
    row = next(row for row in rows if row["task"] == "icl/copy")
    assert float(row["base_estimate"]) == pytest.approx(RATES["icl/copy"][0][0])
    assert float(row["drop_low"]) < float(row["drop_estimate"]) < float(row["drop_high"])
    assert all(set(row) <= set(TIMELINE_COLUMNS) for row in timeline_rows(timeline()))


class Page(HTMLParser):
    """What is on a page: links, elements, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name == "href"]

    def handle_data(self, data):
        self.words += data


def test_the_page_links_to_each_child_s_and_shows_intervals():
    page = Page(render_timeline(timeline(last="a child?")))
    own = [link for link in page.links if not link.startswith("#")]
    assert own == [
        "checkpoint-100/report.html", "checkpoint-200/report.html", "a%20child%3F/report.html",
    ]  # fmt: skip
    assert "+72 [+63, +81]" in page.words
    assert "broken was not audited: it is gone" in page.words
    assert "script" not in page.tags


def test_hostile_names_stay_text():
    page = Page(render_timeline(timeline(last=HOSTILE, problem=HOSTILE)))
    assert "script" not in page.tags
    assert "img" not in page.tags


def test_junit_has_a_suite_for_each_child(tmp_path):
    path = write_timeline(timeline(last=HOSTILE), tmp_path, "junit")
    assert path.name == "junit.xml"
    assert path.read_text("utf-8").isascii()
    root = XML.parse(path).getroot()
    suites = root.findall("testsuite")
    assert [len(suite.findall("testcase")) for suite in suites] == [len(RATES)] * 3 + [1]
    (broken,) = root.iter("error")
    assert broken.attrib["message"] == "it is gone"
    for element in (root, *suites):
        counted = [len(element.findall(f".//{tag}")) for tag in ("testcase", "failure", "error")]
        assert counted == [int(element.attrib[n]) for n in ("tests", "failures", "errors")]
    assert root.attrib["failures"] == "6"
    assert {case.attrib["classname"] for case in suites[2].iter("testcase")} == {HOSTILE}
    copy = next(case for case in suites[0].iter("testcase") if case.attrib["name"] == "icl/copy")
    failure = copy.find("failure")
    assert failure is not None
    assert failure.attrib["message"].startswith("suppressed: base 90% (83–94%)")
    kept = [suite for suite in suites if "the one to keep" in (suite.findtext("system-out") or "")]
    assert [suite.attrib["name"] for suite in kept] == [f"SmolLM2-135M → {HOSTILE}"]


def test_junit_fails_where_the_gate_does():
    root = XML.fromstring(timeline_junit(timeline(), ("inconclusive",)))
    assert {one.attrib["type"] for one in root.iter("failure")} == {"inconclusive"}
    assert not [*root.iter("skipped")]


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(DormantError, match="unknown format of a timeline 'latex'"):
        write_timeline(timeline(), tmp_path, "latex")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (["retained", "retained"], "retained throughout."),
        (["retained", "inconclusive"], "never surely lost; undecided at 1 of 2."),
        (["asked otherwise", "retained"], "first asked otherwise at s0."),
    ],
)
def test_the_story_of_what_was_not_lost(verdicts, told):
    points = [
        Point(child=f"s{n}", verdict=verdict, n_items=1) for n, verdict in enumerate(verdicts)
    ]
    assert story(Course(task="a", points=points)) == told


def test_the_story_of_a_loss_names_its_rung():
    points = [
        Point(child="s1", verdict="suppressed", rung="prompt", n_items=1),
        Point(child="s2", verdict="lost", rung="noise", n_items=1),
        Point(child="s3", verdict="retained", n_items=1),
    ]
    course = Course(task="a", points=points, suppressed_at="s1", beyond_at="s2", back_at="s3")
    assert story(course) == (
        "first suppressed at s1; past what was tried to bring it back at s2 (lost, up to noise); "
        "retained again at s3."
    )
