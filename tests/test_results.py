"""Records survive a trip through text, and what can't be read of them is told in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dormant.errors import DormantError
from dormant.results import (
    SCHEMA_VERSION,
    AbilityResult,
    AuditResults,
    CellEstimates,
    Cells,
    Estimate,
    ItemOutcome,
    TransformResult,
    parse_record,
)

ESTIMATE = Estimate(estimate=0.1 + 0.2, low=-1 / 3, high=1, method="tango-score")
TRANSFORM = TransformResult(
    name="french",
    signature="french:native",
    n_items=3,
    excluded_items=1,
    exclusions={"outside the domain": 1},
    control_passed=True,
    accuracy=Cells(base_plain=1.0, tuned_plain=0.0),
    accuracy_intervals=CellEstimates(base_plain=ESTIMATE),
    gain=ESTIMATE,
    recovery=ESTIMATE,
    p_value=1e-300,
    p_adjusted=1.0,
)
ABILITY = AbilityResult(
    task="icl/copy",
    verdict="inconclusive",
    reason="Übung — 3 points",
    n_items=4,
    items_needed=120,
    accuracy=Cells(),
    accuracy_intervals=CellEstimates(),
    drop=None,
    transforms=[TRANSFORM],
)
AUDIT = AuditResults(
    base=None,
    tuned="smollm2",
    settings={"margin": 0.05, "transforms": ["french"]},
    versions={"dormant": "0.1.0"},
    abilities=[ABILITY],
)


def test_audit_survives_the_trip_through_text():
    text = AUDIT.to_json()
    assert AuditResults.model_validate_json(text) == AUDIT
    assert AuditResults.model_validate_json(text).to_json() == text


def test_json_names_its_schema():
    assert json.loads(AUDIT.to_json())["schema"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 2}, "written by a newer version (schema 2, and 1 is understood here)"),
        ({"tuned": 3}, "x.json: damaged record (tuned: Input should be a valid string); advice"),
        ({"schema": 0}, "x.json: damaged record (schema: "),
    ],
)
def test_newer_and_damaged_records_are_one_line(change, words):
    text = json.dumps({**json.loads(AUDIT.to_json()), **change}).encode()
    with pytest.raises(DormantError) as error:
        parse_record(AuditResults, text, Path("x.json"), "advice")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", [b"", b"[", b"[]", b"3", b"\xff", b'{"schema": 1}'])
def test_what_is_no_record_is_one_line(text):
    with pytest.raises(DormantError, match=r"x\.json: damaged record"):
        parse_record(AuditResults, text, Path("x.json"), "advice")


def test_fields_of_a_newer_version_are_ignored():
    body = json.loads(AUDIT.to_json())
    body["added"] = body["abilities"][0]["added"] = 1
    body["abilities"][0]["transforms"][0]["gain"]["added"] = [1]
    text = json.dumps(body).encode()
    assert parse_record(AuditResults, text, Path("x.json"), "advice") == AUDIT


def test_unknown_verdict_is_refused():
    with pytest.raises(ValidationError):
        AbilityResult.model_validate({**ABILITY.model_dump(), "verdict": "gone"})


@pytest.mark.parametrize(
    ("rung", "verdict"),
    [
        (None, "lost"),
        ("prompt", "lost"),
        ("noise", "lost"),
        ("relearn", "forgotten"),
        ("teach", "forgotten"),
    ],
)
def test_what_was_called_forgotten_without_relearning_is_read_as_lost(rung, verdict):
    old = {**ABILITY.model_dump(mode="json"), "verdict": "forgotten", "rung": rung}
    if rung is None:
        del old["rung"]
    read = AbilityResult.model_validate_json(json.dumps(old))
    assert read.verdict == verdict
    assert read.model_dump(mode="json") == {**old, "verdict": verdict, "rung": rung}


def test_records_are_frozen():
    with pytest.raises(ValidationError):
        ESTIMATE.estimate = 0.0  # pyright: ignore[reportAttributeAccessIssue]


def test_item_outcome_survives_the_trip_through_text():
    outcome = ItemOutcome(
        model="tuned",
        task="icl/copy",
        transform="plain",
        item="7",
        prompt="Input: a\u2028b\nOutput:",
        target="a",
        target_logprob=-0.1,
        target_greedy=True,
        other_logprobs=(-1.5, -1e-9),
        correct=True,
    )
    assert ItemOutcome.model_validate_json(outcome.model_dump_json()) == outcome
