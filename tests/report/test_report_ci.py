"""Reports for CI, pull requests and the Hub: JUnit XML, Markdown, a model card."""

from __future__ import annotations

from xml.etree import ElementTree as XML

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from report_fixtures import HOSTILE, demonstration, of_training, two_cells

from dormant.report import write_report
from dormant.report.junit import junit
from dormant.report.markdown import code, summary_page, text
from dormant.report.model_card import model_card
from dormant.results import AuditResults, NotTried

TEXTS = st.text(max_size=40)
READER = MarkdownIt("commonmark").enable("table")
ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "disabled", "errors"},
    "testsuite": {
        "name", "tests", "failures", "errors", "time", "disabled", "skipped", "timestamp",
        "hostname", "id", "package",
    },
    "properties": set(),
    "property": {"name", "value"},
    "testcase": {"name", "assertions", "time", "classname", "status"},
    "failure": {"type", "message"},
    "skipped": {"type", "message"},
    "system-out": set(),
    "system-err": set(),
}  # fmt: skip
"""What Jenkins' schema of JUnit XML lets each element have."""
CHILDREN = {
    "testsuites": ["testsuite"],
    "testsuite": ["properties", "testcase", "system-out", "system-err"],
    "properties": ["property"],
    "testcase": ["skipped", "failure", "system-out", "system-err"],
}
"""…and hold, in this order."""


def renamed(results: AuditResults, word: str) -> AuditResults:
    """Put a text wherever a user's text may stand."""
    first, *others = results.abilities
    changed = first.model_copy(
        update={
            "task": word,
            "title": word,
            "reason": word,
            "not_tried": [NotTried(rung="noise", reason=word)],
        }
    )
    return results.model_copy(
        update={"base": word, "tuned": word, "abilities": [changed, *others], "warnings": [word]}
    )


def checked(document: str) -> XML.Element:
    """Parse JUnit XML, and hold it to its schema and its own counts."""
    root = XML.fromstring(document.encode("utf-8"))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) <= ATTRIBUTES[element.tag]
        order = [CHILDREN.get(element.tag, []).index(child.tag) for child in element]
        assert order == sorted(order)
    (suite,) = root
    cases = suite.findall("testcase")
    for counted in (root, suite):
        assert int(counted.attrib["tests"]) == len(cases)
        assert int(counted.attrib["failures"]) == len(suite.findall("testcase/failure"))
        assert int(counted.attrib["errors"]) == len(suite.findall("testcase/error")) == 0
    assert int(suite.attrib["skipped"]) == len(suite.findall("testcase/skipped"))
    return root


def outcomes(document: str) -> dict[str, str]:
    """What became of each test case, by its name."""
    told = {}
    for case in checked(document).iter("testcase"):
        tags = [child.tag for child in case if child.tag != "system-out"]
        told[case.attrib["name"]] = tags[0] if tags else "passed"
    return told


def test_an_ability_is_a_test_case():
    assert outcomes(junit(demonstration())) == {
        "icl/copy": "failure",
        "icl/antonym": "passed",
        "icl/plural": "skipped",
        "icl/capital": "failure",
    }


@pytest.mark.parametrize(
    ("fail_on", "failing"),
    [
        (("suppressed",), {"icl/copy"}),
        (("inconclusive", "retained"), {"icl/plural", "icl/antonym"}),
        (("suppressed", "forgotten"), {"icl/copy", "icl/capital"}),
    ],
)
def test_what_fails_is_what_the_gate_is_on(fail_on, failing):
    told = outcomes(junit(demonstration(), fail_on))
    assert {name for name, outcome in told.items() if outcome == "failure"} == failing


def test_a_test_case_says_why_with_intervals_and_n():
    (case, *_) = checked(junit(demonstration())).iter("testcase")
    failure, said = case.find("failure"), case.findtext("system-out")
    assert failure is not None
    assert failure.attrib["type"] == "suppressed"
    assert said is not None
    for part in ("base 90% (83–94%)", "fine-tuned 18% (12–26%)", "+72 [+63, +81]", "n = 120"):
        assert part in said


@given(TEXTS)
def test_no_text_breaks_the_xml(word):
    checked(junit(renamed(demonstration(), word)))


def table(document: str) -> list[list[str]]:
    """Return the text of the cells of a Markdown page's table."""
    tokens = READER.parse(document)
    rows: list[list[str]] = []
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        elif token.type in ("td_open", "th_open"):
            children = tokens[place + 1].children or []
            rows[-1].append("".join(child.content for child in children))
    return rows


def kinds(document: str) -> set[str]:
    """Return the kinds of all parts of a Markdown page."""
    tokens = READER.parse(document)
    return {token.type for token in tokens} | {
        child.type for token in tokens for child in token.children or []
    }


