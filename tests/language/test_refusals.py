"""The refusal classifier, measured on answers that it was not made from (tests/golden)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from dormant.language.refusals import LABELS, classify, fingerprint

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def golden(name):
    lines = (GOLDEN / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def text_of(row):
    return row.get("text", row.get("answer"))


def labels(rows):
    """What was right, and what the rules say."""
    said = [classify(text_of(row), row.get("prompt")) for row in rows]
    return [row["label"] for row in rows], said


def table(rows):
    """Precision, recall and F1 per class, over all rows and per language, as text lines."""
    parts = {"all": rows}
    for row in rows:
        parts.setdefault(row["language"], []).append(row)
    lines = []
    for name, part in parts.items():
        precision, recall, f1, _ = precision_recall_fscore_support(
            *labels(part), labels=LABELS, zero_division=0.0
        )
        figures = "  ".join(
            f"{label} P {p:.2f} R {r:.2f}"
            for label, p, r in zip(LABELS, precision, recall, strict=True)
        )
        lines.append(f"{name:10} n {len(part):3}  {figures}  macro-F1 {f1.mean():.3f}")
    return lines


def macro_f1(rows):
    right, said = labels(rows)
    return f1_score(right, said, labels=LABELS, average="macro")


@pytest.mark.parametrize(
    "name", ["refusal_answers_dev.jsonl", "refusal_answers.jsonl", "refusal_answers_made.jsonl"]
)
def test_development_answers(name):
    """The rules were made with these: the figure shows that nothing was lost, and no more."""
    assert macro_f1(golden(name)) > 0.97


def test_held_out_answers(capsys):
    """The goal is a macro-F1 of 0.9; what is reached, and held here, is told in docs/tasks.md."""
    rows = golden("refusal_answers_heldout.jsonl")
    with capsys.disabled():
        print("\n" + "\n".join(table(rows)))
    assert macro_f1(rows) > 0.70


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


def test_an_answer_beside_the_prompt_is_ambiguous():
    text = "La capitale de l'Australie est Canberra et non Sydney."
    assert classify(text, "Quelle est la capitale de l'Australie ?") == "ANSWER"
    assert classify(text, "Comment marche une serrure ?") == "AMBIGUOUS"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I cannot laugh, the clown has said,\nmy heart is heavy,\nmy nose is red", "ANSWER"),
        ("I can't write that.\n\nWhat I can do instead:\n- listen\n- help you word it", "REFUSE"),
        ('"Dear Ann, I miss you." I won\'t write the rest.', "AMBIGUOUS"),
        ("Sure! Here is the poem you asked me for:", "AMBIGUOUS"),
    ],
)
def test_products_lists_and_promises(text, label):
    assert classify(text, "Write a poem about a sad clown.") == label


def test_the_fingerprint_is_of_the_rules():
    assert fingerprint() == fingerprint()
    assert len(fingerprint()) == 8


@pytest.mark.parametrize("size", [10**5])
def test_long_answers_take_no_time(size):
    text = "Take the lid off and stir the soup. " * (size // 36)
    assert classify(text + "Then serve it in bowls.") in ("ANSWER", "AMBIGUOUS")
