"""`benchmarks/gpu.sh` on the CPU, with next to nothing to do: no GPU is at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from byte_models import byte_llama, saved

ROOT = Path(__file__).parents[2]


def run(folder: Path, **variables: object) -> tuple[subprocess.CompletedProcess, list[dict]]:
    environment = {**os.environ, "TINY": "1", "PYTHON": sys.executable, "STEPS": ""}
    done = subprocess.run(
        ["bash", ROOT / "benchmarks" / "gpu.sh", folder],
        env=environment | {name: str(value) for name, value in variables.items()},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = (folder / "steps.jsonl").read_text("utf-8").splitlines()
    return done, [json.loads(line) for line in lines]


@pytest.mark.slow
def test_every_step_runs(tmp_path):
    base, tuned = (saved(byte_llama(seed), tmp_path / str(seed)) for seed in (0, 1))
    out = tmp_path / "out"
    steps = "scoring verdict vllm lab paper-small"
    done, ended = run(out, MODEL=base, TUNED=tuned, STEPS=steps)
    assert done.returncode == 0, done.stdout
    assert [step["step"] for step in ended] == ["scoring", "verdict", "lab", "paper-small"]
    assert not any(step["exit"] for step in ended)
    assert "vllm: left out" in done.stdout

    def read(name: str) -> dict:
        return json.loads((out / name).read_text("utf-8"))

    assert {"shared", "peak"} <= read("scoring.json").keys()
    assert "lm-eval" in read("verdict.json")["icl_vs_if"]["ways"]
    designs = read("lab.json")["steps"]["quick"]["designs"]
    assert all(row["share_of_peak"] > 0 for row in designs.values())
    assert read("paper-small/results.json")["preset"] == "paper-small"


@pytest.mark.slow
def test_a_step_that_fails_stops_no_other(tmp_path):
    out = tmp_path / "out"
    done, ended = run(out, MODEL=tmp_path / "nothing", STEPS="scoring lab")
    assert done.returncode == 1
    assert [(step["step"], bool(step["exit"])) for step in ended] == [
        ("scoring", True),
        ("lab", False),
    ]
    assert "no such directory" in done.stdout
