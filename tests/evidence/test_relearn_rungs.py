"""Relearning in an audit: who is trained on what, what is kept, and what is said where it can't be.

The models are real and really trained; how often they are right is what a test says.
"""

from __future__ import annotations

import html

import pytest
import torch
from relearnt_runs import BATCH, ITEMS, NOISE, POOL, RELEARN, TEACH, task_file

from audited_runs import kept, run, told
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.evidence import rungs_of
from dormant.finetuning import relearning as lasting
from dormant.finetuning import training
from dormant.models.edits import Edit
from dormant.report import write_report
from dormant.report.tables import latex_tables, transform_rows

few_steps = pytest.mark.usefixtures("steps")


def cells(ability):
    return [cell.name for cell in ability.transforms]


def test_what_is_back_after_learning_nothing_is_suppressed(settings, truth, tmp_path):
    truth["other-answers"] = (0.9, 0.8)
    results = run(settings, tmp_path / "run")
    (ability,) = results.abilities
    assert (ability.verdict, ability.rung) == ("suppressed", "relearn")
    assert ability.reason.startswith(
        "Back after learning nothing (uninformative relearning: other-answers):"
    )
    # Nobody is taught what is back already.
    assert cells(ability) == ["leetspeak", *NOISE, *RELEARN]
    assert ability.not_tried == []
    assert results.settings["evidence"] == "relearn"
    assert [one.gain.level for one in ability.rungs] == [pytest.approx(1 - 0.05 / 3)] * 3
    by_name = {cell.name: cell for cell in ability.transforms}
    assert by_name["other-answers"].signature == (
        "20 LoRA steps (rank 8, rate 0.0003, seed 0) on 60 prompts with answers of other prompts"
    )
    rows = {row["transform"]: row["rung"] for row in transform_rows(results)}
    assert rows == {
        "leetspeak": "prompt", **dict.fromkeys(NOISE, "noise"), **dict.fromkeys(RELEARN, "relearn")
    }  # fmt: skip
    outcomes = [*RunDirectory.read(tmp_path / "run").all_outcomes()]
    page = write_report(results, outcomes, tmp_path / "page.html", "html")
    text = page.read_text(encoding="utf-8")
    assert all(name in text for name in RELEARN)
    assert all(name in latex_tables(results) for name in ("other{-}answers", "other{-}task"))
    # The models were really asked after they were trained, each time on something else.
    logprobs = {
        (one.model, one.transform): tuple(
            each.target_logprob
            for each in outcomes
            if (each.model, each.transform) == (one.model, one.transform)
        )
        for one in outcomes
    }
    assert len(set(logprobs.values())) == len(logprobs) == 2 * (2 + len(NOISE) + len(RELEARN))


@few_steps
def test_what_right_answers_bring_back_is_not_called_suppressed(settings, truth, tmp_path):
    truth["taught-4"] = (0.95, 0.9)
    results = run(settings, tmp_path / "run")
    (ability,) = results.abilities
    assert cells(ability) == ["leetspeak", *NOISE, *RELEARN, *TEACH]
    assert (ability.verdict, ability.rung) == ("inconclusive", None)
    assert "right answers to other prompts bring it back" in ability.reason
    assert "(taught-4" in ability.reason
    assert [one.rung for one in ability.rungs] == ["prompt", "noise", "relearn", "teach"]
    assert [one.gain.level for one in ability.rungs] == [
        *[pytest.approx(1 - 0.05 / 3)] * 3,
        pytest.approx(0.95),
    ]


@few_steps
def test_what_nothing_brings_back_is_forgotten_up_to_teaching(settings, truth, tmp_path):
    results = run(settings, tmp_path / "run")
    (ability,) = results.abilities
    assert (ability.verdict, ability.rung) == ("forgotten", "teach")
    assert ability.reason.startswith("Not recovered up to informative relearning:")
    assert cells(ability) == ["leetspeak", *NOISE, *RELEARN, *TEACH]


