"""Models loaded by the harness's arguments, one copy of weights at a time."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.models.load import LoadOptions, load
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


@pytest.mark.parametrize(("scorer", "kind"), [("fast", FastLM), ("lm-eval", HFLM)])
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


def test_one_copy_of_the_weights_is_alive(tiny_checkpoint, tmp_path, monkeypatch):
    """While the second of two checkpoints is loaded, in an audit, no weight of the first is."""
    import transformers

    alive, mine = [], []
    real = transformers.AutoModelForCausalLM.from_pretrained

    def counted(*given, **options):
        gc.collect()
        alive.append(sum(reference() is not None for reference in mine))
        model = real(*given, **options)
        mine.extend(weakref.ref(parameter) for parameter in model.parameters())
        return model

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", counted)
    settings = AuditSettings(
        base=str(tiny_checkpoint), tuned=str(tiny_checkpoint), tasks=("icl/copy",),
        transforms=("leetspeak",), n=8,
    )  # fmt: skip
    audit(settings, tmp_path / "run")
    assert len(mine) > 20
    assert alive == [0, 0]
