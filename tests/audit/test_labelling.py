"""Rates, judge, labelling page and agreement, over a run made by a scripted model."""

from __future__ import annotations

import html
import json
import re
import time

import pytest
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from chromium import headless, needs_chromium
from dormant import tasks
from dormant.audit.labelling.agreement import agreement
from dormant.audit.labelling.judge_model import judge
from dormant.audit.labelling.page import page as page_of
from dormant.audit.labelling.rates import rates
from dormant.audit.labelling.records import key, labelled, read_labels, run_labels, with_text
from dormant.audit.run_dir import CellKey, RunDirectory
from dormant.cli.task import app
from dormant.errors import DormantError
from dormant.results import ItemOutcome
from dormant.tasks.refusal.labels import LABELS

ANSWERS = [
    ("REFUSE", "I can't help with <that>.", "en"),
    ("ANSWER", "Open it with a spoon & stir for 2 minutes.", "en"),
    ("AMBIGUOUS", "", None),
    ("REFUSE", "No puedo ayudarte.", "es"),
]


def outcome(number, label, text, language):
    return ItemOutcome(
        model="tuned", task="refusal/declines", transform="plain", item=f"r{number}",
        prompt=f"Prompt {number}?", target="REFUSE", target_logprob=None,
        target_greedy=label == "REFUSE", correct=label == "REFUSE", label=label, output=text,
        output_language=language,
    )  # fmt: skip


FOUND = [outcome(number, *answer) for number, answer in enumerate(ANSWERS)]


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory.start(tmp_path / "run", {"n": 4}, {})
    directory.append(CellKey("tuned", "refusal/declines", "plain"), FOUND)
    directory.close()
    return tmp_path / "run"


class Judge:
    def __init__(self, *replies):
        self.replies = replies
        self.prompts = []

    def generate_until(self, requests):
        self.prompts = [request.args[0] for request in requests]
        return list(self.replies)


def test_a_page_shows_answers_as_they_are():
    page = page_of(FOUND, n=4, seed=0)
    assert "I can&#x27;t help with &lt;that&gt;." in page
    assert page.count("(empty)") == 1
    tricky = FOUND[0].model_copy(update={"output": "@N@ @CARDS@ @STORE@"})
    assert "@N@ @CARDS@ @STORE@" in page_of([tricky], n=1, seed=0)


def test_chat_marks_reach_neither_judge_nor_person():
    rendered = "<|im_start|>user\nSign it.<|im_end|>\n<|im_start|>assistant\n"
    found = [FOUND[0].model_copy(update={"prompt": rendered})]
    lm = Judge("ANSWER")
    judge(lm, found)
    for text in (lm.prompts[0], page_of(found, n=1, seed=0)):
        assert "Sign it." in text
        assert "im_start" not in text


def test_rates():
    (cell,) = rates(FOUND)
    assert {label: rate.estimate for label, rate in cell.rates.items()} == {
        "REFUSE": 0.5,
        "ANSWER": 0.25,
        "AMBIGUOUS": 0.25,
    }
    assert all(0 <= rate.low < rate.estimate < rate.high <= 1 for rate in cell.rates.values())
    assert cell.languages == {"en": 2, "?": 1, "es": 1}
    assert cell.empty == 1


def test_a_judge_outside_the_labels_is_ambiguous_and_counted():
    lm = Judge(" Refuse.", "ANSWER\nbecause", "I think it refuses", "")
    judged = judge(lm, FOUND)
    assert list(judged.labels.values()) == ["REFUSE", "ANSWER", "AMBIGUOUS", "AMBIGUOUS"]
    assert judged.outside == 2
    assert "Request: Prompt 1?" in lm.prompts[1]
    assert "Open it with a spoon" in lm.prompts[1]


def test_kappa_is_cohens():
    given = run_labels(FOUND)
    other = dict(zip(given, ["REFUSE", "REFUSE", "AMBIGUOUS", "ANSWER"], strict=True))
    agreed = agreement(given, other)
    assert (agreed.n, agreed.share) == (4, 0.5)
    expected = cohen_kappa_score(list(given.values()), list(other.values()))
    assert agreed.kappa == pytest.approx(expected)
    same = dict.fromkeys(given, "REFUSE")
    assert agreement(same, same).kappa is None
    with pytest.raises(DormantError, match="no answer in common"):
        agreement(given, {"x": "REFUSE"})


def test_the_page_is_blind_escaped_and_names_every_answer():
    page = page_of(FOUND, n=3, seed=1)
    keys = [json.loads(html.unescape(k)) for k in re.findall(r"data-key='([^']*)'", page)]
    assert len(keys) == 3
    assert set(keys) <= {key(o) for o in FOUND}
    assert page == page_of(FOUND, n=3, seed=1)
    whole = page_of(FOUND, n=99, seed=1)
    assert "I can&#x27;t help with &lt;that&gt;." in whole
    assert whole.count('type="radio"') == 4 * len(LABELS)
    assert "http" not in whole


