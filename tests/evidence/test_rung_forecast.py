"""What the rungs above prompting would take, said before anything is run."""

from __future__ import annotations

import json

import pytest

import fakes  # noqa: F401  (registers the backend)
from dormant.audit.forecast import forecast
from dormant.audit.settings import AuditSettings
from dormant.evidence import rungs_of

ITEMS, POOL = 12, 120


@pytest.fixture
def settings(models, tmp_path):
    def task(name, telling):
        head = {
            "name": f"mine/{name}", "title": name, "languages": {"english": {}}, "shots": 1,
            "shuffled_answers_say_nothing": telling,
        }  # fmt: skip
        rows = [
            {"language": "english", "id": str(n), "input": f"{name} {n}", "target": f"t{n}"}
            for n in range(POOL)
        ]
        file = tmp_path / f"{name}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in (head, *rows)))
        return str(file)

    return AuditSettings(
        base=str(models[0]), tuned=str(models[1]), tasks=(task("one", True), task("two", False)),
        transforms=("leetspeak",), n=ITEMS, device="cpu", evidence="relearn",
    )  # fmt: skip


def foreseen(settings, **changes):
    changed = settings.model_copy(update=changes)
    return forecast(changed, rungs=rungs_of(changed))


def test_each_rung_is_counted_as_if_all_climbed(settings):
    found = foreseen(settings)
    assert found.prompts == {"mine/one": 4 * ITEMS, "mine/two": 4 * ITEMS}
    noise, relearn, teach = found.rungs
    assert noise.prompts == {"mine/one": 2 * 3 * ITEMS, "mine/two": 2 * 3 * ITEMS}
    assert noise.trainings == {"mine/one": 0, "mine/two": 0}
    # Two trainings of each model; one where shuffled answers may tell.
    assert relearn.trainings == {"mine/one": 4, "mine/two": 2}
    assert relearn.prompts == {"mine/one": 4 * ITEMS, "mine/two": 2 * ITEMS}
    (lacking,) = relearn.not_tried["mine/two"]
    assert lacking.name == "other-answers"
    assert teach.trainings == {"mine/one": 6, "mine/two": 6}
    assert all(rung.seconds[which] > 0 for rung in found.rungs for which in ("base", "tuned"))
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines] == [
        "prompts", "time", "noise", "relearn", "teach", "memory"
    ]  # fmt: skip
    assert lines[2].startswith("noise    at most 144 prompts more (")
    assert lines[2].endswith("), if all climb")
    assert "at most 72 prompts and 6 trainings of a model more (" in lines[3]
    assert ", trainings not counted), if all climb; not tried: mine/two other-answers (" in lines[3]
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_it_is_what_an_audit_takes_that_climbs_to_the_end(settings, tmp_path, monkeypatch):
    """The bound is met where nothing brings anything back."""
    from dormant.audit import ladder
    from dormant.audit.run import audit
    from dormant.audit.run_dir import RunDirectory

    one = settings.model_copy(update={"tasks": settings.tasks[1:]})
    monkeypatch.setattr(ladder, "is_open", lambda ability: True)
    audit(one, tmp_path / "run", rungs=rungs_of(one))
    asked = sum(1 for _ in RunDirectory.read(tmp_path / "run").all_outcomes())
    found = foreseen(one)
    assert asked == sum(found.prompts.values()) + sum(
        sum(rung.prompts.values()) for rung in found.rungs
    )


def test_looks_multiply_trainings_and_not_prompts(settings):
    found = foreseen(
        settings, tasks=settings.tasks[:1], until_decided=True, max_items=90, evidence="relearn"
    )
    noise, relearn, _ = found.rungs
    assert noise.prompts == {"mine/one": 2 * 3 * 90}
    assert relearn.trainings == {"mine/one": 2 * 2 * 3}  # looks at 40, 80 and 90


def test_only_what_may_be_climbed_is_counted(settings, dormant, models):
    assert [rung.rung for rung in foreseen(settings, evidence="noise").rungs] == ["noise"]
    assert foreseen(settings, evidence="prompt").rungs == ()
    # Without a base nothing climbs.
    assert foreseen(settings, base=None).rungs == ()
    words = ("audit", *models[:2], "-t", settings.tasks[0], "-n", ITEMS, "-s", "leetspeak")
    said = dormant(*words, "--device", "cpu", "--plan", "--quiet", "--evidence", "relearn")
    assert said.code == 0, said.err
    assert "\nrelearn  at most 48 prompts and 4 trainings of a model more (" in said.out


def test_what_can_not_be_tried_is_said(settings):
    served = foreseen(settings, base="fake:skill=0.9", tuned="fake:skill=0.5", device="auto")
    assert [rung.prompts for rung in served.rungs] == [{"mine/one": 0, "mine/two": 0}] * 3
    why = "the base model shows no weights: a server or another engine runs it"
    assert f"noise    not tried: mine/one, mine/two ({why})" in str(served)
