"""The benchmark against other ways runs, and what it compares is the same thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from byte_models import byte_llama, saved

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pair")
    return [saved(byte_llama(seed), folder / str(seed)) for seed in (0, 1)]


def run(folder: Path, pair: list[Path], *words: object) -> tuple[dict, str]:
    file = folder / "verdict.json"
    base, tuned = pair
    done = subprocess.run(
        [
            sys.executable, ROOT / "benchmarks" / "time_to_verdict.py", "--quick",
            "--base", base, "--tuned", tuned, "--json", file, *words,
        ],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text("utf-8")), done.stdout


@pytest.mark.slow
def test_other_ways_are_asked_the_same(tmp_path, pair):
    # What follows the dashes is the audit's: without it, log-probabilities are rounded.
    words = ("--audit", "demo", "--batch-size", "4", "--", "--dtype", "float32")
    body, out = run(tmp_path, pair, *words)
    result = body["demo"]
    assert result["abilities"] == ["icl/copy", "recall/continue", "icl/plural"]
    # Two models, three abilities, plain and two transforms, two items each.
    assert (result["cells"], result["prompts"]) == (18, 36)
    ways = result["ways"]
    # The other two are other people's programs, and nobody named one.
    assert list(ways) == ["dormant", "lm-eval", "paper"]
    assert "vllm: left out" in out
    assert "llama.cpp: left out" in out
    ours = ways["dormant"]
    assert ours["about"]["items"] == dict.fromkeys(result["abilities"], 2)
    assert ours["about"]["prompts"] == 36
    assert 0 < ours["loading"] < ours["seconds"]
    for name in ("lm-eval", "paper"):
        way = ways[name]
        assert way["ratio"] == pytest.approx(way["seconds"] / ours["seconds"], rel=0.1)
        assert way["verdicts"] == result["verdicts"]
        assert (way["verdicts_equal"], way["prompts_compared"]) == (3, 36)
        assert way["prompts_equal"] == 36
    assert ways["lm-eval"]["largest_difference_of_logprobs"] < 1e-3
    assert ways["paper"]["largest_difference_of_logprobs"] is None
