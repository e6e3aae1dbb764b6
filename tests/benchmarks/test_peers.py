"""Asking other programs about a pair: time limits, models they are given, answers as read."""

from __future__ import annotations

import json
import os
import sys

import peers
import pytest
import torch
from safetensors.torch import load_file, save_file


def test_a_program_is_stopped_at_its_limit(tmp_path):
    sleeps = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(60)"]
    row = peers.asked(sleeps, tmp_path, 2, dict(os.environ))
    assert row["ended"] == "stopped after 2 s"
    assert row["exit"] is None
    assert 2 <= row["seconds"] < 30


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("print('{}')", "finished"),
        ("import sys; print('odd model', file=sys.stderr); sys.exit(3)", "exit code 3: odd model"),
    ],
)
def test_how_a_program_ended_is_told(tmp_path, code, ended):
    row = peers.asked([sys.executable, "-c", code], tmp_path, 60, dict(os.environ))
    assert row["ended"] == ended
    assert row["processor_seconds"] <= row["seconds"] + 1


def test_an_inert_adapter_has_nothing_in_b(tmp_path):
    file = tmp_path / "adapter_model.safetensors"
    tensors = {"q.lora_A.weight": torch.ones(2, 3), "q.lora_B.weight": torch.ones(3, 2)}
    save_file(tensors, file)
    peers._silence(file)
    silenced = load_file(file)
    assert silenced["q.lora_A.weight"].equal(torch.ones(2, 3))
    assert not silenced["q.lora_B.weight"].any()


def test_modeldiffr_s_report_is_read(tmp_path):
    metric = {
        "name": "x", "base_mean": 0.5, "derivative_mean": 0.25, "delta": -0.25, "ci_low": -0.4,
        "ci_high": -0.1, "significant": True, "negligible": False, "n": 24,
    }  # fmt: skip
    report = {
        "metrics": [metric, {**metric, "name": "y", "negligible": True}],
        "weights_diff": {"changed_count": 210},
        "comparability": {"issues": [{"level": "info", "message": "same"}]},
        "verdict": {"any_change": True},
    }
    file = tmp_path / "report.json"
    file.write_text(json.dumps(report))
    said = peers._of_modeldiffr(file)
    assert [one["changed"] for one in said["metrics"].values()] == [True, False]
    assert (said["tensors_changed"], said["issues"]) == (210, ["same"])


def test_examples_are_question_answer_and_short_answer(tmp_path):
    file = tmp_path / "data.json"
    peers.make_data(file)
    data = json.loads(file.read_text())
    assert set(data) == set(peers.TASKS)
    for rows in data.values():
        assert len(rows) == peers.EXAMPLES
        for question, answer, short in rows:
            assert question.count("Input:") == 3
            assert answer == short
            assert answer.strip()


def row(peer, said, child="merged", ended="finished"):
    return {
        "peer": peer, "child": child, "said": said, "ended": ended, "seconds": 9,
        "processor_seconds": 5,
    }  # fmt: skip


def test_answers_are_told_in_a_line_each():
    metrics = {"a": {"changed": True}, "b": {"changed": False}}
    rows = [
        row(
            "avr-cl",
            {"drift": {"x": 1.4}, "drift_left": {}, "repair_steps": 3, "tensors_repaired": 2},
        ),
        row(
            "avr-cl",
            {"drift": {"x": 2}, "drift_left": {"x": 2}, "repair_steps": 0, "tensors_repaired": 0},
            child="sentiment",
        ),
        row("avr-cl", {"drift": {}, "drift_left": {}, "repair_steps": 0}, child="inert"),
        row(
            "pyrecall",
            {
                "forgotten": ["coding"],
                "change": {"coding": -0.2, "safety": 0.0},
                "severity": {"coding": "SEVERE", "safety": "OK"},
            },
        ),
        row("pyrecall", None, child="sentiment", ended="stopped after 9 s"),
        row("finetunecheck", {"verdict": "V", "pattern": None, "scores": {"math": [0.5, 0.25]}}),
        row("modeldiffr", {"tensors_changed": 7, "metrics": metrics}),
        row("dormant", {"icl/copy": {"verdict": "suppressed"}}),
    ]
    lines = peers.table(rows).splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [
        ["| sentiment", "avr-cl"], ["| sentiment", "pyrecall"],
        ["| inert", "avr-cl"], ["| merged", "dormant"],
        ["| merged", "modeldiffr"], ["| merged", "avr-cl"], ["| merged", "pyrecall"],
        ["| merged", "finetunecheck"],
    ]  # fmt: skip
    for line, part in zip(
        lines,
        (
            "drift: x × 2; no LoRA layers", "stopped after 9 s", "no drift", "icl/copy: suppressed",
            "7 tensors changed; changed: a; within noise: b",
            "drift: x × 1.4; after 3 steps of repair: none",
            "forgotten: coding -0.2; effect SEVERE in 1",
            "V, pattern None; math 0.5 → 0.25",
        ),
        strict=True,
    ):  # fmt: skip
        assert part in line
