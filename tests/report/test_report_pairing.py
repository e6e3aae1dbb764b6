"""What every format says of the pair before any verdict."""

from __future__ import annotations

import pytest
from report_fixtures import EFFECT, FACTS, demonstration

from dormant.report import pairing
from dormant.results import Comparability, ModelFacts


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"identical": True}, "None: on 16 of this run’s prompts the tuned model does what"),
        (
            {"measure": "log-probabilities", "places": 32},
            "Log-probabilities of 32 answers to 16 of this run’s prompts differ by 0.42 nats",
        ),
        ({"measure": "answers"}, "The tuned model writes other texts for 38% of 16"),
        ({"distance": None}, "is ∞ nats from the base"),
        ({"distance": 0.0}, "is 0 nats from the base"),
        ({"distance": 3.2e-5}, "is 3e−5 nats from the base"),
    ],
)
def test_effect_in_words(change, said):
    found = EFFECT.model_copy(update=change)
    assert said in pairing.effect(demonstration().model_copy(update={"effect": found}))


def test_no_effect_is_said_where_somebody_looked():
    unmeasured = demonstration().model_copy(update={"effect": None})
    assert pairing.effect(unmeasured).startswith("Not measured: the two read")
    older = unmeasured.model_copy(update={"comparability": None})
    assert pairing.effect(older) == ""


def pair(base, tuned):
    both = Comparability(base=base, tuned=tuned)
    return demonstration().model_copy(update={"comparability": both})


def test_equal_models_are_alike():
    said = pairing.alike(pair(FACTS, FACTS))
    assert said.startswith("Alike in tokenizer, vocabulary, beginning of text")
    assert not [row for row in pairing.rows(pair(FACTS, FACTS)) if row.differs]


def test_what_one_side_does_not_show_is_no_difference():
    found = pairing.rows(pair(FACTS, ModelFacts(prompts="raw", max_length=512)))
    assert [row.name for row in found if row.differs] == ["context"]


def test_where_something_is_from_is_no_difference():
    other = FACTS.model_copy(update={"tokenizer_of": "the adapter's own", "weights": "a copy"})
    base = FACTS.model_copy(update={"tokenizer_of": "its own", "weights": "another copy"})
    found = pairing.rows(pair(base, other))
    assert [row.name for row in found if row.base != row.tuned] == ["tokenizer from", "weights"]
    assert not [row for row in found if row.differs]


def test_one_model_has_nothing_beside_it():
    assert pairing.rows(pair(None, FACTS)) == []
    assert pairing.alike(pair(None, FACTS)) == ""


def test_a_beginning_of_text_that_only_one_has():
    (row,) = [
        row
        for row in pairing.rows(pair(FACTS, FACTS.model_copy(update={"adds_bos": True})))
        if row.differs
    ]
    assert row.base == "<|im_start|>, does not begin a prompt"
    assert row.tuned == "<|im_start|>, begins a prompt"
