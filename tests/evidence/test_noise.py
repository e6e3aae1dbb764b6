"""The noise rung of an audit: who climbs, what is kept, and what is said where it can't run."""

from __future__ import annotations

import json

import pytest
import torch

import byte_models
import fakes
from audited_runs import kept, run, told
from dormant.audit import scoring
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.evidence import rungs_of
from dormant.libraries import quiet
from dormant.models import effective
from dormant.report import write_report
from dormant.report.tables import latex_tables, transform_rows
from dormant.scoring.forward import Forward
from dormant.scoring.memory import too_much

ITEMS, BATCH = 32, 16
ONE = {"num_hidden_layers": 1}
EDITS = ("noise-0.05", "noise-0.1", "4-bit")
HIDDEN = {"base": (0.95, 0.9), "tuned": (0.1, 0.8)}
"""Accuracy of each model as it is, and edited: of an ability that noise brings back."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A base, its adapter, and the same merged."""
    folder = tmp_path_factory.mktemp("models")
    base = byte_models.saved(byte_models.byte_llama(**ONE), folder / "base")
    return base, *byte_models.lora(base, folder)


@pytest.fixture
def settings(models, tmp_path):
    file = tmp_path / "task.jsonl"
    rows = [{"name": "mine/copy", "title": "copies", "languages": {"english": {}}}]
    rows += [
        {"language": "english", "id": str(n), "input": f"word {n}", "target": f"{n}"}
        for n in range(ITEMS)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return AuditSettings(
        base=str(models[0]), tuned=str(models[1]), tasks=(str(file),), transforms=("leetspeak",),
        n=ITEMS, shots=0, checkpoint_every=BATCH, device="cpu",
    )  # fmt: skip


@pytest.fixture
def truth(monkeypatch):
    """Let models be right as often as a test says; they are asked all the same."""
    rates = dict(HIDDEN)
    real = scoring.score_cases
    first: dict[str, float] = {}

    def score(lm, task, cases, style):
        outcomes = real(lm, task, cases, style)
        adapters = [
            part.disable_adapters
            for part in lm.model.modules()
            if isinstance(getattr(part, "disable_adapters", None), bool)
        ]
        tuned = adapters[0] is False if adapters else "merged" in str(lm.model.config._name_or_path)
        which = "tuned" if tuned else "base"
        (probe,) = [
            weights
            for name, weights in lm.model.named_parameters()
            if name.endswith("layers.0.mlp.up_proj.weight")
        ]
        seen = float(probe.detach().double().sum())
        edited = seen != first.setdefault("sum", seen)
        return [
            one.model_copy(
                update={"correct": fakes._draw("right", one.item) < rates[which][edited]}
            )
            for one in outcomes
        ]

    monkeypatch.setattr(scoring, "score_cases", score)
    return rates


def noise_cells(results):
    (ability,) = results.abilities
    return {cell.name: cell for cell in ability.transforms if cell.rung == "noise"}


def test_what_prompts_leave_open_climbs_and_comes_back(settings, truth, tmp_path):
    results = run(settings, tmp_path / "run")
    cells = noise_cells(results)
    assert tuple(cells) == EDITS
    assert all(cell.control_passed and cell.gain.low > 0 for cell in cells.values())
    assert "seed 0" in cells["noise-0.1"].signature
    (ability,) = results.abilities
    assert (ability.verdict, ability.rung) == ("suppressed", "noise")
    assert ability.not_tried == []
    assert results.settings["evidence"] == "noise"
    rungs = {row["transform"]: row["rung"] for row in transform_rows(results)}
    assert rungs == {"leetspeak": "prompt", **dict.fromkeys(EDITS, "noise")}
    # Each rung has half of the error.
    assert [(one.rung, one.gain.level) for one in ability.rungs] == [
        ("prompt", pytest.approx(0.975)),
        ("noise", pytest.approx(0.975)),
    ]
    page = write_report(
        results, RunDirectory.read(tmp_path / "run").all_outcomes(), tmp_path / "page.html", "html"
    )
    assert all(name in page.read_text(encoding="utf-8") for name in EDITS)
    assert all(name in latex_tables(results) for name in ("noise{-}0.05", "4{-}bit"))
    records = [*RunDirectory.read(tmp_path / "run").all_outcomes()]
    assert {(one.model, one.transform) for one in records} == {
        (model, name) for model in ("base", "tuned") for name in ("plain", "leetspeak", *EDITS)
    }
    # The models were really asked while they were edited.
    logprobs = {
        name: tuple(one.target_logprob for one in records if one.transform == name)
        for name in ("plain", *EDITS)
    }
    assert len(set(logprobs.values())) == 4


def test_weights_are_the_models_own_between_and_after(settings, truth, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dormant.models.live import LiveModel

    inner = AutoModelForCausalLM.from_pretrained(settings.base)
    tokenizer = AutoTokenizer.from_pretrained(settings.base)
    with quiet():
        peft = PeftModel.from_pretrained(inner, settings.tuned).eval()
    before = {name: weights.clone() for name, weights in peft.state_dict().items()}
    live = {
        "base": LiveModel.of((peft.get_base_model(), tokenizer)),
        "tuned": LiveModel.of((peft, tokenizer)),
    }
    with quiet():
        results = audit(settings, tmp_path / "run", live=live, rungs=rungs_of(settings))
    assert tuple(noise_cells(results)) == EDITS
    assert all(torch.equal(weights, before[name]) for name, weights in peft.state_dict().items())


def test_an_edit_that_harms_the_base_proves_nothing(settings, truth, tmp_path):
    truth["base"] = (0.95, 0.3)
    results = run(settings, tmp_path / "run")
    cells = noise_cells(results)
    assert not any(cell.control_passed for cell in cells.values())
    assert all("less than half" in cell.control_reason for cell in cells.values())
    assert results.abilities[0].verdict != "suppressed"


def test_two_checkpoints_climb_as_an_adapter_does(models, settings, truth, tmp_path):
    results = run(settings, tmp_path / "run", tuned=str(models[2]))
    assert tuple(noise_cells(results)) == EDITS
    assert results.abilities[0].rung == "noise"


@pytest.mark.parametrize("right", [0.95, 0.93], ids=["same", "undecided"])
def test_what_did_not_surely_drop_does_not_climb(settings, truth, tmp_path, right):
    truth["tuned"] = (right, right)
    results = run(settings, tmp_path / "run")
    assert results.abilities[0].drop.low <= 0
    assert noise_cells(results) == {}
    assert results.abilities[0].not_tried == []


def test_what_came_back_by_a_prompt_does_not_climb(settings, truth, tmp_path, monkeypatch):
    real = scoring.score_cases

    def score(lm, task, cases, style):
        # Leetspeak brings all back.
        back = [case.undo is not None for case in cases]
        return [
            one.model_copy(update={"correct": one.correct or under})
            for one, under in zip(real(lm, task, cases, style), back, strict=True)
        ]

    monkeypatch.setattr(scoring, "score_cases", score)
    results = run(settings, tmp_path / "run")
    (ability,) = results.abilities
    assert (ability.verdict, ability.rung) == ("suppressed", "prompt")
    assert noise_cells(results) == {}
    # It could have climbed, had its data been others: half of the error is left to noise.
    assert ability.gain.level == pytest.approx(0.975)
    alone = run(settings, tmp_path / "run", evidence="prompt")
    assert alone.abilities[0].gain.level == pytest.approx(0.95)


class Stopped(Exception):
    pass


def test_an_interrupted_climb_ends_as_an_unbroken_one(settings, truth, tmp_path, monkeypatch):
    whole = run(settings, tmp_path / "whole")
    appends = sum(len(lines.splitlines()) for lines in kept(tmp_path / "whole").values()) // BATCH
    prompts = 2 * 2 * ITEMS // BATCH
    assert appends == prompts + 2 * 3 * ITEMS // BATCH
    real = RunDirectory.append
    # Before the first edit's cell; within the base's second one; at the tuned model's last.
    for stop in (prompts, prompts + 3, appends - 1):
        out, left = tmp_path / f"at{stop}", [stop]

        def append(self, cell, outcomes, left=left):
            if not left[0]:
                # Killed while it wrote: half a batch reaches the disk.
                real(self, cell, outcomes[: len(outcomes) // 2])
                raise Stopped
            left[0] -= 1
            real(self, cell, outcomes)

        with monkeypatch.context() as stopping:
            stopping.setattr(RunDirectory, "append", append)
            with pytest.raises(Stopped):
                run(settings, out)
        assert told(run(settings, out)) == told(whole)
        assert kept(out) == kept(tmp_path / "whole")


def test_a_finished_climb_is_read_without_a_model(settings, truth, tmp_path, monkeypatch):
    from dormant.models.pair import ModelPair

    first = run(settings, tmp_path / "run")
    monkeypatch.setattr(ModelPair, "open", None)
    assert told(run(settings, tmp_path / "run")) == told(first)


def test_a_run_goes_on_with_more_evidence_or_less(settings, truth, tmp_path):
    whole, out = run(settings, tmp_path / "whole"), tmp_path / "run"
    less = run(settings, out, evidence="prompt")
    assert noise_cells(less) == {}
    assert less.settings["evidence"] == "prompt"
    plain = kept(out)
    assert told(run(settings, out)) == told(whole)
    assert kept(out) == kept(tmp_path / "whole")
    assert {name: kept(out)[name] for name in plain} == plain
    # Nothing is said of what is on disk and was not asked for.
    assert told(run(settings, out, evidence="prompt")).model_dump() == told(less).model_dump()
    page = write_report(less, RunDirectory.read(out).all_outcomes(), out / "page.html", "html")
    assert "noise-0.1" not in page.read_text(encoding="utf-8")


def reasons(results):
    (ability,) = results.abilities
    return {one.name: one.reason for one in ability.not_tried if one.rung == "noise"}


def test_no_room_for_a_copy_is_named(settings, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(effective, "free_memory", lambda device: 10)
    results = run(settings, tmp_path / "run")
    (why,) = reasons(results).values()
    assert why.startswith("out of memory: no room for a copy of the layers' weights")
    assert noise_cells(results) == {}
    assert "Not tried: the noise rung (out of memory" in results.abilities[0].reason


def test_out_of_memory_on_one_prompt_is_named_and_the_other_edits_count(
    settings, truth, tmp_path, monkeypatch
):
    real, calls = scoring.score_cases, []

    def score(lm, task, cases, style):
        calls.append(None)
        # The first edit's second batch.
        if len(calls) == 2 * 2 * ITEMS // BATCH + 2:
            raise too_much()
        return real(lm, task, cases, style)

    with monkeypatch.context() as short:
        short.setattr(scoring, "score_cases", score)
        results = run(settings, tmp_path / "run")
    assert list(reasons(results)) == ["noise-0.05"]
    assert "out of memory on a single prompt" in reasons(results)["noise-0.05"]
    assert tuple(noise_cells(results)) == EDITS[1:]
    # What is missing is tried again.
    again = run(settings, tmp_path / "run")
    assert reasons(again) == {}
    assert told(again) == told(run(settings, tmp_path / "whole"))
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")


def test_out_of_memory_under_an_edit_halves_the_batch(settings, truth, tmp_path, monkeypatch):
    real, calls = Forward.__call__, []

    def small(self, rows, mode, *, half):
        edited = not torch.equal(self.inner.model.layers[0].mlp.up_proj.weight, plain)
        if edited and len(rows) > 8:
            calls.append(len(rows))
            raise torch.OutOfMemoryError("no more")
        return real(self, rows, mode, half=half)

    plain = byte_models.byte_llama(**ONE).model.layers[0].mlp.up_proj.weight
    monkeypatch.setattr(Forward, "__call__", small)
    results = run(settings, tmp_path / "run")
    assert calls
    assert reasons(results) == {}
    assert tuple(noise_cells(results)) == EDITS


def test_a_full_disk_is_no_reason_not_to_try(settings, truth, tmp_path, monkeypatch):
    real = RunDirectory.append

    def append(self, cell, outcomes):
        if cell.transform == "noise-0.1":
            raise DormantError("the disk is full")
        real(self, cell, outcomes)

    monkeypatch.setattr(RunDirectory, "append", append)
    with pytest.raises(DormantError, match="disk is full"):
        run(settings, tmp_path / "run")


def test_quantised_weights_are_named(settings, truth, tmp_path, monkeypatch):
    monkeypatch.setattr(effective, "quantisation", lambda config: "bitsandbytes 4-bit")
    results = run(settings, tmp_path / "run")
    assert reasons(results) == {"": "its weights are quantised (bitsandbytes 4-bit)"}


def test_a_server_s_rung_is_named_wherever_verdicts_stand(settings, tmp_path, dormant, capsys):
    out = tmp_path / "run"
    said = dormant(
        "audit", "fake:skill=0.9", "fake:skill=0.1", "--task", settings.tasks[0],
        "--transform", "leetspeak", "-n", ITEMS, "--shots", 0, "--quiet", "--out", out,
    )  # fmt: skip
    assert said.code == 0, said.err
    why = "the base model shows no weights: a server or another engine runs it"
    results = RunDirectory.read(out).results()
    assert reasons(results) == {"": why}
    flat = " ".join(said.out.split())
    assert f"Not tried: the noise rung ({why})" in flat
    assert why in (out / "report.html").read_text(encoding="utf-8")
    assert why in results.to_json()
    for kind, name in (("csv", "report.csv"), ("latex", "report.tex")):
        assert dormant("report", out, "--format", kind).code == 0
        assert why in (out / name).read_text(encoding="utf-8")
    # Where prompts are all that was asked for, nothing is missing.
    less = dormant(
        "audit", "fake:skill=0.9", "fake:skill=0.1", "--task", settings.tasks[0],
        "--transform", "leetspeak", "-n", ITEMS, "--shots", 0, "--quiet", "--out", out,
        "--evidence", "prompt",
    )  # fmt: skip
    assert less.code == 0, less.err
    assert "Not tried" not in less.out
