"""What is said of quantisation reaches Transformers as it takes it.

bitsandbytes needs a GPU for most of what it does, so the loading of the model is a fake here.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json

import pytest
import torch
import transformers

from dormant.errors import DormantError
from dormant.models.load import LoadOptions, load
from dormant.models.quantisation import NAMES
from dormant.scoring.harness import scorer_of


@pytest.fixture
def bitsandbytes(monkeypatch):
    """Pretend that it is installed; Transformers asks for its version."""
    there, version = importlib.util.find_spec, importlib.metadata.version

    def spec(name, *package):
        return name if name == "bitsandbytes" else there(name, *package)

    monkeypatch.setattr(importlib.util, "find_spec", spec)
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: "0.49.0" if name == "bitsandbytes" else version(name),
    )


@pytest.fixture
def asked(monkeypatch):
    """The keyword arguments of every `from_pretrained` of a model, which is loaded unquantised."""
    seen = []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def noted(*given, **options):
        seen.append(options)
        return real(*given, **options | {"quantization_config": None})

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noted)
    return seen


def test_the_names_are_those_of_transformers():
    import inspect

    fields = inspect.signature(transformers.BitsAndBytesConfig.__init__).parameters
    assert set(NAMES) == set(fields) - {"self", "kwargs"}


@pytest.mark.parametrize("scorer", ["fast", "lm-eval"])
def test_it_reaches_transformers(scorer, tiny_checkpoint, bitsandbytes, asked):
    arguments = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_compute_dtype": "bfloat16",
    }
    options = LoadOptions(scorer=scorer, device="cpu", model_args=arguments)
    lm = load(str(tiny_checkpoint), options)
    (given,) = asked
    config = given["quantization_config"]
    assert isinstance(config, transformers.BitsAndBytesConfig)
    assert (config.load_in_4bit, config.load_in_8bit) == (True, False)
    assert config.bnb_4bit_quant_type == "nf4"
    assert config.bnb_4bit_compute_dtype == torch.bfloat16
    assert not set(given) & set(NAMES)
    # It is the scorer that was asked for, and works.
    plain = load(str(tiny_checkpoint), LoadOptions(scorer=scorer, device="cpu"))
    assert isinstance(lm, type(plain))
    assert scorer_of(lm).score(["one"], [[" two"]]) == scorer_of(plain).score(["one"], [[" two"]])


def test_a_model_that_is_not_to_be_quantised(tiny_checkpoint, asked):
    load(str(tiny_checkpoint), LoadOptions(device="cpu", model_args={"load_in_8bit": False}))
    (given,) = asked
    assert given["quantization_config"] is None
    assert not set(given) & set(NAMES)


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="it is installed")
@pytest.mark.parametrize("name", ["load_in_4bit", "load_in_8bit"])
def test_without_bitsandbytes(name, tiny_checkpoint, dormant):
    words = ("audit", tiny_checkpoint, "-t", "icl/copy", "-s", "leetspeak", "-n", "8", "--quiet")
    said = dormant(*words, "--model-args", f"{name}=True", "--device", "cpu")
    assert said.code == 2
    assert f"{name} needs the package bitsandbytes" in " ".join(said.err.split())
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"bnb_4bit_quant_type": "nf4"}, "bnb_4bit_quant_type does nothing alone"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "only one can be used"),
        ({"load_in_4bit": True, "bnb_4bit_compute_dtype": "float99"}, "float99"),
        ({"load_in_8bit": True, "llm_int8_threshold": "six"}, "must be a float"),
    ],
)
def test_what_makes_no_sense(arguments, words, tiny_checkpoint, bitsandbytes):
    with pytest.raises(DormantError, match=words) as told:
        load(str(tiny_checkpoint), LoadOptions(device="cpu", model_args=arguments))
    assert "\n" not in str(told.value)


def test_a_base_is_quantised_as_it_was_when_the_adapter_was_trained(tmp_path, monkeypatch):
    from dormant.models.quantisation import as_trained
    from dormant.models.spec import ModelSpec

    adapter = ModelSpec("a", "adapter", str(tmp_path), base="b")
    assert as_trained(adapter, {}) == ({}, None)
    said = {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False,
            "bnb_4bit_quant_type": "nf4", "_load_in_4bit": True}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": said}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    wanted = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    assert as_trained(adapter, {"revision": "x"}) == ({"revision": "x", **wanted}, None)
    # What the user says holds.
    for own in ({"load_in_8bit": True}, {"dtype": "float32"}):
        assert as_trained(adapter, own) == (own, None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    arguments, line = as_trained(adapter, {})
    assert arguments == {}
    assert "trained over a base in 4 bits" in line
