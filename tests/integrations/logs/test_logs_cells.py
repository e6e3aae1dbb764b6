"""Logs of Inspect as four cells: the statistics are the audit's, and other items are refused."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("inspect_ai")

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalError,
    EvalLog,
    EvalSample,
    EvalSpec,
    write_eval_log,
)
from inspect_ai.scorer import Score

import fakes  # noqa: F401  (registers the backend `fake`)
from dormant.audit.run import audit
from dormant.audit.run_dir import RunDirectory
from dormant.audit.settings import AuditSettings
from dormant.errors import DormantError
from dormant.integrations import logs as posthoc
from dormant.integrations.inspect.selection import PromptSelection, abilities, log_origin
from dormant.integrations.logs.inspect_logs import CONJUGATED
from dormant.integrations.logs.scored_log import METADATA

NAMES = ("icl/plural", "icl_vs_if/repeat-arithmetic")
TRANSFORMS = ("plain", "french", "leetspeak")
SETTINGS = AuditSettings(
    base="fake:skill=0.9", tuned="fake:skill=0.85,hides=Input,hidden=0.2",
    tasks=NAMES, transforms=TRANSFORMS[1:], n=40,
)  # fmt: skip


def written(path, samples, model, *, number=0, metadata=None, task="dormant/icl", **settings):
    spec = EvalSpec(
        created=f"2026-01-02T03:04:{number:02}+00:00",
        task=task,
        dataset=EvalDataset(samples=len(samples)),
        model=model,
        config=EvalConfig(),
        metadata=metadata,
        **settings,
    )
    write_eval_log(EvalLog(status="success", eval=spec, samples=samples), str(path))
    return path


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    """An audit by fake models, and the logs that Inspect would have written of the same answers."""
    folder = tmp_path_factory.mktemp("audited")
    results = audit(SETTINGS, folder / "run")
    (folder / "logs").mkdir()
    number = 0
    for which in ("base", "tuned"):
        for transform in TRANSFORMS:
            chosen = PromptSelection(NAMES, transform, 40, 0, None, 40)
            found = {
                (outcome.task, outcome.item): outcome.correct
                for outcome in RunDirectory.read(folder / "run").all_outcomes()
                if (outcome.model, outcome.transform) == (which, transform)
            }
            samples = [
                EvalSample(
                    id=f"{one.task.name}/{item}", epoch=1,
                    input=prompt.case.prompt, target=prompt.case.scored_target,
                    metadata={METADATA: prompt.origin.model_dump(mode="json")},
                    scores={"x": Score(value="C" if found[one.task.name, item] else "I")},
                )
                for one in abilities(chosen)
                for item, prompt in one.prompts.items()
            ]  # fmt: skip
            number += 1
            written(
                folder / "logs" / f"{number}.eval", samples, f"dormant/{which}", number=number,
                metadata={METADATA: log_origin(chosen).model_dump(mode="json")},
            )  # fmt: skip
    return results, folder / "logs"


def without_log_odds(ability):
    return ability.model_copy(
        update={
            "log_odds_drop": None,
            "transforms": [
                one.model_copy(
                    update=dict.fromkeys(("log_odds", "log_odds_gain", "log_odds_recovery"))
                )
                for one in ability.transforms
            ],
        }
    )


def test_the_results_are_the_audits(audited):
    results, logs = audited
    found = posthoc.compare(posthoc.read_logs([logs]))
    assert (found.base, found.tuned) == ("dormant/base", "dormant/tuned")
    assert not found.warnings
    assert [a.task for a in found.abilities] == list(NAMES)
    assert len(found.abilities[0].transforms) == 2
    assert found.abilities == [without_log_odds(ability) for ability in results.abilities]


def test_the_base_is_the_first_or_the_one_named(audited):
    _, logs = audited
    read = posthoc.read_logs(sorted(logs.glob("*.eval"), reverse=True))
    assert posthoc.compare(read).base == "dormant/tuned"
    found = posthoc.compare(read, base="dormant/base")
    assert (found.base, found.tuned) == ("dormant/base", "dormant/tuned")
    with pytest.raises(DormantError, match="none of the logs is of 'x': they are of dormant/tuned"):
        posthoc.compare(read, base="x")


def test_one_model_makes_two_cells(audited):
    results, logs = audited
    found = posthoc.compare(posthoc.read_logs(sorted(logs.glob("*.eval"))[3:]))
    assert found.base is None
    for ability, whole in zip(found.abilities, results.abilities, strict=True):
        assert ability.drop is None
        assert ability.accuracy.tuned_plain == whole.accuracy.tuned_plain
        assert [one.gain for one in ability.transforms] == [one.gain for one in whole.transforms]


def test_cells_that_are_missing_are_told(audited):
    _, logs = audited
    files = sorted(logs.glob("*.eval"))
    found = posthoc.compare(posthoc.read_logs([files[0], *files[2:]]))
    assert [one.name for one in found.abilities[0].transforms] == ["leetspeak"]
    assert f"{NAMES[0]} under french: no log of dormant/base, left out" in found.warnings
    with pytest.raises(DormantError, match="no plain log of dormant/base"):
        posthoc.compare(posthoc.read_logs(files[1:]))


def test_the_item_view_has_every_cell(audited):
    _, logs = audited
    found = list(posthoc.outcomes(posthoc.read_logs([logs])))
    assert len(found) == 2 * 3 * 2 * 40
    assert {outcome.transform for outcome in found} == set(TRANSFORMS)


def test_the_command(audited, monkeypatch, capsys):
    from dormant import cli

    _, logs = audited
    files = [str(file) for file in sorted(logs.glob("*.eval"))]
    monkeypatch.setattr(sys, "argv", ["dormant", "compare", *files])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    said = capsys.readouterr().out
    assert "dormant/base → dormant/tuned" in said
    assert "icl/plural" in said


# -- small logs of any task -----------------------------------------------------------------------


def conjugated(path, grades, *, model="m/base", transform=None, number=0, errors=(), **settings):
    """A log of a task that knows nothing of Dormant, perhaps through its solver."""
    kept = (
        {CONJUGATED: {"transform": transform, "signature": f"{transform}-1"}} if transform else {}
    )
    samples = [
        EvalSample(
            id=place, epoch=1, input=f"{place}?", target=settings.get("target", "4"), metadata=kept,
            scores={} if place in errors else {"match": Score(value=grade)},
            error=EvalError(message="too hot", traceback="", traceback_ansi="")
            if place in errors
            else None,
        )
        for place, grade in enumerate(grades)
    ]  # fmt: skip
    return written(path, samples, model, number=number, task="sums")


def test_any_task_through_the_solver(tmp_path):
    files = [
        conjugated(tmp_path / "1.eval", "CCCCCCCI"),
        conjugated(tmp_path / "2.eval", "CIIIIIII", model="m/tuned"),
        conjugated(tmp_path / "3.eval", "CCCCCCIC", transform="leetspeak"),
        conjugated(tmp_path / "4.eval", "CCCCCIII", model="m/tuned", transform="leetspeak"),
    ]
    (ability,) = posthoc.compare(posthoc.read_logs(files)).abilities
    assert ability.task == "sums/match"
    assert ability.drop.estimate == pytest.approx(6 / 8)
    (one,) = ability.transforms
    assert (one.name, one.signature) == ("leetspeak", "leetspeak-1")
    assert one.gain.estimate == pytest.approx(4 / 8)
    assert one.recovery.estimate == pytest.approx(6 / 8 - 2 / 8)


def test_samples_with_errors_are_left_out_of_all_cells(tmp_path):
    files = [
        conjugated(tmp_path / "1.eval", "CCCC"),
        conjugated(tmp_path / "2.eval", "CICC", model="m/tuned", errors=(3,)),
    ]
    results = posthoc.compare(posthoc.read_logs(files))
    assert results.abilities[0].n_items == 3
    assert "1 items of" in results.warnings[0]
    assert "1 × error: too hot" in results.warnings[0]


def test_other_items_are_refused(tmp_path):
    one = conjugated(tmp_path / "1.eval", "CCCC")
    for other, message in (
        (conjugated(tmp_path / "2.eval", "CCC", model="m/t"), "item 3 is in only one of"),
        (conjugated(tmp_path / "3.eval", "CCCC", model="m/t", target="5"), "is not the same in"),
    ):
        with pytest.raises(DormantError, match=message):
            posthoc.compare(posthoc.read_logs([one, other]))
    transformed = conjugated(tmp_path / "4.eval", "CCC", transform="rot13")
    with pytest.raises(DormantError, match="item 3 is in only one of"):
        posthoc.compare(posthoc.read_logs([one, transformed]))


def test_other_demonstrations_are_refused(audited, tmp_path):
    _, logs = audited
    chosen = PromptSelection(("icl/plural",), "plain", 40, 1, None, 40)
    samples = [
        EvalSample(
            id=item, epoch=1, input=prompt.case.prompt, target=prompt.case.scored_target,
            metadata={METADATA: prompt.origin.model_dump(mode="json")},
            scores={"begins_with_target": Score(value="C")},
        )
        for item, prompt in abilities(chosen)[0].prompts.items()
    ]  # fmt: skip
    origin = {METADATA: log_origin(chosen).model_dump(mode="json")}
    other = written(tmp_path / "x.eval", samples, "dormant/tuned", metadata=origin)
    with pytest.raises(DormantError, match="icl/plural: item"):
        posthoc.compare(posthoc.read_logs([logs / "1.eval", other]))


def test_too_many_models_and_several_logs_of_one_cell(tmp_path):
    files = [conjugated(tmp_path / f"{i}.eval", "CC", model=f"m/{i}") for i in range(3)]
    with pytest.raises(DormantError, match=r"of 3 models \(m/0; m/1; m/2\)"):
        posthoc.compare(posthoc.read_logs(files))
    newer = conjugated(tmp_path / "n.eval", "II", model="m/0", number=9)
    found = posthoc.compare(posthoc.read_logs([newer, *files[:2]]))
    assert found.abilities[0].accuracy.base_plain == 0
    assert "the newer was read" in found.warnings[0]


def test_samples_under_several_transforms_are_refused(tmp_path):
    samples = [
        EvalSample(
            id=i, epoch=1, input="?", target="4", metadata={CONJUGATED: {"transform": name}},
            scores={"match": Score(value="C")},
        )
        for i, name in enumerate(("rot13", "leetspeak"))
    ]  # fmt: skip
    with pytest.raises(DormantError, match=r"several transforms \(leetspeak, rot13\)"):
        posthoc.read_log(written(tmp_path / "x.eval", samples, "m/x"))


def test_metadata_of_another_version_is_told(tmp_path):
    sample = EvalSample(
        id=1, epoch=1, input="?", target="4", metadata={METADATA: {"ability": "icl/copy"}}
    )
    with pytest.raises(DormantError, match="metadata of Dormant can't be read"):
        posthoc.read_log(written(tmp_path / "x.eval", [sample], "m/x"))