def test_markdown_has_verdicts_intervals_and_what_to_do():
    document = summary_page(demonstration())
    header, *rows = table(document)
    assert header == ["Ability", "Verdict", "Base", "Fine-tuned", "Drop", "n"]
    cells = {row[0]: row[1:] for row in rows}
    figures = ["90% (83–94%)", "18% (12–26%)", "+72 [+63, +81]", "120"]
    assert cells["icl/copy"] == ["◐ suppressed", *figures]
    assert set(cells) == {ability.task for ability in demonstration().abilities}
    assert "Audit about 410 items" in document
    assert "What to do next" in document


def test_a_verdict_has_its_rung():
    first, *others = demonstration().abilities
    lost = others.pop()
    results = demonstration().model_copy(
        update={
            "abilities": [
                first.model_copy(update={"rung": "prompt"}),
                lost.model_copy(update={"rung": "noise"}),
            ]
        }
    )
    verdicts = {row[0]: row[1] for row in table(summary_page(results))[1:]}
    assert verdicts == {
        "icl/copy": "◐ suppressed (prompt: french)",
        "icl/capital": "○ lost (up to noise)",
    }


def test_markdown_without_a_base_and_with_a_skill():
    assert {row[2] for row in table(summary_page(two_cells()))[1:]} == {"–"}
    assert "Skill `skill/holdout`: learned." in summary_page(of_training())


PLAIN_KINDS = kinds(summary_page(renamed(demonstration(), "word")))


LIST_LIKE = ["0.", "1) x", "123456789.", "-", "+ x", "- - x", "---", "==="]


@pytest.mark.parametrize(
    "word",
    [
        HOSTILE,
        "a | b",
        "`",
        "``a`",
        "<b>x</b>",
        "[x](y)",
        "![x](y)",
        "\\|",
        "*x* __y__",
        *LIST_LIKE,
    ],
)
def test_hostile_text_stays_text(word):
    document = summary_page(renamed(demonstration(), word))
    assert kinds(document) <= PLAIN_KINDS | {"text_special"}
    assert all(len(row) == 6 for row in table(document))


@given(TEXTS)
def test_no_text_becomes_markup(word):
    assert kinds(summary_page(renamed(demonstration(), word))) <= PLAIN_KINDS | {"text_special"}


def test_a_mention_is_none():
    assert text("ask @someone") == "ask @\N{ZERO WIDTH SPACE}someone"
    assert text("spanish@apertium") == "spanish@apertium"


@pytest.mark.parametrize("name", ["plain", "a`b", "`", "``", "a|b"])
def test_code_is_the_name_itself(name):
    (paragraph,) = [token for token in READER.parse(code(name)) if token.type == "inline"]
    assert [(child.type, child.content) for child in paragraph.children or []] == [
        ("code_inline", name)
    ]


def test_the_hub_reads_the_model_card(tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    path = write_report(demonstration(), [], tmp_path, "model-card")
    data = hub.ModelCard.load(path).data
    assert data.model_name == demonstration().tuned
    found = {(one.dataset_config, one.metric_type): one for one in data.eval_results}
    for ability in demonstration().abilities:
        accuracy = found.pop((ability.task, "accuracy"))
        assert accuracy.metric_value == pytest.approx(ability.accuracy.tuned_plain)
        assert accuracy.metric_args["low"] < accuracy.metric_value < accuracy.metric_args["high"]
        drop = found.pop((ability.task, "accuracy_drop"))
        assert ability.drop is not None
        assert drop.metric_value == pytest.approx(ability.drop.estimate)
        assert drop.metric_args["verdict"] == ability.verdict
        assert drop.dataset_args["items"] == ability.n_items
    assert not found


def test_the_language_of_plain_prompts_is_said_where_one_was_chosen():
    hub = pytest.importorskip("huggingface_hub")
    results = demonstration()
    changed = results.model_copy(update={"settings": results.settings | {"plain": "french"}})
    first = hub.ModelCard(model_card(changed)).data.eval_results[0]
    assert first.metric_name == "Accuracy on plain prompts (french)"
    assert first.dataset_args["plain"] == "french"
    assert "Accuracy on plain prompts (french) (rate" in summary_page(changed)
    assert "Accuracy on plain prompts (rate" in summary_page(results)


@given(TEXTS)
def test_no_text_breaks_the_model_card(word):
    hub = pytest.importorskip("huggingface_hub")
    results = demonstration()
    data = hub.ModelCard(model_card(renamed(results, f"a{word}"))).data
    assert len(data.eval_results) == 2 * len(results.abilities)


def test_a_model_card_tells_no_place_on_disk():
    results = demonstration().model_copy(update={"base": "org/base", "tuned": "/home/me/my-model"})
    document = model_card(results)
    assert "/home" not in document
    assert 'name: "my-model"' in document
    assert "`org/base`" in document


def test_a_model_card_without_a_base_has_no_drop():
    hub = pytest.importorskip("huggingface_hub")
    data = hub.ModelCard(model_card(two_cells())).data
    assert {one.metric_type for one in data.eval_results} == {"accuracy"}
