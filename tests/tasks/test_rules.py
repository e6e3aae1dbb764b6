"""Generated abilities: many different items, right by another way of reckoning, and protected."""

from __future__ import annotations

import calendar
import datetime
import re

import pytest

from dormant import tasks
from dormant.audit.sample import ItemSample
from dormant.audit.transformed import transformed_cases
from dormant.errors import DormantError
from dormant.tasks import data
from dormant.tasks.generators import ABILITIES, COUNT, FOLDER, texts
from dormant.translation.identify import identify

NAMES = [f"rule/{ability}" for ability in ABILITIES]
LANGUAGES = data.languages(FOLDER)


def asked(name, language="english", shots=2):
    """Query and answer of every item."""
    (task,) = tasks.get([name])
    cases = [task.case(item, language=language, shots=shots, seed=0) for item in task.pool()]
    return [(query_of(case), case.target.text) for case in cases]


def query_of(case):
    (query,) = (one.text for one in case.segments if one.role == "query")
    return query


def test_the_group_is_the_generators():
    assert [task.name for task in tasks.get(["rule"])] == NAMES
    assert LANGUAGES == ("english", "dutch", "french", "hungarian", "spanish")


@pytest.mark.parametrize("name", NAMES)
def test_there_are_a_thousand_different_items(name):
    (task,) = tasks.get([name])
    assert len(task.pool()) == len(set(task.pool())) == COUNT == 1000
    queries = [query for query, _ in asked(name)]
    assert len(set(queries)) == COUNT


@pytest.mark.parametrize(
    ("name", "last"),
    [
        ("rule/reverse", "nest-mistake"),
        ("rule/count", "763"),
        ("rule/arithmetic", "49-minus-6"),
        ("rule/date", "2009-03-28"),
    ],
)
def test_items_are_the_same_everywhere_and_for_ever(name, last):
    (task,) = tasks.get([name])
    assert task.pool()[-1] == last


@pytest.mark.parametrize("language", LANGUAGES)
def test_words_are_reversed(language):
    for query, answer in asked("rule/reverse", language):
        first, second = query.split()
        assert answer == f"{second} {first}" != query


def test_numbers_are_counted_on():
    for query, answer in asked("rule/count", "french"):
        numbers = [*map(int, query.split(", ")), int(answer)]
        assert numbers == [*range(numbers[0], numbers[0] + 5)]
        assert numbers[0] > 0


SIGNS = {"plus": int.__add__, "minus": int.__sub__, "times": int.__mul__}


def test_sums_are_calculated():
    used = []
    for query, answer in asked("rule/arithmetic"):
        a, sign, b = re.fullmatch(r"What is (\d+) (\w+) (\d+)\?", query).groups()
        assert SIGNS[sign](int(a), int(b)) == int(answer) > 1
        assert answer not in (a, b)
        used.append(sign)
    assert all(used.count(sign) > 100 for sign in SIGNS)


def test_dates_are_written():
    for query, answer in asked("rule/date"):
        day = datetime.date.fromisoformat(query)
        assert answer == f"{day.day} {calendar.month_name[day.month]} {day.year}"


@pytest.mark.parametrize(
    ("language", "written"),
    [
        ("french", "14 août 1987"),
        ("spanish", "14 de agosto de 1987"),
        ("dutch", "14 augustus 1987"),
        ("hungarian", "1987. augusztus 14."),
    ],
)
def test_dates_are_written_as_each_language_does(language, written):
    words = texts(language)
    assert words.date.format(day=14, month=words.months["08"], year=1987) == written
    assert len(set(words.months.values())) == 12


@pytest.mark.parametrize("name", NAMES)
def test_no_demonstration_has_the_answer(name):
    (task,) = tasks.get([name])
    for item in task.pool()[::7]:
        case = task.case(item, language="dutch", shots=4, seed=2)
        shown = [one.text for one in case.segments if one.role == "output"]
        assert len(shown) == 4
        assert case.target.text not in shown


@pytest.mark.parametrize("name", ["rule/count", "rule/arithmetic", "rule/date"])
def test_no_transform_touches_a_number(name):
    (task,) = tasks.get([name])
    sample = ItemSample.of(task, n=20, shots=None, seed=0)
    plain = transformed_cases(task, sample, "french")
    for case in transformed_cases(task, sample, "french+morse").cases.values():
        before = plain.cases[case.item]
        digits = [re.findall(r"\d+", text) for text in (query_of(before), before.target.text)]
        assert all(digits)
        for numbers, text in zip(digits, (query_of(case), case.target.text), strict=True):
            assert re.findall(r"\d+", text) == numbers
        assert case.prompt != before.prompt


@pytest.mark.parametrize("language", LANGUAGES)
def test_instructions_are_in_their_language(language):
    codes = ("de", "en", "es", "fr", "hu", "ja", "nl", "ru")
    written = " ".join(texts(language).instructions.values())
    assert identify(written, codes) == data.language_file(FOLDER, language).string("code")


def test_an_unknown_item():
    (task,) = tasks.get(["rule/count"])
    with pytest.raises(DormantError, match="unknown item of rule/count '7000'"):
        task.case("7000", language="english", shots=2, seed=0)
