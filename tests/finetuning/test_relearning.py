"""Training for a while: what is learnt acts as long as a block, and nothing else is left of it."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import adapter_kinds as kinds
from dormant.errors import DormantError
from dormant.finetuning import training
from dormant.finetuning.batches import Example
from dormant.finetuning.loss import completion_logits, completion_loss, taught
from dormant.finetuning.low_rank import LowRank, acting
from dormant.finetuning.relearning import relearnt
from dormant.finetuning.settings import TuningSettings
from dormant.finetuning.training import train
from dormant.models import effective
from dormant.models.effective import NotEditableError, decoder_layers, linear_modules, matrices

SETTINGS = TuningSettings(steps=3, batch_size=4, learning_rate=1e-2, rank=2, seed=5)
IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 4, 3]])
EXAMPLES = [Example([n + 3, n + 4, *range(5, 8 + n), n + 2], 3 + n % 2) for n in range(6)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return kinds.checkpoint(tmp_path_factory.mktemp("base"), tie_word_embeddings=True)


@pytest.fixture
def model(checkpoint):
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS).logits


def state(model):
    """Copy all that a model is: tensors, where they are, their flags, modes and hooks."""
    tensors = {
        name: (
            tensor.data_ptr(), tensor.requires_grad, tensor.grad is None, tensor.detach().clone()
        )
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]
    }  # fmt: skip
    parts = {
        name: (part.training, len(part._forward_hooks), getattr(part, "merged", None))
        for name, part in model.named_modules()
    }
    return tensors, parts


def same(one, other):
    (tensors, parts), (later, parts_later) = one, other
    return (
        parts == parts_later
        and tensors.keys() == later.keys()
        and all(
            tensors[n][:3] == later[n][:3] and torch.equal(tensors[n][3], later[n][3])
            for n in tensors
        )
    )


def learnt(model, settings=SETTINGS):
    """Return the layers' matrices as they are after learning."""
    with relearnt(model, EXAMPLES, settings):
        return {name: matrix.clone() for name, matrix in matrices(decoder_layers(model))}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("kind", ["plain", "on", "off", "DoRA", "merged", "bfloat16", "training"])
def test_it_undoes_itself_bit_by_bit(model, kind):
    if kind in ("on", "off", "DoRA"):
        model = kinds.with_adapter(model, use_dora=kind == "DoRA")
    elif kind == "merged":
        model = kinds.with_adapter(model).merge_and_unload()
    elif kind == "bfloat16":
        model = model.to(torch.bfloat16)
    elif kind == "training":
        model = model.train()
        model.model.layers[0].eval()
        model.model.embed_tokens.weight.requires_grad_(False)
    if kind == "off":
        model.base_model.disable_adapter_layers()
    said, before, stream = logits(model), state(model), torch.get_rng_state()
    with relearnt(model, EXAMPLES, SETTINGS):
        assert not torch.equal(logits(model), said)
        assert state(model)[1] == before[1] or kind in ("on", "DoRA")  # merged meanwhile
        assert [n for n, w in model.named_parameters() if w.requires_grad] == [
            n for n, (_, flag, *_) in before[0].items() if flag
        ]
    assert torch.equal(logits(model), said)
    assert same(state(model), before)
    assert torch.equal(torch.get_rng_state(), stream)


def test_it_does_where_training_or_the_block_fails(model, monkeypatch):
    before = state(model)
    with pytest.raises(ValueError, match="block"), relearnt(model, EXAMPLES, SETTINGS):
        raise ValueError("in the block")
    assert same(state(model), before)
    real, calls = training.completion_loss, []

    def breaks(*given):
        calls.append(None)
        if len(calls) == 2:
            raise RuntimeError("no gradient here")
        return real(*given)

    monkeypatch.setattr(training, "completion_loss", breaks)
    with (
        pytest.raises(NotEditableError, match=r"can't be trained \(no gradient"),
        relearnt(model, EXAMPLES, SETTINGS),
    ):
        pass
    assert same(state(model), before)


def test_the_same_seed_teaches_the_same_and_another_another(model):
    one = learnt(model)
    torch.manual_seed(99)
    assert equal(learnt(model), one)
    assert not equal(learnt(model, replace(SETTINGS, seed=6)), one)


def test_base_and_adapter_over_one_copy_learn_as_two_models_do(model):
    peft = kinds.with_adapter(model)
    merged = copy.deepcopy(peft).merge_and_unload()
    with peft.disable_adapter():
        under = learnt(peft)
    assert equal(under, learnt(model))
    on, apart = learnt(peft), learnt(merged)
    assert on.keys() == apart.keys()
    for name in on:
        torch.testing.assert_close(on[name], apart[name], atol=1e-4, rtol=0)


def test_what_was_trained_is_what_is_written(model):
    modules = [*linear_modules(decoder_layers(model))]
    updates = [LowRank.of(n, part, rank=2, alpha=4, seed=0) for n, part in modules]
    plain = logits(model)
    with acting(updates), torch.no_grad():
        assert torch.equal(model(input_ids=IDS).logits, plain)
        for one in updates:
            one.b.normal_(std=0.1)
        acted = model(input_ids=IDS).logits
    assert torch.equal(logits(model), plain)
    assert not torch.allclose(acted, plain, atol=1e-2)
    for one in updates:
        one.write()
    torch.testing.assert_close(logits(model), acted, atol=1e-4, rtol=1e-4)


