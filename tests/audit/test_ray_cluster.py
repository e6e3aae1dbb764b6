"""`--backend ray` on a real Ray of this machine: the records of one process, byte for byte."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[1]
# Fakes must be known to the command line, and to every worker.
PROGRAM = f"""
import signal, sys
# A shell's background jobs are begun with it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.path.insert(0, {str(TESTS)!r})
import fakes
if "ray" in sys.argv:
    import ray
    ray.init(
        "local", num_cpus=2, include_dashboard=False, log_to_driver=False,
        logging_level="ERROR",
        runtime_env={{"worker_process_setup_hook": "fakes.known"}},
    )
from dormant.cli import main
main()
"""
WORDS = (
    *("-t", "icl/plural,icl/first_word", "-s", "french,leetspeak", "-n", "24"),
    *("--checkpoint-every", "8"),
)
RAY = ("--backend", "ray", "--workers", "2")


def start(folder: Path, *words: object) -> subprocess.Popen:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "RAY_ADDRESS"):
        env.pop(name, None)
    return subprocess.Popen(
        [sys.executable, str(program), "audit", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env, cwd=folder,
    )  # fmt: skip


def run(folder: Path, *words: object) -> str:
    process = start(folder, *words)
    out, err = process.communicate(timeout=1500)
    assert process.returncode == 0, err
    return out + err


def records(out: Path) -> dict[str, bytes]:
    files = sorted((out / "cells").rglob("*.jsonl"))
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


def test_a_real_pair_in_two_workers(tmp_path):
    """The command's own cluster, no fake: an adapter over the base that it shares weights with."""
    pair = ("smollm2", "smollm2-sentiment", "--evidence", "prompt", "--quiet")
    run(tmp_path, *pair, *WORDS, "--out", "one")
    done = subprocess.run(
        [sys.executable, "-m", "dormant", "audit", *pair, *WORDS, *RAY, "--out", "two"],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=tmp_path, capture_output=True, text=True,
        check=False, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(records(tmp_path / "one")) == 12
    assert records(tmp_path / "two") == records(tmp_path / "one")


def test_a_worker_that_dies_loses_nothing(tmp_path):
    base, tuned = "fake:skill=0.9", "fake:skill=0.3"
    run(tmp_path, base, tuned, *WORDS, "--out", "one", "--quiet")
    # Which worker dies of it doesn't matter; its batch goes to another.
    dying = f"{tuned},dies={tmp_path / 'died'}"
    said = run(tmp_path, base, dying, *WORDS, *RAY, "--out", "two")
    assert (tmp_path / "died").exists()
    assert "a worker on Ray was lost" in said
    told = {name: text.replace(b"", b"") for name, text in records(tmp_path / "two").items()}
    assert bare(told) == bare(records(tmp_path / "one"))


def bare(found: dict[str, bytes]) -> dict[str, list[bytes]]:
    """Records without the run's name, which depends on the model's."""
    return {
        name: [line.split(b'"run":')[0] for line in text.splitlines()]
        for name, text in found.items()
    }


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_was_stopped_goes_on(tmp_path, stop, code):
    pair = ("fake:skill=0.9", "fake:skill=0.3,slow=0.4")
    run(tmp_path, *pair, *WORDS, "--out", "one", "--quiet")
    process = start(tmp_path, *pair, *WORDS, *RAY, "--out", "two", "--quiet")
    until = time.monotonic() + 600
    while len(records(tmp_path / "two")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.1)
    process.send_signal(stop)
    _, err = process.communicate(timeout=600)
    assert process.returncode == code, err
    assert err.strip() == "stopped; what was scored is in two: the same command goes on"
    kept = records(tmp_path / "two")
    whole = records(tmp_path / "one")
    assert kept.keys() <= whole.keys()
    assert sum(map(len, kept.values())) < sum(map(len, whole.values()))
    assert all(whole[name].startswith(text) for name, text in kept.items())
    run(tmp_path, *pair, *WORDS, *RAY, "--out", "two", "--quiet")
    assert records(tmp_path / "two") == whole


def test_no_cluster_at_an_address(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "dormant", "audit", "smollm2", "smollm2-sentiment", *RAY],
        env={**os.environ, "RAY_ADDRESS": "127.0.0.1:9"}, cwd=tmp_path, capture_output=True,
        text=True, check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no Ray cluster at RAY_ADDRESS=127.0.0.1:9" in done.stderr
    assert "Traceback" not in done.stderr
