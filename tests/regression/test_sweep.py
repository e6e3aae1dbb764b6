"""Sweeps: every combination once, one row a run, on either backend."""

import csv
import json

import pytest

from dormant.errors import DormantError
from dormant.regression.settings import load
from dormant.regression.sweep import plan, sweep, values_of

OVER = {"finetuning.steps": [10, 20], "replay": [0.0, 0.5]}


@pytest.fixture(scope="module")
def base(tiny_preset):
    return load(str(tiny_preset), ["seeds=[0]", "pretraining.steps=20"])


@pytest.fixture(scope="module")
def done(base, tmp_path_factory):
    """A finished sweep on the local pool: its directory and rows."""
    out = tmp_path_factory.mktemp("sweep")
    return out, sweep(base, OVER, out, device="cpu", workers=2)


def test_one_row_a_run_in_order(done):
    out, rows = done
    assert [(row["finetuning.steps"], row["replay"]) for row in rows] == [
        (10, 0.0), (10, 0.5), (20, 0.0), (20, 0.5),
    ]  # fmt: skip
    assert len({row["run"] for row in rows}) == 4
    assert not any(row["error"] for row in rows)
    written = list(csv.DictReader((out / "table.csv").read_text().splitlines()))
    assert [row["run"] for row in written] == [row["run"] for row in rows]
    for row, text in zip(rows, written, strict=True):
        assert float(text["finetuned_cont"]) == pytest.approx(row["finetuned_cont"], rel=1e-5)
        results = json.loads((out / "runs" / row["run"] / "results.json").read_text())
        assert row["finetuned_cont"] == results["losses"]["finetuned"]["cont"]["estimate"]


def test_what_is_pretrained_alike_is_pretrained_once(done):
    out, rows = done
    assert len(list((out / "pretraining").iterdir())) == 1
    assert len({row["pretrained_cont"] for row in rows}) == 1
    assert len({row["finetuned_cont"] for row in rows}) == 4


def test_a_sweep_resumes_and_grows(base, done):
    out, rows = done
    files = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/seed-0/errors.npz")}
    more = sweep(base, {"finetuning.steps": [10, 20], "replay": [0.5]}, out, device="cpu")
    assert more == [row for row in rows if row["replay"] == 0.5]
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_run_that_fails_has_its_reason_in_its_row(base, tmp_path):
    rates = [1e-3, 1e30]
    rows = sweep(base, {"finetuning.learning_rate": rates}, tmp_path, device="cpu", workers=1)
    assert rows[0]["error"] == ""
    assert "diverged at step" in rows[1]["error"]
    assert rows[1]["finetuned_cont"] == ""


@pytest.mark.slow
def test_ray_gives_the_same_table(base, done, tmp_path):
    ray = pytest.importorskip("ray")
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = sweep(base, OVER, tmp_path, backend="ray", device="cpu")
    finally:
        ray.shutdown()
    local = done[1]
    assert [{**row, "wall_seconds": 0} for row in rows] == [
        {**row, "wall_seconds": 0} for row in local
    ]


def test_values_are_read_as_toml():
    assert values_of("alpha=0.1,0.5") == ("alpha", [0.1, 0.5])
    assert values_of("tokens=paired, interleaved") == ("tokens", ["paired", "interleaved"])
    assert values_of("gammas=[1.5],[2,3]") == ("gammas", [[1.5], [2, 3]])


def test_seeds_can_be_swept_one_by_one(base, tmp_path):
    jobs = plan(base, {"seeds": [4, 5]}, tmp_path)
    assert [job.settings.seeds for job in jobs] == [(4,), (5,)]


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({}, "needs a field"),
        ({"alpha": []}, "needs a field"),
        ({"alfa": [1]}, "did you mean 'prior.alpha'"),
        ({"alpha": [0.5, 3]}, "less than or equal to 1"),
        ({"alpha": [0.5], "prior.alpha": [0.1]}, "swept twice"),
    ],
)
def test_bad_sweeps_are_told_before_anything_runs(base, tmp_path, over, said):
    with pytest.raises(DormantError, match=said):
        sweep(base, over, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_bad_values_are_told():
    with pytest.raises(DormantError, match="write field=value"):
        values_of("alpha")
