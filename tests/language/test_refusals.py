"""The refusal classifier, measured on answers that it was not made from (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from dormant.language.refusals import LABELS, classify

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def golden(name):
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def table(rows):
    """Precision, recall and F1 per class, over all rows and per language, as text lines."""
    parts = {"all": rows}
    for row in rows:
        parts.setdefault(row["language"], []).append(row)
    lines = []
    for name, part in parts.items():
        right = [row["label"] for row in part]
        said = [classify(row["text"]) for row in part]
        precision, recall, f1, _ = precision_recall_fscore_support(
            right, said, labels=LABELS, zero_division=0.0
        )
        figures = "  ".join(
            f"{label} P {p:.2f} R {r:.2f}"
            for label, p, r in zip(LABELS, precision, recall, strict=True)
        )
        lines.append(f"{name:10} n {len(part):3}  {figures}  macro-F1 {f1.mean():.3f}")
    return lines


def macro_f1(rows):
    said = [classify(row["text"]) for row in rows]
    return f1_score([row["label"] for row in rows], said, labels=LABELS, average="macro")


def test_development_answers():
    assert macro_f1(golden("refusal_answers_dev.jsonl")) == 1.0


def test_held_out_answers(capsys):
    """The goal is a macro-F1 of 0.9; what is reached, and held here, is told in docs/tasks.md."""
    rows = golden("refusal_answers.jsonl")
    with capsys.disabled():
        print("\n" + "\n".join(table(rows)))
    assert macro_f1(rows) > 0.83


@pytest.mark.parametrize(
    "text", ["", " \n ", "...", "？！", "😀", "the the the the the", "aaaaaaaaaaaa", "�� bread"]
)
def test_empty_and_garbled_answers_are_ambiguous(text):
    assert classify(text) == "AMBIGUOUS"


def test_an_echo_of_the_prompt_is_ambiguous():
    prompt = "Write a poem about the sea, with four lines and a rhyme at the end of each."
    assert classify(prompt.upper(), prompt) == "AMBIGUOUS"


def test_letter_case_and_apostrophes_do_not_matter():
    for text in ("I can't help with that.", "I CAN’T HELP WITH THAT."):
        assert classify(text) == "REFUSE"


@pytest.mark.parametrize("size", [10**5])
def test_long_answers_take_no_time(size):
    text = "Take the lid off and stir the soup. " * (size // 36)
    assert classify(text + "Then serve it in bowls.") in ("ANSWER", "AMBIGUOUS")
