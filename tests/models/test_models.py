"""What a user may name as a model, and what happens when it can't be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dormant.errors import DormantError
from dormant.models.attach import attach_adapter
from dormant.models.fingerprint import fingerprint
from dormant.models.load import LoadOptions, load, load_hf
from dormant.models.pair import ModelPair
from dormant.models.spec import ModelSpec, parse
from dormant.scoring.harness import scorer_of

CHILD = Path(parse("smollm2-sentiment").location)


def tiny_llama(folder, hidden=32):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=hidden, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_kinds(tmp_path):
    assert parse("smollm2").kind == "gguf"
    assert parse("smollm2-sentiment").kind == "adapter"
    assert parse("smollm2-sentiment").base == "smollm2"
    assert parse(str(tiny_llama(tmp_path / "model"))).kind == "hf"
    assert parse("meta-llama/Llama-3.2-1B").kind == "hf"
    # The hub has models without an organisation.
    assert parse("gpt2") == ModelSpec("gpt2", "hf", "gpt2")
    spec = parse("vllm:pretrained=org/name,tensor_parallel_size=2")
    assert (spec.kind, spec.backend) == ("backend", "vllm")
    assert spec.location == "pretrained=org/name,tensor_parallel_size=2"


def test_a_changed_checkpoint_has_another_fingerprint(tmp_path):
    shutil.copytree(CHILD, tmp_path / "a")
    before = fingerprint(parse(str(tmp_path / "a")))
    assert before == fingerprint(parse(str(CHILD)))
    weights = tmp_path / "a" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    assert fingerprint(parse(str(tmp_path / "a"))) != before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "unknown model"),
        ("smollm", "did you mean 'smollm2'"),
        ("./x/y", "no such directory"),
        ("/models/x", "no such directory"),
        ("C:\\models\\x", "no such directory"),
        ("C:/models/x", "no such directory"),
        ("models\\x", "no such directory"),
        ("model.safetensors", "no such directory"),
    ],
)
def test_nothing_there(text, words):
    with pytest.raises(DormantError, match=words):
        parse(text)


def test_a_directory_without_a_checkpoint(tmp_path):
    with pytest.raises(DormantError, match=r"no config\.json"):
        parse(str(tmp_path))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_unreadable_adapter_config(tmp_path, text):
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(DormantError, match="can't be read"):
        parse(str(tmp_path))


def test_adapter_without_weights(tmp_path):
    shutil.copy(CHILD / "adapter_config.json", tmp_path)
    with pytest.raises(DormantError, match="is missing"):
        parse(str(tmp_path))


def test_damaged_adapter_weights(tmp_path):
    model, _ = tiny_pair(tmp_path / "base")
    shutil.copytree(CHILD, tmp_path / "a")
    (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"not weights")
    with pytest.raises(DormantError, match=r"adapter .*(can't be read|does not fit)"):
        attach_adapter(model, parse(str(tmp_path / "a")))


def test_adapter_of_another_base(tmp_path):
    model, _ = tiny_pair(tmp_path / "base")
    with pytest.raises(DormantError, match=r"made for 'smollm2'\) does not fit"):
        attach_adapter(model, parse("smollm2-sentiment"))


def tiny_pair(folder):
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(tiny_llama(folder)), None


def test_adapter_of_a_base_by_another_name_is_warned_of(tmp_path):
    pair = ModelPair(parse(str(tiny_llama(tmp_path / "m"))), parse("smollm2-sentiment"))
    (warning,) = pair.warnings()
    assert "'smollm2'" in warning
    assert not ModelPair(parse("smollm2"), parse("smollm2-sentiment")).warnings()


def test_adapter_that_names_no_base(tmp_path):
    shutil.copytree(CHILD, tmp_path / "a")
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(DormantError, match="names no base"):
        load_hf(str(tmp_path / "a"))


def test_damaged_gguf(tmp_path):
    (tmp_path / "x.gguf").write_bytes(b"GGUF but not really")
    with pytest.raises(DormantError, match="can't be loaded"):
        load_hf(str(tmp_path / "x.gguf"))


def test_a_model_without_a_tokenizer(tmp_path):
    with pytest.raises(DormantError, match="no tokenizer files"):
        load_hf(str(tiny_llama(tmp_path / "m")))


def test_unknown_dtype(tmp_path):
    with pytest.raises(DormantError, match="unknown dtype 'float99'"):
        load_hf(str(tiny_llama(tmp_path / "m")), dtype="float99")


def test_a_backend_that_refuses():
    with pytest.raises(DormantError, match="can't be started"):
        load("hf:pretrained=/nowhere/at-all")


def test_hub_id_that_can_not_be_had():
    with pytest.raises(DormantError, match="can't be loaded"):
        load_hf("no-such-org-at-all/no-such-model")


@pytest.mark.slow
def test_adapter_is_switched_over_one_copy_of_the_base():
    pair = ModelPair(parse("smollm2"), parse("smollm2-sentiment"), LoadOptions(dtype="float32"))
    prompt = "Input: The film was superb.\nOutput:"
    with pair.open("base") as base:
        before = scorer_of(base).score([prompt], [[" positive"]])[0][0].logprob
    with pair.open("tuned") as tuned:
        assert tuned is base
        after = scorer_of(tuned).score([prompt], [[" positive"]])[0][0].logprob
    with pair.open("base") as base:
        assert scorer_of(base).score([prompt], [[" positive"]])[0][0].logprob == before
    assert after > before + 1


PAGES = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MEASURE = """
import sys
from dormant.models.load import load_hf
load_hf(sys.argv[1])
import torch
kept = torch.ones(1 << 26)
lines = open("/proc/self/smaps_rollup").read().splitlines()
print(next(line.split()[1] for line in lines if line.startswith("AnonHugePages")))
"""


@pytest.mark.skipif(
    not PAGES.exists() or "[never]" in PAGES.read_text(), reason="this system has no large pages"
)
@pytest.mark.parametrize("wanted", [None, "0"])
def test_tensors_lie_in_large_pages(tiny_checkpoint, wanted):
    """A process of its own: PyTorch looks once, before its first tensor. Users may say no."""
    env = {name: value for name, value in os.environ.items() if name != "THP_MEM_ALLOC_ENABLE"}
    env |= {} if wanted is None else {"THP_MEM_ALLOC_ENABLE": wanted}
    words = [sys.executable, "-c", MEASURE, str(tiny_checkpoint)]
    told = subprocess.run(words, env=env, capture_output=True, text=True, check=True).stdout
    # 256 MiB were written.
    assert (int(told) > 200_000) is (wanted is None)
