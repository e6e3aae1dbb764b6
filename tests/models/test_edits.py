"""Edits of weights: the same for base and tuned, relative to spread, undone bit by bit."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

import adapter_kinds as kinds
from dormant.models import edits, effective
from dormant.models.edits import gaussian, rounded
from dormant.models.effective import NotEditableError, decoder_layers, matrices

IDS = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 4, 3]])
EDITS = [gaussian(0.3, seed=1), rounded(4)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return kinds.checkpoint(tmp_path_factory.mktemp("base"), tie_word_embeddings=True)


@pytest.fixture
def model(checkpoint):
    return AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()


def logits(model):
    with torch.inference_mode():
        return model(input_ids=IDS).logits


def numbers(model):
    """Copy every tensor of a model, with the memory it stands in and its bits."""
    return {
        name: (tensor.data_ptr(), tensor.detach().clone()) for name, tensor in named_tensors(model)
    }


def named_tensors(model):
    return [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]


def is_as_before(model, before):
    now = dict(named_tensors(model))
    return now.keys() == before.keys() and all(
        now[name].data_ptr() == place and torch.equal(now[name], tensor)
        for name, (place, tensor) in before.items()
    )


def edited_matrices(edit, model):
    with edit.on(model):
        return {name: matrix.clone() for name, matrix in matrices(decoder_layers(model))}


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_an_edit_undoes_itself_bit_by_bit(model, edit, dtype):
    model = model.to(dtype)
    before, said = numbers(model), logits(model)
    with edit.on(model):
        assert not torch.equal(logits(model), said)
        assert {weights.dtype for weights in model.parameters()} == {dtype}
    assert is_as_before(model, before)
    assert torch.equal(logits(model), said)


def test_it_does_where_the_block_raises(model):
    before = numbers(model)
    with pytest.raises(ValueError, match="in the block"), gaussian(1).on(model):
        raise ValueError("in the block")
    assert is_as_before(model, before)


def test_it_does_where_the_edit_itself_stops_half_way(model, monkeypatch):
    before, done = numbers(model), []

    def breaks(matrix, name):
        done.append(name)
        if len(done) == 5:
            raise MemoryError("no more")
        return matrix + 1

    with (
        pytest.raises(MemoryError, match="no more"),
        edits.Edit("breaks", "breaks", breaks).on(model),
    ):
        pass
    assert len(done) == 5
    assert is_as_before(model, before)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
@pytest.mark.parametrize("changes", [{}, {"use_dora": True}], ids=["LoRA", "DoRA"])
def test_an_adapter_is_itself_again_on_and_off(model, edit, changes):
    peft = kinds.with_adapter(model, **changes)
    before, on = numbers(peft), logits(peft)
    with peft.disable_adapter():
        off = logits(peft)
        with edit.on(peft):
            assert not torch.equal(logits(peft), off)
        assert torch.equal(logits(peft), off)
    with edit.on(peft):
        assert not torch.equal(logits(peft), on)
    assert torch.equal(logits(peft), on)
    assert is_as_before(peft, before)
    assert not any(getattr(part, "merged", False) for part in peft.modules())


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_adapter_and_its_merged_copy_are_edited_alike(model, edit):
    peft = kinds.with_adapter(model)
    merged = copy.deepcopy(peft).merge_and_unload()
    one, other = edited_matrices(edit, peft), edited_matrices(edit, merged)
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(one[name], other[name], atol=1e-5, rtol=0)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_the_base_under_an_adapter_is_edited_as_the_base_alone(model, edit):
    peft = kinds.with_adapter(model)
    alone = edited_matrices(edit, model)
    with peft.disable_adapter():
        under = edited_matrices(edit, peft)
    assert alone.keys() == under.keys()
    assert all(torch.equal(alone[name], under[name]) for name in alone)


def test_base_and_tuned_get_the_same_noise_up_to_their_spreads(model):
    peft, edit = kinds.with_adapter(model), gaussian(0.3, seed=1)
    plain = {name: matrix.clone() for name, matrix in matrices(decoder_layers(model))}
    merged = copy.deepcopy(peft).merge_and_unload()
    tuned = {name: matrix.clone() for name, matrix in matrices(decoder_layers(merged))}
    base_noise = {name: m - plain[name] for name, m in edited_matrices(edit, model).items()}
    tuned_noise = {name: m - tuned[name] for name, m in edited_matrices(edit, peft).items()}
    changed = 0
    for name, noise in base_noise.items():
        ratio = tuned[name].std() / plain[name].std()
        changed += not torch.equal(tuned[name], plain[name])
        torch.testing.assert_close(tuned_noise[name], noise * ratio, atol=1e-5, rtol=1e-4)
    assert changed == 4  # q and v of two layers


def test_noise_is_told_by_name_and_seed_alone(model):
    one = edited_matrices(gaussian(0.3, seed=1), model)
    assert all(
        torch.equal(matrix, one[name])
        for name, matrix in edited_matrices(gaussian(0.3, seed=1), model).items()
    )
    other = edited_matrices(gaussian(0.3, seed=2), model)
    assert not any(torch.equal(other[name], one[name]) for name in one)
    # Whatever is drawn before: one matrix alone is changed as among all.
    name, matrix = next(reversed([*matrices(decoder_layers(model))]))
    assert torch.equal(gaussian(0.3, seed=1).change(matrix, name), one[name])
    drawn = torch.stack(
        [
            ((one[name] - matrix) / matrix.std()).flatten()[:1000]
            for name, matrix in matrices(decoder_layers(model))
        ]
    )
    correlations = torch.corrcoef(drawn) - torch.eye(len(drawn))
    assert correlations.abs().max() < 0.2


def test_noise_has_the_size_that_is_asked_for(model):
    for name, matrix in matrices(decoder_layers(model)):
        off = edits.gaussian(0.3).change(matrix, name) - matrix
        assert off.std() / matrix.std() == pytest.approx(0.3, rel=0.1)
        assert abs(off.mean()) < 0.05 * matrix.std()


def test_rounding_leaves_sixteen_values_a_group_and_moves_none_far():
    matrix = torch.randn(7, 45, generator=torch.Generator().manual_seed(0))
    assert matrix.numel() % edits.GROUP
    near = rounded(4).change(matrix, "any").flatten()
    flat = matrix.flatten()
    for start in range(0, len(flat), edits.GROUP):
        group, given = flat[start : start + edits.GROUP], near[start : start + edits.GROUP]
        step = (group.max() - group.min()) / 15
        assert len(given.unique()) <= 16
        assert (given - group).abs().max() <= step / 2 + 1e-6
        assert (given.min(), given.max()) == (group.min(), pytest.approx(float(group.max())))
    constant = torch.full((3, 64), 0.7)
    assert torch.equal(rounded(4).change(constant, "any"), constant)


def test_only_matrices_of_the_layers_are_edited(model):
    before = numbers(model)
    with gaussian(0.3).on(model):
        changed = {
            name
            for name, tensor in model.named_parameters()
            if not torch.equal(tensor, before[name][1])
        }
    layers = {n for n, w in model.named_parameters() if ".layers." in n and w.ndim == 2}
    assert changed == layers
    assert "model.embed_tokens.weight" in before
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()


def test_a_matrix_that_layers_share_is_edited_once(model):
    first, second = model.model.layers
    second.mlp.up_proj.weight = first.mlp.up_proj.weight
    before = numbers(model)
    shared = before["model.layers.0.mlp.up_proj.weight"][1]
    with gaussian(0.3).on(model):
        assert second.mlp.up_proj.weight is first.mlp.up_proj.weight
        off = (first.mlp.up_proj.weight.detach() - shared).std() / shared.std()
        assert off == pytest.approx(0.3, rel=0.1)
    assert is_as_before(model, before)


def test_layers_of_another_name_are_found():
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=32)
    model = GPT2LMHeadModel(config).eval()
    before = numbers(model)
    with gaussian(0.3).on(model):
        changed = {n for n, w in model.named_parameters() if not torch.equal(w, before[n][1])}
    wanted = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    assert changed == {n for n in before if n.startswith("transformer.h.") and n.endswith(wanted)}
    assert is_as_before(model, before)


def test_stacked_matrices_have_spreads_of_their_own():
    layers = torch.nn.ModuleList([torch.nn.Module()])
    stack = torch.randn(3, 8, 16) * torch.tensor([1.0, 10.0, 0.1])[:, None, None]
    layers[0].experts = torch.nn.Parameter(stack)
    layers[0].conv = torch.nn.Parameter(torch.randn(6, 1, 4))
    shapes = {name: tuple(matrix.shape) for name, matrix in matrices(layers)}
    experts = {f"0.experts.{place}": (8, 16) for place in range(3)}
    assert shapes == {**experts, "0.conv": (6, 4)}


def test_whoever_keeps_a_conversion_knows_that_weights_changed(model):
    weights = model.model.layers[0].mlp.up_proj.weight
    before = weights._version
    with gaussian(0.1).on(model):
        edited = weights._version
    assert before < edited < weights._version


def test_so_it_does_of_a_bias_that_only_the_adapter_changes(checkpoint, tmp_path):
    base = kinds.checkpoint(tmp_path, attention_bias=True)
    inner = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    peft = kinds.with_adapter(inner, lora_bias=True)
    inside = "layers.0.self_attn.q_proj.base_layer.bias"
    (bias,) = [w for name, w in peft.named_parameters() if name.endswith(inside)]
    before, numbers_before = bias._version, bias.detach().clone()
    with gaussian(0.1).on(peft):
        assert not torch.equal(bias, numbers_before)
        edited = bias._version
    assert before < edited < bias._version
    assert torch.equal(bias, numbers_before)


def test_quantised_weights_are_left_alone(model):
    model.config.quantization_config = {"quant_method": "gptq", "bits": 4}
    with pytest.raises(NotEditableError, match="quantised \\(gptq 4-bit\\)"), gaussian(1).on(model):
        pass
    # Those of a .gguf file are floats again.
    model.config.quantization_config = {"quant_method": "gguf"}
    with gaussian(0.1).on(model):
        pass


def test_weights_that_are_elsewhere_are_left_alone(model):
    model.model.layers[0].mlp.up_proj.to("meta")
    with pytest.raises(NotEditableError, match=r"not in memory .*up_proj"), gaussian(1).on(model):
        pass


@pytest.mark.parametrize("name", ["LORA, activated (aLoRA)", "ADAPTION_PROMPT", "OSF", "BEFT"])
def test_an_adapter_that_stays_apart_is_told(name, checkpoint, tmp_path):
    from peft import PeftModel

    saved = kinds.CASES[name].save(tmp_path / "adapter", checkpoint)
    with kinds.silent():
        inner = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
        peft = PeftModel.from_pretrained(inner, saved).eval()
    before, said = numbers(peft), logits(peft)
    with pytest.raises(NotEditableError, match=r"adapter .*can't be merged"), gaussian(1).on(peft):
        pass
    assert is_as_before(peft, before)
    assert torch.equal(logits(peft), said)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # PEFT's own: of (IA)³ that is unmerged, of sparse tensors
def test_every_kind_of_adapter_is_merged_right_and_leaves_no_trace(tmp_path):
    from peft import PeftModel

    wrong = {}
    for place, (name, case) in enumerate(kinds.CASES.items()):
        base = kinds.checkpoint(tmp_path / f"base{place}", **case.base)
        saved = case.save(tmp_path / f"adapter{place}", base)
        with kinds.silent():
            inner = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
            inner.config.use_cache = False
            plain = {name for name, _ in matrices(decoder_layers(inner))}
            peft = PeftModel.from_pretrained(inner, saved).eval()
        try:
            before, said = numbers(peft), logits(peft)
        except ValueError:
            continue  # It can't be run at all (tests/models/test_adapter_kinds.py).
        try:
            with gaussian(0).on(peft):
                names = {name for name, _ in matrices(decoder_layers(peft))}
                off = float((logits(peft) - said).abs().max())
        except NotEditableError:
            continue
        if not (
            names == plain
            and off < 1e-4
            and torch.equal(logits(peft), said)
            and is_as_before(peft, before)
        ):
            wrong[name] = (off, names ^ plain)
    assert not wrong


def test_no_room_for_a_copy_is_told_as_any_other_lack_of_memory(model, monkeypatch):
    from dormant.scoring.memory import out_of_memory

    before = numbers(model)
    monkeypatch.setattr(effective, "free_memory", lambda device: 1000)
    with pytest.raises(MemoryError, match="no room for a copy of the layers' weights") as told:
        gaussian(1).on(model).__enter__()
    assert out_of_memory(told.value)
    assert is_as_before(model, before)


def test_room_is_asked_for_the_copy_and_for_what_was_mapped(model, monkeypatch):
    layers = sum(weights.nbytes for weights in model.model.layers.parameters())
    for room, fits in ((2 * layers, True), (2 * layers - 1, False)):
        monkeypatch.setattr(effective, "free_memory", lambda device, room=room: room)
        if fits:
            with gaussian(0.1).on(model):
                pass
        else:
            with pytest.raises(MemoryError, match="no room"):
                gaussian(0.1).on(model).__enter__()


def test_a_checkpoint_s_file_stays_as_it_is(checkpoint):
    file = checkpoint / "model.safetensors"
    before = file.read_bytes()
    loaded = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    with gaussian(0.3).on(loaded):
        assert file.read_bytes() == before
    assert file.read_bytes() == before


def test_free_memory_is_told():
    from dormant.scoring.free_memory import free_memory

    free = free_memory(torch.device("cpu"))
    assert 1e6 < free < 1e15
