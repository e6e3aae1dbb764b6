"""Models in memory: audited and asked like those by name, and left as they were."""

from __future__ import annotations

import copy
import hashlib
import json
import re

import pytest
import torch

import dormant as dm
from dormant.errors import DormantError
from dormant.libraries import quiet
from dormant.models.live import LiveModel
from dormant.models.load import LoadOptions, load, load_hf

OPTIONS = {"tasks": "icl/copy", "transforms": "leetspeak", "n": 8, "progress": False}


def changed(model, seed=1):
    """Return a copy that stands for a fine-tuned model."""
    tuned = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return tuned


def adapted(model):
    """Put a random LoRA adapter into a copy of a model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    settings = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    with quiet():
        return get_peft_model(copy.deepcopy(model), settings).eval()


@pytest.fixture(scope="module")
def base(tiny_checkpoint):
    return load_hf(str(tiny_checkpoint), device="cpu")


@pytest.fixture(scope="module")
def checkpoints(base, tiny_checkpoint, tmp_path_factory):
    """Directories of the base, of a fine-tuned model, and of an adapter on the base."""
    tuned = tmp_path_factory.mktemp("tuned")
    changed(base[0]).save_pretrained(tuned)
    base[1].save_pretrained(tuned)
    adapter = tmp_path_factory.mktemp("adapter")
    adapted(base[0]).save_pretrained(adapter)
    settings = adapter / "adapter_config.json"
    said = json.loads(settings.read_text()) | {"base_model_name_or_path": str(tiny_checkpoint)}
    settings.write_text(json.dumps(said))
    return {"base": str(tiny_checkpoint), "tuned": str(tuned), "adapter": str(adapter)}


def records(run):
    """Every scored prompt, but for the run that it belongs to."""
    return [outcome.model_copy(update={"run": None}) for outcome in run.items()]


def state(model, tokenizer=None):
    """Everything of a model that asking it could change."""
    digest = hashlib.sha256()
    for name, weights in [*model.named_parameters(), *model.named_buffers()]:
        digest.update(f"{name} {weights.dtype} {weights.requires_grad}".encode())
        digest.update(weights.detach().numpy().tobytes())
    hooks = [len(p._forward_hooks) + len(p._forward_pre_hooks) for p in model.modules()]
    return (
        digest.hexdigest(),
        [part.training for part in model.modules()],
        [getattr(part, "disable_adapters", None) for part in model.modules() if "lora" in str(part)]
        if hasattr(model, "peft_config")
        else None,
        hooks,
        sorted(vars(model)),
        model.config.to_json_string(use_diff=False),
        model.config._attn_implementation,
        model.generation_config.to_json_string(),
        None if tokenizer is None else (tokenizer.pad_token, tokenizer.padding_side),
    )


@pytest.fixture(scope="module")
def named(checkpoints, tmp_path_factory):
    out = tmp_path_factory.mktemp("named")
    return dm.audit(checkpoints["base"], checkpoints["tuned"], out=out / "x", **OPTIONS)


@pytest.mark.parametrize("kind", ["pairs", "base by name", "tuned by name", "LM objects"])
def test_outcomes_equal_those_by_name(kind, base, checkpoints, named, tmp_path):
    tuned = load_hf(checkpoints["tuned"], device="cpu")
    given = {
        "pairs": (base, tuned),
        "base by name": (checkpoints["base"], tuned),
        "tuned by name": (base, checkpoints["tuned"]),
        "LM objects": (load(checkpoints["base"]), load(checkpoints["tuned"])),
    }[kind]
    found = dm.audit(*given, out=tmp_path / "x", **OPTIONS)
    assert records(found) == records(named)
    assert len(records(found)) == 4 * 8
    assert len({one.target_logprob for one in records(found)}) > 8
    assert found.results.abilities == named.results.abilities


def test_one_pair_alone_is_two_cells(base, checkpoints, tmp_path):
    by_name = dm.audit(checkpoints["base"], out=tmp_path / "x", **OPTIONS)
    found = dm.audit(base, out=tmp_path / "y", **OPTIONS)
    assert records(found) == records(by_name)
    assert found.results.base is None
    assert found.results.tuned.endswith("(live)")


def test_the_models_are_left_as_they_were(base, tmp_path):
    model, tokenizer = changed(base[0]).train(), copy.deepcopy(base[1])
    # Half in training, half not; an owner who freezes layers; weights untied against the settings.
    model.model.layers[0].eval()
    model.model.layers[1].requires_grad_(False)
    model.config.tie_word_embeddings = True
    tokenizer.pad_token = None
    before = state(model, tokenizer)
    dm.audit(base, (model, tokenizer), out=tmp_path / "x", **OPTIONS)
    dm.conjugate((model, tokenizer), "leetspeak", max_new_tokens=3)("one two")
    assert state(model, tokenizer) == before
    assert model.lm_head.weight is not model.model.embed_tokens.weight


def test_an_lm_object_is_left_as_it_was_and_can_be_asked_again(base, checkpoints, tmp_path):
    lm = load(checkpoints["tuned"])
    lm.model.train()
    before, precision = state(lm.model, lm.tokenizer), lm.precision
    dm.audit(base, lm, out=tmp_path / "x", **OPTIONS)
    assert state(lm.model, lm.tokenizer) == before
    assert lm.precision is precision
    assert lm.score(["one two"], [[" three"]])[0][0].logprob < 0


def test_an_lm_whose_weights_change_after_an_audit_is_asked_anew(checkpoints, monkeypatch):
    """What was predicted while the arithmetic was chosen is one audit's only."""
    from dormant.scoring import scorer

    monkeypatch.setattr(scorer, "fast_bfloat16", lambda device: True)
    lm = load(checkpoints["tuned"])
    prompts = [f"{number} and one more" for number in range(120)]
    answers = [[" two", " three"] for _ in prompts]
    options = LoadOptions()
    with LiveModel.of(lm).open(options) as opened:
        opened.choose_precision(prompts, answers, verdicts=20)
        assert opened.precision.dtype == "bfloat16"
        before = opened.score(prompts[:8], answers[:8])
    with torch.no_grad():
        for parameter in lm.model.parameters():
            parameter.mul_(1.5)
    after = lm.score(prompts[:8], answers[:8])
    assert all(a[0].logprob != b[0].logprob for a, b in zip(before, after, strict=True))


