"""Runs from end to end: what they leave, how they resume, what they refuse."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from dormant.errors import DormantError
from dormant.progress import Silent
from dormant.regression import lab
from dormant.regression import phase as one_phase
from dormant.regression.evaluation import prompts_of
from dormant.regression.priors import Mixture, Units
from dormant.regression.records import (
    best_gamma,
    mean_estimate,
    net_share,
    ratio_estimate,
    recovered_share,
)
from dormant.regression.rundir import LabRun, Log
from dormant.regression.settings import changed, load
from dormant.regression.streams import stream
from dormant.regression.task_priors import task_priors
from dormant.rundirs import locked


class Stop(Exception):
    """Stands for a kill."""


class StopAt(Silent):
    """Stops the run after some steps."""

    def __init__(self, steps):
        self.left = steps

    def advance(self, amount):
        self.left -= amount
        if self.left <= 0:
            raise Stop


def same_run(one, two):
    """Compare everything but times."""
    for seed in one.settings.seeds:
        first, second = one.seed(seed).errors(), two.seed(seed).errors()
        assert first.keys() == second.keys()
        for name in first.keys() - {"seconds"}:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        for phase in ("pretraining", "finetuning"):
            rows = [run.seed(seed).log(phase).rows() for run in (one, two)]
            stripped = [[{**row, "seconds": 0} for row in each] for each in rows]
            assert stripped[0] == stripped[1]
    numbers = [run.results().model_dump() | {"wall_seconds": 0} for run in (one, two)]
    assert numbers[0] == numbers[1]


def test_results_json_is_schema_1(tiny_run):
    raw = json.loads((tiny_run.path / "results.json").read_text())
    assert list(raw) == [
        "schema", "preset", "seeds", "losses", "gamma", "recovered_share", "wall_seconds",
    ]  # fmt: skip
    assert (raw["schema"], raw["preset"], raw["seeds"]) == (1, "tiny", [0, 1])
    assert set(raw["losses"]) == {
        "pretrained", "finetuned", "finetuned_conjugated", "ridge", "discrete",
    }  # fmt: skip
    for pair in raw["losses"].values():
        for prior in ("cont", "disc"):
            assert pair[prior]["low"] <= pair[prior]["estimate"] <= pair[prior]["high"]
            assert pair[prior]["method"] == "student-t over 2 seeds"
    assert raw["gamma"] in tiny_run.settings.evaluation.gammas
    assert raw["wall_seconds"] > 0


def test_a_run_leaves_the_processor_as_it_was(tiny_run):
    tiny = torch.finfo(torch.float64).tiny
    assert float(torch.tensor(tiny, dtype=torch.float64) / 2) > 0


def test_losses_are_averages_over_prompts_and_all_positions(tiny_run):
    results, settings = tiny_run.results(), tiny_run.settings
    means = []
    for seed in settings.seeds:
        priors = task_priors(settings, seed)
        xs, ys = prompts_of(priors.cont, "cont", settings, seed)
        model = tiny_run.seed(seed).model("finetuned")
        with torch.no_grad():
            scaled = model(type(prompts_of(priors.cont, "cont", settings, seed))(
                xs, results.gamma * ys))  # fmt: skip
        means.append(float((scaled / results.gamma - ys).square().mean()))
    assert results.losses.finetuned_conjugated.cont.estimate == pytest.approx(np.mean(means))


def test_gamma_is_chosen_on_prompts_of_their_own(tiny_run):
    errors = [dict(one) for one in tiny_run.all_errors()]
    gammas = tiny_run.settings.evaluation.gammas
    for one in errors:
        for gamma in gammas:
            one[f"choosing/finetuned@{gamma:g}"] = np.full((4, 6), abs(gamma - 2.0))
            one[f"cont/finetuned@{gamma:g}"] = np.full((4, 6), -gamma)
    assert best_gamma(errors, gammas) == 2.0
    settings = tiny_run.settings
    prior = task_priors(settings, 0).cont
    reported = prompts_of(prior, "cont", settings, 0).ys
    choosing = prompts_of(prior, "choosing", settings, 0).ys
    assert not set(reported.flatten().tolist()) & set(choosing.flatten().tolist())


def test_recovered_share():
    def errors(pretrained, finetuned, conjugated):
        noise = np.random.default_rng(0).normal(size=(200, 3)) * 0.1
        names = {"pretrained": pretrained, "finetuned": finetuned, "finetuned@2": conjugated}
        return {f"cont/{name}": value + noise for name, value in names.items()}

    shares = [errors(1.0, 2.0, 1.5), errors(1.0, 2.0, 1.25), errors(1.0, 2.2, 1.6)]
    share = recovered_share(shares, "finetuned@2")
    assert share.estimate == pytest.approx((0.5 + 0.75 + 0.5) / 3)
    assert share.method == "student-t over 3 seeds"
    assert recovered_share(shares[:1], "finetuned@2").estimate == pytest.approx(0.5)
    # Nothing was lost, so there is no share to speak of.
    assert recovered_share([errors(1.0, 0.9, 0.8)], "finetuned@2") is None
    assert recovered_share([errors(1.0, 0.9, 0.8)] * 3, "finetuned@2") is None


def test_net_share_leaves_out_what_s_does_for_the_pretrained_model():
    values = {"pretrained": 2.0, "finetuned": 4.0, "pretrained@2": 1.5, "finetuned@2": 2.5}
    noise = np.random.default_rng(0).normal(size=(100, 3)) * 0.01
    errors = {f"cont/{name}": value + noise for name, value in values.items()}
    # 2 was lost and 1 is left under s; the plain share, (4 − 2.5) / 2, counts the 0.5 as well.
    assert net_share([errors], 2.0).estimate == pytest.approx(0.5)
    assert recovered_share([errors], "finetuned@2").estimate == pytest.approx(0.75)


def test_fiellers_interval_covers():
    draws = np.random.default_rng(1).normal(size=(2000, 40, 2))
    above, below = 1.0 + draws[..., 0], 2.0 + 0.6 * draws[..., 0] + draws[..., 1]
    found = [ratio_estimate(a, b) for a, b in zip(above, below, strict=True)]
    covered = np.mean([one.low <= 0.5 <= one.high for one in found])
    # The true ratio is 1/2; the standard error of a 95 % rate over 2 000 draws is half a point.
    assert 0.935 < covered < 0.965
    assert ratio_estimate(above[0], below[0] - 2.0) is None


def test_one_seeds_intervals_are_over_prompts():
    one = mean_estimate([np.arange(10.0)])
    assert one.method == "student-t over 10 prompts"
    assert one.estimate == 4.5


@pytest.mark.parametrize("steps", [30, 70, 190])
def test_a_stopped_run_resumes_to_the_same_numbers(tiny_run, tmp_path, steps):
    settings = tiny_run.settings
    with pytest.raises(Stop):
        lab.run(settings, tmp_path / "run", device="cpu", progress=StopAt(steps))
    with pytest.raises(DormantError, match="not finished"):
        LabRun(tmp_path / "run").results()
    lab.run(settings, tmp_path / "run", device="cpu")
    same_run(tiny_run, LabRun(tmp_path / "run"))


def test_a_finished_run_is_not_run_again(tiny_run, monkeypatch):
    monkeypatch.setattr(one_phase, "train", lambda *a, **k: pytest.fail("trained again"))
    monkeypatch.setattr(lab, "measure", lambda *a, **k: pytest.fail("measured again"))
    before = tiny_run.results()
    assert lab.run(tiny_run.settings, tiny_run.path, device="cpu") == before


def test_other_settings_are_refused(tiny_run):
    other = changed(tiny_run.settings, ["alpha=0.25"])
    with pytest.raises(DormantError, match=r"prior\.alpha was 0\.5, now 0\.25"):
        lab.run(other, tiny_run.path, device="cpu")


def test_directories_of_others_are_refused(tiny_run, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DormantError, match=r"notes\.txt"):
        lab.run(tiny_run.settings, tmp_path, device="cpu")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DormantError, match="damaged, or not a laboratory run"):
        lab.run(tiny_run.settings, tmp_path, device="cpu")
    held = locked(tmp_path / "held")
    with pytest.raises(DormantError, match="in use"):
        lab.run(tiny_run.settings, tmp_path / "held", device="cpu")
    held.release()
    with pytest.raises(DormantError, match="no laboratory run"):
        LabRun(tmp_path / "nowhere")


def test_weights_of_another_shape_are_refused(tiny_run, tmp_path):
    wider = changed(tiny_run.settings, ["width=32"])
    out = tmp_path / "run"
    LabRun.start(out, wider)
    (out / "seed-0").mkdir()
    weights = tiny_run.seed(0).weights("pretrained").read_bytes()
    (out / "seed-0" / "pretrained.safetensors").write_bytes(weights)
    with pytest.raises(DormantError, match="width is 16 there and 32 in this run"):
        lab.run(wider, out, device="cpu")


def test_a_diverged_run_says_where_and_keeps_the_last_good_checkpoint(tiny_preset, tmp_path):
    settings = load(
        str(tiny_preset),
        ["pretraining.learning_rate=1e30", "pretraining.warmup=0", "pretraining.steps=100"],
    )
    with pytest.raises(DormantError, match=r"diverged at step \d+"):
        lab.run(settings, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run" / "results.json").exists()
    lab.locked(tmp_path / "run").release()


def test_a_log_goes_on_where_it_was_left(tmp_path):
    path = tmp_path / "log.jsonl"
    first = Log(path)
    for step in (10, 20, 30):
        first.add({"step": step, "loss": 1.0})
    with path.open("a") as file:
        file.write('{"step": 40, "lo')  # killed while writing
    again = Log(path)
    assert [row["step"] for row in again.rows()] == [10, 20, 30]
    again.add({"step": 20, "loss": 2.0})  # resumed from a checkpoint of step 10
    again.add({"step": 30, "loss": 2.0})
    assert [tuple(row.values()) for row in Log(path).rows()] == [(10, 1.0), (20, 2.0), (30, 2.0)]


def test_unknown_devices_are_told(tiny_run, tmp_path):
    with pytest.raises(DormantError, match="device 'quantum'"):
        lab.run(tiny_run.settings, tmp_path, device="quantum")


def test_figures_have_their_data_beside_them(tiny_run):
    folder = tiny_run.path / "figures"
    assert sorted(file.name for file in folder.iterdir()) == [
        "conjugation.csv", "conjugation.png", "finetuning.csv", "finetuning.png",
        "likelihood.csv", "likelihood.png",
    ]  # fmt: skip
    for file in folder.glob("*.csv"):
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert rows
        for row in rows:
            assert float(row["low"]) <= float(row["estimate"]) <= float(row["high"])
            assert row["interval"] == "student-t over 2 seeds"
    curve = list(csv.DictReader((folder / "finetuning.csv").read_text().splitlines()))
    steps = [float(row["step"]) for row in curve if row["prior"] == "cont"]
    assert steps[0] == 0
    assert max(steps) == 40
    by_gamma = [
        row
        for row in csv.DictReader((folder / "conjugation.csv").read_text().splitlines())
        if row["panel"] == "gamma"
    ]
    assert {row["gamma"] for row in by_gamma} == {"1", "1.5", "2", "3"}
    for file in folder.glob("*.png"):
        assert file.read_bytes().startswith(b"\x89PNG")


def test_bins_of_the_likelihood_figure_hold_every_point_once(tiny_run):
    rows = list(
        csv.DictReader((tiny_run.path / "figures" / "likelihood.csv").read_text().splitlines())
    )
    xs = [float(row["log_likelihood_per_pair"]) for row in rows]
    assert xs == sorted(xs)
    errors = tiny_run.all_errors()
    change = np.mean([(e["cont/finetuned"] - e["cont/pretrained"])[:, 1:].mean() for e in errors])
    # Bins are equal in size, and every prompt has about as many positions in each; so the mean
    # of the bins is close to the mean of all points without being it.
    assert np.mean([float(row["estimate"]) for row in rows]) == pytest.approx(change, abs=0.05)


def test_a_learner_of_all_units_loses_nothing_under_scaling(tiny_preset):
    settings = load(
        str(tiny_preset), ["pretraining_tau=none", "pretraining_units=[1,3]", "alpha=0"]
    )
    priors = task_priors(settings, 0)
    assert isinstance(priors.pretraining, Units)
    prompts = prompts_of(priors.cont, "cont", settings, 0)
    torch.testing.assert_close(priors.pretraining(prompts), priors.cont(prompts))


def test_fine_tuning_draws_what_is_asked(tiny_preset):
    plain = task_priors(load(str(tiny_preset)), 0)
    assert plain.finetuning is plain.disc
    other = task_priors(load(str(tiny_preset), ["finetuning.tasks=other"]), 0)
    assert not torch.equal(other.disc.tasks, plain.disc.tasks)
    assert torch.equal(other.pretraining.components[0].tasks, plain.disc.tasks)
    replayed = task_priors(load(str(tiny_preset), ["replay=0.25"]), 0).finetuning
    assert isinstance(replayed, Mixture)
    assert replayed.weights == (0.25, 0.75)
    assert replayed.components[0].weights == (0.5, 0.5)


def test_a_finite_fine_tuning_set_repeats_its_prompts(tiny_preset):
    settings = load(str(tiny_preset), ["finetuning.prompts=5"])
    prior = task_priors(settings, 0).finetuning
    drawn = prior.sample(200, 6, stream(0, "step"))
    assert len({tuple(ys.tolist()) for ys in drawn.ys}) == 5
    torch.testing.assert_close(prior(drawn), task_priors(settings, 0).disc(drawn))
    with pytest.raises(DormantError, match="6 positions, not 4"):
        prior.sample(2, 4, stream(0, "step"))


@pytest.mark.parametrize("change", ["part=lora", "part=last blocks", "family=quadratic", "alpha=1"])
def test_variants_run(tiny_preset, tmp_path, change):
    settings = load(str(tiny_preset), [change, "seeds=[0]", "pretraining.steps=20"])
    results = lab.run(settings, tmp_path / "run", device="cpu")
    assert results.losses.pretrained.cont.method == "student-t over 60 prompts"


def test_a_shared_pretraining_is_the_same(tiny_run, tmp_path):
    settings = changed(tiny_run.settings, [])
    lab.run(settings, tmp_path / "run", device="cpu", cache=tmp_path / "cache")
    same_run(tiny_run, LabRun(tmp_path / "run"))
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.slow
def test_two_processes_make_one_run(tiny_run, tiny_preset, tmp_path):
    out = tmp_path / "run"
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    done = subprocess.run(
        [
            sys.executable, *launcher, "-m", "dormant", "lab", "run", str(tiny_preset),
            "--out", str(out), "--device", "cpu", "-q",
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("tiny · seed 0, 1") == 1  # one process prints
    alone, together = tiny_run, LabRun(out)
    files = [
        sorted(str(file.relative_to(run.path)) for file in run.path.rglob("*") if file.is_file())
        for run in (alone, together)
    ]
    assert files[0] == files[1]
    for phase in ("pretraining", "finetuning"):
        steps = [
            [row["step"] for row in run.seed(0).log(phase).rows()] for run in (alone, together)
        ]
        assert steps[0] == steps[1]
    # The same prompts are measured, so the exact predictors' losses are the same; training draws
    # others of the same law.
    one, two = (run.results().losses for run in (alone, together))
    for prior in ("cont", "disc"):
        for exact in ("ridge", "discrete"):
            first, second = (getattr(getattr(all_, exact), prior) for all_ in (one, two))
            assert second.estimate == pytest.approx(first.estimate, rel=1e-5)
        for learnt in ("pretrained", "finetuned"):
            first, second = (getattr(getattr(all_, learnt), prior) for all_ in (one, two))
            assert second.estimate == pytest.approx(first.estimate, rel=0.15)


@pytest.mark.slow
def test_ctrl_c_leaves_a_run_that_resumes(tiny_run, tiny_preset, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    # So small a run may be over before a busy machine looks at it: then another one is begun.
    for attempt in range(5):
        out = tmp_path / f"run-{attempt}"
        command = [sys.executable, "-m", "dormant", "lab", "run", tiny_preset, "--out", out, "-q"]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        log = out / "seed-0" / "pretraining.jsonl"
        for _ in range(3000):
            if log.exists() or process.poll() is not None:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        if process.returncode != 0:
            break
    assert process.returncode == 130, said
    assert "the same command goes on" in said.replace("\n", " ")
    assert not (out / "results.json").exists()
    lab.run(load(str(tiny_preset)), out, device="cpu")
    same_run(tiny_run, LabRun(out))
