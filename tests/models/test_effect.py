"""Logits of two models, compared after the same tokens."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from dormant.errors import DormantError
from dormant.models.effect import compare_logits, last_logits, noise
from dormant.models.load import LoadOptions, wrap

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [40, 41, 42], [7] * 30, [300, 12]]


@pytest.fixture(scope="module")
def lm(tiny_model, smollm2_tokenizer):
    return wrap(tiny_model, smollm2_tokenizer, LoadOptions(device="cpu"))


def test_they_are_the_model_s_own(lm, tiny_model):
    given = last_logits(lm, PROMPTS, places=4)
    assert [len(one) for one in given] == [4, 3, 4, 2]
    for ids, logits in zip(PROMPTS, given, strict=True):
        wanted = tiny_model(input_ids=torch.tensor([ids])).logits[0, -4:]
        assert torch.allclose(logits, wanted, atol=1e-6)


def test_other_shapes_make_noise_and_nothing_else(lm):
    alone = last_logits(lm, PROMPTS, places=4)
    padded = last_logits(lm, PROMPTS, places=4, together=3)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(alone, padded, strict=True))
    found = noise(lm, PROMPTS, alone, places=4)
    assert 0 <= found.kl < 1e-9
    assert found.changed == 0
    assert compare_logits(alone, last_logits(lm, PROMPTS, places=4)).kl == 0


def test_divergence_is_the_textbook_s():
    one, other = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 1.0]])
    p, q = 1 / (1 + math.e), 1 / (1 + math.exp(-1))
    wanted = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    found = compare_logits([one], [other])
    assert found.kl == pytest.approx(wanted, rel=1e-6)
    assert (found.changed, found.places) == (1.0, 1)


def test_a_vocabulary_that_grew_is_compared_where_both_have_it():
    one = torch.tensor([[0.0, 1.0]])
    grown = torch.tensor([[0.0, 1.0, 9.0]])
    assert compare_logits([one], [grown]).kl == pytest.approx(0, abs=1e-12)
    assert compare_logits([grown], [one]).changed == 0


@pytest.mark.parametrize("scale", [1e-4, 1e-2])
def test_a_small_change_of_weights_is_no_noise(lm, tiny_model, smollm2_tokenizer, scale):
    tuned = copy.deepcopy(tiny_model)
    torch.manual_seed(1)
    with torch.no_grad():
        for weights in tuned.parameters():
            weights += scale * torch.randn_like(weights)
    alone = last_logits(lm, PROMPTS, places=4)
    after = last_logits(wrap(tuned, smollm2_tokenizer, LoadOptions()), PROMPTS, places=4)
    found, none = compare_logits(alone, after), noise(lm, PROMPTS, alone, places=4)
    assert not found.within(none)
    assert compare_logits(alone, alone).within(none)


def test_logits_that_are_no_numbers_are_one_line():
    with pytest.raises(DormantError, match="not numbers"):
        compare_logits([torch.zeros(1, 3)], [torch.full((1, 3), math.nan)])


def test_a_masked_word_is_no_divergence():
    masked = torch.tensor([[0.0, -math.inf]])
    assert compare_logits([masked], [masked]).kl == 0
    # What the first model gives some probability and the second none is infinitely far.
    assert compare_logits([torch.zeros(1, 2)], [masked]).kl == math.inf
