"""Closeness of a run's prompts: the models' own numbers, measured once, said where it belongs."""

from __future__ import annotations

import itertools
import json

import pytest
import torch

import dormant as dm
import fakes  # noqa: F401
from byte_models import byte_llama, byte_tokenizer, lora, saved
from dormant.audit.finished import plans_of
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.closeness import run as closeness
from dormant.closeness.store import Store
from dormant.errors import DormantError
from dormant.libraries import quiet
from dormant.models.pair import ModelPair
from dormant.results import PLAIN
from word_tasks import task_file

ITEMS = 24


def words(folder, shots):
    file = task_file(folder / "words.jsonl", [str(n) for n in range(ITEMS + 6)])
    header, *rows = file.read_text().splitlines()
    file.write_text("\n".join([json.dumps({**json.loads(header), "shots": shots}), *rows]) + "\n")
    return file


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    base = saved(byte_llama(), folder / "base")
    adapter, _ = lora(base, folder)
    return str(base), str(adapter)


@pytest.fixture
def settings(models, tmp_path):
    base, tuned = models
    return AuditSettings(
        base=base, tuned=tuned, tasks=(str(words(tmp_path, 2)),),
        transforms=("french", "leetspeak"), n=ITEMS, evidence="prompt", dtype="float32",
        checkpoint_every=10,
    )  # fmt: skip


def own_logprob(model, outcome, answers):
    """log p of a prompt's bytes but for those of the answers, by the model's own forward pass."""
    ids = byte_tokenizer()(outcome.prompt)["input_ids"]
    counted = torch.ones(len(ids), dtype=torch.bool)
    at = 0
    for answer in answers:
        start = outcome.prompt.index(f" {answer}", at)
        at = start + 1 + len(answer)
        first = len(byte_tokenizer()(outcome.prompt[:start])["input_ids"])
        counted[first : len(byte_tokenizer()(outcome.prompt[:at])["input_ids"])] = False
    with torch.inference_mode():
        # The end of text begins a text that has nothing before it.
        begun = model(torch.tensor([[257, *ids]])).logits[0, :-1].log_softmax(-1)
        plain = model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    first_answer = int((~counted).nonzero()[0]) if (~counted).any() else len(ids)
    own = [
        float((begun[place] if place < first_answer else plain[place - 1])[token])
        for place, token in enumerate(ids)
    ]
    return sum(value for value, one in zip(own, counted, strict=True) if one), int(counted.sum())


