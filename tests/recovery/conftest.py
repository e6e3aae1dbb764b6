"""Tiny pairs of models, an ability and a skill; how often models are right is what a test says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

import byte_models
import fakes
from dormant.recovery import bench as benches
from dormant.recovery.bench import Bench
from dormant.recovery.settings import RecoverSettings
from dormant.results import ItemOutcome

POOL, SKILLS = 260, 480


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A base, a LoRA adapter on it, and the two merged: directories."""
    folder = tmp_path_factory.mktemp("models")
    base = byte_models.saved(byte_models.byte_llama(num_hidden_layers=3), folder / "base")
    return base, *byte_models.lora(base, folder)


@pytest.fixture
def ability(tmp_path):
    file = tmp_path / "say.jsonl"
    first = {"name": "mine/say", "title": "Say", "languages": {"english": {}}, "shots": 1}
    rows = [
        {"language": "english", "id": str(n), "input": f"word {n}", "target": f"t{n}"}
        for n in range(POOL)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in (first, *rows)))
    return str(file)


@pytest.fixture
def skill(tmp_path):
    """Held-out examples and training examples of the skill: files."""
    files = tmp_path / "held.jsonl", tmp_path / "train.jsonl"
    for file in files:
        rows = [
            {"prompt": f"{file.stem} {n}:", "completion": f" {('good', 'bad')[n % 2]}"}
            for n in range(SKILLS)
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return files


@pytest.fixture
def settings(models, ability, skill):
    return RecoverSettings(
        base=str(models[0]), tuned=str(models[1]), tasks=(ability,), skill=str(skill[0]),
        skill_train=str(skill[1]), treatments=("scale",), n=80, choose=80, train=16, device="cpu",
    )  # fmt: skip


class Truth:
    """How often a model is right: functions of how much of the update is left; 1.5 is trained."""

    def __init__(self):
        self.asked: list[tuple[str, str, str, int]] = []
        self.ability = lambda left: 0.95 if left < 0.6 or left == 1.5 else 0.05
        self.skill = lambda left: 0.98 if left > 0.3 else 0.4

    def rate(self, left, task):
        return (self.skill if task.startswith("skill/") else self.ability)(left)


@pytest.fixture
def truth(monkeypatch, models):
    """Let models be right as a test says, unasked; candidates are made, and none is loaded for it.

    `truth.asked` has a row for every batch: model, set, task, prompts.
    """
    said, real_measure, real_lm = Truth(), Bench.measure, Bench.lm
    now: list[tuple[Bench, str, str]] = []

    def measure(self, model, items, task, cases):
        now.append((self, model, items))
        try:
            return real_measure(self, model, items, task, cases)
        finally:
            now.clear()

    def score(lm, task, cases, style):
        bench, model, items = now.pop()
        if model in ("base", "tuned"):
            left = float(model == "tuned")
        else:
            left = update_left(bench.build(bench._changes[model]), models)
        now.append((bench, model, items))
        said.asked.append((model, items, task.name, len(cases)))
        rate = said.rate(left, task.name)
        return [
            ItemOutcome(
                model="tuned", task=task.name, transform="plain", item=case.item, prompt="",
                target="", target_logprob=None, target_greedy=False,
                correct=fakes._draw("right", case.item) < rate,
            )
            for case in cases
        ]  # fmt: skip

    monkeypatch.setattr(Bench, "measure", measure)
    monkeypatch.setattr(Bench, "lm", lambda self, model: None if now else real_lm(self, model))
    monkeypatch.setattr(benches, "score_cases", score)
    return said


def update_left(folder: Path, models) -> float:
    """Return how much of the update is in a candidate's weights, in the mean; 1.5 if trained."""
    if (folder / "adapter_config.json").exists():
        before, after = (
            load_file(each / "adapter_model.safetensors") for each in (models[1], folder)
        )
        if any(before[key].shape != after[key].shape for key in before):
            return 1.5
        keys = [key for key in before if "lora_B" in key]
        return sum(float(after[k].norm() / before[k].norm()) for k in keys) / len(keys)
    files = [load_file(each / "model.safetensors") for each in (models[0], models[2], folder)]
    base, tuned, here = files
    keys = [key for key in base if not base[key].equal(tuned[key])]
    return sum(float((here[k] - base[k]).norm() / (tuned[k] - base[k]).norm()) for k in keys) / len(
        keys
    )
