"""Engines in environments of their own: where they are, how one is started, what a run says.

`make test-engines` makes the environments; where there is none, a test says so and skips. Nothing
is installed here, and nothing leaves this machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
CPU_VLLM = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    # Threads that are bound to processors wait for one another where others work, too.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
}
"""vLLM on processors: small, and silent towards its makers."""
VLLM_OPTIONS = "dtype=float32,max_model_len=1024,enforce_eager=True,max_num_seqs=16"
WORDS = ("-t", "icl/copy,icl/plural", "-s", "leetspeak", "-n", "25", "--evidence", "prompt")
"""Two abilities, plainly and under a transform: 100 prompts a model."""


def vllm_python() -> str:
    """Return the Python of vLLM's environment, or skip."""
    found = os.environ.get("DORMANT_VLLM_PYTHON", str(ROOT / ".venv-vllm" / "bin" / "python"))
    if not Path(found).exists():
        pytest.skip(f"no vLLM at {found}: make test-engines makes its environment")
    return found


def llama_server() -> str:
    """Return llama.cpp's server, or skip."""
    environment = ROOT / ".venv-llama" / "bin" / "llama-server-vulkan"
    found = os.environ.get("DORMANT_LLAMA_SERVER", str(environment))
    if not Path(found).exists():
        pytest.skip(f"no llama.cpp at {found}: make test-engines makes its environment")
    return found


def llama_converter() -> str:
    """Return llama.cpp's own program that makes a GGUF file of an adapter, or skip."""
    inside = "lib/python*/site-packages/*/llama.cpp/convert_lora_to_gguf.py"
    made = sorted((ROOT / ".venv-llama").glob(inside))
    found = os.environ.get("DORMANT_LLAMA_CONVERTER", str(made[0]) if made else "")
    if not Path(found).is_file():
        pytest.skip(f"no llama.cpp at {found or inside}: make test-engines makes its environment")
    return found


def dormant(folder: Path, *words: object, python: str = sys.executable, **env: str) -> str:
    """Run the command line; return what it says on standard error, where it fails."""
    done = subprocess.run(
        [python, "-m", "dormant", *map(str, words)],
        cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1", **env}, capture_output=True,
        text=True, check=False, timeout=3000,
    )  # fmt: skip
    assert done.returncode in (0, 2), done.stderr
    return done.stderr if done.returncode else ""


def records(run: Path) -> dict[tuple[str, str, str, str], Mapping[str, Any]]:
    """Return a run's records by model, task, transform and item."""
    lines = [
        json.loads(line)
        for file in sorted((run / "cells").rglob("*.jsonl"))
        for line in file.read_text().splitlines()
    ]
    return {(one["model"], one["task"], one["transform"], one["item"]): one for one in lines}


def verdicts(run: Path) -> dict[str, str]:
    """Return a run's verdicts by ability."""
    results = json.loads((run / "results.json").read_bytes())
    return {one["task"]: one["verdict"] for one in results["abilities"]}


class Difference(NamedTuple):
    """What an engine made of prompts that Dormant answered, too.

    Attributes:
        nats: The largest difference between log-probabilities of an answer.
        others: Records on whose success they differ, as (Dormant's, the engine's).
    """

    nats: float
    others: list[tuple[Mapping[str, Any], Mapping[str, Any]]]


def compared(own: Path, engine: Path, models: Sequence[str] = ("base", "tuned")) -> Difference:
    """Compare an engine's run with Dormant's on the same prompts, record by record."""
    ours = {key: one for key, one in records(own).items() if key[0] in models}
    # A model that is audited alone is called tuned.
    theirs = {
        (models[0] if len(models) == 1 else key[0], *key[1:]): one
        for key, one in records(engine).items()
    }
    assert theirs.keys() == ours.keys()
    assert all(one["prompt"] == theirs[key]["prompt"] for key, one in ours.items())
    nats = [abs(one["target_logprob"] - theirs[key]["target_logprob"]) for key, one in ours.items()]
    others = [
        (one, theirs[key]) for key, one in ours.items() if one["correct"] != theirs[key]["correct"]
    ]
    return Difference(max(nats), others)


@contextlib.contextmanager
def started(words: Sequence[object], log: Path, health: str, **env: str) -> Generator[None]:
    """Start a server, wait until it answers at an address, HOST:PORT or of HTTP, and end it.

    Raises:
        AssertionError: It ended, or took half an hour.
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(word) for word in words], stdout=output, stderr=output, start_new_session=True,
            env={**os.environ, **env},
        )  # fmt: skip
    try:
        until = time.monotonic() + 1800
        while True:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < until, log.read_text()[-3000:]
            with contextlib.suppress(OSError), _reached(health):
                break
            time.sleep(1)
        yield
    finally:
        # An engine's own processes, too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _reached(health: str) -> Any:
    if health.startswith("http:"):
        return urllib.request.urlopen(health, timeout=5)
    host, _, port = health.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
