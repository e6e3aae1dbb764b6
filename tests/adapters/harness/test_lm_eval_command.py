"""The harness's real command, `dormant lm-eval`, on real checkpoints."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def model(tiny_checkpoint):
    return f"pretrained={tiny_checkpoint},dtype=float32"


def test_identity_is_the_harness_itself(harness, model):
    theirs = harness(model, "--batch_size", "4", model="hf")
    ours = harness(f"base=hf,{model}", "--batch_size", "4")
    assert len(theirs.results) == 3
    assert ours.results == theirs.results
    assert ours.samples == theirs.samples


def test_a_transform_reaches_the_model_and_the_records(harness, model):
    plain = harness(f"base=hf,{model}")
    changed = harness(f"base=hf,{model},transform=rot13")
    assert changed.config["transform"] == "rot13-1"
    assert changed.config["model_args"]["transform"] == "rot13"
    # The logs hold the requests as the task made them, so that they can be paired.
    for task in plain.samples:
        assert changed.asked(task) == plain.asked(task)
        assert changed.answers(task) != plain.answers(task)


def test_dormants_own_scorer_gives_the_same_numbers(harness, model):
    theirs = harness(f"base=hf,{model},transform=leetspeak", which=["tiny_choice"])
    ours = harness(f"base=dormant-fast,{model},transform=leetspeak", which=["tiny_choice"])
    assert ours.results["tiny_choice"]["acc,none"] == theirs.results["tiny_choice"]["acc,none"]
    for one, other in zip(ours.answers("tiny_choice"), theirs.answers("tiny_choice"), strict=True):
        for (mine,), (yours,) in zip(one, other, strict=True):
            assert float(mine[0]) == pytest.approx(float(yours[0]), abs=1e-4)
