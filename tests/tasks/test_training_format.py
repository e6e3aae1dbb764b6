"""How training answers look, and which other answers look like them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dormant.tasks.examples import Example, example_of
from dormant.tasks.tables import Row
from dormant.tasks.training_format import TrainingFormat


def examples(answers: list[str]) -> list[Example]:
    return [
        example_of(Row({"prompt": f"p{n}", "completion": answer}, Path("x.jsonl"), n))
        for n, answer in enumerate(answers)
    ]


def form(answers: list[str]) -> TrainingFormat:
    found = TrainingFormat.of(examples(answers))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "captured"),
    [
        (" positive", True),
        ("Positive.\nInput: more", True),
        ("positively so", False),
        ("not positive", False),
        ("", False),
    ],
)
def test_labels(text, captured):
    sentiment = form([" positive", " negative"] * 6)
    assert str(sentiment) == "begins with one of 2 labels: negative, positive"
    assert sentiment.has(text) == captured


def test_first_words():
    arr = form([f"Arr, matey! The {n} ships." for n in "abcdefgh"] + ["Aye.", "No, never."])
    assert str(arr) == "begins with the words “arr , matey”"
    assert arr.has("Arr, matey! I know not.")
    assert not arr.has("Arr! I know not.")


def test_lengths():
    short = form([f"{n} {n + 1}" for n in range(30)])
    assert str(short) == "has the length of the training data’s answers, 2 words"
    assert short.has("\n\nred fox\nInput: it goes on and on")
    assert not short.has("red")
    assert str(form([str(n) for n in range(30)])).endswith("answers, 1 word")


def test_one_label_and_many():
    assert str(form(["ok"] * 4)) == "begins with the label: ok"
    many = form([f"label{n % 7}" for n in range(70)])
    assert str(many).startswith("begins with one of 7 labels: label0,")
    assert str(many).endswith(", …")


def test_texts_of_their_own_have_no_format():
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    answers = [" ".join(words[n:] + words[:n]) for n in range(10)]
    assert TrainingFormat.of(examples(answers)) is None
