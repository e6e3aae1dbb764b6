"""What holds of every ability of `everyday`: parallel, clean, and judged as its reference says."""

from __future__ import annotations

import importlib.util
import re

import pytest

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.transformed import transformed_cases
from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.tasks import everyday
from dormant.tasks.everyday import instruction
from dormant.tasks.everyday.reading import says
from dormant.tasks.task import judge_all
from dormant.translation.identify import identify

LANGUAGES = {
    "english": "en", "french": "fr", "spanish": "es", "german": "de", "dutch": "nl",
    "hungarian": "hu",
}  # fmt: skip
GENERATED = {"everyday/arithmetic", "everyday/read", "everyday/knowledge"}
CLOSED = ("everyday/knowledge", "everyday/arithmetic")
"""Abilities whose answer may not stand in the prompt."""
REFUSALS = (
    "I'm sorry, but I can't help with that.",
    "Je suis désolé, mais je ne peux pas répondre à cette demande.",
    "Es tut mir leid, dabei kann ich nicht helfen.",
)
ODD = (
    "", " \n", "Positive", "positive.", "NEGATIVE", "Label: negative", "Yes", "No", "A", "B)",
    "Entailment", "...", "None", "null", "[]", "{}", "```json\n```", "<think>", "</think>",
    "<think>unfinished thoughts", "\ufffd\ufffd", "?" * 300,
)  # fmt: skip
TAKES_REFUSALS = ("reply-language", "length", "instruction")
"""A refusal is a short sentence without digits in some language: known (docs/everyday.md)."""
IFEVAL = all(importlib.util.find_spec(name) for name in instruction.NEEDED)
JUDGEABLE = [one for one in everyday.TASKS if IFEVAL or one.ability != "instruction"]
ALL = [(one, language) for one in everyday.TASKS for language in LANGUAGES]
JUDGED = [(one, language) for one in JUDGEABLE for language in LANGUAGES]


def name_of(value):
    return getattr(value, "ability", value)


def cases(task, language):
    return [task.case(item, language=language, shots=0, seed=0) for item in task.pool()]


def asked(case):
    return case.messages[-1]["content"]


@pytest.mark.parametrize("task", everyday.TASKS, ids=name_of)
def test_enough_items_in_six_languages(task):
    pool = task.pool()
    assert set(task.languages()) == {*LANGUAGES}
    assert task.languages()[0] == "english"
    assert len(set(pool)) == len(pool) >= (300 if task.name in GENERATED else 150)


@pytest.mark.parametrize(("task", "language"), ALL, ids=name_of)
def test_no_prompt_twice(task, language):
    prompts = [case.prompt for case in cases(task, language)]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(("task", "language"), ALL, ids=name_of)
def test_no_request_is_left_untranslated(task, language):
    if language == "english":
        return
    english = {case.item: asked(case) for case in cases(task, "english")}
    same = [case.item for case in cases(task, language) if asked(case) == english[case.item]]
    assert not same


@pytest.mark.parametrize(("task", "language"), ALL, ids=name_of)
def test_the_texts_are_in_their_language(task, language):
    """Requests are short, so they are read together, ten at a time."""
    without_numbers = (re.sub(r"[\d()+×·−]", "", asked(case)) for case in cases(task, language))
    texts = [*dict.fromkeys(without_numbers)]
    for start in range(0, len(texts), 10):
        some = " ".join(texts[start : start + 10])
        assert identify(some, sorted(LANGUAGES.values())) == LANGUAGES[language], some


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", CLOSED)
def test_no_answer_stands_in_its_prompt(name, language):
    (task,) = tasks.get([name])
    for case in cases(task, language):
        assert not says(case.prompt, case.target.text), case.prompt


@pytest.mark.parametrize(("task", "language"), JUDGED, ids=name_of)
def test_every_reference_passes_its_own_judge(task, language):
    given = cases(task, language)
    answers = [case.target.text for case in given]
    for wrapped in (answers, [f"<think>Hm, POSITIVE?</think>\n{text}\n" for text in answers]):
        if task.keeps_thinking and wrapped is not answers:
            continue
        judged = judge_all(task, given, wrapped)
        assert [
            case.prompt for case, one in zip(given, judged, strict=True) if not one.success
        ] == []


@pytest.mark.parametrize(("task", "language"), JUDGED, ids=name_of)
def test_odd_answers_fail(task, language):
    odd = ODD if task.ability in TAKES_REFUSALS else (*ODD, *REFUSALS)
    for case in cases(task, language)[::17]:
        judged = zip(odd, judge_all(task, [case] * len(odd), odd), strict=True)
        assert not [(case.prompt, text) for text, one in judged if one.success]


@pytest.mark.parametrize(("task", "language"), JUDGED, ids=name_of)
def test_a_copy_of_the_prompt_fails(task, language):
    for case in cases(task, language):
        for text in (asked(case), case.prompt):
            assert not judge_all(task, [case], [text])[0].success, case.prompt


@pytest.mark.parametrize("task", JUDGEABLE, ids=name_of)
def test_what_follows_the_answer_is_not_read(task):
    given = cases(task, "english")[:20]
    (stop, *_) = task.until
    answers = [f"{case.target.text}{stop} And then? 99 POSITIVE" for case in given]
    assert all(one.success for one in judge_all(task, given, answers))


@pytest.mark.parametrize("transform", ["leetspeak", "french+pig-latin"])
@pytest.mark.parametrize("task", JUDGEABLE, ids=name_of)
def test_plain_answers_under_a_transform_are_judged_after_the_way_back(task, transform):
    sample = ItemSample(task.pool()[:12], 0, 0)
    made = transformed_cases(task, sample, transform)
    assert len(made.cases) >= 9, made.excluded
    for case in made.cases.values():
        assert isinstance(case.given, everyday.Asked)
        assert case.given.target == case.target
        (judged,) = judge_all(task, [case], ["Positive"])
        assert not judged.success


@pytest.mark.parametrize("task", everyday.TASKS, ids=name_of)
def test_a_chat_has_no_labels_and_raw_has(task):
    for case in cases(task, "german")[:10]:
        assert [turn["role"] for turn in case.messages] in (["user"], ["system", "user"])
        assert case.prompt.endswith(("Assistent:", "Antwort:"))
        assert "Nutzer" not in asked(case)
        assert all(turn["content"] in case.prompt for turn in case.messages)


def test_demonstrations_are_refused():
    (task,) = tasks.get(["everyday/smalltalk"])
    with pytest.raises(DormantError, match="takes no demonstrations"):
        task.case(task.pool()[0], language="english", shots=1, seed=0)


def test_unknown_items_and_languages_are_named():
    (task,) = tasks.get(["everyday/arithmetic"])
    with pytest.raises(DormantError, match="unknown item of everyday/arithmetic 'x'"):
        task.case("x", language="english", shots=0, seed=0)
    with pytest.raises(DormantError, match="did you mean 'german'"):
        task.case(task.pool()[0], language="germann", shots=0, seed=0)


def test_a_case_of_another_task_is_refused():
    (task,) = tasks.get(["everyday/arithmetic"])
    other = Case(item="x", segments=(Segment("Hello"),), target=Segment("Hi"))
    with pytest.raises(DormantError, match="case of another task"):
        task.judge([other], ["Hi"])