@few_steps
def test_weights_are_the_models_own_after_all_of_it(settings, truth, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dormant.libraries import quiet
    from dormant.models.live import LiveModel

    inner = AutoModelForCausalLM.from_pretrained(settings.base)
    tokenizer = AutoTokenizer.from_pretrained(settings.base)
    with quiet():
        peft = PeftModel.from_pretrained(inner, settings.tuned).eval()
    before = {name: weights.clone() for name, weights in peft.state_dict().items()}
    flags = {name: weights.requires_grad for name, weights in peft.named_parameters()}
    live = {
        "base": LiveModel.of((peft.get_base_model(), tokenizer)),
        "tuned": LiveModel.of((peft, tokenizer)),
    }
    with quiet():
        results = audit(settings, tmp_path / "run", live=live, rungs=rungs_of(settings))
    assert cells(results.abilities[0])[-3:] == [*TEACH]
    assert all(torch.equal(weights, before[name]) for name, weights in peft.state_dict().items())
    assert {name: weights.requires_grad for name, weights in peft.named_parameters()} == flags


@pytest.mark.slow
def test_two_checkpoints_learn_as_an_adapter_and_its_base_do(models, settings, truth, tmp_path):
    results = run(settings, tmp_path / "run", tuned=str(models[2]))
    assert cells(results.abilities[0]) == ["leetspeak", *NOISE, *RELEARN, *TEACH]


class Stopped(Exception):
    pass


@few_steps
def test_an_interrupted_training_ends_as_an_unbroken_one(settings, truth, tmp_path, monkeypatch):
    whole = run(settings, tmp_path / "whole")
    before = 2 * (2 + len(NOISE)) * ITEMS // BATCH
    appends = sum(len(lines.splitlines()) for lines in kept(tmp_path / "whole").values()) // BATCH
    assert appends == before + 2 * 5 * ITEMS // BATCH
    real = RunDirectory.append
    # As the base is asked after its first one; before the tuned one's second; in the last teaching.
    for stop in (before + 1, before + 6, appends - 1):
        out, left = tmp_path / f"at{stop}", [stop]

        def append(self, cell, outcomes, left=left):
            if not left[0]:
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
    # In the middle of a training: the base's last teaching.
    real_step, calls = training.completion_loss, []

    def step(*given):
        calls.append(None)
        if len(calls) == 3 * 4 + 2:
            raise Stopped
        return real_step(*given)

    with monkeypatch.context() as stopping:
        stopping.setattr(training, "completion_loss", step)
        with pytest.raises(Stopped):
            run(settings, tmp_path / "within")
    assert told(run(settings, tmp_path / "within")) == told(whole)
    assert kept(tmp_path / "within") == kept(tmp_path / "whole")


@few_steps
def test_a_run_goes_on_from_noise_and_is_read_without(settings, truth, tmp_path):
    out = tmp_path / "run"
    less = run(settings, out, evidence="noise")
    assert cells(less.abilities[0]) == ["leetspeak", *NOISE]
    assert less.settings["evidence"] == "noise"
    assert told(run(settings, out)) == told(run(settings, tmp_path / "whole"))
    assert told(run(settings, out, evidence="noise")).model_dump() == told(less).model_dump()


@few_steps
def test_each_ability_has_trainings_of_its_own_and_noise_is_for_all(
    settings, truth, tmp_path, monkeypatch
):
    both = (task_file(tmp_path, "one"), task_file(tmp_path, "two"))
    trained, edited = [], []
    real, real_on = lasting.train, Edit.on

    def train(model, weights, examples, *given, **more):
        trained.append(examples[0].tokens)
        return real(model, weights, examples, *given, **more)

    def on(self, model):
        edited.append(self.name)
        return real_on(self, model)

    monkeypatch.setattr(lasting, "train", train)
    monkeypatch.setattr(Edit, "on", on)
    results = run(settings, tmp_path / "run", tasks=both)
    assert edited == [*NOISE] * 2
    assert len(trained) == 2 * 2 * 5
    for ability in results.abilities:
        assert cells(ability) == ["leetspeak", *NOISE, *RELEARN, *TEACH]
    # What is said of one ability is what an audit of it alone says.
    alone = run(settings, tmp_path / "alone", tasks=both[1:])
    assert results.abilities[1] == alone.abilities[0]
    scores = [
        {
            (one.model, one.transform, one.item): one.target_logprob
            for one in RunDirectory.read(tmp_path / name).all_outcomes()
            if one.task == "mine/two"
        }
        for name in ("run", "alone")
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2 * ITEMS * (2 + len(NOISE) + len(RELEARN) + len(TEACH))


def reasons(results):
    (ability,) = results.abilities
    return {(one.rung, one.name): one.reason for one in ability.not_tried}


@few_steps
def test_answers_that_may_show_the_ability_are_named_not_tried(settings, truth, tmp_path):
    file = task_file(tmp_path, "one", shuffled_answers_say_nothing=False)
    results = run(settings, tmp_path / "run", tasks=(file,))
    (ability,) = results.abilities
    why = "answers of other prompts may show what is asked for"
    assert reasons(results) == {("relearn", "other-answers"): why}
    assert f"Not tried: other-answers ({why})." in ability.reason
    assert cells(ability) == ["leetspeak", *NOISE, "other-task", *TEACH]


@few_steps
def test_a_rung_without_a_cell_is_named_as_a_whole(settings, truth, tmp_path):
    results = run(settings, tmp_path / "run", n=POOL, checkpoint_every=POOL)
    assert reasons(results) == {
        ("relearn", "other-answers"): (
            "0 of its items that are not asked can have answers of others, fewer than 16"
        ),
        **{
            ("teach", f"taught-{n}"): f"0 of its items are not asked, fewer than {n}"
            for n in (1, 4, 16)
        },
    }
    assert cells(results.abilities[0]) == ["leetspeak", *NOISE, "other-task"]


@few_steps
def test_no_gradient_and_no_memory_are_named(settings, truth, tmp_path, monkeypatch):
    def none(*given):
        raise RuntimeError("element 0 of tensors does not require grad")

    with monkeypatch.context() as broken:
        broken.setattr(training, "completion_loss", none)
        results = run(settings, tmp_path / "run")
    why = "it can't be trained (element 0 of tensors does not require grad)"
    assert reasons(results) == {("relearn", ""): why, ("teach", ""): why}
    (ability,) = results.abilities
    said = f"Not tried: the relearn rung ({why}), the teach rung ({why})."
    assert said in ability.reason
    assert (ability.verdict, ability.rung) == ("lost", "noise")
    assert "can't be told here" in ability.reason
    page = write_report(results, (), tmp_path / "page.html", "html")
    assert said in html.unescape(page.read_text(encoding="utf-8"))
    real, calls = training.completion_loss, []

    def short(model, part, device):
        calls.append(len(part))
        if len(calls) < 5:
            raise torch.OutOfMemoryError("no more")
        return real(model, part, device)

    with monkeypatch.context() as scarce:
        # Eight examples, four, two, one: only the first training has no room.
        scarce.setattr(training, "completion_loss", short)
        results = run(settings, tmp_path / "run")
    assert calls[:5] == [8, 4, 2, 1, 8]
    assert list(reasons(results)) == [("relearn", "other-answers")]
    assert "out of memory on a single" in reasons(results)["relearn", "other-answers"]
    # What is missing is tried again.
    again = run(settings, tmp_path / "run")
    assert reasons(again) == {}
    assert told(again) == told(run(settings, tmp_path / "whole"))
    assert kept(tmp_path / "run") == kept(tmp_path / "whole")


def test_servers_are_named_on_every_rung(settings, tmp_path, dormant):
    out = tmp_path / "run"
    said = dormant(
        "audit", "fake:skill=0.9", "fake:skill=0.1", "--task", settings.tasks[0],
        "--transform", "leetspeak", "-n", ITEMS, "--quiet", "--out", out,
        "--evidence", "relearn",
    )  # fmt: skip
    assert said.code == 0, said.err
    results = RunDirectory.read(out).results()
    why = "the base model shows no weights: a server or another engine runs it"
    assert reasons(results) == {(rung, ""): why for rung in ("noise", "relearn", "teach")}
    rungs = ", ".join(f"the {rung} rung ({why})" for rung in ("noise", "relearn", "teach"))
    assert f"Not tried: {rungs}." in (out / "report.html").read_text(encoding="utf-8")
