"""Audits while the embedded model is trained, by Transformers' Trainer and by TRL's SFTTrainer."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

import dormant as dm
from dormant.integrations.transformers import AuditCallback
from dormant.libraries import quiet

# TRL asks Transformers for what the latter is about to rename.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[2] / "examples" / "sentiment" / "train.jsonl")
    .read_text("utf-8")
    .splitlines()[:16]
]
STEPS = 4
SMALL = {"tasks": "icl/copy", "transforms": "leetspeak", "n": 10}
FAST = 5e-3
"""A learning rate at which two steps leave little of a model."""


class Watches(TrainerCallback):
    """Sees what TensorBoard's, W&B's and MLflow's see, from the same place."""

    def __init__(self):
        self.rows = []

    def on_log(self, args, state, control, logs, **given):
        self.rows.append({**logs, "step": state.global_step})


def settings(folder, rate):
    return {
        "output_dir": str(folder), "max_steps": STEPS, "per_device_train_batch_size": 2,
        "learning_rate": rate, "lr_scheduler_type": "constant", "logging_steps": 1,
        "save_strategy": "no", "report_to": [], "use_cpu": True, "disable_tqdm": True, "seed": 0,
    }  # fmt: skip


def transformers_trainer(model, tokenizer, folder, rate, callbacks):
    """All weights, by Transformers' own Trainer."""

    def collate(rows):
        texts = [row["prompt"] + row["completion"] for row in rows]
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        return {**batch, "labels": labels}

    arguments = TrainingArguments(**settings(folder, rate), remove_unused_columns=False)
    return Trainer(
        model, arguments, data_collator=collate, train_dataset=ROWS,
        processing_class=tokenizer, callbacks=callbacks,
    )  # fmt: skip


def sft_trainer(model, tokenizer, folder, rate, callbacks, *, lora):
    """TRL's, which puts a head of its own before the model's `forward`."""
    trl = pytest.importorskip("trl", reason="needs trl")
    from datasets import Dataset
    from peft import LoraConfig

    adapter = LoraConfig(r=4, lora_dropout=0.1, target_modules=["q_proj", "v_proj", "down_proj"])
    # An adapter begins at nothing.
    arguments = trl.SFTConfig(**settings(folder, 20 * rate if lora else rate), bf16=False)
    return trl.SFTTrainer(
        model, arguments, train_dataset=Dataset.from_list(ROWS), processing_class=tokenizer,
        callbacks=callbacks, peft_config=adapter if lora else None,
    )  # fmt: skip


def unquantised(model):
    """A copy that Transformers trains: what it read from GGUF, it refuses as quantised."""
    settings = model.config.to_dict()
    del settings["quantization_config"]
    with torch.device("meta"):
        plain = type(model)(type(model.config)(**settings))
    plain.to_empty(device="cpu")
    plain.load_state_dict(model.state_dict())
    for (_, one), (_, other) in zip(plain.named_buffers(), model.named_buffers(), strict=True):
        one.data = other.clone()
    plain.tie_weights()
    return plain


@pytest.fixture(params=["Trainer", "SFTTrainer", "SFTTrainer with LoRA"])
def trained(request, smollm2, tmp_path):
    """Train a copy of the embedded model; return the trainer when it has trained."""

    def run(name, rate, *callbacks):
        with quiet():
            model, tokenizer = smollm2
            given = (
                unquantised(model),
                copy.deepcopy(tokenizer),
                tmp_path / name,
                rate,
                [*callbacks],
            )
            torch.manual_seed(0)
            if request.param == "Trainer":
                trainer = transformers_trainer(*given)
            else:
                trainer = sft_trainer(*given, lora=request.param != "SFTTrainer")
            trainer.train()
        return trainer

    return run


def test_it_trains_the_same_weights_and_its_log_has_the_audits(trained, smollm2, tmp_path):
    callback, watches = AuditCallback(every=2, **SMALL), Watches()
    audited = trained("audited", 1e-4, watches, callback)
    assert [*callback.audits] == [2, 4]
    for step, results in callback.audits.items():
        (ability,) = results.abilities
        (row,) = [
            row for row in watches.rows if row["step"] == step and "audit/icl/copy/drop" in row
        ]
        assert row["audit/icl/copy/base"] == ability.accuracy.base_plain >= 0.7
        assert row["audit/icl/copy/tuned"] == ability.accuracy.tuned_plain
        assert row["audit/icl/copy/drop_low"] == ability.drop.low

    # The base is the model before, asked by itself; the model that is trained is another by now.
    alone = dm.audit(smollm2, out=tmp_path / "base", progress=False, evidence="prompt", **SMALL)
    before = [one.target_logprob for one in alone.items() if one.transform == "plain"]
    series = dm.load_timeline(tmp_path / "audited" / "audits")
    at = {
        model: [
            one.target_logprob
            for one in series["checkpoint-4"].items()
            if (one.transform, one.model) == ("plain", model)
        ]
        for model in ("base", "tuned")
    }
    assert at["base"] == pytest.approx(before, abs=1e-3)
    assert at["tuned"] != pytest.approx(before, abs=1e-3)

    without = trained("alone", 1e-4)
    weights = dict(audited.model.named_parameters())
    assert all(torch.equal(one, weights[name]) for name, one in without.model.named_parameters())
    history = [
        [{key: row[key] for key in row if "runtime" not in key and "per_second" not in key}
         for row in trainer.state.log_history if "loss" in row]
        for trainer in (audited, without)
    ]  # fmt: skip
    assert history[0] == history[1]
    assert len(history[0]) == STEPS


def test_it_stops_where_copying_is_lost(trained):
    callback = AuditCallback(every=2, stop=True, **SMALL)
    trainer = trained("stopped", FAST, callback)
    assert trainer.state.global_step == 2 < STEPS
    assert "stopped at step 2: the drop of icl/copy" in callback.stopped
    assert callback.audits[2].abilities[0].drop.low > 0.05
