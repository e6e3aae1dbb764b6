"""Free texts under a transform, and their answers as a whole and bit by bit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant import transforms
from dormant.errors import DormantError
from dormant.prompts.conjugate import Conjugation
from dormant.prompts.exchange import Streamed, exchange
from dormant.prompts.layout import up_to

NAMES = ("identity", "leetspeak", "pig-latin", "reversed-words", "leetspeak+base64", "morse")
TEXTS = st.lists(st.sampled_from(["the ", "sea", "\n", "\n\n", " ", "end", "a 16 b", "Input: x"]))
STOPS = st.lists(st.sampled_from(["\n", "\n\n", "sea\n", "end", "the sea", "d\n\na"]), max_size=2)


@given(
    st.sampled_from(NAMES), TEXTS.map("".join), STOPS, st.lists(st.integers(0, 9)), st.booleans()
)
def test_pieces_join_to_the_whole_answer(name, text, until, sizes, keep):
    put = exchange(
        Conjugation(transforms.get(name), protect=keep), ["Repeat 16 lines.", "a"], until
    )
    lines = text.split("\n")
    s = transforms.get(name)
    output = "\n".join(s.apply(line.strip()) if line.strip() else line for line in lines)
    # A model has stopped at the first of its stops, which a stream may run past.
    left = up_to(output, put.stops)
    undone, pieces, end = Streamed(put), list[str](), 0
    for size in sizes:
        end += size
        if not undone.ended:
            pieces.append(undone.more(output[:end]))
    pieces += [] if undone.ended else [undone.rest(left)]
    assert "".join(pieces) == put.answer(left)
    assert undone.cut or put.answer(left) == put.undo(left)


def test_a_line_is_told_as_soon_as_it_has_ended():
    undone = Streamed(exchange(Conjugation(transforms.get("rot13")), ["x"]))
    assert [undone.more("nop\nq"[:end]) for end in (2, 3, 4, 5)] == ["", "", "abc\n", ""]
    assert undone.rest("nop\nqrs") == "def"
    plain = Streamed(exchange(Conjugation(transforms.get("identity")), ["x"]))
    assert [plain.more("nop\nq"[:end]) for end in (2, 4)] == ["no", "p\n"]


def test_what_may_become_a_stop_waits():
    put = exchange(Conjugation(transforms.get("identity")), ["x"], ["END"])
    undone = Streamed(put)
    assert undone.more("one E") == "one "
    assert undone.more("one EN") == ""
    assert not undone.ended
    assert undone.more("one ENT") == "ENT"
    assert undone.more("one ENTENDS") == ""
    assert (undone.ended, undone.cut) == (True, True)


def test_labels_that_stand_in_several_texts_are_rendered_alike():
    s = Conjugation(transforms.get("reversed-words"))
    put = exchange(s, ["Input: a b", "Input: c d"])
    assert put.texts == ("Input: b a", "Input: d c")


def test_a_line_that_cannot_be_read_back_is_an_error_at_once():
    undone = Streamed(exchange(Conjugation(transforms.get("base64")), ["x"]))
    assert undone.more("YWJj\n") == "abc\n"
    with pytest.raises(DormantError, match="not base64"):
        undone.more("YWJj\nnot this\n")


def test_writing_may_begin_anew():
    undone = Streamed(exchange(Conjugation(transforms.get("identity")), ["x"]))
    assert [undone.more(text) for text in ("", "ab", "a", "ab", "abc")] == ["", "ab", "", "", "c"]


@given(TEXTS.map("".join), st.booleans())
def test_the_identity_leaves_a_prompt_as_it_is(text, keep):
    put = exchange(Conjugation(transforms.get("identity"), protect=keep), [text, "\r\n \t"])
    assert put.texts == (text, "\r\n \t")


def test_what_was_told_is_not_taken_back():
    undone = Streamed(exchange(Conjugation(transforms.get("identity")), ["x"]))
    undone.more("abc")
    with pytest.raises(DormantError, match="taken back"):
        undone.rest("abd")
