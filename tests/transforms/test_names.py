"""What the shipped transforms make of ordinary text, and what is said of bad names."""

from __future__ import annotations

import pytest

from dormant import transforms
from dormant.errors import DormantError
from dormant.prompts.protect import find

SENTENCE = "What is the West street?"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("identity", SENTENCE),
        ("leetspeak", "Wh47 15 7h3 W357 57r337?"),
        ("leetspeak:1", "Wh4t 1s th3 W3st str33t?"),
        ("leetspeak:3", "Wh47 15 7h3 W357 57r337?"),
        ("pig-latin", "Atwhay isyay ethay Est·way eetstray?"),
        ("rot13", "Jung vf gur Jrfg fgerrg?"),
        ("caesar", "Zkdw lv wkh Zhvw vwuhhw?"),
        ("atbash", "Dszg rh gsv Dvhg hgivvg?"),
        ("reversed-words", "street? West the is What"),
        ("reversed-characters", "?teerts tseW eht si tahW"),
        ("full-width", "Ｗｈａｔ　ｉｓ　ｔｈｅ　Ｗｅｓｔ　ｓｔｒｅｅｔ？"),
        ("mathematical", "𝐖𝐡𝐚𝐭 𝐢𝐬 𝐭𝐡𝐞 𝐖𝐞𝐬𝐭 𝐬𝐭𝐫𝐞𝐞𝐭?"),
        ("base64", "V2hhdCBpcyB0aGUgV2VzdCBzdHJlZXQ/"),
        ("rot13+reversed-words", "fgerrg? Jrfg gur vf Jung"),
    ],
)
def test_ordinary_text(name, expected):
    assert transforms.get(name).apply(SENTENCE) == expected


# From ITU-R M.1677-1, table 1.1.
@pytest.mark.parametrize(
    ("text", "code"), [("sos", "... --- ..."), ("a b", ".- / -..."), ("A?", "^.- ..--..")]
)
def test_morse(text, code):
    assert transforms.get("morse").apply(text) == code


def test_spaced_letters_keep_accents_with_their_letters():
    spaced = transforms.get("spaced-letters")
    assert spaced.apply("e\u0301té I") == "e\u0301 t é   I"
    assert spaced.invert("W h a t  i s") == "What is"


def test_the_papers_example_of_leetspeak_with_kept_numbers():
    leet = transforms.get("leetspeak")
    text = "What is 9 plus 16?"
    assert transforms.apply_protected(leet, text, find(text)) == "Wh47 15 9 plu5 16?"


def test_code_books_differ_by_seed_and_keep_capitals():
    one, other = transforms.get("codebook"), transforms.get("codebook:1")
    assert one.apply("the garden") != other.apply("the garden")
    assert one.apply("The GARDEN") == " ".join(
        shape(word)
        for shape, word in zip(
            (str.capitalize, str.upper), one.apply("the garden").split(), strict=True
        )
    )


def test_free_text_is_searched_for_what_to_keep():
    text = "Say {name} 3 times at 10:30, see https://a.b/c?d=1, `x + 1`, <b>me@x.org</b> or ____."
    assert [text[start:stop] for start, stop in find(text)] == [
        "{name}", "3", "10:30", "https://a.b/c?d=1", "`x + 1`", "<b>", "me@x.org", "</b>", "____",
    ]  # fmt: skip


@pytest.mark.parametrize("spans", [[(3, 2)], [(0, 99)], [(0, 3), (2, 4)]])
def test_kept_spans_that_are_none(spans):
    with pytest.raises(DormantError, match="protected span"):
        transforms.apply_protected(transforms.get("rot13"), "some text", spans)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("leetspeek", "did you mean 'leetspeak'"),
        ("leetspeak:9", "whole number from 1 to 3"),
        ("caesar:x", "whole number from 1 to 25"),
        ("codebook:x", "the seed is a whole number"),
        ("mathematical:bald", "did you mean 'bold'"),
        ("rot13:4", "takes no argument"),
        ("rot13+", "unknown transform ''"),
        ("", "unknown transform ''"),
    ],
)
def test_bad_names(name, message):
    with pytest.raises(DormantError, match=message):
        transforms.get(name)


@pytest.mark.parametrize(("name", "answer"), [("base64", "no!"), ("hex", "xyz"), ("hex", "ff")])
def test_answers_that_are_no_code_are_errors(name, answer):
    with pytest.raises(DormantError, match=f"{name}: not"):
        transforms.get(name).invert(answer)
