"""``dormant lab`` and ``dormant list presets``."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.toml"
    path.write_text(
        'seeds = [0]\n[prior]\ntasks = 2\n[model]\ndim = 2\npositions = 4\nwidth = 8\ndepth = 1\n'
        'heads = 2\ntokens = "paired"\n[pretraining]\nsteps = 20\nbatch = 8\n[finetuning]\n'
        "steps = 10\nbatch = 8\n[evaluation]\nprompts = 20\nchoosing_prompts = 20\n"
        "curve_prompts = 20\n"
    )  # fmt: skip
    return path


def test_run_prints_one_screen_and_names_its_figures(dormant, tiny):
    said = dormant("lab", "run", tiny, "--out", "out", "-q", "--device", "cpu")
    assert said.code == 0, said.err
    assert "ridge: optimum, D_cont" in said.out
    assert "20 prompts" in said.out
    assert "out/figures/conjugation.png" in said.out
    assert len(said.out.splitlines()) < 24
    again = dormant("lab", "run", tiny, "--out", "out", "--json", "--device", "cpu")
    assert json.loads(again.out) == json.loads(Path("out/results.json").read_text())


def test_run_takes_changes_and_seeds(dormant, tiny):
    said = dormant(
        "lab", "run", tiny, "--set", "alpha=0.25", "--set", "finetuning.steps=5",
        "--seeds", "1,2", "--json", "--device", "cpu",
    )  # fmt: skip
    assert json.loads(said.out)["seeds"] == [1, 2]
    written = json.loads(Path("runs/lab-tiny/run.json").read_text())["laboratory"]
    assert (written["prior"]["alpha"], written["finetuning"]["steps"]) == (0.25, 5)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "quikc"], "did you mean 'quick'"),
        (["run", "quick", "--set", "alfa=1"], "did you mean 'prior.alpha'"),
        (["run", "quick", "--seeds", "a"], "give whole numbers"),
        (["sweep", "quick", "--over", "alpha"], "write field=value"),
        (["sweep", "quick", "--over", "alpha=1", "--over", "alpha=0"], "swept twice"),
        (["sweep", "quick", "--over", "alpha=1", "--backend", "rey"], "did you mean 'ray'"),
    ],
)
def test_bad_input_is_one_line_and_code_2(dormant, words, said):
    found = dormant("lab", *words)
    assert found.code == 2
    assert said in found.err
    assert found.err.count("\n") == 1


def test_a_diverged_run_is_one_line_and_code_2(dormant, tiny):
    found = dormant(
        "lab", "run", tiny, "--set", "pretraining.learning_rate=1e30", "-q", "--device", "cpu"
    )
    assert found.code == 2
    assert "diverged at step" in found.err
    assert found.err.count("\n") == 1


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_says_how_to_go_on(dormant, tiny, monkeypatch, sent, code):
    from dormant.regression import phase

    def stopped(*args, **options):
        os.kill(os.getpid(), sent)
        time.sleep(60)

    monkeypatch.setattr(phase, "train", stopped)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    found = dormant("lab", "run", tiny, "-q", "--device", "cpu")
    signal.signal(signal.SIGINT, before)
    assert found.code == code
    assert "the same command goes on" in found.err


def test_sweep_prints_a_row_a_run(dormant, tiny):
    found = dormant(
        "lab", "sweep", tiny, "--over", "alpha=0.2,0.8", "--out", "out", "-q", "--workers", "1"
    )
    assert found.code == 0, found.err
    rows = [line for line in found.out.splitlines() if line.strip().startswith(("0.2", "0.8"))]
    assert len(rows) == 2
    assert "out/table.csv" in found.out


def test_presets_are_listed(dormant):
    found = dormant("list", "presets")
    assert [line.split()[0] for line in found.out.splitlines()] == ["paper", "paper-small", "quick"]
