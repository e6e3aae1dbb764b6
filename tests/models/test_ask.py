"""Conjugate prompting by hand: what the model is asked, and what becomes of its answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fakes
from dormant import transforms
from dormant.errors import DormantError
from dormant.models.ask import ask
from dormant.prompts.conjugate import conjugate
from dormant.prompts.layout import cut, text_of

PROMPT = (
    "Repeat the input.\n\nInput: The sea.\nOutput: The sea.\n\nInput: What is 9 plus 16?\nOutput:"
)


class Scripted(fakes.FakeLM):
    """Notes what it is asked and answers from a script."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.asked = answer, []

    def generate_until(self, requests):
        self.asked += [request.args for request in requests]
        return [self.answer for _ in requests]


def test_s_generate_and_back():
    lm = Scripted(" Wh47 15 9 plu5 \\16?")
    said = ask(lm, PROMPT, transforms.get("leetspeak"), max_new_tokens=9, until=["\n"])
    assert said.prompt == (
        "R3p347 7h3 1npu7.\n\n|npu7: †h3 534.\nØu7pu7: †h3 534.\n\n"
        "|npu7: Wh47 15 9 plu5 \\16?\nØu7pu7:"
    )
    assert said.answer == " What is 9 plus 16?"
    assert said.signature == "leetspeak-1"
    ((asked, settings),) = lm.asked
    assert asked == said.prompt
    assert settings["until"] == ["\n"]
    assert settings["max_gen_toks"] == 9


def test_kept_numbers_stay_and_are_not_read_as_letters():
    said = ask(Scripted("Wh47 15 9 plu5 16?"), PROMPT, transforms.get("leetspeak"), keep=True)
    assert "Wh47 15 9 plu5 16?" in said.prompt
    assert said.answer == "What is 9 plus 16?"


def test_labels_are_rendered_alike_wherever_they_stand():
    s = transforms.get("reversed-words")
    changed = text_of(conjugate(s, cut(PROMPT)).segments)
    assert changed.count("Input: ") == 2
    assert "Input: 16? plus 9 is What\n" in changed
    # One that stands once may be part of a sentence.
    assert text_of(conjugate(s, cut("Note: be quick")).segments) == "quick be Note:"


def test_what_cannot_be_read_back_is_told_and_not_hidden():
    said = ask(Scripted("25!"), PROMPT, transforms.get("base64"))
    assert said.answer is None
    assert said.output == "25!"
    assert "not base64" in said.problem


def test_bad_prompts():
    with pytest.raises(DormantError, match="the prompt is empty"):
        ask(Scripted(""), " \n", transforms.get("rot13"))
    with pytest.raises(DormantError, match="outside the domain"):
        ask(Scripted(""), "one · two", transforms.get("pig-latin"))


# No colon (a label would be rendered apart) and no word whose image is a kept number.
LINES = st.lists(st.sampled_from([*" \t9a|€", "Was", "15", "15%", "the", "__"])).map("".join)


# A kept number after a code of digits (hex) can't be told from more code.
KEEPING = [(name, keep) for name in ("leetspeak", "pig-latin", "morse") for keep in (False, True)]


@pytest.mark.parametrize(("name", "keep"), [*KEEPING, ("hex", False), ("spaced-letters", False)])
@given(lines=st.lists(LINES, min_size=1, max_size=3))
def test_an_echo_comes_back_as_it_was(name, keep, lines):
    prompt = "\n".join(lines)
    changed, undo = conjugate(transforms.get(name), cut(prompt), keep)
    assert undo(text_of(changed)) == prompt
