from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant.prompts.case import few_shot, leading_words
from dormant.prompts.segment import Segment


def example(**changes):
    options = {
        "item": "i1",
        "instruction": "Repeat the input.",
        "input_label": "Input",
        "output_label": "Output",
        "demonstrations": [(Segment("a b"), Segment("a b"))],
        "query": Segment("What is 9 plus 16?", protected=((8, 9), (15, 17))),
        "target": Segment("What is 9 plus 16?"),
        "distractor": Segment("25"),
        "target_words": 1,
    }
    return few_shot(**(options | changes))


def test_layout_is_the_papers():
    assert example().prompt == (
        "Repeat the input.\n\nInput: a b\nOutput: a b\n\nInput: What is 9 plus 16?\nOutput:"
    )
    assert example().answers == ("What", "25")


def test_without_instruction_or_demonstrations():
    assert example(instruction="", demonstrations=[]).prompt == (
        "Input: What is 9 plus 16?\nOutput:"
    )


def test_map_leaves_layout_alone_and_changes_every_answer():
    shouted = example().map(lambda s: replace(s, text=s.text.upper()))
    assert shouted.prompt == (
        "REPEAT THE INPUT.\n\nINPUT: A B\nOUTPUT: A B\n\nINPUT: WHAT IS 9 PLUS 16?\nOUTPUT:"
    )
    assert shouted.answers == ("WHAT", "25")


def test_scored_words_are_counted_after_the_transform():
    turned = example().map(lambda s: replace(s, text=" ".join(reversed(s.text.split()))))
    assert turned.answers[0] == "16?"


@given(st.lists(st.text("abc", min_size=1), min_size=1), st.integers(1, 5))
def test_leading_words(words, count):
    text = " ".join(words)
    assert text.startswith(leading_words(text, count))
    assert len(leading_words(text, count).split()) == min(count, len(words))
    assert leading_words(text, None) == text


@pytest.mark.parametrize("role", ["instruction", "label", "input", "output", "query"])
def test_every_role_is_there(role):
    assert any(segment.role == role for segment in example().segments)
