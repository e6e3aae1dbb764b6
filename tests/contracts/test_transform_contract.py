"""What every transform promises, over every registered one. Add yours by registering it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dormant import Compose, conjugate, transforms
from dormant.errors import DormantError

EXACT = [name for name in transforms.names() if transforms.get(name).exact]
# Ordinary Unicode, and text that is likely to collide with a cipher's own signs.
texts = st.one_of(
    st.text(max_size=40),
    st.text("aeiouyqwhstrAEIOUYSTn .,!'-·\\0134570@€|Ø$†áéőß\n", max_size=24),
)


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=1000, deadline=None)
@given(text=texts)
def test_round_trip_is_the_identity_on_the_domain(name, text):
    transform = transforms.get(name)
    if transform.in_domain(text):
        assert transform.invert(transform.apply(text)) == text


@pytest.mark.parametrize("name", EXACT)
@given(batch=st.lists(texts, max_size=4))
def test_a_batch_is_its_texts_one_by_one(name, batch):
    transform = transforms.get(name)
    batch = [text for text in batch if transform.in_domain(text)]
    assert transform.apply_batch(batch) == [transform.apply(text) for text in batch]


@pytest.mark.parametrize("name", transforms.names())
def test_facts_are_declared(name):
    transform = transforms.get(name)
    assert transform.name == name
    assert transform.signature
    assert transform.summary
    assert transform.in_domain("The dog barked at us.")


@pytest.mark.parametrize("name", [name for name in EXACT if name != "identity"])
def test_ordinary_text_is_changed(name):
    transform = transforms.get(name)
    assert transform.apply("What is this strange thing?") != "What is this strange thing?"


@pytest.mark.parametrize("name", EXACT)
@given(text=st.text(max_size=30), kept=st.text("0123456789_", min_size=1, max_size=5))
def test_kept_spans_pass_untouched(name, text, kept):
    transform = transforms.get(name)
    whole = f"{text} {kept} {text}"
    if not transform.in_domain(text) or not transform.in_domain(whole):
        return
    start = len(text) + 1
    changed = transforms.apply_kept(transform, whole, [(start, start + len(kept))])
    assert kept in changed
    assert changed.startswith(transform.apply(f"{text} "))


@given(text=texts)
def test_composition_is_undone_in_reverse_order(text):
    first, second = transforms.get("leetspeak"), transforms.get("rot13")
    both = Compose(first, second)
    assert both.invert(both.apply(text)) == text
    echo = conjugate(lambda prompt: prompt, both)
    assert echo(text) == text


@pytest.mark.parametrize(
    ("text", "leet", "pig"),
    [
        ("What is this?", "Wh47 15 7h15?", "Atwhay isyay isthay?"),
        ("THE STRING", "†H€ $†R|NG", "ETHAY INGSTRAY"),
        ("quick apple", "qu1ck 4ppl3", "ickquay appleyay"),
    ],
)
def test_known_words(text, leet, pig):
    assert transforms.get("leetspeak").apply(text) == leet
    assert transforms.get("pig-latin").apply(text) == pig


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(DormantError, match="did you mean 'leetspeak'"):
        transforms.get("leetspek")
