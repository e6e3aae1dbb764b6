"""Models loaded by the harness's arguments, one copy of weights at a time."""

from __future__ import annotations

import gc

import pytest
import torch

from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.libraries import quiet
from dormant.models.arguments import wrapping_arguments
from dormant.models.load import LoadOptions, load
from dormant.scoring.harness_model import HarnessLM
from dormant.scoring.scorer import FastLM


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"revison": "main"}, "did you mean 'revision'"),
        ({"trust_remote": True}, "did you mean 'trust_remote_code'"),
        ({"peft": "x"}, "name the adapter's directory as the model"),
        ({"device": "cpu"}, "use the option device"),
        ({"dtype": "float99"}, "unknown dtype 'float99'"),
    ],
)
def test_arguments_that_are_not_taken(tiny_checkpoint, arguments, words):
    with pytest.raises(DormantError, match=words):
        load(str(tiny_checkpoint), LoadOptions(model_args=arguments))


def test_two_dtypes(tiny_checkpoint):
    options = LoadOptions(dtype="float32", model_args={"dtype": "bfloat16"})
    with pytest.raises(DormantError, match="give one"):
        load(str(tiny_checkpoint), options)


@pytest.mark.parametrize(
    ("options", "precision"),
    [
        (LoadOptions(), "auto"),
        (LoadOptions(dtype="float32"), "float32"),
        (LoadOptions(model_args={"dtype": "float32"}), "float32"),
    ],
)
def test_float32_is_asked_for_in_either_place(options, precision):
    assert wrapping_arguments(options)["precision"] == precision


@pytest.mark.parametrize(("scorer", "kind"), [("fast", FastLM), ("lm-eval", HarnessLM)])
def test_arguments_reach_the_harness(tiny_checkpoint, scorer, kind):
    options = LoadOptions(
        scorer=scorer, batch_size=3, model_args={"max_length": 77, "dtype": "bfloat16"}
    )
    lm = load(str(tiny_checkpoint), options)
    assert type(lm) is kind
    assert (lm.max_length, lm.batch_size, lm.model.dtype) == (77, 3, torch.bfloat16)


def test_remote_code_is_never_run_unasked(tiny_checkpoint, monkeypatch):
    """And never asked about on standard input, as Transformers does where nobody says."""
    import transformers

    seen = []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def noted(*given, **options):
        seen.append(options["trust_remote_code"])
        return real(*given, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", noted)
    load(str(tiny_checkpoint))
    load(str(tiny_checkpoint), LoadOptions(model_args={"trust_remote_code": True}))
    assert seen == [False, True]


def stored() -> dict[int, int]:
    """Bytes of every storage that a parameter anywhere in this process keeps alive."""
    gc.collect()
    storages = (
        thing.untyped_storage()
        for thing in gc.get_objects()
        if issubclass(type(thing), torch.nn.Parameter)
    )
    return {storage.data_ptr(): storage.nbytes() for storage in storages}


@pytest.fixture
def alive(monkeypatch):
    """Bytes of weights alive before each loading of a checkpoint and each scoring, in order."""
    import transformers

    before, seen = stored(), []
    load_one, score = transformers.AutoModelForCausalLM.from_pretrained, FastLM.score

    def note(moment):
        seen.append((moment, sum(n for place, n in stored().items() if place not in before)))

    def loading(*given, **options):
        note("load")
        return load_one(*given, **options)

    def scoring(*given, **options):
        note("score")
        return score(*given, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", loading)
    monkeypatch.setattr(FastLM, "score", scoring)
    return seen


def audited(base, tuned, out, **more):
    settings = AuditSettings(
        base=str(base), tuned=str(tuned), tasks=("icl/copy",), transforms=("leetspeak",), n=8,
        device="cpu", **more,
    )  # fmt: skip
    return audit(settings, out)


def size(folder):
    from safetensors import safe_open

    with safe_open(folder, "pt") as file:
        return sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118


def test_one_of_two_checkpoints_is_alive(tiny_checkpoint, tmp_path, alive):
    """Two of different sizes, so that each number of bytes says whose weights they are."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    other = tmp_path / "other"
    settings = LlamaConfig.from_pretrained(tiny_checkpoint, intermediate_size=64)
    LlamaForCausalLM(settings).save_pretrained(other)
    AutoTokenizer.from_pretrained(tiny_checkpoint).save_pretrained(other)
    audited(tiny_checkpoint, other, tmp_path / "run")
    base, tuned = (size(f / "model.safetensors") for f in (tiny_checkpoint, other))
    assert base < tuned
    # A cell is a batch here: plain and transformed.
    assert alive == [
        ("load", 0), ("score", base), ("score", base),
        ("load", 0), ("score", tuned), ("score", tuned),
    ]  # fmt: skip


def test_an_adapter_and_its_base_are_one_copy_of_the_base(tiny_checkpoint, tmp_path, alive):
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(tiny_checkpoint)
    with quiet():
        peft = get_peft_model(model, LoraConfig(r=2, init_lora_weights=False))
        peft.save_pretrained(tmp_path / "adapter")
    del model, peft
    audited(tiny_checkpoint, tmp_path / "adapter", tmp_path / "run")
    base = size(tiny_checkpoint / "model.safetensors")
    both = base + size(tmp_path / "adapter" / "adapter_model.safetensors")
    assert both > base
    assert alive == [("load", 0), *[("score", both)] * 4]


def test_nothing_stays_alive_after_an_audit(tiny_checkpoint, tmp_path):
    before = sum(stored().values())
    audited(tiny_checkpoint, tiny_checkpoint, tmp_path / "run", allow_identical=True)
    assert sum(stored().values()) == before


def test_an_adapter_that_changes_its_base_is_a_second_copy_after_the_first(
    tiny_checkpoint, tmp_path, alive
):
    """PiSSA takes part of the base's weights over: one copy at a time, and the results say so."""
    from peft import LoraConfig

    import adapter_kinds as kinds

    config = LoraConfig(**kinds.LORA, task_type="CAUSAL_LM", init_lora_weights="pissa")
    adapter = kinds.adapter(tmp_path / "adapter", tiny_checkpoint, config)
    del alive[:]
    results = audited(tiny_checkpoint, adapter, tmp_path / "run")
    base = size(tiny_checkpoint / "model.safetensors")
    both = base + size(adapter / "adapter_model.safetensors")
    assert [moment for moment in alive if moment[0] == "load"] == [("load", 0)] * 3
    scored = [held for moment, held in alive if moment == "score"]
    assert scored == [base, base, both, both]
    assert any("were loaded one after the other" in line for line in results.warnings)
    assert "two copies" in results.comparability.tuned.weights
    # A resumed run says it too, though it loads nothing.
    del alive[:]
    again = audited(tiny_checkpoint, adapter, tmp_path / "run")
    assert again.warnings == results.warnings
    assert alive == []
