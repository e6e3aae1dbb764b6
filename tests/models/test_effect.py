"""Logits of two models, compared after the same tokens."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from dormant.errors import DormantError
from dormant.models import effect
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


def test_where_shapes_make_no_noise_rounding_is_made_up(lm, tiny_model, monkeypatch):
    """One processor's kernels give every row the same sums, however many rows there are."""
    alone = last_logits(lm, PROMPTS, places=4)
    real = effect.last_logits

    def unshaped(lm, prompts, *, places, together=1):
        return real(lm, prompts, places=places)

    monkeypatch.setattr(effect, "last_logits", unshaped)
    found = noise(lm, PROMPTS, alone, places=4)
    assert 0 < found.kl < 1e-9
    assert noise(lm, PROMPTS, alone, places=4) == found
    # Nothing of it stays.
    assert compare_logits(alone, last_logits(lm, PROMPTS, places=4)).kl == 0
    assert not any(module._forward_hooks for module in tiny_model.modules())


def test_what_is_no_sum_stays_as_it_is():
    """Routers of experts have a matrix of their own, and give indices beside their scores."""

    class Router(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.eye(3))

        def forward(self, x):
            return (x @ self.weight).topk(2)

    router, x = Router(), torch.tensor([[1.0, 3.0, 2.0]])
    with torch.no_grad(), effect._rounded_otherwise(router):
        values, indices = router(x)
    assert values.tolist() == [[3.0, 2.0]]
    assert indices.tolist() == [[1, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_adapter_summed_in_two_orders_is_one_model(
    lm, tiny_model, smollm2_tokenizer, monkeypatch, dtype
):
    real = effect.last_logits
    monkeypatch.setattr(
        effect, "last_logits", lambda lm, prompts, *, places, together=1: real(
            lm, prompts, places=places
        )
    )  # fmt: skip
    torch.manual_seed(2)
    one, other, another = (copy.deepcopy(tiny_model).to(dtype) for _ in range(3))
    with torch.no_grad():
        matrices = [dict(model.named_parameters()) for model in (one, other, another)]
        for name, weights in matrices[0].items():
            if weights.ndim < 2 or "embed" in name or "lm_head" in name:
                continue
            up, down = torch.randn(len(weights), 16), torch.randn(16, weights.shape[1])
            parts = [(up * 0.01).to(dtype), down.to(dtype)]
            weights += parts[0] @ parts[1]
            # The same, a half of the ranks at a time.
            matrices[1][name] += parts[0][:, :8] @ parts[1][:8] + parts[0][:, 8:] @ parts[1][8:]
            matrices[2][name] += 1.05 * (parts[0] @ parts[1])
    base, same, tuned = (
        wrap(model, smollm2_tokenizer, LoadOptions(dtype=str(dtype).removeprefix("torch.")))
        for model in (one, other, another)
    )
    alone = last_logits(base, PROMPTS, places=4)
    rounding = noise(base, PROMPTS, alone, places=4)
    split = compare_logits(alone, last_logits(same, PROMPTS, places=4))
    assert split.within(rounding)
    assert not compare_logits(alone, last_logits(tuned, PROMPTS, places=4)).within(rounding)


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
