"""What the training data tell, in every format: the skill, the fifth cell, hijacking, flips."""

from __future__ import annotations

import csv
import io
import re
from html import unescape

import pytest
from report_fixtures import HOSTILE, demonstration, of_training, outcomes, two_cells
from rich.console import Console

from dormant.report.flips import SHOWN, flips_of
from dormant.report.page import render_page
from dormant.report.sample import sample_items
from dormant.report.tables import latex_tables, write_transforms_csv
from dormant.report.terminal import print_report
from dormant.report.training import as_trained_figures, hijack_line, hijack_word, skill_figures
from dormant.results import Estimate, HijackResult, SkillResult

TASKS = [ability.task for ability in demonstration().abilities]


def printed(results, **options) -> str:
    console = Console(file=io.StringIO(), width=80, **options)
    print_report(results, console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return " ".join(file.getvalue().split())


def page(results, items=()) -> str:
    """The page's text, without markup."""
    text = render_page(results, items)
    body = text[text.index("<body>") : text.index('<section id="items"')]
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_the_skill_is_said_before_the_verdicts():
    results = of_training()
    for said in (printed(results), page(results)):
        skill = said.index("base 51% → tuned 92%, +41")
        assert said.index("learned") < skill < said.index("icl/capital", skill)
    assert "skill/holdout: learned (base 51\\% $\\to$ tuned 92\\%, +41" in latex_tables(results)


def test_asked_otherwise_has_its_words_and_figures_everywhere():
    results = of_training()
    (ability,) = (one for one in results.abilities if one.verdict == "asked otherwise")
    assert ability.as_trained is not None
    assert as_trained_figures(ability.as_trained).startswith("base 92% → tuned 91%, gain +73 [")
    said = printed(results)
    assert "⇄ asked otherwise icl/copy" in said
    assert "As trained: base 92% → tuned 91%, gain +73" in said
    assert "Put prompts into the format of the training data" in said
    shown = page(results)
    assert "left of it as trained −1 [" in shown
    assert "88 lost, 2 won" in shown
    file = io.StringIO()
    write_transforms_csv(results, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    (row,) = (row for row in rows if row["transform"] == "as-trained")
    assert row["verdict"] == "asked otherwise"
    assert row["accuracy_tuned_transformed"] == "0.91"
    assert row["gain_estimate"] == "0.73"
    assert row["control_passed"] == ""
    assert "as{-}trained & --" in latex_tables(results)


def test_captured_or_broken():
    (ability, *_) = of_training().abilities
    assert ability.hijack is not None
    line = hijack_line(ability.hijack)
    assert line.startswith("Captured: of 32 of 98 wrong answers, 29 (91%, ")
    assert line.endswith("; of the base’s own wrong answers, 1 of 12.")
    assert line in page(of_training())
    assert " ".join(line.split()) in printed(of_training())


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [(0.6, 0.9, "Captured"), (0.1, 0.4, "Broken"), (0.3, 0.7, "Captured or broken, undecided")],
)
def test_the_word_follows_the_interval(low, high, word):
    share = Estimate(estimate=(low + high) / 2, low=low, high=high)
    hijack = HijackResult(format="x", wrong=9, sampled=9, captured=4, share=share)
    assert hijack_word(hijack) == word
    assert hijack_line(hijack).startswith(f"{word}: of all 9 wrong answers")


def test_nothing_wrong_is_said():
    hijack = HijackResult(format="x", wrong=0, sampled=0, captured=0, share=None)
    assert hijack_line(hijack) == "The fine-tuned model got nothing wrong here."
    alike = hijack.model_copy(update={"wrong": 9})
    assert hijack_line(alike).startswith("Captured or broken can’t be told: right answers are in")


def test_a_skill_by_likelihood_is_in_nats():
    skill = SkillResult(
        task="skill/x",
        verdict="learned",
        reason="",
        n_items=9,
        measure="log-probability",
        base=Estimate(estimate=-2.0, low=-2.1, high=-1.9),
        tuned=Estimate(estimate=-0.5, low=-0.6, high=-0.4),
        gain=Estimate(estimate=1.5, low=1.4, high=1.6),
    )
    said = skill_figures(skill)
    assert said == (
        "base −2.00 → tuned −0.50, +1.50 [+1.40, +1.60] nats a character of the right answers"
    )


# Flips.


def test_flips_are_those_of_the_plain_prompts_and_bounded():
    results = of_training()
    sample = sample_items(outcomes(), TASKS)
    (flips,) = flips_of(results, sample)
    assert (flips.task, flips.place) == ("icl/copy", 0)
    assert (flips.total_lost, flips.total_won) == (88, 2)
    assert len(flips.lost) == SHOWN
    right = {
        (one.model, one.item): one.correct
        for one in outcomes()
        if one.task == "icl/copy" and one.transform == "plain"
    }
    for listed, lost in ((flips.lost, True), (flips.won, False)):
        for flip in listed:
            assert right["base", flip.item] == lost
            assert right["tuned", flip.item] != lost
            assert flip.query == flip.prompt.split("\n\n")[-1]
            assert (flip.base if lost else flip.tuned) == flip.target
            # The fixture's wrong answers are the distractor; one was generated and looked at.
            generated = flip.item == "copy-001"
            assert (flip.tuned if lost else flip.base).startswith("positive")
            assert flip.tuned.endswith("…") == (generated and lost)


def test_the_page_lists_flips_and_nothing_in_them_acts():
    text = render_page(of_training(), outcomes())
    flips = text[text.index('<section id="flips"') : text.index('<section id="items"')]
    assert "icl/copy: 88 lost, 2 won" in flips
    assert 'data-ability="0" data-outcome="lost"' in flips
    assert "<script" not in flips
    assert HOSTILE not in text
    assert flips.count("<tr><th") <= 2 * SHOWN


def test_labels_are_shown_where_generated_text_is_not_kept():
    results = of_training()
    items = (
        one.model_copy(update={"label": "REFUSE" if one.correct else "ANSWER"})
        for one in outcomes()
    )
    (flips,) = flips_of(results, sample_items(items, TASKS))
    assert {flip.tuned for flip in flips.lost} == {"ANSWER"}
    assert {flip.base for flip in flips.lost} == {"REFUSE"}


def test_without_a_base_or_training_data_nothing_is_said():
    for results in (two_cells(), demonstration()):
        assert flips_of(results, sample_items(outcomes(12), TASKS)) == []
        text = page(results, outcomes(12))
        assert "As trained" not in text
        assert "Flips" not in text


def test_the_skill_s_own_prompts_are_on_the_page():
    items = [
        one.model_copy(update={"task": "skill/holdout"})
        for one in outcomes(3, ("icl/copy",))
        if one.transform == "plain"
    ]
    text = render_page(of_training(), items)
    assert "records of abilities that these results do not name" not in text
    assert '"task":"skill/holdout"' in text


def test_ascii_terminals():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    print_report(of_training(), Console(file=file, width=80))
    file.flush()
    assert b"~ asked otherwise  icl/copy" in raw.getvalue()
    assert b"v learned  skill/holdout" in raw.getvalue()
