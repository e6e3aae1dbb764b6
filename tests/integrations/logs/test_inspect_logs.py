"""Inspect's logs as people have them: unscored samples, partial credit, epochs and reducers."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("inspect_ai")

from inspect_ai._eval.task.results import eval_results
from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalError,
    EvalLog,
    EvalPlan,
    EvalSample,
    EvalSpec,
    ProvenanceData,
    write_eval_log,
)
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import SampleScore, Score
from inspect_ai.scorer._reducer import create_reducers

from dormant.errors import DormantError
from dormant.integrations import logs as reading

NAN = float("nan")


def written(
    path, values, *, model=None, epochs=1, reducers=None, scorer="match", status="success",
    ids=None, arguments=None, computed=False, generation=None, **changes,
):  # fmt: skip
    """Write a log; `values` are item by item, epoch by epoch within an item.

    `changes` are further fields of a sample, by "sN" of its place; `computed` lets Inspect itself
    add its results.
    """
    samples = [
        EvalSample(
            id=place // epochs, epoch=place % epochs + 1, input=f"{place // epochs}?", target="4",
            scores={} if value is None else {scorer: Score(value=value)},
            **changes.get(f"s{place}", {}),
        )
        for place, value in enumerate(values)
    ]  # fmt: skip
    spec = EvalSpec(
        created="2026-01-02T03:04:05+00:00",
        task="sums",
        dataset=EvalDataset(samples=len(samples) // epochs, sample_ids=ids),
        model=model or f"mock/{path.stem}",
        model_args=arguments or {},
        config=EvalConfig(epochs=epochs, epochs_reducer=reducers),
    )
    plan = EvalPlan(config=GenerateConfig(**(generation or {})))
    log = EvalLog(status=status, eval=spec, samples=samples, plan=plan)
    if computed:
        scores = [
            {name: SampleScore(score=score, sample_id=sample.id)}
            for sample in samples
            for name, score in (sample.scores or {}).items()
        ]
        log.results, log.reductions = eval_results(
            len(samples), scores, create_reducers(reducers), None, None
        )
    write_eval_log(log, str(path))
    return path


def compare(*paths, **directions):
    return reading.compare(reading.read_logs(list(paths), reading.Directions(**directions)))


# -- what is lost, and what is partly right ------------------------------------------------------

LOST = {
    "NaN": (NAN, {}, "not scored (NaN)"),
    "no score": (None, {}, "no score by match"),
    "error": ("C", {"error": EvalError(message="too hot", traceback="", traceback_ansi="")},
              "error: too hot"),
    "invalidated": ("C", {"invalidation": ProvenanceData(author="me")}, "invalidated"),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOST)
def test_a_sample_without_a_score_is_a_lost_item_and_named(tmp_path, kind):
    value, fields, reason = LOST[kind]
    values = ["C"] * 15 + ["I"] * 15
    base = written(tmp_path / "base.eval", values)
    values[7] = value
    results = compare(base, written(tmp_path / "tuned.eval", values, s7=fields))
    (ability,) = results.abilities
    assert ability.n_items == 29
    assert ability.accuracy.tuned_plain == 14 / 29
    (warning,) = results.warnings
    assert "1 items of" in warning
    assert f"1 × {reason} (7)" in warning


def test_a_run_that_ended_early_loses_what_it_never_came_to(tmp_path):
    ids = list(range(10))
    base = written(tmp_path / "base.eval", ["C"] * 10, ids=ids)
    tuned = written(tmp_path / "tuned.eval", ["I"] * 7, ids=ids, status="cancelled")
    results = compare(base, tuned)
    assert results.abilities[0].n_items == 7
    assert "3 × not run (the log's status is cancelled) (7, 8, 9)" in results.warnings[0]


def test_grades_count_as_inspect_counts_them(tmp_path):
    base = written(tmp_path / "base.eval", ["C"] * 30)
    values = ["C"] * 10 + ["P"] * 9 + ["N"] * 6 + ["I"] * 5
    tuned = written(tmp_path / "tuned.eval", values, computed=True)
    results = compare(base, tuned)
    (ability,) = results.abilities
    from inspect_ai.log import read_eval_log

    theirs = read_eval_log(str(tuned)).results.scores[0].metrics["accuracy"].value
    assert ability.accuracy.tuned_plain == pytest.approx(theirs, abs=1e-12)
    assert ability.accuracy.tuned_plain == pytest.approx(14.5 / 30)
    assert ability.n_items == 30
    assert "9 items (10, 11, 12, …) with partial credit" in results.warnings[0]


# -- epochs --------------------------------------------------------------------------------------

GRADES = [
    "C", "C", "I", "I",  "I", "I", "I", "C",  "C", "P", "C", "C",  "I", "I", "I", "I",
    "C", NAN, "I", "C",  "N", "P", "P", "I",  NAN, NAN, NAN, NAN,  "C", NAN, NAN, NAN,
]  # fmt: skip
REDUCERS = ("mean", "median", "mode", "max", "at_least_2", "pass_at_2", "pass_at_3", "pass_k_2")


@pytest.mark.parametrize("reducer", REDUCERS)
def test_every_reducer_is_inspects_own(tmp_path, reducer):
    from inspect_ai.log import read_eval_log

    base = written(tmp_path / "base.eval", ["C"] * 32, epochs=4, reducers=[reducer])
    tuned = written(tmp_path / "tuned.eval", GRADES, epochs=4, reducers=[reducer], computed=True)
    (ability,) = compare(base, tuned).abilities
    log = read_eval_log(str(tuned))
    (theirs,) = log.results.scores
    assert ability.accuracy.tuned_plain == pytest.approx(theirs.metrics["accuracy"].value)
    kept = [s for s in log.reductions[0].samples if str(s.value) != "nan"]
    assert ability.n_items == len(kept) < 8
    assert ability.accuracy.base_plain == 1
    assert ability.task == "sums/match" + ("" if reducer == "mean" else f",{reducer}")


def test_several_reducers_are_several_abilities(tmp_path):
    paths = [
        written(tmp_path / f"{name}.eval", grades, epochs=2, reducers=["mean", "max"])
        for name, grades in (("base", "CCCC"), ("tuned", "CICI"))
    ]
    first, second = compare(*paths).abilities
    assert (first.task, first.accuracy.tuned_plain) == ("sums/match", 0.5)
    assert (second.task, second.accuracy.tuned_plain) == ("sums/match,max", 1)


def test_items_with_too_few_epochs_say_why(tmp_path):
    paths = [
        written(tmp_path / f"{name}.eval", ["C", last, "C", "C"], epochs=2, reducers=["pass_at_2"])
        for name, last in (("base", "C"), ("tuned", NAN))
    ]
    results = compare(*paths)
    assert results.abilities[0].n_items == 1
    assert "1 × too few scored epochs for pass_at_2 (0)" in results.warnings[0]


def test_another_packages_reducer(tmp_path):
    base = written(tmp_path / "base.eval", "CCII", epochs=2, reducers=["mine"])
    with pytest.raises(DormantError, match="reduced by 'mine', which Inspect doesn't know here"):
        reading.read_log(base)


# -- which way is better, and what is a count ----------------------------------------------------


def test_numbers_of_an_unknown_scorer_are_not_guessed(tmp_path):
    paths = [
        written(tmp_path / f"{name}.eval", [1] * right + [0] * (20 - right), scorer="refused")
        for name, right in (("base", 17), ("tuned", 1))
    ]
    with pytest.raises(DormantError, match="--lower-is-better refused"):
        compare(*paths)
    assert compare(*paths, lower=["refused"]).abilities[0].drop.estimate == pytest.approx(-0.8)
    assert compare(*paths, higher=["refused"]).abilities[0].drop.estimate == pytest.approx(0.8)


def test_accuracy_among_the_metrics_says_that_more_is_better(tmp_path):
    paths = [
        written(tmp_path / f"{name}.eval", [1] * right + [0] * (20 - right), scorer="own",
                computed=True)
        for name, right in (("base", 17), ("tuned", 1))
    ]  # fmt: skip
    assert compare(*paths).abilities[0].drop.estimate == pytest.approx(0.8)


def test_words_that_are_no_grades_are_left_out(tmp_path):
    path = written(tmp_path / "a.eval", ["Paris", "C", "I"])
    log = reading.read_log(path)
    assert not log.abilities
    assert log.notes == ["sums/match: not a count of successes, left out"]


def test_scores_of_several_values_are_an_ability_each(tmp_path):
    values = [{"right": "C", "kind": "P"}, {"right": "I", "kind": None}, NAN]
    log = reading.read_log(written(tmp_path / "a.eval", values))
    assert {name: {item: s.value for item, s in found.items()}
            for name, found in log.abilities.items()} == {
        "sums/match/right": {"0": 1, "1": 0},
        "sums/match/kind": {"0": 0.5},
    }  # fmt: skip
    assert log.lost["sums/match/kind"].keys() == {"1", "2"}


# -- formats and models --------------------------------------------------------------------------


def test_json_logs_are_logs_too_and_folders_are_searched(tmp_path):
    (tmp_path / "deep").mkdir()
    base = written(tmp_path / "base.json", "CCCC")
    tuned = written(tmp_path / "deep" / "tuned.eval", "CICC")
    (tmp_path / "listing.json").write_text('{"logs": []}')
    assert compare(base, tuned).abilities[0].drop.estimate == 0.25
    assert compare(tmp_path).abilities[0].drop.estimate == 0.25
    damaged = base.read_text()[:-40]
    base.write_text(damaged)
    with pytest.raises(DormantError, match="not a log of Inspect") as error:
        compare(base, tuned)
    assert "\n" not in str(error.value)


def test_texts_that_were_generated_by_other_settings_are_told(tmp_path):
    long = {"max_tokens": 256, "max_connections": 3}
    paths = [
        written(tmp_path / "base.eval", "CCCI", generation=long),
        written(tmp_path / "same.eval", "CCII", generation=long | {"max_connections": 9}),
        written(tmp_path / "short.eval", "CCII", generation={"max_tokens": 16}),
    ]
    assert compare(*paths[:2]).warnings == []
    (line,) = compare(*paths[::2]).warnings
    assert line.startswith("sums/match: 4 of 4 texts were generated by other settings")


def test_models_are_told_apart_by_their_arguments(tmp_path):
    def run(name, right, arguments):
        return written(
            tmp_path / f"{name}.eval", "C" * right + "I" * (8 - right), model="hf/local",
            arguments=arguments,
        )  # fmt: skip

    run("a", 2, {"model_path": "out/tuned", "device": "cpu"})
    run("b", 8, {"model_path": "base", "device": "cuda"})
    results = compare(tmp_path)
    assert {results.base, results.tuned} == {
        "hf/local,model_path=out/tuned", "hf/local,model_path=base",
    }  # fmt: skip
    for file in tmp_path.iterdir():
        file.unlink()
    run("a", 2, {"peft": "x"})
    run("b", 8, {})
    assert compare(tmp_path).base == "hf/local"
    assert math.isclose(compare(tmp_path).abilities[0].drop.estimate, 6 / 8)
