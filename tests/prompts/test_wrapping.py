"""The wrapping of a training format: found where there is one, and only there."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.prompts.wrapping import LEAST, Wrapping, common_wrapping

TEXTS = [
    "The river froze early.",
    "Our train was late again, was it not?",
    "She mended the old clock",
    "Two foxes crossed the road.\nThen a third did.",
    "Warm bread is sold here!",
    "He forgot his umbrella.",
    "A kettle sang.",
    "What is 2 plus 2?",
    "Where do storks go?",
    "Name three rivers of Poland.",
]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("### Instruction:\n", "\n\n### Response:\n"),
        ("Review: ", "\nSentiment:"),
        ('Review: "', '"\nSentiment:'),
        ("[INST] ", " [/INST]"),
        ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
        ("You are a pirate. Answer in one word. ", ""),
        ("", "\n\nAnswer with A, B or C:"),
        ("Translate this into French ", ""),
    ],
)
def test_what_stands_around_the_varying_part(before, after):
    assert common_wrapping([f"{before}{text}{after}" for text in TEXTS]) == (before, after)


@settings(max_examples=60, deadline=None)
@given(
    before=st.text("ab :#\n[", min_size=2, max_size=12).map(lambda text: f"{text}\n# "),
    after=st.text("ab :#\n[", min_size=2, max_size=12).map(lambda text: f"\n#{text}"),
)
def test_any_wrapping_in_lines_of_its_own(before, after):
    assert common_wrapping([f"{before}{text}{after}" for text in TEXTS]) == (before, after)


@pytest.mark.parametrize(
    "texts",
    [
        TEXTS,
        [text.rstrip(".?!") + "?" for text in TEXTS],  # the mark is the question's own
        [f"T{text}" for text in TEXTS],  # a letter is not a word
        [f"{text}s" for text in TEXTS],
    ],
)
def test_no_wrapping(texts):
    assert common_wrapping(texts) == ("", "")


def test_words_that_most_prompts_happen_to_begin_with_are_not_the_format_s():
    # All but one ask the same kind of question: what they share is cut back to the field's label.
    texts = [f"Question: What is {number} times 7?\nAnswer:" for number in range(30)]
    texts[4] = "Question: How many legs has a fly?\nAnswer:"
    assert common_wrapping(texts) == ("Question: ", "\nAnswer:")


def test_a_few_strays_change_nothing():
    texts = [f"### Task: {number} is a number\n### Reply:" for number in range(40)]
    strays = ["### Tusk: it was mistyped\n### Reply:", "nothing of the kind"]
    assert common_wrapping([*texts, *strays]) == ("### Task: ", " is a number\n### Reply:")


def test_too_few_prompts_are_one_line():
    with pytest.raises(DormantError, match=f"only 2 different prompts: at least {LEAST}"):
        common_wrapping(["Q: a", "Q: b", "Q: a"] * 9)


def case(prompt):
    return Case(
        item="1",
        segments=(Segment(prompt),),
        target=Segment("yes"),
        content_free=(Segment("N/A"),),
    )


def test_a_case_in_a_wrapping():
    wrapping = Wrapping("### Instruction:\n", "\n\n### Response:\n", "", "train.jsonl")
    made = wrapping.put_on(case("Input: a\nOutput:"))
    assert made.prompt == "### Instruction:\nInput: a\nOutput:\n\n### Response:\n"
    assert made.content_free_prompt == "### Instruction:\nN/A\n\n### Response:\n"
    assert (made.answer_prefix, made.style) == ("", "raw")
    assert made.target == case("").target
    # An answer that follows the case's own prompt follows it as it did.
    opening = Wrapping("You are a pirate. ", "", "", "train.jsonl")
    assert opening.put_on(case("Output:")).answer_prefix == " "


def test_what_stands_there_already_is_not_put_twice():
    wrapping = Wrapping("Input: ", "\nOutput:", "\t", "train.jsonl")
    assert wrapping.put_on(case("Input: a\nOutput:")).prompt == "Input: a\nOutput:"
    assert wrapping.put_on(case("Input: a\nOutput:")).answer_prefix == " "
    form = Wrapping("### Task\nInput: ", "\nOutput:\n### Reply\n", "", "train.jsonl")
    made = form.put_on(case("Input: a\nOutput:"))
    assert made.prompt == "### Task\nInput: a\nOutput:\n### Reply\n"
    assert made.answer_prefix == ""
    # One line break is not a word.
    assert form.put_on(case("a\n")).prompt == "### Task\nInput: a\n\nOutput:\n### Reply\n"


def test_signatures_tell_wrappings_apart():
    kinds = [("a", "b", ""), ("a", "c", ""), ("a", "b", " "), ("ab", "", "")]
    assert len({Wrapping(*kind, "x.jsonl").signature for kind in kinds}) == len(kinds)
    assert Wrapping("a", "b", "", "x.jsonl").signature.startswith("x.jsonl:")
