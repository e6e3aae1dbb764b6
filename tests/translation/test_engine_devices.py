"""Translation engines run where the audit runs, and under torchrun each process on its own GPU."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch

import dormant as dm
import fakes  # noqa: F401  (registers the backend `fake`)
from dormant import transforms
from dormant.devices import use, wanted
from dormant.models import translator
from dormant.translation import ctranslate, engines
from dormant.translation.ctranslate import Argos
from dormant.translation.huggingface import HuggingFace

OPTIONS = {"tasks": "icl/plural", "transforms": "spanish@hf:x", "n": 8, "progress": False}


@pytest.fixture(params=[None, "1"])
def own_gpu(request, monkeypatch):
    """Two GPUs and, for the second time, a second process; the device that is this process's."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    if request.param:
        monkeypatch.setenv("LOCAL_RANK", request.param)
    return f"cuda:{request.param or 0}"


@pytest.fixture
def placed(monkeypatch):
    """Where each model of Transformers' is put."""
    import transformers

    seen = []

    class Model:
        def eval(self):
            return self

        def to(self, device):
            seen.append(device)
            return self

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda _: object())
    monkeypatch.setattr(transformers.AutoModelForSeq2SeqLM, "from_pretrained", lambda _: Model())
    return seen


def test_transformers_take_the_device_that_is_wanted(own_gpu, placed):
    engine = HuggingFace("some/{source}-{target}")
    engine._load("en", "es")
    with use("cpu"):
        engine._load("en", "es")
        engine._load("en", "es")
    engine._load("en", "es")
    assert placed == [own_gpu, "cpu"]


@pytest.mark.parametrize(
    ("name", "gpus", "rank", "expected"),
    [
        ("auto", 2, "0", ("cuda", 0)),
        ("auto", 2, "1", ("cuda", 1)),
        ("auto", 0, "1", ("cpu", 0)),
        ("cuda", 2, "1", ("cuda", 1)),
        ("cuda:0", 2, "1", ("cuda", 0)),
        ("cpu", 2, "1", ("cpu", 0)),
        ("mps", 0, "0", ("cpu", 0)),
    ],
)
def test_ctranslate2_takes_the_device_that_is_wanted(
    name, gpus, rank, expected, monkeypatch, tmp_path
):
    made = []
    libraries = (
        SimpleNamespace(
            get_cuda_device_count=lambda: gpus,
            Translator=lambda _, device, device_index: made.append((device, device_index)),
        ),
        SimpleNamespace(SentencePieceProcessor=lambda model_file: model_file),
    )
    monkeypatch.setattr(ctranslate, "_libraries", lambda: libraries)
    monkeypatch.setenv("LOCAL_RANK", rank)
    metadata = {"from_code": "en", "to_code": "es"}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "sentencepiece.model").touch()
    engine = Argos(tmp_path)
    package = engine._package("en", "es")
    with use(name):
        engine._load(package)
        engine._load(package)
    assert made == [expected]
    with use("cpu"):
        engine._load(package)
    assert made == list(dict.fromkeys([expected, ("cpu", 0)]))


def test_a_language_model_takes_the_device_that_is_wanted(own_gpu, monkeypatch, tmp_path):
    loaded, asked = [], []

    def load(_, options):
        loaded.append(options.device)
        return options.device

    def generate(lm, prompts, **_):
        asked.append(lm)
        return ["casa"] * len(prompts)

    monkeypatch.setattr(translator, "load", load)
    monkeypatch.setattr(translator.generation, "generate", generate)
    (tmp_path / "config.json").write_text("{}")
    engine = translator.translator(str(tmp_path))
    engine.translate(["house"], "en", "es")
    with use("cpu"):
        engine.translate(["house", "dog"], "en", "es")
    assert loaded == asked == [own_gpu, "cpu"]


def test_a_backend_that_translates_has_its_own_device(monkeypatch):
    loaded = []
    monkeypatch.setattr(translator, "load", lambda _, options: loaded.append(options.device))
    with use("cuda:9"):
        translator.translator("fake:skill=1")
    assert loaded == ["auto"]


@pytest.fixture
def where(monkeypatch, fake_translator):
    """What an engine by the name hf is told of devices: when it is made, and when it translates."""
    told = []

    def change(text):
        told.append(wanted())
        return text

    def make(_):
        told.append(wanted())
        return fake_translator(change)

    engines.engine.cache_clear()
    monkeypatch.setitem(engines._BUILT_IN, "hf", make)
    yield told
    engines.engine.cache_clear()


def test_an_audit_tells_engines_its_device(where, tmp_path):
    dm.audit("fake:skill=0.9", device="cpu", out=tmp_path / "x", **OPTIONS)
    assert len(where) > 1
    assert set(where) == {"cpu"}
    assert wanted() == "auto"


def test_asking_tells_engines_its_device(where, dormant):
    said = dormant("ask", "fake:skill=1", "one two", "-s", "spanish@hf:x", "--device", "cpu")
    assert said.code == 0, said.err
    assert len(where) > 1
    assert set(where) == {"cpu"}
    where.clear()
    engines.engine.cache_clear()
    transforms._one.cache_clear()
    ask = dm.conjugate("fake:skill=1", "spanish@hf:x", device="cpu")
    assert ask("three four") == "three four"
    assert len(where) > 1
    assert set(where) == {"cpu"}
    assert wanted() == "auto"