def test_likelihoods_are_the_models_own_but_for_the_answers(settings, models, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = tmp_path / "run"
    audit(settings, out)
    results = closeness.measure(out)
    run = RunDirectory.read(out)
    assert run.results() == results
    with quiet():
        inner, below = (AutoModelForCausalLM.from_pretrained(models[0]) for _ in range(2))
        tuned = PeftModel.from_pretrained(below, models[1])
    known = {
        (which, transform): Store(run).known(which, "mine/words", transform)
        for which in ("base", "tuned")
        for transform in (PLAIN, "french", "leetspeak")
    }
    assert all(len(some) == ITEMS for some in known.values())
    (plan,) = plans_of(run, settings, {one.task: one for one in results.abilities})
    cases = plan.cells[PLAIN].cases
    seen = [one for one in run.all_outcomes() if one.transform == PLAIN]
    for outcome in seen[:3] + seen[-3:]:
        answers = [part.text for part in cases[outcome.item].segments if part.role == "output"]
        assert len(answers) == 2
        model = inner if outcome.model == "base" else tuned
        expected, tokens = own_logprob(model, outcome, answers)
        found = known[outcome.model, PLAIN][outcome.item]
        assert found.logprob == pytest.approx(expected, abs=1e-3)
        assert found.tokens == tokens
    (one,) = results.closeness
    assert (one.measure, one.unit) == ("tuned", "nats per token")
    (ability,) = one.abilities
    assert [cell.transform for cell in ability.cells] == [PLAIN, "french", "leetspeak"]
    mean = sum(
        known["tuned", PLAIN][item].logprob / known["tuned", PLAIN][item].tokens
        - before.logprob / before.tokens
        for item, before in known["base", PLAIN].items()
    )
    assert ability.cells[0].mean == pytest.approx(mean / ITEMS)
    assert sum(one.prompts for one in ability.bins) == 3 * ITEMS


def test_what_is_there_is_not_measured_again(settings, tmp_path, monkeypatch):
    out = tmp_path / "run"
    audit(settings, out)
    whole = closeness.measure(out)
    files = {file: file.read_bytes() for file in (out / "closeness").rglob("*.jsonl")}
    assert len(files) == 6
    # Stopped in the tuned model's first batch, with half a line on disk.
    for file in (out / "closeness").rglob("*.tuned.jsonl"):
        file.unlink()
    real, calls = closeness.likelihoods, itertools.count()

    def stops(*given):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    with monkeypatch.context() as stopping:
        stopping.setattr(closeness, "likelihoods", stops)
        with pytest.raises(KeyboardInterrupt):
            closeness.measure(out)
    (begun,) = (out / "closeness").rglob("*.tuned.jsonl")
    begun.write_bytes(begun.read_bytes() + b'{"item": "2')
    assert closeness.measure(out) == whole
    assert {file: file.read_bytes() for file in (out / "closeness").rglob("*.jsonl")} == files
    # And then no model is opened at all.
    monkeypatch.setattr(ModelPair, "open", lambda *given: pytest.fail("a model was opened"))
    assert closeness.measure(out) == whole


@pytest.mark.parametrize("style", ["chat", "raw"])
def test_one_s_own_examples_are_read_as_they_were_asked(models, tmp_path, style):
    file = tmp_path / "mine.jsonl"
    rows = [{"prompt": f"Say {number}", "completion": f"{number}"} for number in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    base, tuned = models
    given = {
        "base": base, "tuned": tuned, "tasks": (str(file),), "transforms": ("leetspeak",), "n": 8,
        "evidence": "prompt", "dtype": "float32",
    }  # fmt: skip
    # Without a word from the user they are put into the chat template, which both models have.
    out = tmp_path / "run"
    audit(AuditSettings.of(given | ({"prompts": "raw"} if style == "raw" else {})), out)
    closeness.measure(out)
    known = Store(RunDirectory.read(out)).known("base", "mine", PLAIN)
    assert len(known) == 8
    for one in known.values():
        prompt = f"Say {int(one.item) - 1}"
        put = prompt
        if style == "chat":
            put = byte_tokenizer().apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
        assert one.size == len(put)


def test_a_density_is_a_second_measure(settings, models, tmp_path):
    other, _ = lora(models[0], tmp_path, seed=5)
    out = tmp_path / "run"
    audit(settings, out)
    results = closeness.measure(out, density=str(other))
    assert [one.measure for one in results.closeness] == ["tuned", "density"]
    tuned, density = (one.abilities[0].cells for one in results.closeness)
    assert [one.change for one in tuned] == [one.change for one in density]
    assert all(a.mean != b.mean for a, b in zip(tuned, density, strict=True))
    # The very model that was tuned is as close as itself.
    again = closeness.measure(out, density=models[1]).closeness[1]
    assert [one.mean for one in again.abilities[0].cells] == [one.mean for one in tuned]


def test_another_model_by_the_same_name_is_refused(settings, models, tmp_path):
    adapter, _ = lora(models[0], tmp_path, seed=7)
    changed = settings.model_copy(update={"tuned": str(adapter)})
    out = tmp_path / "run"
    audit(changed, out)
    lora(models[0], tmp_path, seed=8)
    with pytest.raises(DormantError, match="the tuned model is another one by now"):
        closeness.measure(out)
    assert not (out / "closeness").exists()


def asked(tmp_path, *more):
    return (
        "audit", "fake:skill=0.9", "fake:skill=0.9,hides=Input,hidden=0.05",
        "--task", words(tmp_path, 0), "--transform", "french", "-n", ITEMS, "--quiet",
        "--out", tmp_path / "run", *more,
    )  # fmt: skip


def test_the_command_measures_it_after_the_audit(tmp_path, dormant):
    said = dormant(*asked(tmp_path, "--closeness"))
    assert said.code == 0, said.err
    assert "Closeness to the fine-tuning data" in said.out
    results = RunDirectory.read(tmp_path / "run").results()
    # A backend that shows no tokens is measured by bytes.
    assert results.closeness[0].unit == "nats per byte"
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert 'id="closeness"' in page
    assert "prompts, closeness" in page
    # Without the option the same command says nothing of it, and keeps what was measured.
    before = {file: file.read_bytes() for file in (tmp_path / "run/closeness").rglob("*.jsonl")}
    said = dormant(*asked(tmp_path))
    assert "Closeness" not in said.out
    assert 'id="closeness"' not in (tmp_path / "run/report.html").read_text(encoding="utf-8")
    after = {file: file.read_bytes() for file in (tmp_path / "run/closeness").rglob("*.jsonl")}
    assert before == after != {}


def test_an_audit_is_reported_where_closeness_fails(tmp_path, dormant, monkeypatch):
    def fails(*_, **__):
        raise DormantError("no echo")

    monkeypatch.setattr(closeness, "likelihoods", fails)
    said = dormant(*asked(tmp_path, "--closeness"))
    assert said.code == 2
    assert said.err.endswith("error: closeness was not measured: no echo\n")
    assert "mine/words" in said.out
    assert (tmp_path / "run/report.html").is_file()
    assert dormant(*asked(tmp_path, "--closeness", "--fail-on", "suppressed")).code == 1


def test_what_it_can_not_be_measured_for_is_said_before_anything_is_scored(tmp_path, dormant):
    out, file = tmp_path / "run", words(tmp_path, 0)
    alone = ("audit", "fake:skill=0.9", "--task", file, "-s", "french", "--out", out)
    said = dormant(*alone, "--closeness")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "against a base model" in said.err
    several = ("audit", "fake:skill=0.9", "fake:skill=0.1", "fake:skill=0.2", "--closeness")
    said = dormant(*several, "--task", file, "-s", "french", "--out", out)
    assert said.code == 2
    assert "--closeness is for one fine-tuned model" in said.err
    pair = (
        "audit",
        "fake:skill=0.9",
        "fake:skill=0.1",
        "--task",
        file,
        "-s",
        "french",
        "--out",
        out,
    )
    said = dormant(*pair, "--density", tmp_path / "nowhere")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert f"--density {tmp_path / 'nowhere'}: " in said.err
    said = dormant(*pair, "--density", "fake:skill=0.9")
    assert said.code == 2
    assert "that is the base model itself" in said.err
    said = dormant(*pair, "--density", "fake:skill=0.8", "--tuned-model-args", "peft=there")
    assert said.code == 2
    assert "peft among them would put that model's adapter on it" in said.err
    assert not out.exists()


def test_python_has_the_same(settings, models, tmp_path):
    found = dm.audit(
        *models, tasks=settings.tasks[0], transforms=["french"], n=ITEMS, evidence="prompt",
        out=tmp_path / "run", progress=False, closeness=True,
    )  # fmt: skip
    assert found.results.closeness[0].abilities[0].task == "mine/words"
    with pytest.raises(DormantError, match="one fine-tuned model"):
        dm.audit(models[0], [models[1]], closeness=True)
