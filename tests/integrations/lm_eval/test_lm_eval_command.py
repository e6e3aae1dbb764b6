"""The harness's real command, `dormant lm-eval`, on real checkpoints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from byte_models import lora
from dormant.integrations.lm_eval import base as adapter
from dormant.models.weights import WEIGHTS

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return f"pretrained={tiny_checkpoint},dtype=float32"


def test_identity_is_the_harness_itself(harness, model):
    theirs = harness(model, "--batch_size", "4", model="hf")
    ours = harness(f"base=hf,{model}", "--batch_size", "4")
    assert len(theirs.results) == 3
    assert ours.results == theirs.results
    assert ours.samples == theirs.samples


def test_identity_in_a_chat_with_demonstrations(harness, model):
    which = ["tiny_choice", "tiny_generate"]
    more = ["--apply_chat_template", "--num_fewshot", "1", "--system_instruction", "Be brief."]
    theirs = harness(model, *more, model="hf", which=which)
    ours = harness(f"base=hf,{model}", *more, which=which)
    assert r"<|im_start|>system\nBe brief." in str(theirs.asked("tiny_choice"))
    assert ours.results == theirs.results
    assert ours.samples == theirs.samples


def test_a_transform_reaches_the_model_and_the_records(harness, model):
    plain = harness(f"base=hf,{model}")
    changed = harness(f"base=hf,{model},transform=rot13")
    assert changed.config["transform"] == "rot13-1"
    assert changed.config["model_args"]["transform"] == "rot13"
    # The logs hold the requests as the task made them, so that they can be paired.
    for task in plain.samples:
        assert changed.asked(task) == plain.asked(task)
        assert changed.answers(task) != plain.answers(task)


def test_dormants_own_scorer_gives_the_same_numbers(harness, model):
    theirs = harness(f"base=hf,{model},transform=leetspeak", which=["tiny_choice"])
    ours = harness(f"base=dormant-fast,{model},transform=leetspeak", which=["tiny_choice"])
    assert ours.results["tiny_choice"]["acc,none"] == theirs.results["tiny_choice"]["acc,none"]
    for one, other in zip(ours.answers("tiny_choice"), theirs.answers("tiny_choice"), strict=True):
        for (mine,), (yours,) in zip(one, other, strict=True):
            assert float(mine[0]) == pytest.approx(float(yours[0]), abs=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_logs_say_which_adapter_was_loaded_and_three_of_them_are_compared(
    harness, dormant, tiny_checkpoint, tmp_path
):
    """By their weights, whatever the paths: real runs of a base and two adapters."""
    first, _ = lora(tiny_checkpoint, tmp_path / "first", seed=1)
    second, _ = lora(tiny_checkpoint, tmp_path / "second", seed=2)
    given = f"base=hf,pretrained={tiny_checkpoint},dtype=float32"
    base, one, two = (
        harness(f"{given}{adapter}", which=["tiny_choice"])
        for adapter in ("", f",peft={first}", f",peft={second}")
    )
    said = [each.config[WEIGHTS] for each in (base, one, two)]
    assert len({each["model"] for each in said}) == 1, "the base of all, by its bytes"
    assert [each["adapter_name"] for each in said] == ["", str(first), str(second)]
    assert len({each["adapter"] for each in said}) == 3
    compared = dormant("compare", two.folder, one.folder, base.folder, "--format", "json")
    assert compared.code == 0, compared.err
    timeline = json.loads(Path("timeline.json").read_text())
    assert timeline["base"] == f"{tiny_checkpoint},dtype=float32"
    assert [child["model"].rpartition("peft=")[2] for child in timeline["children"]] == [
        str(second),
        str(first),
    ]
    # The adapter was forgotten: both logs are of the base.
    forgotten = shutil.copytree(base.folder, tmp_path / "forgotten")
    refused = dormant("compare", base.folder, forgotten)
    assert refused.code == 2
    assert "was the adapter left out?" in refused.err
    assert len(refused.err.splitlines()) == 1


def test_the_harness_and_the_audit_agree(harness, dormant, tasks, tiny_checkpoint):
    """The same accuracies to the last digit, by both metrics, plain and transformed."""
    examples = ROOT / "examples" / "lm_eval"
    text = (examples / "everyday.yaml").read_text()
    (tasks / "everyday.yaml").write_text(text.replace("test: every", f"test: {tasks}/every"))
    lines = (examples / "everyday.jsonl").read_text().splitlines(keepends=True)
    (tasks / "everyday.jsonl").write_text("".join(lines[:20]))
    names, transforms = ("acc", "acc_norm"), ("leetspeak", "pig-latin")
    abilities = ",".join(f"lm-eval:{tasks}/everyday.yaml@{name}" for name in names)
    words = ["audit", tiny_checkpoint, "--task", abilities, "--transform", ",".join(transforms)]
    said = dormant(*words, "--scorer", "lm-eval", "--json")
    assert said.code == 0, said.err
    found = dict(zip(names, json.loads(said.out)["abilities"], strict=True))
    given = f"base=hf,{{}},pretrained={tiny_checkpoint},dtype=float32"
    seen = set()
    for transform in ("identity", *transforms):
        run = harness(given.format(f"transform={transform}"), which=["everyday"])
        for name, ability in found.items():
            cells = {one["name"]: one["accuracy"] for one in ability["transforms"]}
            wanted = (
                ability["accuracy"]["tuned_plain"]
                if transform == "identity"
                else cells[transform]["tuned_transformed"]
            )
            # The harness divides by the plain answer's length, and pig latin has others.
            if (name, transform) != ("acc_norm", "pig-latin"):
                assert run.results["everyday"][f"{name},none"] == wanted, (name, transform)
                seen.add(wanted)
    assert len(seen) > 1


# -- SmolLM2, and the commands as a user types them ---------------------------------------------


@pytest.fixture
def typed(tmp_path):
    def run(*words, where=tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "dormant", *map(str, words)],
            cwd=where,
            env={**os.environ, "HF_DATASETS_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def evaluate(typed, written):
    def run(folder, which, out, *, model="dormant", **arguments):
        given = ",".join(f"{name}={value}" for name, value in arguments.items())
        words = ["lm-eval", "run", "--model", model, "--model_args", given, "--tasks", which]
        words += ["--include_path", ".", "--batch_size", "16", "--log_samples"]
        typed(*words, "--output_path", out, where=folder)
        return written(out)

    return run


@pytest.mark.slow
def test_identity_on_a_real_model(evaluate, tasks, tmp_path):
    from lm_eval.models.huggingface import HFLM

    which = "tiny_choice,tiny_generate,tiny_rolling"
    spelt = adapter._shipped(HFLM, {"pretrained": "smollm2"})
    theirs = evaluate(tasks, which, tmp_path / "hf", model="hf", **spelt)
    ours = evaluate(tasks, which, tmp_path / "ours", base="hf", pretrained="smollm2")
    assert len(theirs.results) == 3
    assert ours.results == theirs.results
    assert ours.samples == theirs.samples


@pytest.mark.slow
def test_the_command_and_the_audit_agree(typed, evaluate, tmp_path):
    """The same accuracy to the last digit, item by item, with and without transforms."""
    folder = tmp_path / "tasks"
    typed("task", "export", "icl/copy", "icl/plural", "-n", 40, "--out", folder)
    for end in ("yaml", "jsonl"):
        text = (ROOT / "examples" / "lm_eval" / f"everyday.{end}").read_text()
        (folder / f"everyday.{end}").write_text(text)
    transforms = ("leetspeak", "pig-latin")
    which = "dormant_icl_copy,dormant_icl_plural,everyday"
    asked = ["--task", f"icl/copy,icl/plural,lm-eval:{folder}/everyday.yaml", "-n", 40]
    asked += ["--transform", ",".join(transforms), "--scorer", "lm-eval", "--quiet"]
    typed("audit", "smollm2-sentiment-mild", *asked, "--out", tmp_path / "run")
    (audit,) = (tmp_path / "run").glob("results.json")
    audited = {found["task"]: found for found in json.loads(audit.read_text())["abilities"]}
    names = dict(zip(which.split(","), ("icl/copy", "icl/plural", "lm-eval/everyday"), strict=True))
    seen = set()
    for transform in ("identity", *transforms):
        found = evaluate(
            folder,
            which,
            tmp_path / transform,
            base="hf",
            pretrained="smollm2-sentiment-mild",
            transform=transform,
        )
        for task, ability in names.items():
            cells = audited[ability]["accuracy"]
            if transform != "identity":
                (one,) = (t for t in audited[ability]["transforms"] if t["name"] == transform)
                cells = one["accuracy"]
            cell = "tuned_plain" if transform == "identity" else "tuned_transformed"
            assert found.results[task]["acc,none"] == cells[cell], (task, transform)
            seen.add(cells[cell])
    assert len(seen) > 3