def test_a_peft_model_equals_its_adapter_by_name(base, checkpoints, tmp_path):
    by_name = dm.audit(checkpoints["base"], checkpoints["adapter"], out=tmp_path / "x", **OPTIONS)
    peft = adapted(base[0])
    before = state(peft)
    found = dm.audit(checkpoints["base"], (peft, base[1]), out=tmp_path / "y", **OPTIONS)
    assert records(found) == records(by_name)
    assert state(peft) == before
    assert len({one.target_logprob for one in records(found)}) == 4 * 8
    alone = dm.audit((peft, base[1]), out=tmp_path / "z", **OPTIONS)
    assert records(alone) == [one for one in records(by_name) if one.model == "tuned"]


@pytest.mark.parametrize("trained", [True, False])
def test_the_adapter_is_off_for_the_model_that_it_was_put_into(
    trained, base, checkpoints, tmp_path
):
    """PEFT changes the base model in place: asked as it is, it would be the tuned one."""
    by_name = dm.audit(checkpoints["base"], checkpoints["adapter"], out=tmp_path / "x", **OPTIONS)
    peft = adapted(base[0]).train(trained)
    for name, parameter in peft.named_parameters():
        parameter.requires_grad_(trained and "lora" in name)
    before, inner = state(peft), (peft.get_base_model(), base[1])
    found = dm.audit(inner, (peft, base[1]), out=tmp_path / "y", **OPTIONS)
    assert records(found) == records(by_name)
    assert state(peft) == before
    assert found.warnings == []
    assert found.results.base.endswith("(live)")
    assert found.results.tuned.endswith("(live, with adapter)")
    peft.merge_adapter()
    with pytest.raises(DormantError, match=r"merged into the base model: call unmerge_adapter"):
        dm.audit(inner, (peft, base[1]), out=tmp_path / "z", **OPTIONS)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
        ({"bias": "lora_only"}, "bias='lora_only'"),
    ],
)
def test_an_adapter_that_changed_its_base_is_not_switched_off_for_it(
    settings, words, base, tmp_path
):
    from peft import LoraConfig, get_peft_model

    with quiet():
        peft = get_peft_model(copy.deepcopy(base[0]), LoraConfig(r=2, **settings)).eval()
    with pytest.raises(DormantError, match=re.escape(words) + ".*give the base by name"):
        dm.audit((peft.get_base_model(), base[1]), (peft, base[1]), out=tmp_path, **OPTIONS)


def test_a_base_with_an_adapter_in_it_is_warned_of(base, checkpoints, tmp_path):
    peft = adapted(base[0])
    inner = (peft.get_base_model(), base[1])
    found = dm.audit(inner, checkpoints["tuned"], out=tmp_path / "x", **OPTIONS)
    (warning,) = found.warnings
    # Who gives a PEFT model as the base means it.
    meant = dm.audit((peft, base[1]), checkpoints["tuned"], out=tmp_path / "y", **OPTIONS)
    assert meant.warnings == []
    assert records(meant) == records(found)
    assert "has an adapter in it, which was on" in warning


def test_an_adapter_by_name_is_put_on_the_base_that_it_names(base, checkpoints, tmp_path):
    found = dm.audit(base, checkpoints["adapter"], out=tmp_path / "x", **OPTIONS)
    (warning,) = found.warnings
    assert "not on the live model" in warning


