"""What an audit will take, said before it is run, and models that don't fit."""

from __future__ import annotations

import json
import struct

import pytest

import dormant as dm
import fakes  # noqa: F401  (registers the backend)
from dormant.audit.forecast import forecast
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models import size
from dormant.models.arguments import LoadOptions
from dormant.models.size import checkpoint_of, weights_in_memory
from dormant.models.spec import parse

SEVEN = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096,
    "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 32, "vocab_size": 32000, "tie_word_embeddings": False,
    "torch_dtype": "float32",
}  # fmt: skip
"""Llama 2 7B: 6 738 415 616 parameters."""


@pytest.fixture
def seven(tmp_path):
    """A 7 B model of which there is a configuration only."""
    folder = tmp_path / "seven"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(SEVEN))
    return folder


def headers(folder, **more):
    """Write a header of 7 billion float16 numbers, with no numbers behind it."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **more}))
    tensors = {
        "model.embed_tokens.weight": {"dtype": "F16", "shape": [100_000, 10_000]},
        "model.layers.0.mlp.up_proj.weight": {"dtype": "F16", "shape": [600_000, 10_000]},
    }
    entries = {name: entry | {"data_offsets": [0, 0]} for name, entry in tensors.items()}
    head = json.dumps({"__metadata__": {}, **entries})
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head.encode())
    return folder


def test_sizes_are_those_of_a_saved_checkpoint(tiny_checkpoint, tiny_model):
    found = checkpoint_of(parse(str(tiny_checkpoint)))
    assert found.parameters == sum(w.numel() for w in tiny_model.parameters())
    assert found.bytes() == 4 * found.parameters == 2 * found.bytes("bfloat16")


def test_sizes_from_the_configuration_alone(seven):
    found = checkpoint_of(parse(str(seven)))
    assert found.parameters == 6_738_415_616
    assert found.bytes() == 4 * found.parameters


def test_sizes_of_a_quantised_base_of_which_there_is_a_configuration(seven):
    said = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    (seven / "config.json").write_text(json.dumps(SEVEN | {"dtype": "bfloat16"} | said))
    # 2 × 131 072 000 embeddings and 266 240 in norms at two bytes, the rest at 4.5 bits.
    apart = 262_144_000 + 266_240
    wanted = 2 * apart + 0.5625 * (6_738_415_616 - apart)
    assert weights_in_memory(parse(str(seven)), LoadOptions()) == pytest.approx(wanted)


def test_sizes_from_headers(tmp_path):
    spec = parse(str(headers(tmp_path / "m")))

    def needed(**arguments):
        return weights_in_memory(spec, LoadOptions(model_args=arguments)) / 1e9

    assert needed() == pytest.approx(14)
    assert needed(dtype="float32") == pytest.approx(28)
    # Embeddings are not packed.
    assert needed(load_in_8bit=True) == pytest.approx(1 * 2 + 6)
    assert needed(load_in_4bit=True) == pytest.approx(1 * 2 + 6 * 0.5625)
    wide = parse(str(headers(tmp_path / "n", dtype="float32")))
    assert weights_in_memory(wide, LoadOptions()) == 28e9
    packed = parse(str(headers(tmp_path / "o", quantization_config={"quant_method": "gptq"})))
    assert weights_in_memory(packed, LoadOptions(dtype="float32")) == 14e9


def test_sizes_of_a_gguf_file_are_those_of_what_is_loaded(tmp_path):
    import gguf
    import numpy as np

    file = tmp_path / "x.gguf"
    writer = gguf.GGUFWriter(str(file), "llama")
    packed = gguf.quantize(np.ones((64, 32), np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("a", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert weights_in_memory(parse(str(file)), LoadOptions()) == 4 * 64 * 32


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (20e9, "--dtype bfloat16 takes 13.5 GB"),
        (10e9, "--model-args load_in_8bit=True,dtype=bfloat16 takes 7.0 GB"),
        (5e9, "--model-args load_in_4bit=True,dtype=bfloat16 takes 4.2 GB"),
        (1e9, "use a smaller model, or a server"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(dormant, seven, monkeypatch, memory, words):
    monkeypatch.setattr(size, "_main_memory", lambda: int(memory))
    for more in ((), ("--plan",)):
        said = dormant("audit", seven, "--device", "cpu", "-t", "icl/copy", "-n", "4", *more)
        assert said.code == 2
        assert "its weights take 27.0 GB and main memory has" in said.err
        assert words in said.err
        assert len(said.err.strip().splitlines()) == 1


def test_what_fits_is_let_through(seven, monkeypatch):
    monkeypatch.setattr(size, "_main_memory", lambda: int(20e9))
    settings = {"tasks": "icl/copy", "n": 4, "device": "cpu", "dtype": "bfloat16"}
    # There is nothing else to load, which is another error.
    with pytest.raises(DormantError, match="has no tokenizer files"):
        dm.plan(str(seven), **settings)


def test_the_forecast(dormant, tiny_checkpoint, tmp_path):
    words = ("audit", tiny_checkpoint, "-t", "icl/copy,icl/plural", "-s", "leetspeak", "-n", "12")
    said = dormant(*words, "--device", "cpu", "--plan", "--quiet", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert not (tmp_path / "run").exists()
    assert "prompts  48: icl/copy 24, icl/plural 24" in said.out
    assert "time     about" in said.out
    assert "weights: tuned 12.6 MB" in said.out
    said = dormant(*words, "--device", "cpu", "--plan", "--json")
    found = json.loads(said.out)
    assert found["seconds"]["tuned"] > 0
    assert found["peak_bytes"] > found["weights_bytes"]["tuned"]


def test_prompts_of_both_models_are_counted():
    def foreseen(n):
        settings = AuditSettings(
            base="fake:skill=0.9", tuned="fake:skill=0.5", tasks=("icl/plural",),
            transforms=("leetspeak",), n=n,
        )  # fmt: skip
        return forecast(settings)

    few, many = foreseen(10), foreseen(40)
    assert few.rungs == ()
    assert few.prompts == {"icl/plural": 40}
    assert many.prompts == {"icl/plural": 160}
    assert set(many.seconds) == {"base", "tuned"}
    assert many.weights_bytes == {}
