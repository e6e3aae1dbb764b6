"""The README's recovery, on the shipped model: its saved adapter, audited on untouched items."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dormant.audit.run_dir import RunDirectory
from dormant.results.recovery import RecoveryResults

SENTIMENT = Path(__file__).parents[2] / "examples" / "sentiment"


@pytest.mark.slow
def test_copying_comes_back_to_the_demo_s_child(tmp_path, dormant):
    out, audited = tmp_path / "recovered", tmp_path / "audit"
    said = dormant(
        "recover", "smollm2", "smollm2-sentiment", "--task", "icl/copy",
        "--treatment", "conjugate-distillation", "--skill", SENTIMENT / "holdout_large.jsonl",
        "--skill-train", SENTIMENT / "train.jsonl", "--out", out, "--no-control", "--quiet",
        "-n", 120, "--choose", 60,
    )  # fmt: skip
    assert said.code == 0, said.err
    results = RecoveryResults.model_validate_json((out / "recovery/recovery.json").read_bytes())
    (ability,) = results.abilities
    assert ability.verdict == "retained"
    assert ability.returned is not None
    assert ability.returned.low > 0.9
    assert results.skill is not None
    assert results.skill.exceeds != "yes"
    said = dormant(
        "audit", "smollm2", out, "--task", "icl/copy", "-n", 120, "--transform", "leetspeak",
        "--evidence", "prompt", "--out", audited, "--quiet",
    )  # fmt: skip
    assert said.code == 0, said.err
    run = RunDirectory.read(audited)
    assert run.results().abilities[0].verdict == "retained"
    asked = {one.item for one in run.all_outcomes()}
    rows = [*map(json.loads, (out / "recovery/outcomes.jsonl").read_text().splitlines())]
    used = {row["item"] for row in rows if (row["items"], row["task"]) == ("choose", "icl/copy")}
    assert used
    assert not asked & used
