"""Audits while a Trainer trains: training is what it is without them, and its log has them."""

from __future__ import annotations

import functools
import logging
import random
import re
import types

import numpy as np
import pytest
import torch

import dormant as dm
from byte_models import byte_llama, byte_tokenizer
from dormant.errors import DormantError
from dormant.integrations import transformers as ours
from dormant.integrations.transformers import AuditCallback
from dormant.libraries import quiet

SMALL = {"tasks": "icl/copy", "transforms": "leetspeak", "n": 6, "shots": 1}


def trainer(folder, *, adapter=False, checkpointing=False, callbacks=(), steps=4, tokenizer=True):
    """A Trainer of a random Llama with dropout, on the same few sentences each time."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainingArguments, default_data_collator

    model = byte_llama(seed=0, attention_dropout=0.2)
    if adapter:
        torch.manual_seed(1)
        with quiet():
            model = get_peft_model(
                model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.2)
            )
    if checkpointing:
        # Transformers 5 has another name for it.
        older = model.gradient_checkpointing_enable
        getattr(model, "activation_checkpointing_enable", older)()
    rows = [byte_tokenizer()(f"The number {n} is good.").input_ids[:20] for n in range(10, 26)]
    arguments = TrainingArguments(
        output_dir=str(folder), max_steps=steps, per_device_train_batch_size=4, logging_steps=1,
        learning_rate=5e-2, save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    return Trainer(
        model=model,
        args=arguments,
        train_dataset=[{"input_ids": row, "labels": row} for row in rows],
        data_collator=default_data_collator,
        processing_class=byte_tokenizer() if tokenizer else None,
        callbacks=[*callbacks],
    )


def weights(model):
    return {name: one.detach().clone() for name, one in model.named_parameters()}


@pytest.mark.parametrize("options", [{}, {"adapter": True}, {"checkpointing": True}], ids=str)
def test_training_is_bit_for_bit_what_it_is_without(tmp_path, options):
    alone = trainer(tmp_path / "alone", **options)
    alone.train()
    audited = trainer(tmp_path / "audited", **options)
    callback = AuditCallback(every=2, **SMALL).attach(audited)
    audited.train()
    before, after = weights(alone.model), weights(audited.model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert audited.model.training
    assert [one.requires_grad for one in audited.model.parameters()] == [
        one.requires_grad for one in alone.model.parameters()
    ]
    losses = [
        [row["loss"] for row in one.state.log_history if "loss" in row] for one in (alone, audited)
    ]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 4  # none was called off by an audit's own
    assert [*callback.audits] == [2, 4]


def test_the_log_has_what_the_run_says_and_a_timeline_is_left(tmp_path):
    from transformers import TrainerCallback

    seen = []

    class Watches(TrainerCallback):
        """As TensorBoard's, which comes before a user's own."""

        def on_log(self, args, state, control, logs, **given):
            seen.append(dict(logs))

    callback = AuditCallback(every=2, **SMALL)
    one = trainer(tmp_path, adapter=True, callbacks=[Watches(), callback])
    gathered = []
    log = one.log
    one.log = lambda logs, *rest: (gathered.append({*logs}), log(logs, *rest))[1]
    one.train()
    # TRL's `log` adds to whatever it is given what belongs to a step's own row.
    assert not [row for row in gathered if "audit/icl/copy/drop" in row]
    ability = callback.audits[4].abilities[0]
    (*_, told) = [row for row in seen if "audit/icl/copy/drop" in row]
    assert told["audit/icl/copy/tuned"] == ability.accuracy.tuned_plain
    assert told["audit/icl/copy/drop_low"] == ability.drop.low
    assert [row["step"] for row in one.state.log_history if "audit/icl/copy/base" in row] == [2, 4]
    series = dm.load_timeline(tmp_path / "audits")
    assert series.children == ["checkpoint-2", "checkpoint-4"]
    assert series["checkpoint-4"].results == callback.audits[4]
    page = series.report().read_text(encoding="utf-8")
    links = re.findall(r'<a href="([^"#]+)">', page)
    assert [link for link in links if (tmp_path / "audits" / link).is_file()] == links != []


def wrapped(model):
    """Put a function before a model's `forward` that holds the model, as TRL's trainers do."""
    before = model.forward

    @functools.wraps(type(model).forward)
    def forward(self, *given, **named):
        return before(*given, **named)

    model.forward = types.MethodType(forward, model)


@pytest.mark.parametrize("kind", ["weights", "wrapped", "adapter", "named", "named adapter"])
def test_the_base_is_the_model_before_and_is_asked_once(tmp_path, kind):
    one = trainer(tmp_path, adapter="adapter" in kind)
    # Somebody may name the very model that is trained.
    base = (one.model, byte_tokenizer()) if "named" in kind else None
    callback = AuditCallback(every=2, base=base, **SMALL)
    callback.attach(one)
    if kind == "wrapped":
        wrapped(one.model)
    one.train()
    first, last = (
        {file.name: file.read_bytes() for file in run.glob("cells/*/*.base.jsonl")}
        for run in sorted((tmp_path / "audits").glob("checkpoint-*"))
    )
    # Copied, with the id of the run that asked.
    assert first == last != {}
    alone = dm.audit(
        (byte_llama(seed=0), byte_tokenizer()), out=tmp_path / "alone", progress=False,
        evidence="prompt", **SMALL,
    )  # fmt: skip
    base = [item.target_logprob for item in alone.items() if item.transform == "plain"]
    there = [
        item.target_logprob
        for item in dm.load_timeline(tmp_path / "audits")["checkpoint-4"].items()
        if (item.transform, item.model) == ("plain", "base")
    ]
    assert there == pytest.approx(base, abs=1e-4)
    assert any("audit/icl/copy/drop" in row for row in one.state.log_history)


def test_a_model_that_is_changed_in_kind_is_not_audited_and_keeps_its_weights(tmp_path, caplog):
    alone = trainer(tmp_path / "alone", steps=2)
    alone.train()
    callback = AuditCallback(every=2, **SMALL)
    one = trainer(tmp_path, steps=2)
    callback.attach(one)
    begin = callback.on_train_begin

    def begins(*given, **named):
        begin(*given, **named)
        one.model.lm_head.register_buffer("later", torch.zeros(1))

    callback.on_train_begin = begins
    with caplog.at_level(logging.WARNING, "dormant"):
        one.train()
    assert "tensors are others than when training began (lm_head.later)" in caplog.text
    before, after = weights(alone.model), weights(one.model)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("stop", "low", "steps"), [(True, 0.06, 1), (True, 0.04, 3), (False, 0.9, 3)]
)
def test_training_stops_where_a_drop_is_surely_above_the_margin(
    tmp_path, monkeypatch, stop, low, steps
):
    from dormant.results import AbilityResult, AuditResults, CellEstimates, Cells, Estimate

    ability = AbilityResult(
        task="icl/copy", verdict="inconclusive", reason="", n_items=6, transforms=[],
        accuracy=Cells(), accuracy_intervals=CellEstimates(),
        drop=Estimate(estimate=1, low=low, high=1),
    )  # fmt: skip
    found = AuditResults(base="", tuned="", settings={}, versions={}, abilities=[ability])
    monkeypatch.setattr(ours, "audit", lambda *_, **__: found)
    callback = AuditCallback(every=1, stop=stop, **SMALL)
    one = trainer(tmp_path, callbacks=[callback], steps=3)
    one.train()
    assert one.state.global_step == steps
    assert (callback.stopped is not None) == (steps == 1)
    if steps == 1:
        assert "icl/copy has a lower bound above 5 points" in callback.stopped


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DormantError("disk full"), "disk full"),
        (torch.OutOfMemoryError("out of memory"), "OutOfMemoryError('out of memory')"),
    ],
)
def test_an_audit_that_fails_is_warned_of_and_training_goes_on(
    tmp_path, monkeypatch, caplog, error, told
):
    def broken(*_, **__):
        torch.rand(1), random.random(), np.random.rand()
        raise error

    monkeypatch.setattr(ours, "audit", broken)
    one = trainer(tmp_path, callbacks=[AuditCallback(every=2, **SMALL)])
    with caplog.at_level(logging.WARNING, "dormant"):
        one.train()
    assert one.state.global_step == 4
    assert [r.getMessage() for r in caplog.records if r.name == "dormant"] == [
        f"no audit at step 2: {told}", f"no audit at step 4: {told}",
    ]  # fmt: skip


def test_a_training_that_goes_on_is_warned_of(tmp_path, caplog):
    """What it began with is not there any more; below an adapter it is."""
    for adapter in (False, True):
        one = trainer(tmp_path, adapter=adapter)
        one.state.global_step = 7
        callback = AuditCallback(every=2, **SMALL)
        caplog.clear()
        with caplog.at_level(logging.WARNING, "dormant"):
            callback.on_train_begin(
                one.args, one.state, one.control, model=one.model, processing_class=byte_tokenizer()
            )
        lines = [r.getMessage() for r in caplog.records if r.name == "dormant"]
        assert len(lines) == (not adapter)
        assert all("goes on from step 7" in line for line in lines)


def test_a_timeline_says_which_audits_of_an_earlier_training_it_leaves_out(tmp_path, caplog):
    trainer(tmp_path, adapter=True, steps=1, callbacks=[AuditCallback(every=1, **SMALL)]).train()
    goes_on = trainer(tmp_path, adapter=True, steps=2, callbacks=[AuditCallback(every=2, **SMALL)])
    with caplog.at_level(logging.WARNING, "dormant"):
        goes_on.train()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "dormant"]
    assert line.endswith("is of this training alone: checkpoint-1 left out")
    assert dm.load_timeline(tmp_path / "audits").children == ["checkpoint-2"]


def test_a_second_training_begins_anew(tmp_path):
    callback = AuditCallback(every=1, out=tmp_path / "audits", **SMALL)
    one = trainer(tmp_path, steps=2)
    callback.attach(one)
    one.train()
    assert [*callback.audits] == [1, 2]
    callback._out = tmp_path / "others"
    one.args.max_steps = 1
    one.train()
    assert [*callback.audits] == [1]
    assert dm.load_timeline(tmp_path / "audits").children == ["checkpoint-1", "checkpoint-2"]
    assert dm.load_timeline(tmp_path / "others").children == ["checkpoint-1"]


def test_random_states_are_kept():
    def draws():
        return torch.rand(1).item(), random.random(), np.random.rand()

    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    expected = draws()
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    with ours._random_states_kept():
        assert draws() == expected
    assert draws() == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": "icl/coppy", "every": 1}, "did you mean 'icl/copy'"),
        ({"every": 0}, "one step apart at least"),
        ({"every": 1, "evidence": "noise"}, "weights, which are being trained"),
        ({"every": 1, "transform_": "x"}, "unknown option 'transform_'"),
    ],
)
def test_bad_options_are_refused_at_once(options, message):
    with pytest.raises(DormantError, match=message):
        AuditCallback(**{**SMALL, **options})


@pytest.mark.parametrize("word", ["n", "items", "limit"])
def test_the_number_of_items_may_be_said_in_any_of_its_words(word):
    assert AuditCallback("icl/copy", 1, **{word: 20})._settings.n == 20


def test_no_transforms_named_are_the_default_s():
    small = {name: value for name, value in SMALL.items() if name != "transforms"}
    without, none = (
        AuditCallback(every=1, **small),
        AuditCallback(every=1, transforms=None, **small),
    )
    assert without._settings == none._settings


def test_what_cannot_be_audited_is_refused_before_training(tmp_path, monkeypatch):
    from transformers import TrainingArguments

    one = trainer(tmp_path, callbacks=[AuditCallback(every=1, **SMALL)], tokenizer=False)
    with pytest.raises(DormantError, match="no tokenizer"):
        one.train()
    callback = AuditCallback(every=1, **SMALL)
    for name, value, message in (
        ("world_size", 2, "one process, and training has 2"),
        ("fsdp", ["full_shard"], "FSDP or DeepSpeed"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(TrainingArguments, name, value, raising=False)
            patch.setattr(one.args, name, value, raising=False) if name == "fsdp" else None
            with pytest.raises(DormantError, match=message):
                callback.on_train_begin(one.args, one.state, one.control, model=one.model)
