"""s on the texts of the harness's requests."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dormant import transforms
from dormant.errors import DormantError
from dormant.integrations.lm_eval.requests import Rendered, Requests

FEW_SHOT = (
    "Choose the colour.\n\nQuestion: grass?\nAnswer: green\n\nQuestion: snow?\nAnswer: white\n\n"
    "Question: the sky?\nAnswer:"
)


def conjugation(name, **options):
    return Requests(transforms.get(name), **options)


def pair(name, context, continuation):
    ((before, after),) = conjugation(name).pairs([(context, continuation)])
    return before, after


def test_context_and_continuation_change_and_delimiters_do_not():
    assert pair("rot13", FEW_SHOT, " blue") == (
        "Pubbfr gur pbybhe.\n\nDhrfgvba: tenff?\nNafjre: terra\n\nDhrfgvba: fabj?\n"
        "Nafjre: juvgr\n\nDhrfgvba: gur fxl?\nNafjre:",
        " oyhr",
    )


@pytest.mark.parametrize("name", ["spaced-letters", "full-width", "morse", "base64"])
def test_the_answer_stands_where_the_demonstrations_have_it(name):
    before, after = pair(name, FEW_SHOT, " green")
    whole = transforms.get(name)
    label, answer = whole.apply("Answer"), whole.apply("green")
    # Were a line transformed as one, the space behind the label would be rendered like any other.
    assert f"\n{label}: {answer}\n\n" in before
    assert before.endswith(f"\n{label}:")
    assert after == f" {answer}"


@pytest.mark.parametrize("delimiter", [" ", "\n", "\n\n", "\t", " \n"])
@pytest.mark.parametrize("name", ["rot13", "pig-latin", "reversed-words", "hex", "morse"])
def test_white_space_between_them_stays(name, delimiter):
    whole = transforms.get(name)
    image = whole.apply("The sky is"), whole.apply("pale blue")
    assert pair(name, "The sky is", f"{delimiter}pale blue") == (image[0], delimiter + image[1])
    assert pair(name, f"The sky is{delimiter}", "pale blue") == (image[0] + delimiter, image[1])


def test_a_continuation_in_the_middle_of_a_word():
    # Letter by letter, the image is split where the word was.
    assert pair("rot13", "It is an ani", "mal.") == ("Vg vf na nav", "zny.")
    assert pair("spaced-letters", "an ani", "mal") == ("a n   a n i", " m a l")
    # Pig latin has no such place: the whole word is scored.
    assert pair("pig-latin", "It is an ani", "mal.") == ("Ityay isyay anyay", " animalyay.")
    assert pair("pig-latin", "ani", "mal") == ("", "animalyay")
    assert pair("reversed-words", "It is an ani", "mal") == ("an is It", " animal")
    # No word is cut in two here, so both sides keep their place.
    assert pair("pig-latin", "Is it (", "A) or") == ("Isyay ityay (", "Ayay) oryay")
    assert pair("pig-latin", "Answer:", "no") == ("Answeryay:", "onay")


def test_empty_and_blank_texts():
    assert pair("pig-latin", "", " no") == ("", " onay")
    assert pair("pig-latin", "no", "") == ("onay", "")
    assert pair("base64", "\n ", " \n") == ("\n ", " \n")


TEXTS = st.text(alphabet="aB1 \n\t:.é·", max_size=20)


@given(context=TEXTS, continuation=TEXTS)
def test_the_identity_changes_nothing(context, continuation):
    same = conjugation("identity")
    assert same.pairs([(context, continuation)]) == [(context, continuation)]
    assert same.documents([context]) == same.texts([context]) == [context]
    ((prompt, until, kept),) = same.generations([(context, [continuation])])
    assert (prompt, until, kept) == (context, [continuation], ())
    assert same.undone(context, (), ()) == context


@pytest.mark.parametrize("name", ["rot13", "leetspeak", "caesar:5", "atbash"])
@given(context=TEXTS, continuation=TEXTS)
def test_letter_by_letter_it_is_s_of_the_whole(name, context, continuation):
    before, after = pair(name, context, continuation)
    whole = transforms.get(name)
    assert (before, after) == (whole.apply(context), whole.apply(continuation))


def test_a_rendered_prompt_is_not_touched_again():
    prompt = Rendered("<|im_start|>user\nJub?<|im_end|>\n")
    before, after = pair("rot13", prompt, "you")
    assert before == prompt
    assert after == "lbh"
    ((asked, until, _),) = conjugation("rot13").generations([(prompt, ["end"])])
    assert (asked, until) == (prompt, ["raq"])


def test_a_rendered_prompt_survives_the_harnesss_cache_of_requests():
    dill = pytest.importorskip("dill")
    prompt = Rendered("Jub?")
    prompt.protected = ("16",)
    for library in (pickle, dill):
        again = library.loads(library.dumps([prompt]))[0]
        assert type(again) is Rendered
        assert again.protected == ("16",)


def test_stop_strings():
    until = ["\n\n", "Question:", "</s>", " ", "be"]
    ((_, found, _),) = conjugation("rot13").generations([(FEW_SHOT, until)])
    assert found == ["\n\n", "Dhrfgvba:", "</f>", "</s>", " ", "or"]


def test_a_label_is_one_in_a_stop_string_too():
    made = conjugation("reversed-words")
    prompt = "To do: eat\nTo do: sleep\nTo do:"
    ((asked, found, _),) = made.generations([(prompt, ["\nTo do:"])])
    assert found == ["\ndo To:"]
    assert found[0] in asked


def test_a_stop_string_that_cannot_be_rendered_is_left_to_the_way_back():
    made = conjugation("pig-latin")  # whose domain has no middle dot
    ((_, found, _),) = made.generations([("Say it.", ["·", "\n"])])
    assert found == ["\n"]
    assert made.undone(" onay · onay", (), ["·", "\n"]) == " no "


def test_an_answer_ends_where_the_plain_one_would():
    made = conjugation("rot13")
    assert made.undone(" lrf.\n\nDhrfgvba: ab", (), ["\n\n"]) == " yes."
    assert made.undone(" lrf Dhrfgvba: ab", (), ["Question:"]) == " yes "
    assert made.undone(" lrf\n ab ", (), []) == " yes\n no "


def test_what_cannot_be_read_back():
    made = conjugation("base64")
    assert made.undone(" I don't know!", (), []) is None
    assert made.undone(" eWVz", (), []) == " yes"


def test_kept_numbers():
    made = conjugation("leetspeak", keep=True)
    ((prompt, _, kept),) = made.generations([("What is 9 plus 16?", [])])
    assert (prompt, kept) == ("Wh47 15 9 plu5 16?", ("9", "16"))
    assert made.undone(" 16 15 17", kept, []) == " 16 is it"
    assert made.protected(["It is 7.", "No"]) == ("7",)
    assert made.signature == "leetspeak-1+keep"
    assert conjugation("leetspeak").pairs([("9", " 16")]) == [("9", " \\16")]


def test_a_text_outside_the_domain_is_refused():
    with pytest.raises(DormantError, match="pig-latin: outside the domain"):
        pair("pig-latin", "one · two", " three")


def test_translations_share_one_batch():
    calls = []

    def count(texts):
        calls.append(list(texts))
        return [text.upper() for text in texts]

    import dataclasses

    engine = dataclasses.replace(transforms.get("reversed-words"), apply_batch=count)
    made = Requests(engine)
    found = made.pairs([("a b", " c"), ("a b", " d"), ("e", " c")])
    assert found == [("A B", " C"), ("A B", " D"), ("E", " C")]
    assert calls == [["a b", "c", "d", "e"]]
