"""A resumed run makes no text for what is finished, and ends as an unbroken one."""

from __future__ import annotations

import json

import pytest

import fakes  # noqa: F401  (registers the backend `fake`)
from audited_runs import kept
from dormant import translation
from dormant.audit import kept_plan
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.prompts import conjugate

BATCH = 8
ITEMS = 24
TRANSFORMS = ("leetspeak", "full-width", "full-width+probe:suffix+rot13")


@pytest.fixture
def task(tmp_path):
    """A task of few-shot prompts, of which every third holds what full-width letters may not."""
    file = tmp_path / "task.jsonl"
    rows = [{"name": "mine/copy", "title": "copies", "languages": {"english": {}}}]
    rows += [
        {"language": "english", "id": str(n), "input": f"word {'ａ' * (n % 3 == 0)} {n}",
         "target": f"answer {n}", "distractor": "none"}
        for n in range(ITEMS)
    ]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def settings(task):
    return AuditSettings(
        base="fake:skill=0.9", tuned="fake:skill=0.5", tasks=(str(task),), transforms=TRANSFORMS,
        n=ITEMS, shots=0, checkpoint_every=BATCH,
    )  # fmt: skip


@pytest.fixture
def made(monkeypatch):
    """The texts that transforms are asked for from here on, with the transforms' names."""
    seen: list[tuple[str, str]] = []
    real = conjugate.apply_all

    def noted(transform, texts, *rest):
        seen.extend((transform.name, text) for text in texts)
        return real(transform, texts, *rest)

    monkeypatch.setattr(conjugate, "apply_all", noted)
    return seen


class Stopped(Exception):
    pass


def interrupted(monkeypatch, settings, out, batches):
    real = RunDirectory.append
    left = [batches]

    def append(self, cell, outcomes):
        if not left[0]:
            raise Stopped
        left[0] -= 1
        real(self, cell, outcomes)

    with monkeypatch.context() as stopping:
        stopping.setattr(RunDirectory, "append", append)
        with pytest.raises(Stopped):
            audit(settings, out)


def results(out):
    found = json.loads((out / "results.json").read_bytes())
    return {key: value for key, value in found.items() if key != "wall_seconds"}


def test_a_finished_run_is_judged_again_without_a_text(settings, tmp_path, made):
    out = tmp_path / "run"
    audit(settings, out)
    first, cells = results(out), kept(out)
    assert made
    (excluded,) = [one["excluded_items"] for one in first["abilities"][0]["transforms"]
                   if one["name"] == "full-width"]  # fmt: skip
    assert excluded == ITEMS / 3
    made.clear()
    audit(settings, out)
    assert made == []
    assert (results(out), kept(out)) == (first, cells)


@pytest.mark.parametrize("batches", [0, 1, 5, 17])
def test_a_resumed_run_is_an_unbroken_one(settings, tmp_path, monkeypatch, made, batches):
    whole, out = tmp_path / "whole", tmp_path / "run"
    audit(settings, whole)
    interrupted(monkeypatch, settings, out, batches)
    made.clear()
    audit(settings, out)
    assert kept(out) == kept(whole)
    assert results(out) == {**results(whole), "settings": results(out)["settings"]}
    if batches == 17:
        # Left are batches under full-width letters alone.
        queries = [name for name, text in made if text.startswith("word")]
        assert queries.count("leetspeak") == 0
        assert queries.count("full-width") > 8


def test_texts_of_a_batch_are_made_together(settings, tmp_path, monkeypatch):
    """Translators are slow one text at a time."""
    out = tmp_path / "run"
    interrupted(monkeypatch, settings, out, 0)
    calls: list[int] = []
    real = conjugate.apply_all

    def noted(transform, texts, *rest):
        calls.append(len(texts))
        return real(transform, texts, *rest)

    monkeypatch.setattr(conjugate, "apply_all", noted)
    audit(settings, out)
    assert max(calls) > 1
    # 3 or 2 batches a cell, and what was sampled before: not one call a text.
    assert len(calls) < ITEMS


@pytest.mark.parametrize("text", ["", "{", "[]", '{"made_with": {}}', "no cells", "other shares"])
def test_a_damaged_plan_is_made_again(settings, tmp_path, made, text):
    out = tmp_path / "run"
    audit(settings, out)
    first = results(out)
    file = out / "plan.json"
    whole = file.read_text()
    said = json.loads(whole)
    if text == "no cells":
        said["cells"] = {"mine/copy": {"full-width": {"signature": "full-width"}}}
        text = json.dumps(said)
    elif text == "other shares":
        said["cells"]["mine/copy"]["full-width"]["shares"] = [1.0, 0.5]
        text = json.dumps(said)
    file.write_text(text)
    made.clear()
    audit(settings, out)
    assert made
    assert results(out) == first


def test_other_code_plans_again(settings, tmp_path, monkeypatch, made):
    out = tmp_path / "run"
    audit(settings, out)
    made.clear()
    monkeypatch.setattr(kept_plan, "_code", lambda: "other")
    audit(settings, out)
    assert made
    made.clear()
    audit(settings, out)
    assert made == []


def test_a_changed_task_is_refused_as_before(settings, task, tmp_path):
    out = tmp_path / "run"
    audit(settings, out)
    task.write_text(task.read_text().replace("answer 3", "answer three"))
    with pytest.raises(DormantError, match="task_versions of mine/copy was"):
        audit(settings, out)


@pytest.fixture
def spanish(monkeypatch, fake_translator):
    engine = fake_translator(str.upper)
    monkeypatch.setattr("dormant.translation.transform.checks.problem", lambda *_: None)
    monkeypatch.setattr("dormant.transforms.fidelity.checks.wrong_language", lambda *_: None)
    monkeypatch.setattr("dormant.transforms.fidelity.checks.detected", lambda *_: None)
    monkeypatch.setattr("dormant.transforms.fidelity.chrf", lambda *_: 80.5)
    monkeypatch.setattr(translation.engines, "engine", lambda _: engine)
    return engine


def test_a_translator_of_another_version_is_refused_as_before(settings, tmp_path, spanish):
    out = tmp_path / "run"
    translated = settings.model_copy(update={"transforms": ("spanish@fake",)})
    audit(translated, out)
    first = results(out)
    assert first["abilities"][0]["transforms"][0]["fidelity"] == pytest.approx(0.805)
    asked = len(spanish.asked)
    audit(translated, out)
    assert len(spanish.asked) == asked
    assert results(out) == first
    spanish.release = "2"
    from dormant import transforms

    transforms._one.cache_clear()
    with pytest.raises(DormantError, match=r"spanish@fake was 'spanish@fake-1', now"):
        audit(translated, out)


def test_translations_that_are_not_kept_are_made_again(settings, tmp_path, spanish, monkeypatch):
    monkeypatch.setenv("DORMANT_CACHE", "")
    out = tmp_path / "run"
    translated = settings.model_copy(update={"transforms": ("spanish@fake",)})
    audit(translated, out)
    asked = len(spanish.asked)
    audit(translated, out)
    assert len(spanish.asked) == 2 * asked
