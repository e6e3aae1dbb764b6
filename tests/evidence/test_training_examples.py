"""What is learnt: nothing that is asked stands in it, in no role."""

from __future__ import annotations

import json

import pytest

from dormant import tasks
from dormant.audit.plan import plan
from dormant.audit.settings import AuditSettings
from dormant.evidence.derangement import alike, stands
from dormant.evidence.examples import LEAST, MOST, other_answers, other_task, right_answers, verbs
from dormant.evidence.layout import UnfitError, demonstrations, question
from dormant.results import PLAIN
from dormant.tasks.task import shuffled_answers_say_nothing

SHUFFLED = (
    "icl/copy", "icl/first_word", "icl/last_word", "icl/antonym", "icl/capital",
    "recall/capital", "recall/continue", "rule/reverse", "rule/count", "rule/arithmetic",
)  # fmt: skip
INFORMATIVE = ("icl/uppercase", "icl/plural", "rule/date", "icl_vs_if", "nli", "refusal")


def planned(name, **changes):
    given = {"base": None, "tuned": "fake", "transforms": ("leetspeak",), "n": 60, **changes}
    settings = AuditSettings(tasks=(name,), **given)
    (task,) = tasks.get([name])
    return plan(task, settings), settings


def asked(one):
    return [question(case) for case in one.cells[PLAIN].cases.values()]


def test_tasks_say_whose_shuffled_answers_tell_nothing():
    known = {name for name, task in tasks.shipped().items() if shuffled_answers_say_nothing(task)}
    assert known == {*SHUFFLED}


@pytest.mark.parametrize("name", SHUFFLED)
@pytest.mark.parametrize("seed", [0, 3])
def test_answers_of_other_prompts(name, seed):
    one, settings = planned(name, seed=seed)
    cases = other_answers(one, settings)
    assert LEAST <= len(cases) <= MOST
    assert len(cases) == MOST or name == "recall/capital"
    assert not {case.item for case in cases} & {*one.cells[PLAIN].cases}
    texts = {shown.inputs for shown in asked(one)}
    (task,) = tasks.get([name])
    form = next(iter(one.cells[PLAIN].cases.values()))
    for case in cases:
        own = task.case(case.item, language="english", shots=task.default_shots, seed=settings.seed)
        assert not alike(own.scored_target, case.target.text)
        assert not stands(case.target.text, case.prompt)
        shown = demonstrations(case)
        assert len(shown) == len(demonstrations(own))
        assert not {each.inputs for each in shown} & texts
        assert len({each.inputs for each in (*shown, question(case))}) == 1 + len(shown)
        # The layout is the ability's own.
        assert [part.role for part in case.segments] == [part.role for part in form.segments]
        assert (case.distractor, case.target_words) == (None, None)
    # The same answers as are right, each once: what they look like is what is learnt.
    answers = [
        task.case(case.item, language="english", shots=0, seed=0).target.text for case in cases
    ]
    assert sorted(answers) == sorted(case.target.text for case in cases)
    assert other_answers(one, settings) == cases


def test_what_may_be_asked_at_a_later_look_is_left_out_too():
    one, settings = planned("icl/copy", n=None, base="fake", until_decided=True, max_items=120)
    every = {*one.cells[PLAIN].cases}
    first = one.at(0)
    assert len(first.cells[PLAIN].cases) == 40 < len(every) == 120
    for examples in (other_answers, lambda plan, settings: right_answers(plan, settings, 16)):
        cases = examples(first, settings)
        assert not {case.item for case in cases} & every
        assert examples(one, settings) == cases


def test_the_seed_decides():
    one, settings = planned("icl/copy")
    other = settings.model_copy(update={"seed": 7})
    assert other_answers(one, settings) != other_answers(one, other)


@pytest.mark.parametrize("name", ["icl/uppercase", "icl/plural", "rule/date"])
def test_answers_that_show_the_ability_are_left_out(name):
    with pytest.raises(UnfitError, match="may show what is asked for"):
        other_answers(*planned(name))


def test_too_few_items_are_told():
    one, settings = planned("recall/capital", n=75)
    with pytest.raises(UnfitError, match="fewer than 16"):
        other_answers(one, settings)
    with pytest.raises(UnfitError, match="8 of its items are not asked, fewer than 16"):
        right_answers(one, settings, 16)
    one, settings = planned("recall/capital", n=83)
    with pytest.raises(UnfitError, match="0 of its items"):
        right_answers(one, settings, 1)


