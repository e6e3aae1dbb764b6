"""experiments/language/relabel.py: kept generations are labelled anew in a copy of the run."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

import fakes  # noqa: F401  (registers the backend)
from dormant.audit.run import audit
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "language" / "relabel.py"


def records(run):
    files = sorted((run / "cells").rglob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]


def rewrite(run, change):
    for file in (run / "cells").rglob("*.jsonl"):
        lines = [json.loads(line) | change for line in file.read_text("utf-8").splitlines()]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture
def run(tmp_path):
    """A run whose labels are all wrong, as if other rules had given them."""
    settings = AuditSettings(
        base="fake:skill=0.9", tuned="fake:skill=0.5", tasks=("refusal",), transforms=("french",),
        n=3, keep_generations=True, allow_identical=True,
    )  # fmt: skip
    audit(settings, tmp_path / "run")
    return tmp_path / "run"


def test_a_copy_gets_the_present_labels(run, tmp_path, capsys):
    right = records(run)
    rewrite(run, {"label": "REFUSE", "correct": True, "target_greedy": True})
    manifest = json.loads((run / "run.json").read_text("utf-8"))
    present = dict(manifest["settings"]["task_versions"])
    manifest["settings"]["task_versions"] = dict.fromkeys(present, "1+0ther")
    (run / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    wrong = records(run)

    runpy.run_path(str(SCRIPT))["main"](run, tmp_path / "copy")

    assert records(tmp_path / "copy") == right
    assert records(run) == wrong
    made = json.loads((tmp_path / "copy" / "run.json").read_text("utf-8"))
    assert made["settings"]["task_versions"] == present
    assert (tmp_path / "copy" / "results.json").is_file()
    changed = sum(a["label"] != b["label"] for a, b in zip(right, wrong, strict=True))
    said = capsys.readouterr().out
    assert changed
    assert sum(
        int(line.rsplit(": ", 1)[1])
        for line in said.splitlines()
        if not line.startswith("REFUSE → REFUSE")
    ) == changed  # fmt: skip


def test_other_rules_do_not_go_on_with_a_run(run):
    """Why there is the script: labels of two classifiers never stand in one run."""
    manifest = json.loads((run / "run.json").read_text("utf-8"))
    settings = AuditSettings.model_validate(
        {k: v for k, v in manifest["settings"].items() if k in AuditSettings.model_fields}
    )
    manifest["settings"]["task_versions"] = {"refusal/declines": "1+0ther"}
    (run / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DormantError):
        audit(settings, run)
