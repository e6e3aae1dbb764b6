"""Two processes under torchrun or accelerate write what one process writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
# The launcher starts this file: the fakes must be registered before the command line is.
PROGRAM = f"import sys; sys.path.insert(0, {str(TESTS)!r}); import fakes\n" + (
    "from dormant.cli import main; main()\n"
)
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = (
    *("-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no"),
)


def run(folder: Path, launcher: tuple[str, ...], *words: object) -> subprocess.CompletedProcess:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    # One thread each, as torchrun does: sums are then taken in the same order everywhere.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        env.pop(name, None)
    return subprocess.run(
        [sys.executable, *launcher, str(program), *map(str, words)],
        capture_output=True, text=True, timeout=300, env=env, check=False,
    )  # fmt: skip


def records(out: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in sorted((out / "cells").rglob("*.jsonl"))
    }


def abilities(out: Path) -> object:
    return json.loads((out / "results.json").read_bytes())["abilities"]


WORDS = (
    "-t",
    "icl/plural",
    "-s",
    "french,leetspeak",
    "-n",
    "30",
    "--checkpoint-every",
    "8",
    "--quiet",
)


@pytest.mark.parametrize(
    ("launcher", "real"),
    [
        (TORCHRUN, False),
        pytest.param(TORCHRUN, True, marks=pytest.mark.slow),
        pytest.param(ACCELERATE, True, marks=pytest.mark.slow),
    ],
)
def test_two_processes_write_the_records_of_one(tmp_path, tiny_checkpoint, launcher, real):
    pair = (tiny_checkpoint,) if real else ("fake:skill=0.9", "fake:skill=0.3")
    one, two = tmp_path / "one", tmp_path / "two"
    alone = run(tmp_path, (), "audit", *pair, *WORDS, "--out", one)
    assert alone.returncode == 0, alone.stderr
    shared = run(tmp_path, launcher, "audit", *pair, *WORDS, "--out", two)
    assert shared.returncode == 0, shared.stderr
    assert len(records(one)) == (3 if real else 6)
    assert records(two) == records(one)
    assert abilities(two) == abilities(one)
    # Only the first process reports.
    assert shared.stdout.count("report.html") == 1


@pytest.mark.slow
def test_an_error_in_one_process_ends_all_with_its_words(tmp_path):
    failed = run(
        tmp_path, TORCHRUN, "audit", "fake:breaks=logprobs", *WORDS, "--out", tmp_path / "x"
    )
    assert failed.returncode != 0
    assert "impossible log-probability" in failed.stderr
    # Nobody waited for a process that was gone.
    assert "timed out" not in failed.stderr.lower()
