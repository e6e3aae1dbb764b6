"""Run directories and results.json of 0.1.0 are read: the run in tests/golden was written by it."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import dormant as dm
from dormant.audit.run_dir import RunDirectory
from dormant.results import SCHEMA_VERSION
from dormant.statistics import Success, judge_ability, plain_cells, transform_cells

OLD = Path(__file__).parents[1] / "golden" / "run-0.1.0"


@pytest.fixture
def old(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_python_reads_it(old):
    found = dm.load_results(old)
    assert found.verdicts == {"icl/plural": "suppressed"}
    assert found.results.versions["dormant"] == "0.1.0"
    assert len(list(found.items())) == 2 * 3 * 24
    # Fields that came later are left at their defaults; all others are as they were written.
    again = found.results.model_dump_json(by_alias=True, indent=1, exclude_unset=True)
    assert f"{again}\n" == (OLD / "results.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("format_", "name"),
    [
        ("html", "report.html"),
        ("latex", "report.tex"),
        ("csv", "report.csv"),
        ("json", "report.json"),
    ],
)
def test_every_format_of_the_report_reads_it(dormant, old, format_, name):
    said = dormant("report", old, "--format", format_)
    assert said.code == 0, said.err
    assert Path(said.out.strip()) == old / name
    assert "icl/plural" in (old / name).read_text(encoding="utf-8")
    if format_ == "csv":
        with (old / "report-items.csv").open(newline="", encoding="utf-8") as stream:
            assert len(list(csv.DictReader(stream))) == 2 * 3 * 24


def test_the_terminal_reads_it(dormant, old):
    said = dormant("report", old)
    assert said.code == 0, said.err
    assert "1 ability: 1 suppressed." in said.out


def test_its_outcomes_still_give_its_estimates(old):
    run = RunDirectory.read(old)
    cells: dict[tuple[str, str], dict[str, Success]] = {}
    for one in run.all_outcomes():
        cell = cells.setdefault((one.model, one.transform), {})
        cell[one.item] = Success(one.correct, one.log_odds)
    (ability,) = run.results().abilities
    again = judge_ability(
        "icl/plural",
        plain_cells([*cells["tuned", "plain"]], cells["tuned", "plain"], cells["base", "plain"]),
        [
            transform_cells(
                one.name,
                [*cells["tuned", one.name]],
                cells["tuned", one.name],
                cells["base", one.name],
                signature=one.signature,
                fidelity=one.fidelity,
            )
            for one in ability.transforms
        ],
        title=ability.title,
        margin=run.manifest["settings"]["margin"],
        chance=0.0,
        seed=run.manifest["settings"]["seed"],
    )
    # One half chose, then, and the other was judged; now each chooses for the other.
    held_out = {"best_transform", "gain", "recovery", "rungs", "items_needed"}
    since = {"reason", "lost", "won", "rung", "not_tried", "transforms", *held_out}
    assert again.model_dump(exclude=since) == ability.model_dump(exclude=since)
    for new, old_one in zip(again.transforms, ability.transforms, strict=True):
        contrasts = {"returned_quarter", "reached_quarter"}
        assert new.model_dump(exclude=contrasts) == old_one.model_dump(exclude=contrasts)
    assert again.rung == "prompt"
    assert ability.rung is None
    assert ability.rungs == []
    assert again.lost is not None
    assert again.won is not None
    assert again.drop is not None
    assert (again.lost - again.won) / again.n_items == pytest.approx(again.drop.estimate)


def test_a_newer_run_is_one_line(dormant, old):
    for name in ("results.json", "run.json"):
        body = json.loads((old / name).read_bytes())
        body["schema"] = SCHEMA_VERSION + 1
        (old / name).write_text(json.dumps(body))
        said = dormant("report", old)
        assert said.code == 2
        assert f"{name}: written by a newer version (schema 2" in said.err
        assert said.err.count("\n") == 1


@pytest.mark.parametrize("damage", [b"\xff\n", b"{}\n", b"[1]\n", b'{"item": 3}\n', b'{"item"'])
@pytest.mark.parametrize("format_", ["html", "csv"])
def test_a_damaged_record_names_its_line(dormant, old, damage, format_):
    file = sorted((old / "cells").glob("*/plain.base.jsonl"))[0]
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:2], damage, *lines[3:]]))
    said = dormant("report", old, "--format", format_)
    assert said.code == 2
    assert f"{file}:3: damaged record" in said.err
    assert said.err.count("\n") == 1