def test_the_command(run, tmp_path, monkeypatch):
    labels = tmp_path / "labels.jsonl"
    labels.write_text(
        "".join(json.dumps({"key": key(o), "label": "REFUSE"}) + "\n" for o in FOUND[:3])
    )
    monkeypatch.setattr(
        "dormant.models.load.load", lambda name: Judge("REFUSE", "ANSWER", "hm", "REFUSE")
    )
    page = tmp_path / "label.html"
    words = ["label", run, "--judge", "any", "--page", page, "--labels", labels]
    said = CliRunner().invoke(app, list(map(str, words)), env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    assert "50% [" in said.output
    assert "en 2, ? 1, es 1" in said.output
    assert "4 (1 empty)" in said.output
    assert "1 of the judge's 4 replies were none of the labels" in said.output
    assert "audit and judge: the same label for 100% of 4 answers, Cohen's κ 1.00" in said.output
    assert "audit and person: the same label for 33% of 3 answers" in said.output
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_run_labelled_by_the_rules_of_0_1_is_still_read(tmp_path):
    """It can't be gone on with, since nothing labels like that any more."""
    settings = {
        "n": 4,
        "tasks": ["refusal:labels=rules"],
        "task_versions": {"refusal/declines": "1+0ff5e7aa"},
    }
    directory = RunDirectory.start(tmp_path / "run", settings, {})
    directory.append(CellKey("tuned", "refusal/declines", "plain"), FOUND)
    directory.close()
    said = CliRunner().invoke(app, ["label", str(tmp_path / "run")], env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    assert "50% [" in said.output
    with pytest.raises(DormantError, match=r"the rules of Dormant 0\.1 are gone"):
        tasks.get(settings["tasks"])


def test_runs_without_answers(tmp_path):
    directory = RunDirectory.start(tmp_path / "run", {}, {})
    cell = CellKey("tuned", "refusal/declines", "plain")
    with pytest.raises(DormantError, match="nothing there is labelled"):
        labelled(directory)
    directory.append(cell, [FOUND[0].model_copy(update={"output": None})])
    directory.close()
    (cell_rates,) = rates(labelled(directory))
    assert cell_rates.empty is None
    with pytest.raises(DormantError, match="--keep-generations"):
        with_text(labelled(directory))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"key": "a", "label": "MAYBE"}', ":1: label 'MAYBE' is none of REFUSE, ANSWER, AMB"),
        ('{"key": "a", "label": "ANSWER"}\n' * 2, ":2: 'a' is labelled twice"),
        ('{"label": "ANSWER"}', ":1: 'key' must be a non-empty text"),
    ],
)
def test_bad_labels(tmp_path, text, message):
    file = tmp_path / "l.jsonl"
    file.write_text(text)
    with pytest.raises(DormantError) as error:
        read_labels(file)
    assert message in str(error.value)


@needs_chromium
def test_what_a_person_clicks_is_what_is_saved(tmp_path):
    from selenium.webdriver.common.by import By

    page = tmp_path / "label.html"
    page.write_text(page_of(FOUND, n=3, seed=0), encoding="utf-8")
    with headless(downloads=tmp_path) as driver:
        driver.get(page.as_uri())
        cards = driver.find_elements(By.TAG_NAME, "fieldset")
        clicked = {}
        for card, label in zip(cards, ("ANSWER", "REFUSE"), strict=False):
            driver.execute_script(
                "arguments[0].click()", card.find_element(By.CSS_SELECTOR, f"[value={label}]")
            )
            clicked[json.loads(card.get_dom_attribute("data-key"))] = label
        assert driver.find_element(By.ID, "done").text == "2"
        driver.find_element(By.TAG_NAME, "body").send_keys("3")
        clicked[json.loads(cards[2].get_dom_attribute("data-key"))] = "AMBIGUOUS"
        assert driver.find_element(By.ID, "done").text == "3"
        driver.find_element(By.ID, "save").click()
        file = tmp_path / "labels.jsonl"
        for _ in range(100):
            if file.exists():
                break
            time.sleep(0.1)
        driver.refresh()
        # On a busy machine storage is handed to the page anew a moment later than it is shown.
        for _ in range(5):
            if driver.find_element(By.ID, "done").text == "3":
                break
            driver.refresh()
        assert driver.find_element(By.ID, "done").text == "3"
        assert [entry["message"] for entry in driver.get_log("browser")] == []
    assert read_labels(file) == clicked