def test_examples_are_learnt(model):
    def loss():
        with torch.no_grad():
            return float(completion_loss(model, EXAMPLES, torch.device("cpu")))

    before = loss()
    with relearnt(model, EXAMPLES, replace(SETTINGS, steps=40)):
        assert loss() < before - 0.5


def test_only_matrices_of_the_layers_learn(model):
    before = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    with relearnt(model, EXAMPLES, SETTINGS):
        changed = {n for n, w in model.named_parameters() if not torch.equal(w, before[n])}
    assert changed == {n for n in before if ".layers." in n and before[n].ndim == 2}


def test_transposed_modules_learn_too():
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32, n_inner=24)
    model = GPT2LMHeadModel(config).train()  # dropout is on, but for learning
    before = state(model)
    assert equal(learnt(model), learnt(model))
    with relearnt(model, EXAMPLES, SETTINGS):
        changed = {n for n, w in model.named_parameters() if not torch.equal(w, before[0][n][-1])}
    wanted = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    assert changed == {n for n in before[0] if n.endswith(wanted)}
    assert same(state(model), before)


def test_a_new_copy_s_lora_by_peft_learns_the_same(model):
    """The hooks are LoRA as PEFT has it, from the same start."""
    settings = replace(SETTINGS, steps=4)
    ours = learnt(model, settings)
    inner = copy.deepcopy(model)
    starts = {
        n: LowRank.of(n, part, rank=2, alpha=4, seed=settings.seed).a
        for n, part in linear_modules(decoder_layers(inner))
    }
    config = LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules="all-linear")
    with kinds.silent():
        peft = get_peft_model(inner, config).eval()
    weights = []
    with torch.no_grad():
        for name, part in peft.named_modules():
            if hasattr(part, "lora_A"):
                start = starts[f"{name.partition('.layers.')[2]}.weight"]
                part.lora_A["default"].weight.copy_(start)
                weights += [part.lora_A["default"].weight, part.lora_B["default"].weight]
    train(peft, weights, EXAMPLES, settings)
    merged = peft.merge_and_unload()
    for name, matrix in matrices(decoder_layers(merged)):
        torch.testing.assert_close(ours[name], matrix.detach(), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("room", [1, 3])
def test_short_memory_splits_batches_whose_gradients_are_the_whole_s(model, monkeypatch, room):
    whole = learnt(model)
    real, sizes = training.completion_loss, []

    def short(inner, part, device):
        sizes.append(len(part))
        loss = real(inner, part, device)
        if len(part) > room:
            raise torch.OutOfMemoryError("no more")
        return loss

    monkeypatch.setattr(training, "completion_loss", short)
    parts = learnt(model)
    # 4, 2, 1, 1, 2, 1, 1: once it is known, no step tries too much again.
    assert sizes[0] == 4
    assert not any(size > room for size in sizes[7:])
    assert set(sizes[-2:]) == {max(size for size in (4, 2, 1) if size <= room)}
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], atol=1e-5, rtol=1e-4)


def test_one_example_too_many_is_told(model, monkeypatch):
    before = state(model)

    def none(*given):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(training, "completion_loss", none)
    with pytest.raises(DormantError, match="out of memory on a single"):
        learnt(model)
    assert same(state(model), before)


def test_memory_that_ends_between_steps_is_told(model, monkeypatch):
    before = state(model)

    def none(*given, **options):
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(torch.optim.AdamW, "step", none)
    with pytest.raises(MemoryError, match="no more"):
        learnt(model)
    assert same(state(model), before)


def test_quantised_weights_and_apart_adapters_are_left_alone(model, checkpoint, tmp_path):
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(NotEditableError, match="quantised"):
        learnt(model)
    saved = kinds.CASES["ADAPTION_PROMPT"].save(tmp_path / "adapter", checkpoint)
    with kinds.silent():
        inner = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
        peft = PeftModel.from_pretrained(inner, saved).eval()
    with pytest.raises(NotEditableError, match="can't be merged"):
        learnt(peft)


def test_no_room_for_a_copy_is_told(model, monkeypatch):
    monkeypatch.setattr(effective, "free_memory", lambda device: 1000)
    with pytest.raises(MemoryError, match="no room for a copy"):
        learnt(model)


def test_a_teacher_s_distribution_is_learnt(model):
    """The loss is KL from the teacher: 0 for itself but for its entropy, and it falls."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for _, matrix in matrices(decoder_layers(other)):
            matrix.add_(torch.randn_like(matrix) * 0.1)
    device = torch.device("cpu")
    examples = taught(other, EXAMPLES, device, top=50)

    def divergence(student):
        with torch.no_grad():
            entropy = completion_loss(other, examples, device)
            return float(completion_loss(student, examples, device) - entropy)

    logits, targets = completion_logits(other, EXAMPLES, device)
    shares = torch.cat([one.teacher.shares for one in examples])
    tokens = torch.cat([one.teacher.tokens for one in examples])
    assert len(targets) == len(shares)
    torch.testing.assert_close(
        shares, logits.softmax(-1).gather(1, tokens).detach(), atol=1e-3, rtol=1e-3
    )
    before = divergence(model)
    assert before > 0
    with relearnt(model, examples, replace(SETTINGS, steps=40)):
        assert 0 <= divergence(model) < before / 2
