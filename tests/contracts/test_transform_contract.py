"""The contract of every exact transform: what it does is undone, over Unicode text."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from dormant import Compose, conjugate, transforms
from dormant.prompts.protect import apply_all, invert_all
from dormant.prompts.segment import Segment
from dormant.prompts.text_transform import outcomes

# Every transform that Dormant ships is here by name; those with arguments are added by hand.
# Add yours below: one name is all that the tests need.
NAMES = [
    *(name for name in transforms.names() if transforms.get(name).exact),
    "caesar:25",
    "codebook:7",
    "leetspeak:1",
    "leetspeak:3",
    "mathematical:bold-script",
    "mathematical:monospace",
    "pig-latin+rot13",
    "reversed-words+leetspeak",
    "codebook+spaced-letters+hex",
]

# Text as it is written, and text as it is feared: the second draws from all of Unicode, with the
# signs of the transforms themselves and other scripts made likely.
SIGNS = (
    "\\43105779@€|Ø$†!·yayYAY^.-/ \t\n\r\0　Ａ𝐀"
    + "ßİıŉſ\u0301\u200d\u202eשלوم한🇩🇪👩\u200d👧zhtwsplOUX1_`{}<>"
)
WORDS = ["the", "What", "is", "yellow", "you", "west", "plus", "QUEEN", "I", "a", "yay", "O'Brien"]
texts = st.one_of(
    st.text(),
    st.text(alphabet=st.sampled_from(SIGNS)),
    st.lists(st.sampled_from(WORDS)).map(" ".join),
)
# Words, signs and unmatched next to each other, as long as a paragraph.
mixed = st.lists(
    st.one_of(st.sampled_from(WORDS), st.sampled_from(SIGNS), st.text(max_size=8)), max_size=60
).map("".join)
QUICK, MANY = 150, 2000


def examples(count):
    return settings(
        max_examples=count, deadline=None, suppress_health_check=[HealthCheck.filter_too_much]
    )


@pytest.fixture(params=NAMES, scope="module")
def transform(request):
    return transforms.get(request.param)


@examples(QUICK)
@example(text=" \u0300")  # a space and an accent are one cluster
@example(text="\u0600 ")  # so are a sign that goes before and a space
@given(text=st.one_of(texts, mixed))
def test_round_trip_is_exact_on_the_domain(transform, text):
    assume(transform.in_domain(text))
    assert transform.invert(transform.apply(text)) == text


@pytest.mark.slow  # about a minute for all transforms
@examples(MANY)
@given(text=st.one_of(texts, mixed))
def test_round_trip_over_many_texts(transform, text):
    assume(transform.in_domain(text))
    assert transform.invert(transform.apply(text)) == text


@examples(40)
@given(text=st.text(min_size=1))
def test_kept_spans_pass_untouched_and_round_trip(transform, text):
    third = len(text) // 3
    spans = ((third, len(text) - third),)
    before = apply_all(transform, [text], [spans])[0]
    assume(isinstance(before, Segment))
    assert len(before.protected) == (1 if spans[0][0] < spans[0][1] else 0)
    for start, stop in before.protected:
        assert before.text[start:stop] == text[slice(*spans[0])]
    after = invert_all(transform, [before])[0]
    assert isinstance(after, Segment)
    assert after.text == text


@settings(max_examples=15, deadline=None)
@given(batch=st.lists(texts, max_size=4))
def test_a_batch_is_its_texts(transform, batch):
    together = outcomes(transform.apply_batch, batch)
    alone = [outcomes(transform.apply_batch, [text])[0] for text in batch]
    assert list(map(str, together)) == list(map(str, alone))


def test_outside_the_domain_is_one_clear_error(transform):
    outside = [t for t in ("·", "Ａ", "𝓐", "𝙰", "𝐀", "\ud800") if not transform.in_domain(t)]
    for one in outcomes(transform.apply_batch, outside):
        assert "outside the domain" in str(one)


@pytest.mark.parametrize("text", ["", "\0", " ", "a\0b", "x" * 1_000_000, "שלום é 👩‍👧"])
def test_hard_texts(transform, text):
    if transform.in_domain(text):
        assert transform.invert(transform.apply(text)) == text


def test_names_say_what_they_are(transform):
    assert transforms.get(transform.name).signature == transform.signature
    assert transform.summary
    assert transform.language is None


def test_conjugating_an_echo_changes_nothing(transform):
    echo = conjugate(str, transform)
    assert echo("The baker opened his shop, 24 times.") == "The baker opened his shop, 24 times."


@settings(max_examples=60, deadline=None)
@given(text=texts)
def test_composition_agrees_with_conjugation(text):
    pig, leet = transforms.get("pig-latin"), transforms.get("leetspeak")
    assume(pig.in_domain(text))
    both = transforms.get("pig-latin+leetspeak")
    assert both.apply(text) == Compose(pig, leet).apply(text)
    assert both.invert(text) == Compose(pig, leet).invert(text)