def test_conjugating_a_pair_equals_conjugating_by_name(base, checkpoints):
    words = {"max_new_tokens": 5, "device": "cpu"}
    by_name = dm.conjugate(checkpoints["base"], "reversed-words", **words)
    by_pair = dm.conjugate(base, "reversed-words", **words)
    by_lm = dm.conjugate(load(checkpoints["base"]), "reversed-words", **words)
    for prompt in ("the house is old", "a b c\nd e"):
        assert by_name(prompt) == by_pair(prompt) == by_lm(prompt) != ""


def test_a_run_is_resumed_and_refuses_another_weight(base, tmp_path):
    tuned = changed(base[0])
    found = dm.audit(base, (tuned, base[1]), out=tmp_path / "x", **OPTIONS)
    cells = sorted((tmp_path / "x" / "cells").rglob("*tuned.jsonl"))
    whole = [cell.read_bytes() for cell in cells]
    assert len(whole) == 2
    cells[0].write_bytes(b"")
    again = dm.audit(base, (copy.deepcopy(tuned), base[1]), out=tmp_path / "x", **OPTIONS)
    assert [cell.read_bytes() for cell in cells] == whole
    assert again.results.abilities == found.results.abilities
    with torch.no_grad():
        tuned.model.layers[1].mlp.up_proj.weight[3, 3] += 1e-6
    with pytest.raises(DormantError, match="what is loaded has changed: fingerprint of tuned was"):
        dm.audit(base, (tuned, base[1]), out=tmp_path / "x", **OPTIONS)


def test_what_decides_the_numbers_is_in_the_fingerprint(base):
    def taken(model, tokenizer=base[1]):
        return LiveModel.of((model, tokenizer)).fingerprint()

    model = adapted(base[0])
    before = taken(model)
    assert taken(copy.deepcopy(model).train()) == before
    # Padding is set by every call; it decides nothing.
    base[1](["a", "b c"], padding="max_length", max_length=5)
    assert taken(model) == before
    strange = copy.deepcopy(base[1])
    strange.chat_template = "{{ messages }}"
    assert taken(model, strange) != before
    for module in model.modules():
        if isinstance(getattr(module, "scaling", None), dict):
            module.scaling["default"] = 9.0
    assert taken(model) != before
    assert taken(base[0].to(torch.bfloat16)) != taken(base[0].to(torch.float32))


def test_a_model_without_visible_weights_is_not_resumed(tmp_path):
    import fakes

    hidden = fakes.FakeLM(skill=0.9, hides="Input")
    options = OPTIONS | {"tasks": "icl/plural"}
    base, tuned = "fake:skill=0.9", "fake:skill=0.9,hides=Input"
    found = dm.audit(base, hidden, out=tmp_path / "x", **options)
    by_name = dm.audit(base, tuned, out=tmp_path / "y", **options)
    assert records(found) == records(by_name)
    assert found.results.tuned == "FakeLM"
    with pytest.raises(DormantError, match=r"FakeLM shows no weights .*choose another out") as told:
        dm.audit(base, hidden, out=tmp_path / "x", **options)
    assert "\n" not in str(told.value)
    assert records(dm.load_results(tmp_path / "x")) == records(found)


@pytest.mark.parametrize(
    ("given", "options", "words"),
    [
        (lambda base: base[0], {}, ["LlamaForCausalLM alone", "(model, tokenizer)"]),
        (lambda base: (base[0],), {}, ["this is a tuple of (LlamaForCausalLM)"]),
        (lambda base: base[::-1], {}, ["this is a tuple of", "LlamaForCausalLM)"]),
        (lambda base: 3, {}, ["by name", "LM of lm-evaluation-harness", "int"]),
        (lambda base: base, {"dtype": "bfloat16"}, ["is in float32 and dtype says bfloat16"]),
        (lambda base: base, {"device": "cuda:1"}, ["is on cpu and device says cuda:1"]),
    ],
)
def test_bad_input_is_one_line(given, options, words, base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: dm.audit(given(base), **OPTIONS, **options),
        lambda: dm.conjugate(given(base), "rot13", **options),
    ):
        with pytest.raises(DormantError) as told:
            call()
        assert all(word in str(told.value) for word in words), told.value
        assert "\n" not in str(told.value)
    assert not list(tmp_path.iterdir())


def test_arguments_of_loading_are_for_names(base, checkpoints, tmp_path):
    options = {**OPTIONS, "out": tmp_path / "x"}
    with pytest.raises(DormantError, match=r"loaded already: model_args \(max_length\)"):
        dm.audit(checkpoints["base"], base, model_args="max_length=100", **options)
    found = dm.audit(checkpoints["base"], base, base_model_args="max_length=400", **options)
    assert found.results.settings["base_model_args"] == {"max_length": 400}


def test_weights_that_are_not_in_memory(base):
    from transformers import LlamaForCausalLM

    with torch.device("meta"):
        empty = LlamaForCausalLM(base[0].config)
    with pytest.raises(DormantError, match="weights that are not in memory"):
        LiveModel.of((empty, base[1])).fingerprint()


def test_options_that_agree_are_taken(base):
    LiveModel.of(base).refuse(LoadOptions(dtype="float32", device="cpu"))
