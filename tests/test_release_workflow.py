"""The release workflow: what it uses is pinned, and its build job's steps run in a shell."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import dormant

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8")
JOBS = yaml.safe_load(TEXT)["jobs"]
STEPS = {step["name"]: step["run"] for step in JOBS["build"]["steps"] if "run" in step}

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


def shell(script: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=folder, env={**os.environ, **env}, capture_output=True, text=True,
    )  # fmt: skip


def test_every_action_is_pinned_to_a_commit():
    used = re.findall(r"uses: (\S+)(?:  # (v[\d.]+))?$", TEXT, re.MULTILINE)
    assert len(used) == sum("uses" in step for job in JOBS.values() for step in job["steps"]) >= 6
    for action, version in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
        assert version, f"{action}: say of which version"


def test_only_the_job_that_publishes_may_ask_for_a_token():
    assert yaml.safe_load(TEXT)["permissions"] == {}
    asking = [name for name, job in JOBS.items() if "id-token" in job["permissions"]]
    assert asking == ["publish"]
    assert JOBS["publish"]["environment"] == "pypi"
    # It runs nothing of the repository's.
    assert not any("run" in step for step in JOBS["publish"]["steps"])
    assert "secrets." not in TEXT


@needs_bash
def test_a_tag_of_another_version_stops_it(tmp_path):
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    for name in ("pyproject.toml", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tmp_path)
    log = tmp_path / "CHANGELOG.md"
    compare, version = STEPS["Compare tag and version"], dormant.__version__

    said = shell(compare, tmp_path, PATH=path, GITHUB_REF_NAME="v0.0.7")
    assert said.returncode == 1
    assert f"the tag is v0.0.7, pyproject.toml has version {version}" in said.stderr

    log.write_text(f"## {version} (unreleased)\n")
    said = shell(compare, tmp_path, PATH=path, GITHUB_REF_NAME=f"v{version}")
    assert said.returncode == 1
    assert "unreleased" in said.stderr

    log.write_text(f"## {version}\n")
    assert shell(compare, tmp_path, PATH=path, GITHUB_REF_NAME=f"v{version}").returncode == 0


@needs_bash
@pytest.mark.slow
def test_the_build_job_builds(tmp_path):
    """All of its steps in a clone, with a new environment for its Python."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    log = clone / "CHANGELOG.md"
    log.write_text(log.read_text("utf-8").replace(" (unreleased)", "", 1), "utf-8")
    env = {
        "PATH": f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": "",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_REF_NAME": f"v{dormant.__version__}",
    }
    said = ""
    for name, script in STEPS.items():
        done = shell(script, clone, **env)
        said += done.stdout
        assert done.returncode == 0, (name, done.stdout[-2000:], done.stderr[-2000:])
    assert said.count("PASSED") == 4
    assert f"dormant {dormant.__version__}\n" in said
    assert said.rstrip().endswith("Wh47 15 7h15?")