def test_a_user_s_task_says_it_in_its_file_and_is_checked(tmp_path):
    def written(targets, **header):
        file = tmp_path / "task.jsonl"
        rows = [{"name": "mine/x", "title": "x", "languages": {"english": {}}, **header}]
        rows += [
            {"language": "english", "id": str(n), "input": f"word {n}", "target": target}
            for n, target in enumerate(targets)
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return planned(str(file), n=20)

    names = [f"w{n}" for n in range(60)]
    with pytest.raises(UnfitError, match="may show"):
        other_answers(*written(names))
    declared = {"shuffled_answers_say_nothing": True}
    assert len(other_answers(*written(names, **declared))) == 40
    # Whatever its author says: where all answers are one, none of them is wrong.
    with pytest.raises(UnfitError, match="0 of its items"):
        other_answers(*written(["yes"] * 60, **declared))
    # Nor where a task calls right what another scoring would call wrong.
    generous = {**declared, "measure": "generate", "accept": "contains", "shots": 0}
    with pytest.raises(UnfitError, match="are right in"):
        other_answers(*written(["x" if n % 2 else "a x" for n in range(60)], **generous))


@pytest.mark.parametrize("name", ["icl/copy", "icl/uppercase", "icl/plural", "rule/date"])
def test_another_task_in_the_ability_s_layout(name):
    one, settings = planned(name)
    cases = other_task(one, settings)
    assert len(cases) == MOST
    form = next(iter(one.cells[PLAIN].cases.values()))
    known = {*verbs()}
    for case in cases:
        assert question(case) in known
        assert {*demonstrations(case)} <= known - {question(case)}
        assert [part.role for part in case.segments] == [part.role for part in form.segments]
        kept = [(p.role, p.text) for p in case.segments if p.role in ("label", "layout")]
        assert kept == [(p.role, p.text) for p in form.segments if p.role in ("label", "layout")]
        assert case.segments[0].text == "Write the past tense of the verb."
    taken = {text.casefold() for each in asked(one) for text in (*each.inputs, each.output)}
    assert not taken & {text for case in cases for text in case.prompt.split()[8:]} - {"a"}
    assert other_task(one, settings) == cases


def test_where_another_task_does_not_fit(tmp_path):
    for name, why in (("recall/continue", "layout"), ("nli/greedy", "layout")):
        with pytest.raises(UnfitError, match=why):
            other_task(*planned(name))
    file = tmp_path / "task.jsonl"

    def written(language, pairs):
        rows = [{"name": "mine/x", "title": "x", "languages": {language: {}}}]
        rows += [
            {"language": language, "id": str(n), "input": a, "target": b}
            for n, (a, b) in enumerate(pairs)
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return planned(str(file), n=8)

    with pytest.raises(UnfitError, match="about verbs itself"):
        other_task(*written("english", [(one.inputs[0], one.output) for one in verbs()[:20]]))
    with pytest.raises(UnfitError, match="no other task in its language"):
        other_task(*written("french", [(f"mot {n}", f"m{n}") for n in range(20)]))


@pytest.mark.parametrize("name", ["icl/copy", "icl/antonym", "icl/uppercase", "recall/continue"])
@pytest.mark.parametrize("count", [1, 16])
def test_right_answers_are_of_prompts_that_are_not_asked(name, count):
    one, settings = planned(name)
    cases = right_answers(one, settings, count)
    assert len(cases) == count
    (task,) = tasks.get([name])
    inputs = {shown.inputs for shown in asked(one)}
    for case in cases:
        own = task.case(case.item, language="english", shots=0, seed=0)
        assert case.target.text == own.target.text
        for shown in (question(case), *demonstrations(case)):
            assert shown.inputs not in inputs
            # Nor turned round: hot, cold; cold, hot.
            turned = ((shown.output,), shown.inputs[0])
            assert name == "icl/copy" or turned not in {(o.inputs, o.output) for o in asked(one)}


def test_where_right_answers_are_not_told():
    with pytest.raises(UnfitError, match="no items of its own"):
        right_answers(*planned("icl_vs_if/repeat-blank"), 4)
    with pytest.raises(UnfitError, match="can't be written down"):
        right_answers(*planned("refusal/answers", n=20), 4)


def test_verbs_are_well_formed():
    assert len(verbs()) >= 120
    assert len({one.inputs for one in verbs()}) == len(verbs())
    assert all(one.inputs[0] != one.output for one in verbs())
    assert all(text.isalpha() and text.islower() for o in verbs() for text in (*o.inputs, o.output))
