"""The GitHub Action: its steps, run by a shell as a runner runs them, on fakes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as XML

import pytest
import yaml

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
HIDDEN = "fake:skill=0.9,hides=Input,hidden=0.1"
QUICK = {
    "base": "fake:skill=0.9",
    "tuned": HIDDEN,
    "tasks": "icl/plural",
    "transforms": "french",
    "items": "60",
    "evidence": "prompt",
}
PYTHON = """#!/bin/bash
# The `python` of a runner: pip is written down, models are fakes.
if [ "$1 $2" = "-m pip" ]; then printf '%s\\n' "${{@:3}}" > {pip}; exit 0; fi
code='import sys; sys.argv = ["dormant", *sys.argv[3:]]
if sys.argv[1] == "audit": import fakes
from dormant.cli import main
main()'
exec {python} -c "$code" "$@"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@dataclass
class Runner:
    """Runs steps one after the other, until one fails."""

    folder: Path
    failed: str = ""
    said: str = ""
    outputs: dict[str, str] = field(default_factory=dict)

    def run(self, **given: str) -> Runner:
        inputs = {name: str(one.get("default", "")) for name, one in ACTION["inputs"].items()}
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        python = tools / "python"
        python.write_text(PYTHON.format(python=sys.executable, pip=self.folder / "pip"))
        python.chmod(0o755)
        for step in STEPS.values():
            env = {
                name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda m: inputs[m[1]], value)
                for name, value in step["env"].items()
            }
            path = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.folder,
                env={
                    **os.environ,
                    "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
                    "PYTHONPATH": path,
                    "GITHUB_OUTPUT": str(self.folder / "output"),
                    "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
                    "GITHUB_ACTION_PATH": "/the/action",
                    **env,
                },
                capture_output=True,
                text=True,
            )
            self.said += done.stdout + done.stderr
            if done.returncode:
                self.failed = f"{step['name']}: {done.returncode}"
                break
        lines = (self.folder / "output").read_text().splitlines()
        self.outputs = dict(line.split("=", 1) for line in lines)
        return self

    def text(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")


@pytest.fixture
def runner(tmp_path):
    (tmp_path / "output").touch()
    return Runner(tmp_path)


def test_nothing_from_outside_is_written_into_a_script():
    text = (ROOT / "action.yml").read_text("utf-8")
    assert "secrets" not in text
    for step in STEPS.values():
        assert "${{" not in step["run"]
        assert step["shell"] == "bash"
        for value in step["env"].values():
            assert re.fullmatch(r"\$\{\{ inputs\.[\w-]+ \}\}", value)


def test_every_input_is_used_and_every_output_is_set():
    used = {m for step in STEPS.values() for m in re.findall(r"inputs\.([\w-]+)", str(step["env"]))}
    assert used == set(ACTION["inputs"])
    for output in ACTION["outputs"].values():
        (step, name) = re.findall(r"steps\.(\w+)\.outputs\.(\w+)", output["value"])[0]
        (script,) = [one["run"] for one in STEPS.values() if one.get("id") == step]
        assert f'echo "{name}=' in script


def test_a_suppressed_ability_fails_the_last_step_with_reports_written(runner):
    runner.run(**QUICK)
    assert runner.failed == "Gate: 1", runner.said
    assert "gate failed" in runner.said
    assert "icl/plural is suppressed" in runner.said
    assert runner.text("pip").splitlines()[-1] == "/the/action[models]"
    assert "### Dormant:" in runner.text("summary")
    assert "◐ suppressed (prompt: french)" in runner.text("summary")
    assert XML.fromstring(runner.text(runner.outputs["junit"])).attrib["failures"] == "1"
    assert runner.text(runner.outputs["page"]).startswith("<!doctype html>")
    assert (runner.folder / runner.outputs["run"] / "results.json").is_file()
    assert runner.text(runner.outputs["markdown"]) == runner.text("summary")


def test_several_models_are_a_timeline_with_its_own_summary_and_gate(runner):
    runner.run(
        **QUICK | {"tuned": f"{HIDDEN}\nfake:skill=0.9,hides=elsewhere\n"},
        arguments="--allow-identical",
    )
    assert runner.failed == "Gate: 1", runner.said
    summary = runner.text("summary")
    assert "2 fine-tuned models" in summary
    assert "| `icl/plural` | ◐ suppressed, +" in summary
    assert summary == runner.text(runner.outputs["markdown"])
    assert "timeline" in runner.text(runner.outputs["page"])
    suites = XML.fromstring(runner.text(runner.outputs["junit"]))
    assert (len(suites), suites.attrib["failures"]) == (2, "1")


def test_without_a_gate_words_with_spaces_arrive_whole_and_nothing_fails(runner):
    runner.run(
        **QUICK | {"tuned": "fake:skill=0.9,hides=In put"},
        out="a run; exit 7",
        arguments="--seed\n3\n\n--allow-identical",
        fail_on="",
        package="none",
    )
    assert runner.failed == "", runner.said
    assert not (runner.folder / "pip").exists()
    assert runner.outputs["run"] == "a run; exit 7"
    assert '"seed": 3' in runner.text("a run; exit 7/run.json")


def test_bad_input_stops_at_the_audit(runner):
    runner.run(**QUICK | {"tuned": "$(touch owned)"})
    assert runner.failed == "Audit: 2", runner.said
    assert not (runner.folder / "owned").exists()
    assert not (runner.folder / "summary").exists()
