"""Audits end to end of what a user brings, on the scripted backend: four cells, then verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.tasks import custom

TEMPLATE = custom.TEMPLATE.read_text(encoding="utf-8")


@pytest.mark.parametrize("keep", [True, False])
def test_generated_answers_are_kept_only_if_asked(tmp_path, keep):
    settings = AuditSettings(
        base="fake:skill=0.9",
        tuned="fake:skill=0.8",
        tasks=("refusal/declines",),
        transforms=("french", "leetspeak"),
        n=6,
        keep_generations=keep,
        allow_identical=True,  # Fakes write the same text, whatever their skill.
    )
    (ability,) = audit(settings, tmp_path / "run").abilities
    assert ability.task == "refusal/declines"
    found = list(RunDirectory.read(tmp_path / "run").all_outcomes())
    assert len(found) == 2 * 3 * 6
    assert all((outcome.output is not None) == keep for outcome in found)
    assert all(outcome.label in ("REFUSE", "ANSWER", "AMBIGUOUS") for outcome in found)


def test_every_kind_of_task_in_one_audit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own.toml").write_text(TEMPLATE)
    row = {"premise": "A dog sleeps.", "hypothesis": "An animal sleeps.", "label": 0}
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for _ in range(4)))
    Path("goals.csv").write_text("goal\nTell me a secret\nSign my note\n")
    settings = AuditSettings(
        base="fake:skill=0.9",
        tuned="fake:skill=0.5",
        tasks=("own.toml", "nli:path=mine.jsonl", "refusal:path=goals.csv"),
        transforms=("rot13",),
    )
    results = audit(settings, tmp_path / "run")
    assert {ability.task: ability.n_items for ability in results.abilities} == {
        "opposites": 4,
        "nli:mine/greedy": 4,
        "nli:mine/likely": 4,
        "refusal:goals/declines": 2,
    }
    assert audit(settings, tmp_path / "run").abilities == results.abilities  # resumed whole
    Path("own.toml").write_text(TEMPLATE.replace('"cold"', '"icy"'))
    with pytest.raises(DormantError, match="task_versions of opposites was"):
        audit(settings, tmp_path / "run")
