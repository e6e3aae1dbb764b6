"""The page as a document; test_report_browser.py opens it."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_fixtures import HOSTILE, demonstration, outcomes, two_cells

from dormant.report.page import render_page
from dormant.results import AuditResults

VOID = {"meta", "link", "img", "br", "input", "hr", "col"}


class Document(HTMLParser):
    """Parses a page, checks that its elements nest, and keeps what scripts and styles hold."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.raw: list[tuple[str, dict[str, str | None], str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag in ("script", "style"):
            self.raw.append((tag, dict(attrs), ""))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("script", "style"):
            tag, attrs, text = self.raw[-1]
            self.raw[-1] = (tag, attrs, text + data)
        else:
            self.text.append(data)

    @property
    def data(self) -> dict[str, Any]:
        return json.loads(next(text for _, attrs, text in self.raw if attrs.get("id") == "data"))

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(demonstration(), outcomes())


@pytest.fixture(scope="module")
def document(page: str) -> Document:
    return Document(page)


def test_it_says_what_the_audit_found(document: Document) -> None:
    words = document.words
    for ability in demonstration().abilities:
        assert ability.title in words
        assert ability.reason in words
        for transform in ability.transforms:
            if not transform.control_passed:
                assert transform.control_reason in words
    assert demonstration().warnings[0] in words
    assert "with a margin of 5 points" in words
    assert "120 items" in words
    assert "3 min 35 s" in words
    assert "lm-eval" in words


def test_it_is_self_contained(document: Document) -> None:
    for tag, name, value in document.attributes:
        if name in ("src", "srcset", "action", "poster", "data") or (tag, name) == ("link", "href"):
            assert value.startswith("data:"), (tag, name, value)
        if (tag, name) == ("a", "href"):
            assert value.startswith("#")
        assert not name.startswith("on")
        assert name != "style", "the policy forbids style attributes"
    for _, _, text in document.raw:
        assert "@import" not in text
        assert "url(" not in text


def test_the_policy_names_what_runs_and_nothing_else(document: Document) -> None:
    policy = next(
        value
        for tag, name, value in document.attributes
        if tag == "meta" and "default-src" in value
    )
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag, attrs, text in document.raw:
        if "type" not in attrs:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert f"{tag}-src 'sha256-{digest}'" in policy


def test_links_lead_somewhere_and_ids_are_unique(document: Document) -> None:
    ids = [value for _, name, value in document.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for _, name, value in document.attributes:
        if name == "href" and value.startswith("#"):
            assert value[1:] in ids
        if name == "aria-labelledby":
            assert value in ids


def test_every_item_is_there_and_the_page_is_light(page: str, document: Document) -> None:
    assert len(document.data["items"]) == 480
    assert "Every prompt that was scored, in all its cells: 480 source items" in document.words
    # 6 720 records; 4 000 would take under a megabyte.
    assert len(page.encode()) < 1_600_000


def test_it_says_how_many_items_it_left_out() -> None:
    document = Document(render_page(demonstration(), outcomes(), item_bytes=100_000))
    shown = len(document.data["items"])
    assert 4 <= shown < 480
    assert f"Showing {shown} of 480 source items" in document.words


def test_records_of_other_abilities_are_mentioned() -> None:
    results = demonstration()
    one = results.model_copy(update={"abilities": results.abilities[:1]})
    assert (
        "126 records of abilities that these results do not name"
        in Document(render_page(one, outcomes(3))).words
    )


@settings(max_examples=40, deadline=None)
@given(text=st.one_of(st.text(), st.sampled_from([HOSTILE, "<!--<script>", "]]>", "\u2029&lt;"])))
def test_any_text_is_shown_and_never_obeyed(text: str) -> None:
    results = demonstration(4)
    ability = results.abilities[0].model_copy(update={"title": text, "reason": text})
    hostile = results.model_copy(
        update={
            "base": text,
            "settings": {text: text},
            "warnings": [text],
            "abilities": [ability],
        }
    )
    record = next(outcomes(1)).model_copy(update={"prompt": text, "item": text, "output": text})
    document = Document(render_page(hostile, [record]))
    (item,) = document.data["items"]
    assert item["i"] == text
    assert item["s"][item["c"]["plain"]["base"]["p"]] == text
    assert [tag for tag, _, _ in document.raw] == ["style", "script", "script"]
    assert not any(tag == "img" for tag, _, _ in document.attributes)


def test_it_says_whether_it_is_another_model(document: Document) -> None:
    said = document.words
    assert (
        "Effect The tuned model is 0.42 nats from the base (mean KL divergence at 64 places of 16 "
        "of this run’s prompts), and its likeliest token is another at 38% of them; rounding "
        "alone: 2e−11 nats, 0%." in said
    )
    assert "Comparable They differ in chat template, generation config." in said
    assert said.index("Is it another model?") < said.index("Copy the first words")
    # Blanks are visible, and a token's text is never markup.
    assert "·</b> 7" in said
    assert "⏎ 198" in said


def test_older_results_have_no_such_part() -> None:
    older = demonstration().model_copy(update={"effect": None, "comparability": None})
    assert "Is it another model?" not in render_page(older, outcomes())


def test_log_odds_per_byte_are_called_so() -> None:
    found = demonstration().model_copy(update={"log_odds_unit": "nats per byte"})
    page = render_page(found, outcomes())
    assert "Gain in log-odds, nats per byte" in page
    assert "as the two models have different tokens" in page


def test_without_a_base_model() -> None:
    words = Document(render_page(two_cells(), outcomes(3))).words
    assert "No base model was given: this audit has two cells" in words
    head = words[words.index("Ability and transform") :]
    assert head.startswith("Ability and transform Fine-tuned Gain p, adjusted")


def test_without_items_or_abilities() -> None:
    assert (
        "No scored prompts came with these results"
        in Document(render_page(demonstration(), [])).words
    )
    empty = AuditResults(base=None, tuned="m", settings={}, versions={}, abilities=[])
    assert "No abilities were audited" in Document(render_page(empty, [])).words


def test_intervals_are_drawn_where_they_belong(page: str) -> None:
    copy = page[page.index("Accuracy on icl/copy, plain") :]
    row = copy[: copy.index("</svg>")]
    assert 'aria-label="plain: base 90% (interval 83–94%), tuned 18% (interval 12–26%)"' in row
    centres = [float(x) for x in re.findall(r'cx="([0-9.]+)%"', row)]
    assert centres == [90.0, 18.0]
    bounds = re.findall(r'class="(?:base|tuned)" x1="([0-9.]+)%" x2="([0-9.]+)%"', row)
    for centre, (low, high) in zip(centres, bounds, strict=True):
        assert 0 <= float(low) < centre < float(high) <= 100
