"""Whose tokenizer, chat template and embeddings a model is asked with."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import adapter_kinds as kinds
from dormant.errors import DormantError
from dormant.models.chat_template import chat_template
from dormant.models.generate import render
from dormant.models.load import LoadOptions, load
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.models.templates import without_template
from dormant.scoring.harness import scorer_of

LORA = LoraConfig(**kinds.LORA, task_type="CAUSAL_LM")
BASES = "{% for m in messages %}base {{ m.content }}{% endfor %}"
OWN = "{% for m in messages %}tuned {{ m.content }}{% endfor %}"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = kinds.checkpoint(tmp_path_factory.mktemp("base"))
    kinds.tokenizer(template=BASES).save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(base, tmp_path):
    return kinds.adapter(tmp_path / "adapter", base, LORA)


def pair_of(base, tuned, **options) -> ModelPair:
    return ModelPair(
        parse(str(base)), parse(str(tuned)), LoadOptions(dtype="float32", device="cpu", **options)
    )


def rendered(pair) -> dict[str, str]:
    texts = {}
    for which in ("base", "tuned"):
        with pair.open(which) as lm:
            texts[which] = render(lm, "hello", "chat")
    return texts


def test_an_adapters_own_tokenizer_is_the_tuned_models_alone(base, adapter):
    kinds.tokenizer(template=OWN).save_pretrained(adapter)
    pair = pair_of(base, adapter)
    assert rendered(pair) == {"base": "base hello", "tuned": "tuned hello"}
    assert pair.shares_weights
    assert pair.facts("tuned")["tokenizer"] == "the adapter's own"
    assert pair.facts("base")["tokenizer"] == "its own"
    # And the base once more.
    assert rendered(pair)["base"] == "base hello"
    pair.close()


def test_a_chat_template_alone_goes_with_the_bases_tokenizer(base, adapter):
    (adapter / "chat_template.jinja").write_text(OWN)
    pair = pair_of(base, adapter)
    assert rendered(pair) == {"base": "base hello", "tuned": "tuned hello"}
    assert pair.facts("tuned")["tokenizer"].endswith("with the adapter's chat template")
    pair.close()


def test_prompts_are_planned_in_the_template_that_they_are_asked_in(base, adapter):
    """Planning reads no weights, and must not choose a tokenizer by rules of its own."""
    (adapter / "chat_template.jinja").write_text(OWN)
    pair = pair_of(base, adapter)
    planned = chat_template(pair)([{"role": "user", "content": "hello"}])
    assert planned == "tuned hello" == rendered(pair)["tuned"]
    assert without_template(pair) == []


def test_an_adapter_without_a_tokenizer_has_the_bases(base, adapter):
    pair = pair_of(base, adapter)
    assert rendered(pair) == {"base": "base hello", "tuned": "base hello"}
    assert "none of its own" in pair.facts("tuned")["tokenizer"]
    assert not pair.warnings()
    pair.close()


def test_how_a_model_is_asked_holds_for_both(base, adapter):
    """The tuned model's own tokenizer must not lose it."""
    kinds.tokenizer(template=OWN).save_pretrained(adapter)
    pair = pair_of(base, adapter, model_args={"max_length": 77})
    for which in ("base", "tuned"):
        with pair.open(which) as lm:
            assert lm.max_length == 77
    pair.close()


def grown(model):
    generator = torch.Generator().manual_seed(7)
    model.resize_token_embeddings(len(kinds.tokenizer()) + 2)
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        rows = layer.weight.data
        rows.copy_(torch.randn(rows.shape, generator=generator) * 0.15)


@pytest.mark.parametrize("saved", [None, ["embed_tokens", "lm_head"]])
def test_added_tokens_get_the_adapters_embeddings(base, tmp_path, saved):
    config = LoraConfig(**kinds.LORA, task_type="CAUSAL_LM", modules_to_save=saved)
    folder = kinds.adapter(tmp_path / "adapter", base, config, prepare=grown)
    words = kinds.tokenizer(extra=["<new>", "<end>"])
    words.save_pretrained(folder)
    scored, pair = kinds.dormant(base, folder)
    with kinds.silent():
        model = AutoModelForCausalLM.from_pretrained(base)
        model.resize_token_embeddings(len(words))
        tuned = PeftModel.from_pretrained(model, folder).eval()
    assert kinds.apart(scored["base"], kinds.plain(base)) < 1e-4
    assert kinds.apart(scored["tuned"], kinds.forwards(tuned, words)) < 1e-4
    assert not pair.shares_weights
    assert "loaded one after the other" in pair.warnings()[-1]
    # The new tokens themselves.
    ids = torch.tensor([words("a <new> dog <end>").input_ids])
    assert len(words) - 2 in ids
    with pair.open("tuned") as lm, torch.inference_mode():
        assert len(lm.tokenizer) == len(words)
        assert torch.allclose(lm.model(ids).logits, tuned(ids).logits, atol=1e-5)


def test_added_tokens_without_embeddings_are_never_made_up(base, adapter):
    kinds.tokenizer(extra=["<new>"]).save_pretrained(adapter)
    pair = pair_of(base, adapter)
    with pair.open("tuned") as lm:
        assert lm.model.get_input_embeddings().weight.shape[0] == len(kinds.tokenizer())
        assert scorer_of(lm).score(["a dog"], [[" is"]])
        with pytest.raises(DormantError, match=r"token \d+ \('<new>'\)"):
            scorer_of(lm).score(["a <new> dog"], [[" is"]])
    assert "prompts with one of the others can't be scored" in pair.warnings()[0]
    pair.close()


