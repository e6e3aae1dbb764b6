"""Judging many answers at once: what a task of another package may get wrong."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from dormant import tasks
from dormant.errors import DormantError
from dormant.prompts.case import Case
from dormant.prompts.segment import Segment
from dormant.tasks.task import GenerativeTask, Judgement, judge_all

CASES = [
    Case(item=item, segments=(Segment(item, "query"),), target=Segment("yes"))
    for item in ("a", "b")
]


class Polite:
    """A task as another package would write it."""

    name = "test/polite"
    title = "Says yes"
    measure = "generate"
    chance = 0.0
    default_shots = 0
    version = "1"
    max_new_tokens = 4
    until = ()

    def languages(self):
        return ("english",)

    def pool(self):
        return tuple(case.item for case in CASES)

    def case(self, item, *, language, shots, seed):
        return next(case for case in CASES if case.item == item)

    def judge(self, cases, outputs):
        pairs = zip(cases, outputs, strict=True)
        return [Judgement(text == case.target.text, text) for case, text in pairs]


class OneByOne(Polite):
    """The same for Dormant 0.1."""

    def judge(self, case, output):
        return Judgement(output == case.target.text, output)


def test_each_answer_gets_its_judgement():
    assert isinstance(Polite(), GenerativeTask)
    judged = judge_all(Polite(), CASES, ["yes", "no"])
    assert judged == [Judgement(True, "yes"), Judgement(False, "no")]


def test_a_task_that_judges_one_by_one_is_refused():
    with pytest.raises(DormantError, match=r"test/polite: its judge\(case, output\) is that of"):
        judge_all(OneByOne(), CASES, ["yes", "no"])


def test_a_plug_in_that_judges_one_by_one_is_refused_before_anything_is_generated(monkeypatch):
    entry = EntryPoint("test/polite", f"{__name__}:OneByOne", "dormant.tasks")
    monkeypatch.setattr("dormant.extend.installed", lambda group: {entry.name: entry})
    monkeypatch.setattr("dormant.extend.load", lambda entry: OneByOne)
    with pytest.raises(DormantError, match=r"judge\(cases, outputs\)"):
        tasks.get(["test/polite"])


@pytest.mark.parametrize("given", [[Judgement(True, "yes")], [True, False], Judgement(True, "a")])
def test_what_is_no_judgement_of_each_is_refused(given):
    class Odd(Polite):
        def judge(self, cases, outputs):
            return given

    with pytest.raises(DormantError, match="must return a list of 2 Judgements"):
        judge_all(Odd(), CASES, ["yes", "no"])
