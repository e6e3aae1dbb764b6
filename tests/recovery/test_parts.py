"""The parts of a recovery, one by one: sets of items, the rule of choice, what treatments ask."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dormant import tasks
from dormant.api import RecoverOptions
from dormant.audit.sample import ItemSample
from dormant.errors import DormantError
from dormant.evidence.derangement import stands
from dormant.evidence.layout import demonstrations, question
from dormant.finetuning.data import Pair
from dormant.finetuning.settings import TuningSettings
from dormant.recovery import registry
from dormant.recovery.choose import Candidate, choose, front, is_kept
from dormant.recovery.item_sets import Wanted, split
from dormant.recovery.settings import RecoverSettings
from dormant.recovery.treatment import (
    Change,
    Given,
    Measured,
    Training,
    UnfitTreatmentError,
    pursue,
)
from dormant.results import Estimate


def test_python_takes_every_setting_and_nothing_else():
    named = {"base", "tuned", "tasks", "skill"}
    assert {*RecoverOptions.__annotations__} == {*RecoverSettings.model_fields} - named


def cut(*names, train=20, choose=40, report=60, seed=3):
    wanted = [Wanted(task, train, choose, report) for task in tasks.get(names)]
    return split(wanted, shots=None, seed=seed)


def texts(cases):
    """All that prompts ask and show."""
    shown = [one for case in cases for one in (question(case), *demonstrations(case))]
    return {text.casefold() for one in shown for text in one.inputs}


@pytest.mark.parametrize("name", ["icl/copy", "icl/antonym", "icl/plural", "recall/continue"])
def test_no_set_shows_an_item_of_another(name):
    (sets,) = cut(name)
    assert (len(sets.train), len(sets.choose), len(sets.report)) == (20, 40, 60)
    shots = 0 if name == "recall/continue" else sets.task.default_shots
    every = (sets.train, sets.choose, sets.report)
    assert all(len(demonstrations(case)) == shots for cases in every for case in cases)
    train, chosen, reported = map(texts, every)
    assert not train & chosen
    assert not train & reported
    assert not chosen & reported
    assert [case.item for case in sets.report] == [
        *ItemSample.of(sets.task, n=60, shots=None, seed=3).items
    ]
    assert cut(name) == [sets]
    assert cut(name, seed=4) != [sets]


def test_what_is_reported_for_one_ability_trains_no_other():
    every = cut("icl/copy", "icl/first_word", "icl/last_word")
    trained = set().union(*(texts(sets.train) for sets in every))
    chosen = set().union(*(texts(sets.choose) for sets in every))
    reported = set().union(*(texts(sets.report) for sets in every))
    assert len(trained) >= 20
    assert not trained & chosen
    assert not (trained | chosen) & reported


def test_a_pool_that_is_too_small_is_told():
    with pytest.raises(DormantError, match=r"recall/capital has 83 items.*report on fewer"):
        cut("recall/capital", report=80)


def estimate(value, spread=0.01):
    return Estimate(estimate=value, low=value - spread, high=value + spread)


def candidate(key, loss, back, *, spread=0.01, trained=False, parts=1, gain=None):
    training = Training((), (), TuningSettings()) if trained else None
    returned = estimate(back, 0.1)
    measured = Measured(True, estimate(loss, spread), estimate(gain or back * 0.8), returned)
    return Candidate(key, "t", Change(tuple(range(parts)), training), measured, 1.0)


def chosen(*candidates):
    taken, _ = choose(candidates, 0.02)
    return taken and taken.key


def test_the_skill_comes_first_then_what_is_back_then_what_is_simple():
    assert chosen(candidate("dear", 0.05, 1.2), candidate("kept", 0.0, 0.5)) == "kept"
    assert chosen(candidate("little", 0.0, 0.5), candidate("much", 0.0, 0.9)) == "much"
    # Within the interval of the best, nothing trained before trained, one factor before several.
    few = candidate("trained", 0.0, 1.0, trained=True), candidate("thirds", 0.0, 0.95, parts=3)
    assert chosen(*few) == "thirds"
    assert chosen(*few, candidate("whole", 0.0, 0.93)) == "whole"
    assert chosen(*few, candidate("whole", 0.0, 0.85)) == "thirds"


def test_where_nothing_is_proven_the_smallest_bound_counts():
    wide = {"spread": 0.05}
    assert chosen(candidate("a", 0.0, 0.6, **wide), candidate("b", -0.02, 0.5, **wide)) == "b"
    taken, why = choose([candidate("a", 0.0, 0.6, **wide)], 0.02)
    assert taken is not None
    assert "None of 1 candidates surely keeps the skill" in why


def test_what_brings_nothing_back_is_never_taken():
    assert chosen(candidate("a", -0.1, 0.0, gain=0.005)) is None


def test_the_front_is_what_nothing_beats():
    every = [candidate(str(n), loss, back) for n, (loss, back) in enumerate(
        [(0.0, 0.5), (0.1, 0.9), (0.1, 0.8), (0.0, 0.4), (0.05, 0.5)])]  # fmt: skip
    assert [one.key for one in front(every)] == ["0", "1"]


def test_with_few_items_no_change_at_all_counts_as_kept():
    nothing = 0.08  # the bound of a model of which no answer differs
    assert is_kept(estimate(0.0, 0.08), 0.02, nothing)
    assert not is_kept(estimate(0.01, 0.08), 0.02, nothing)
    assert is_kept(estimate(-0.05, 0.06), 0.02, nothing)


@pytest.fixture
def given():
    """What a model knows under s: it answers as it should, but every third time."""
    (sets,) = cut("icl/copy", train=12)
    cases = sets.train

    def complete(cases, model="tuned"):
        return [
            case.given.target.text if int.from_bytes(case.item.encode()) % 3 else f"{number}"
            for number, case in enumerate(cases)
        ]

    return Given(
        prompts={sets.task.name: cases},
        replay=lambda: [Pair("a", "b")],
        has_data=True,
        has_base=True,
        seed=0,
        scales=None,
        complete=complete,
        example=lambda case, answer: Pair(case.prompt, f" {answer}"),
    )


def proposed(text, given):
    found = []

    def hear(change):
        found.append(change)
        return Measured(True, estimate(0), estimate(0), None)

    pursue(registry.get(text)(given), hear)
    return found


def test_only_answers_on_which_transforms_agree_are_learnt(given):
    (change,) = proposed("conjugate-distillation:steps=3;rank=2", given)
    training = change.training
    assert training is not None
    cases = [*given.prompts["icl/copy"]]
    right = {case.prompt: f" {case.target.text}" for case in cases
             if int.from_bytes(case.item.encode()) % 3}  # fmt: skip
    assert {one.prompt: one.completion for one in training.examples} == right
    assert 4 <= len(right) < len(cases)
    assert (training.settings.steps, training.settings.rank) == (3, 2)
    assert training.replay == (Pair("a", "b"),)


def test_no_label_is_read(given):
    """Other right answers in the prompts' place change nothing, since the model's are learnt."""
    before = proposed("conjugate-distillation", given)
    said = {case.item: case.target.text for case in given.prompts["icl/copy"]}
    blind = {
        task: [replace(case, target=replace(case.target, text="?")) for case in cases]
        for task, cases in given.prompts.items()
    }

    def complete(cases, model="tuned"):
        return [
            said[case.item] if int.from_bytes(case.item.encode()) % 3 else f"{number}"
            for number, case in enumerate(cases)
        ]

    assert proposed("conjugate-distillation", replace(given, prompts=blind, complete=complete)) == (
        before
    )


def test_where_transforms_do_not_agree_nothing_is_learnt(given):
    numbered = replace(given, complete=lambda cases: [str(n) for n, _ in enumerate(cases)])
    with pytest.raises(UnfitTreatmentError, match=r"too few answers on which 2 of .* agree"):
        proposed("conjugate-distillation", numbered)


def test_a_treatment_is_configured_by_its_keywords(given):
    one = registry.get("conjugate-distillation:transforms=rot13|identity;rate=0.1;agree=1")
    assert one.configuration["transforms"] == ("rot13", "identity")
    assert (one.configuration["rate"], one.configuration["agree"]) == (0.1, 1)
    assert len(proposed("scale:steps=2;thirds=no", given)) == 2
    (only,) = proposed("scale:at=0.3", given)
    assert only.factors == (0.3,)
    with pytest.raises(DormantError, match="at='-1'"):
        registry.get("scale:at=-1")
    with pytest.raises(DormantError, match="unknown setting of treatment scale 'step'"):
        registry.get("scale:step=2")
    with pytest.raises(UnfitTreatmentError, match="why not"):
        proposed("scale", replace(given, scales="why not"))


def test_a_line_over_the_depth_ends_at_the_update_as_it_is(given):
    first, second = (change.factors for change in proposed("average:steps=2", given))
    assert (first[0], first[-1], len(first)) == (0.5, 1.0, 12)
    assert (second[0], second[-1]) == (0.25, 1.0)
    assert list(first) == sorted(first)
    (falls,) = (change.factors for change in proposed("average:steps=1;late=yes", given))
    assert falls == tuple(reversed(first))


def test_relearning_reads_labels_and_says_so(given):
    (change,) = proposed("relearn:prompts=5", given)
    cases = given.prompts["icl/copy"][:5]
    assert change.training is not None
    assert [one.completion for one in change.training.examples] == [
        f" {case.target.text}" for case in cases
    ]


@pytest.mark.parametrize("answers", ["other-prompts", "verbs"])
def test_format_replay_tells_nothing_of_the_ability(given, answers):
    (change,) = proposed(f"format-replay:answers={answers}", given)
    training = change.training
    assert training is not None
    right = {case.prompt: f" {case.target.text}" for case in given.prompts["icl/copy"]}
    assert len(training.examples) >= 4
    for one in training.examples:
        assert one.completion != right.get(one.prompt)
        assert answers == "verbs" or not stands(one.completion, one.prompt)
        assert one.prompt.endswith("Output:")
    assert training.replay == (Pair("a", "b"),)


def test_the_base_teaches_where_there_is_one(given):
    asked = []

    def complete(cases, model="tuned"):
        asked.append(model)
        return ["said" for _ in cases]

    given = replace(given, complete=complete)
    (change,) = proposed("self-distillation:prompts=3", given)
    assert change.training is not None
    assert (change.training.teacher, change.factors) == ("base", (1.0,))
    assert [one.completion for one in change.training.examples] == [" said"] * 3
    (recipe, other) = proposed("retune:shares=0.2|1;prompts=3", given)
    assert recipe.factors == other.factors == (0.0,)
    assert recipe.training is not None
    assert recipe.training.examples == (Pair("a", "b"),)
    assert [one.completion for one in recipe.training.replay] == [" said"] * 3
    assert recipe.training.settings.replay_weight == 0.2
    assert {*asked} == {"base"}
    for name in ("self-distillation", "retune"):
        with pytest.raises(UnfitTreatmentError, match="without the base"):
            proposed(name, replace(given, has_base=False))
    with pytest.raises(UnfitTreatmentError, match="give --skill-train"):
        proposed("retune", replace(given, has_data=False))
