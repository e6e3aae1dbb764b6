"""Dormant's tasks as tasks of the harness: the same prompts, answers and accuracies."""

from __future__ import annotations

from pathlib import Path

import pytest
from lm_eval.api.registry import register_model
from lm_eval.evaluator import simple_evaluate
from lm_eval.tasks import TaskManager

import fakes
from dormant import tasks, transforms
from dormant.audit.sample import ItemSample
from dormant.audit.score import score_cases
from dormant.audit.transformed import plain_cases, transformed_cases
from dormant.errors import DormantError
from dormant.integrations.lm_eval import register
from dormant.integrations.lm_eval.requests import Requests
from dormant.integrations.lm_eval.tasks import export
from dormant.models.load import load
from dormant.tasks.task import draw_items

ROOT = Path(__file__).resolve().parents[3]


@register_model("sums")
class Sums(fakes.FakeLM):
    """Likelihoods that depend on prompt and answer alone, and not on the order of requests."""

    def loglikelihood(self, requests):
        return [(-1.0 - sum(map(ord, "".join(r.args))) % 17, False) for r in requests]


def evaluate(folder, name, transform, base="fake"):
    register()
    return simple_evaluate(
        "dormant",
        model_args={"base": base, "skill": "0.6", "transform": transform, "keep": True},
        tasks=[name],
        task_manager=TaskManager(include_path=folder, include_defaults=False),
        bootstrap_iters=0,
    )["samples"][name]


def audited(task, sample, transform, base="fake"):
    plain = transform == "identity"
    made = plain_cases(task, sample) if plain else transformed_cases(task, sample, transform)
    lm = load(f"{base}:skill=0.6")
    outcomes = score_cases(lm, task, list(made.cases.values()), "raw")
    return [outcome.correct for outcome in outcomes], made


@pytest.mark.parametrize("transform", ["identity", "leetspeak", "pig-latin"])
@pytest.mark.parametrize("name", ["icl/copy", "nli/greedy", "icl_vs_if/repeat-arithmetic"])
def test_the_prompts_of_an_audit(tmp_path, name, transform):
    (task,) = tasks.get([name])
    sample = ItemSample(draw_items(task, 6, 0), task.default_shots, 0)
    file = export(task, sample, tmp_path)
    samples = evaluate(tmp_path, file.stem, transform)
    correct, made = audited(task, sample, transform)
    assert [bool(sample["acc"]) for sample in samples] == correct
    assert [sample["doc"]["item"] for sample in samples] == list(made.cases)
    # What the model read, to the letter; icl_vs_if keeps its numbers.
    s = Requests(transforms.get(transform), keep=True)
    for sample, case in zip(samples, made.cases.values(), strict=True):
        read = s.pairs([(sample["doc"]["prompt"], sample["doc"]["target"])])
        assert read == [(case.prompt, f"{case.answer_prefix}{case.scored_target}")]


@pytest.mark.parametrize("transform", ["identity", "rot13"])
def test_multiple_choice(tmp_path, transform):
    text = (ROOT / "examples" / "tasks" / "animal_or_plant.toml").read_text()
    file = tmp_path / "animal.toml"
    file.write_text(text.replace('"greedy"', '"most-likely-whole"'))
    (task,) = tasks.get([str(file)])
    assert task.measure == "most-likely-whole"
    sample = ItemSample(task.pool(), 1, 0)
    made = export(task, sample, tmp_path / "made")
    samples = evaluate(made.parent, made.stem, transform, "sums")
    correct, _ = audited(task, sample, transform, "sums")
    assert [bool(sample["acc"]) for sample in samples] == correct
    assert 0 < sum(correct) < len(correct)


@pytest.mark.parametrize(
    ("name", "message"),
    [("refusal/answers", "rules of its own"), ("nli/likely", "calibrated by prompts without")],
)
def test_what_the_harness_can_not_judge(tmp_path, name, message):
    (task,) = tasks.get([name])
    with pytest.raises(DormantError, match=message):
        export(task, ItemSample(task.pool()[:2], 0, 0), tmp_path)


def test_a_folder_that_can_not_be_made(tmp_path):
    (task,) = tasks.get(["icl/copy"])
    (tmp_path / "file").write_text("")
    with pytest.raises(DormantError, match="can't be written"):
        export(task, ItemSample(task.pool()[:2], 2, 0), tmp_path / "file" / "x")
