"""Matrices rounded to bfloat16 beforehand, adapters merged into them."""

from __future__ import annotations

import pytest
import torch
from peft import IA3Config, LoHaConfig, LoraConfig, get_peft_model

from dormant.scoring import rounded
from dormant.scoring.forward import adapter_state
from dormant.scoring.layers import decoder_and_head
from dormant.scoring.rounded import RoundedWeights
from dormant.scoring.wrappers import unwrapped

# PEFT's own.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

PARTS = ["q_proj", "v_proj", "down_proj"]
KINDS = {
    "lora": LoraConfig(target_modules=PARTS, init_lora_weights=False),
    "dora": LoraConfig(target_modules=PARTS, init_lora_weights=False, use_dora=True),
    "loha": LoHaConfig(target_modules=PARTS, init_weights=False),
    "ia3": IA3Config(target_modules=PARTS, feedforward_modules=["down_proj"],
                     init_ia3_weights=False),
}  # fmt: skip
INPUTS = torch.tensor([[5, 3, 8, 1, 9, 2, 7]])


@pytest.fixture
def model():
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    # Of Qwen's, whose queries, keys and values have biases.
    config = Qwen2Config(
        vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    return Qwen2ForCausalLM(config).eval()


@torch.inference_mode()
def states(model, weights=None):
    """The last hidden states in float32, or in bfloat16 by rounded weights."""
    decoder, _ = decoder_and_head(unwrapped(model))
    if weights is None:
        return decoder(INPUTS).last_hidden_state
    with weights.applied(adapter_state(model)), torch.autocast("cpu", torch.bfloat16):
        return decoder(INPUTS).last_hidden_state.float()


def weights_of(model):
    return RoundedWeights(decoder_and_head(unwrapped(model))[0])


def distance(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("kind", KINDS)
def test_equal_the_model_with_its_adapter_but_for_rounding(model, kind):
    plain = states(model)
    tuned = get_peft_model(model, KINDS[kind]).eval()
    wanted, weights = states(tuned), weights_of(tuned)
    assert distance(wanted, plain) > 0.05
    before = {name: one.clone() for name, one in tuned.state_dict().items()}
    assert 0 < distance(states(tuned, weights), wanted) < 0.02
    with tuned.disable_adapter():
        assert distance(states(tuned, weights), plain) < 0.02
    assert distance(states(tuned, weights), wanted) < 0.02
    # The model itself is what it was, to the last bit.
    assert torch.equal(states(tuned), wanted)
    assert all(torch.equal(one, before[name]) for name, one in tuned.state_dict().items())


def test_all_linear_layers_take_part(model):
    made = weights_of(model)._make()
    linear = [part for part in model.model.modules() if isinstance(part, torch.nn.Linear)]
    assert {id(one.layer) for one in made} == set(map(id, linear))


def test_are_made_once(model, monkeypatch):
    weights, calls, make = weights_of(model), [], RoundedWeights._make
    monkeypatch.setattr(RoundedWeights, "_make", lambda own: calls.append(1) or make(own))
    first = states(model, weights)
    assert torch.equal(states(model, weights), first)
    assert len(calls) == 1


@pytest.mark.parametrize("bias", [False, True])
def test_are_made_anew_when_weights_change(model, bias):
    """As by an edit of the weights, or a step of training."""
    weights = weights_of(model)
    states(model, weights)
    with torch.no_grad():
        part = model.model.layers[0].self_attn.q_proj
        (part.bias if bias else part.weight).mul_(3)
    assert distance(states(model, weights), states(model)) < 0.02


def test_are_not_made_where_memory_is_scarce(model, monkeypatch):
    wanted = states(model, weights_of(model))
    monkeypatch.setattr(rounded, "free_memory", lambda device: 0)
    weights = weights_of(model)
    assert weights._make() == []
    assert torch.equal(states(model, weights), wanted)


def test_running_out_of_memory_leaves_the_layers_as_they_are(model, monkeypatch):
    def full(layer):
        raise MemoryError

    monkeypatch.setattr(rounded, "_rounded", full)
    assert weights_of(model)._make() == []


def test_layers_are_given_back_after_an_error(model):
    with pytest.raises(ZeroDivisionError), weights_of(model).applied(adapter_state(model)):
        raise ZeroDivisionError
    assert not any("forward" in vars(part) for part in model.modules())


@pytest.mark.parametrize("error", [NotImplementedError, RuntimeError, ValueError])
def test_an_adapter_that_cannot_be_merged_is_left_as_it_is(model, monkeypatch, error):
    from peft.tuners.lora import Linear

    def refuse(own, *given, **named):
        raise error

    tuned = get_peft_model(model, KINDS["lora"]).eval()
    wanted = states(tuned)
    monkeypatch.setattr(Linear, "merge", refuse)
    weights = weights_of(tuned)
    assert len(weights._make()) == 2 * 4  # key, output, gate and up of two layers
    assert distance(states(tuned, weights), wanted) < 0.02
