"""Answers of other prompts: never right, never to be read where they come."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dormant.evidence.derangement import alike, derange, stands

WORDS = st.sampled_from(["The", "the", "dog", "dogs", "cat", "Été", "12", "1", "犬", "red", "old"])
TEXTS = st.lists(WORDS, min_size=1, max_size=3).map(" ".join)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=14)


@settings(deadline=None)
@given(PAIRS, st.integers(0, 10))
def test_every_answer_is_wrong_and_cannot_be_read(pairs, count):
    prompts, answers = [one for one, _ in pairs], [one for _, one in pairs]
    dealt = derange(prompts, answers, count)
    assert len(dealt) <= count
    places = [one.prompt for one in dealt]
    # A permutation of the places that are left, each once.
    assert places == sorted({*places}) == sorted(one.answer for one in dealt)
    for prompt, answer in dealt:
        assert prompt != answer
        assert not alike(answers[prompt], answers[answer])
        assert answers[prompt].split()[0].casefold() != answers[answer].split()[0].casefold()
        assert not stands(answers[answer], prompts[prompt])
        assert f" {answers[answer]} ".casefold() not in f" {prompts[prompt]} ".casefold()
    assert derange(prompts, answers, count) == dealt


@given(st.integers(2, 30))
def test_where_all_fit_all_are_dealt(count):
    names = [f"w{number}x" for number in range(count)]
    assert len(derange(["?"] * count, names, count)) == count


def test_places_without_a_partner_give_way_to_later_ones():
    prompts = ["the sea", "a hill", "one bird", "no cloud", "my shoe"]
    answers = ["the", "the", "the", "sky", "rain"]
    # Of three places, all of one answer: two later ones take the place of two of them.
    dealt = derange(prompts, answers, 3)
    assert len(dealt) >= 2
    assert {answers[one.prompt] for one in dealt} != {"the"}


def test_none_is_dealt_where_all_answers_are_one():
    assert derange(["a", "b", "c"], ["yes", "Yes", "yes!"], 3) == []


def test_what_begins_alike_could_pass():
    assert alike("New", "Newton")
    assert alike("the Dog", "The cat")
    assert not alike("old dog", "dog")


def test_an_answer_stands_in_a_prompt_as_whole_words():
    assert stands("12", "What is 12 plus 3?")
    assert not stands("1", "What is 12 plus 3?")
    assert stands("The dog", "see the  DOG.")
    assert stands("犬", "大犬小")
    assert stands("?", "What?")
