"""Tensors that loading would make up or drop: of checkpoints and of adapters, with their causes."""

from __future__ import annotations

import logging
import warnings

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

import adapter_kinds as kinds
from checkpoint_kinds import CHECKPOINTS
from dormant.errors import DormantError
from dormant.libraries import collecting
from dormant.models.keys import KeyReport, cause, strip, wrapper
from dormant.models.load import LoadOptions, load
from dormant.models.pair import ModelPair
from dormant.models.spec import parse
from dormant.scoring.harness import scorer_of

REFUSED = [name for name, case in CHECKPOINTS.items() if case.cause is not None]
STRIPPED = [name for name in CHECKPOINTS if "strip_prefix" in name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_checkpoint_of_which_a_part_would_be_made_up(name, tmp_path):
    case = CHECKPOINTS[name]
    with pytest.raises(DormantError) as told:
        load(str(case.save(tmp_path)), LoadOptions(model_args=case.arguments))
    assert case.cause in str(told.value)
    assert str(tmp_path) in str(told.value)
    # Some names, and how many.
    assert "tensors" in str(told.value)
    assert "weight" in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", STRIPPED)
def test_a_prefix_that_is_stripped(name, tmp_path):
    case = CHECKPOINTS[name]
    options = LoadOptions(model_args=case.arguments, dtype="float32", device="cpu")
    lm = load(str(case.save(tmp_path / "saved")), options)
    rows = scorer_of(lm).score(kinds.PROMPTS, kinds.ANSWERS)
    found = [[answer.logprob for answer in row] for row in rows]
    assert kinds.apart(found, case.right(tmp_path / "right")) < 1e-4


def test_a_head_that_differs_from_the_embeddings_stays(tmp_path):
    """Though the configuration ties them, and the harness ties once more."""
    case = CHECKPOINTS["tied by its configuration, with a head of its own"]
    lm = load(str(case.save(tmp_path)), LoadOptions(dtype="float32", device="cpu"))
    own = load_file(tmp_path / "model.safetensors")["lm_head.weight"]
    assert torch.equal(lm.model.lm_head.weight, own)
    assert "tie_weights" not in vars(lm.model)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return kinds.checkpoint(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def right(base, tmp_path_factory):
    config = LoraConfig(**kinds.LORA, task_type="CAUSAL_LM", modules_to_save=["lm_head"])
    return kinds.adapter(tmp_path_factory.mktemp("adapter"), base, config)


def changed(right, folder, change):
    """An adapter whose tensors were changed: a function from all to all."""
    folder.mkdir()
    (folder / "adapter_config.json").write_text((right / "adapter_config.json").read_text())
    tensors = change(load_file(right / "adapter_model.safetensors"))
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    return folder


def with_names(change):
    return lambda tensors: {change(name): tensor for name, tensor in tensors.items()}


ADAPTERS = {
    "compiled inside": (
        with_names(lambda name: name.replace("model.model.model", "model.model._orig_mod.model")
                   .replace("model.model.lm_head", "model.model._orig_mod.lm_head")),
        "strip_prefix=_orig_mod.",
    ),
    "compiled outside": (with_names("_orig_mod.{}".format), "strip_prefix=_orig_mod."),
    "distributed": (with_names("module.{}".format), "strip_prefix=module."),
    "other layers": (
        with_names(lambda name: name.replace("layers.1.", "layers.7.")), "layers have other names",
    ),
    "incomplete": (
        lambda tensors: {k: t for k, t in tensors.items() if "layers.1." not in k},
        "the file is incomplete",
    ),
    "no saved module": (
        lambda tensors: {k: t for k, t in tensors.items() if "lm_head" not in k},
        "the file is incomplete",
    ),
    "one too many": (
        lambda tensors: {**tensors, "base_model.model.model.extra.lora_A.weight": torch.ones(4, 4)},
        "layers have other names",
    ),
    "empty tensors": (
        lambda tensors: {name: torch.empty(0) for name in tensors}, "ZeRO-3",
    ),
    "no tensors": (lambda _: {}, "holds no tensors, as DeepSpeed's ZeRO-3"),
    "other sizes": (
        lambda tensors: {k: torch.ones(2, 9) if "lora_A" in k else t for k, t in tensors.items()},
        "the base model has other sizes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_adapter_that_does_not_arrive(name, base, right, tmp_path):
    change, words = ADAPTERS[name]
    adapter = changed(right, tmp_path / "a", change)
    with pytest.raises(DormantError) as told:
        kinds.dormant(base, adapter)
    assert words in str(told.value)
    assert str(adapter) in str(told.value)
    assert "\n" not in str(told.value)
    if "strip_prefix" in words:
        prefix = words.partition("=")[2]
        scored, _ = kinds.dormant(base, adapter, model_args={"strip_prefix": prefix})
        assert kinds.apart(scored["base"], kinds.plain(base)) < 1e-4
        assert kinds.apart(scored["tuned"], kinds.plain(base, right)) < 1e-4


def test_an_adapter_without_an_update_loads(base, right, tmp_path):
    """Whether it does anything is asked of its logits, not here."""
    inert = changed(
        right, tmp_path / "a",
        lambda tensors: {k: t * 0 if "lora_B" in k else t for k, t in tensors.items()},
    )  # fmt: skip
    _, pair = kinds.dormant(base, inert)
    assert not pair.warnings()
    zero = changed(right, tmp_path / "b", lambda ts: {k: t * 0 for k, t in ts.items()})
    _, pair = kinds.dormant(base, zero)
    assert "all its 9 tensors are zero" in pair.warnings()[0]


def test_what_loaders_warn_of_reaches_the_pair_once(base, tmp_path, monkeypatch):
    """And progress, reports in tables and advice to programmers do not."""
    import transformers

    real = transformers.AutoModelForCausalLM.from_pretrained

    def loud(*given, **options):
        logger = logging.getLogger("transformers.modeling_utils")
        logger.warning("You are using a model of type x to\n instantiate a model of type y.")
        logger.warning("`torch_dtype` is deprecated! Use `dtype` instead!")
        logger.info("never mind")
        warnings.warn("Some weights are odd.", UserWarning, stacklevel=2)
        warnings.warn("old", FutureWarning, stacklevel=2)
        return real(*given, **options)

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", loud)
    pair = ModelPair(parse(str(base)), parse(str(base)), LoadOptions(device="cpu"))
    for which in ("base", "tuned"):
        with pair.open(which):
            pass
    assert pair.warnings() == [
        "You are using a model of type x to instantiate a model of type y.",
        "Some weights are odd.",
    ]


def test_collecting_leaves_loggers_as_they_were():
    logger = logging.getLogger("transformers")
    before = list(logger.handlers), logger.level, logger.propagate
    lines = []
    with collecting(lines):
        logging.getLogger("transformers.x").warning("heard: %d", 3)
    assert lines == ["heard: 3"]
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_prefixes():
    assert strip("_orig_mod.a._orig_mod.b", "_orig_mod.") == "a.b"
    # Once only, where a layer may be called so.
    assert strip("module.a.module.b", "module.") == "a.module.b"
    assert strip("submodule.a", "module.") == "submodule.a"
    assert wrapper(["a.w", "b.w"], ["x.y.a.w", "x.y.b.w"]) == "x.y."
    assert wrapper(["a.w", "b.w"], ["x.a.w", "y.b.w"]) is None
    assert wrapper([], ["x.a.w"]) is None


def test_an_unknown_cause_still_says_what_to_do():
    report = KeyReport(unexpected=("vision.w",), expected=3)
    assert "ignore_keys=vision." in cause(report)
    assert report.without("vision.|audio.").clean
    assert "another architecture" in cause(KeyReport(("a.w",), ("b.w", "c.w"), (), 3))


def test_strip_prefix_needs_no_value_to_be_known():
    with pytest.raises(DormantError, match="did you mean 'strip_prefix'"):
        load("gpt2", LoadOptions(model_args={"strip_prefx": "a."}))
