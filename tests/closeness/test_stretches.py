"""Which tokens of a prompt count for closeness: all but those of the demonstrations' answers."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant.closeness.stretches import stretches
from dormant.errors import DormantError
from dormant.prompts.case import few_shot
from dormant.prompts.segment import Segment

texts = st.text(alphabet="ab é\n", min_size=1, max_size=8).filter(lambda text: text.strip())


def case(demonstrations=(("hot", "cold"), ("big", "small"))):
    return few_shot(
        item="one",
        instruction="Say the opposite.",
        input_label="Input",
        output_label="Output",
        demonstrations=[(Segment(given), Segment(answer)) for given, answer in demonstrations],
        query=Segment("wet"),
        target=Segment("dry"),
    )


def test_answers_are_left_out_and_each_piece_follows_all_before_it():
    asked = case()
    assert stretches(asked, asked.prompt) == [
        ("", "Say the opposite.\n\nInput: hot\nOutput:"),
        ("Say the opposite.\n\nInput: hot\nOutput: cold", "\n\nInput: big\nOutput:"),
        (asked.prompt[: asked.prompt.index("small") + 5], "\n\nInput: wet\nOutput:"),
    ]


@given(st.lists(st.tuples(texts, texts), max_size=3), st.sampled_from(["{}", "<u>{}</u><a>"]))
def test_pieces_and_answers_make_the_prompt(demonstrations, template):
    asked = case(demonstrations)
    prompt = template.format(asked.prompt)
    found = stretches(asked, prompt)
    assert len(found) == len(demonstrations) + 1
    assert all(prompt.startswith(part.context + part.text) for part in found)
    last = found[-1]
    assert last.context + last.text == prompt
    between = [
        prompt[len(before.context + before.text) : len(after.context)]
        for before, after in itertools.pairwise(found)
    ]
    # A space before an answer is read with its first word.
    assert [text.lstrip(" ") for text in between] == [
        answer.lstrip(" ") for _, answer in demonstrations
    ]


def test_a_prompt_without_demonstrations_counts_as_a_whole():
    asked = case(())
    assert stretches(asked, asked.prompt) == [("", asked.prompt)]
    # Whatever a template does to it.
    assert stretches(asked, "<u>rewritten</u>") == [("", "<u>rewritten</u>")]


def test_turns_of_a_chat_are_looked_for_in_order():
    asked = replace(case(), turns=(("user", 2),))
    rewritten = asked.prompt.replace("\n\n", "\n")
    assert [part.text for part in stretches(asked, rewritten)] == [
        "Say the opposite.\nInput: hot\nOutput:", "\nInput: big\nOutput:", "\nInput: wet\nOutput:",
    ]  # fmt: skip


def test_answers_that_a_template_changes_are_refused():
    asked = case()
    with pytest.raises(DormantError, match="item one: the chat template changes"):
        stretches(asked, asked.prompt.replace("small", "SMALL"))