def test_an_adapter_that_lacks_some_of_its_tokens(base, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = kinds.adapter(tmp_path / "adapter", base, LORA, prepare=grown)
    file = folder / "adapter_model.safetensors"
    kept = {name: at for name, at in load_file(file).items() if "lm_head" not in name}
    save_file(kept, file, metadata={"format": "pt"})
    with pytest.raises(DormantError, match=r"lacks the output embeddings"):
        kinds.dormant(base, folder)


def test_a_checkpoint_without_a_tokenizer_takes_the_bases_and_says_so(base, tmp_path):
    tuned = kinds.checkpoint(tmp_path / "tuned", seed=3, words=False)
    pair = pair_of(base, tuned)
    assert rendered(pair)["tuned"] == "base hello"
    (warning,) = pair.warnings()
    assert "has no tokenizer files: it is asked with" in warning
    assert "none of its own" in pair.facts("tuned")["tokenizer"]
    # And the other way round.
    assert rendered(pair_of(tuned, base))["base"] == "base hello"


@pytest.mark.parametrize("kind", ["Llama", "Qwen2"])
def test_no_tokenizer_anywhere(tmp_path, kind):
    one, other = (kinds.checkpoint(tmp_path / name, kind, words=False) for name in ("one", "other"))
    with (
        pytest.raises(
            DormantError, match=r"has no tokenizer files .* and neither has .*tokenizer="
        ),
        pair_of(one, other).open("base"),
    ):
        pass
    with pytest.raises(DormantError, match=r"has no tokenizer files .*tokenizer=DIRECTORY$"):
        load(str(one))


def test_a_configuration_without_a_vocabulary_is_no_tokenizer(base, tmp_path):
    tuned = kinds.checkpoint(tmp_path / "tuned", words=False)
    shutil.copy(base / "tokenizer_config.json", tuned)
    assert rendered(pair_of(base, tuned))["tuned"] == "base hello"


def test_a_tokenizer_that_is_named_is_taken(base, tmp_path):
    tuned = kinds.checkpoint(tmp_path / "tuned", words=False)
    lm = load(str(tuned), LoadOptions(model_args={"tokenizer": str(base)}))
    assert render(lm, "hello", "chat") == "base hello"


def test_a_damaged_tokenizer_is_told_in_one_line(base, adapter):
    kinds.tokenizer().save_pretrained(adapter)
    (adapter / "tokenizer.json").write_text("{")
    pair = pair_of(base, adapter)
    with pytest.raises(DormantError, match=r"tokenizer of .*adapter' can't be read"):
        rendered(pair)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub's cache without a hub: `hub("org/name", folder)` puts a folder into it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def keep(name, folder):
        place = tmp_path / "cache" / f"models--{name.replace('/', '--')}"
        commit = "0" * 40
        shutil.copytree(folder, place / "snapshots" / commit)
        (place / "refs").mkdir()
        (place / "refs" / "main").write_text(commit)
        return name

    return keep


def test_a_hub_adapter_is_one_though_a_folder_has_its_organisations_name(
    hub, base, adapter, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "org").mkdir()
    config = adapter / "adapter_config.json"
    said = json.loads(config.read_text()) | {"base_model_name_or_path": hub("org/base", base)}
    config.write_text(json.dumps(said))
    scored, pair = kinds.dormant("org/base", hub("org/adapter", adapter))
    assert pair.shares_weights
    assert not pair.warnings()
    assert pair.tuned.kind == "adapter"
    assert kinds.apart(scored["base"], kinds.plain(base)) < 1e-4
    assert kinds.apart(scored["tuned"], kinds.plain(base, adapter)) < 1e-4
    # By the base that it names, too.
    assert kinds.apart(kinds.dormant(None, "org/adapter")[0]["tuned"], scored["tuned"]) == 0


def test_a_hub_checkpoint_without_a_tokenizer_takes_the_bases(hub, base, tmp_path):
    tuned = kinds.checkpoint(tmp_path / "tuned", seed=3, words=False)
    pair = pair_of(base, hub("org/tuned", tuned))
    assert rendered(pair)["tuned"] == "base hello"
    assert "has no tokenizer files" in pair.warnings()[0]


def test_one_base_by_a_relative_and_an_absolute_path(base, adapter, monkeypatch):
    monkeypatch.chdir(base.parent)
    pair = ModelPair(parse(base.name), parse(str(adapter)))
    assert not pair.warnings()
    other = kinds.checkpoint(base.parent / "other")
    assert "check that they are the same weights" in pair_of(other, adapter).warnings()[0]


def test_code_of_its_own_is_asked_of_nobody(base, tmp_path, monkeypatch):
    custom = shutil.copytree(base, tmp_path / "custom")
    config = json.loads((custom / "config.json").read_text())
    own = {"auto_map": {"AutoConfig": "code.Own", "AutoModelForCausalLM": "code.Model"}}
    (custom / "config.json").write_text(json.dumps(config | own | {"model_type": "own_kind"}))
    (custom / "code.py").write_text("raise SystemExit('run')")
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("asked"))
    with pytest.raises(DormantError, match=r"needs code of its own.*trust_remote_code=True"):
        load(str(custom))
    # Where Transformers has code for the kind, that is taken, and told.
    (custom / "config.json").write_text(json.dumps(config | own))
    pair = pair_of(base, custom)
    rendered(pair)
    assert "has code of its own, which was not run" in pair.warnings()[0]


def test_tokenizers_are_read_from_where_they_are(base):
    """The fixture is what these tests take it for."""
    assert len(AutoTokenizer.from_pretrained(base)) == len(kinds.tokenizer())
