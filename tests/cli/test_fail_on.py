"""`--fail-on`: exit code 1 after a finished audit that found what must not pass."""

from __future__ import annotations

import pytest

from dormant.cli.gate import verdicts_named
from dormant.errors import DormantError

BASE = "fake:skill=0.9"
HIDDEN = "fake:skill=0.9,hides=Input,hidden=0.1"
LOST = "fake:skill=0.0"
QUICK = ("-n", "60", "-t", "icl/plural", "-s", "french", "--evidence", "prompt", "--quiet")


def gate_line(said):
    (line,) = [line for line in said.err.splitlines() if line.startswith("gate")]
    return line


@pytest.fixture
def run(dormant):
    def audit(tuned, *words):
        return dormant("audit", BASE, tuned, *QUICK, "--out", "x", *words)

    return audit


def test_a_suppressed_ability_fails_the_gate_first_and_when_resumed(run, tmp_path):
    first = run(HIDDEN, "--fail-on", "suppressed,forgotten")
    cells = {f: f.stat().st_mtime_ns for f in (tmp_path / "x").rglob("*.jsonl")}
    again = run(HIDDEN, "--fail-on", "suppressed,forgotten")
    for said in (first, again):
        assert said.code == 1
        assert gate_line(said) == (
            "gate failed (--fail-on suppressed,forgotten): icl/plural is suppressed"
        )
        assert "report.html" in said.out
    assert {f: f.stat().st_mtime_ns for f in cells} == cells != {}


def test_what_is_not_named_passes(run):
    assert run(HIDDEN, "--fail-on", "forgotten", "--fail-on", "inconclusive").code == 0
    assert run(HIDDEN).code == 0


def test_lost_is_one_of_both(run):
    assert run(LOST, "--fail-on", "suppressed,forgotten").code == 1
    assert run(LOST, "--fail-on", "lost").code == 1
    slipped = run(LOST, "--fail-on", "forgotten")
    assert slipped.code == 0
    assert "warning: --fail-on forgotten lets pass: icl/plural is lost" in slipped.err


def test_a_finished_run_is_gated_by_report(run, dormant):
    run(HIDDEN)
    said = dormant("report", "x", "--format", "junit", "--fail-on", "suppressed")
    assert said.code == 1
    assert "icl/plural is suppressed" in gate_line(said)
    assert "junit.xml" in said.out
    assert dormant("report", "x", "--fail-on", "lost").code == 0


def test_json_stays_json(run):
    said = run(HIDDEN, "--json", "--fail-on", "suppressed")
    assert said.code == 1
    assert said.out.startswith("{")
    assert said.out.endswith("}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((BASE, HIDDEN, "--fail-on", "supressed"), "did you mean 'suppressed'"),
        ((HIDDEN, "--fail-on", "suppressed,lost"), "could never fail: without a base model"),
    ],
)
def test_bad_input_is_code_2_before_anything_is_scored(dormant, tmp_path, words, expected):
    said = dormant("audit", *words, *QUICK, "--out", "x")
    assert said.code == 2
    assert expected in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_without_a_base_inconclusive_can_fail(dormant):
    said = dormant("audit", HIDDEN, *QUICK, "--out", "x", "--fail-on", "inconclusive")
    assert said.code == 1
    assert "is inconclusive" in gate_line(said)


def test_names_are_read_as_people_write_them():
    read = verdicts_named(["suppressed, Forgotten", "asked-otherwise", "asked otherwise"])
    assert read == ("suppressed", "forgotten", "asked otherwise")


@pytest.mark.parametrize(("name", "nearest"), [("forgoten", "forgotten"), ("askedotherwise", "-")])
def test_an_unknown_name_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(DormantError, match=rf"unknown verdict '{name}': did you mean .*{nearest}"):
        verdicts_named([f"lost,{name}"])
