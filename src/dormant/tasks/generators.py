"""What the items of `rules` are: words to reverse, a row to count on, a sum, a date.

An item's id says all of it, so each generator is two functions: one draws ids, one puts an id into
a language. Answers follow from the rule, so they are right by construction.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from dormant.prompts.segment import Segment
from dormant.tasks import data, icl, icl_vs_if
from dormant.tasks.drawing import Draw, distinct

FOLDER = data.SHIPPED / "rule"
COUNT = 1000
"""Items of each ability."""

ABILITIES = ("reverse", "count", "arithmetic", "date")
_KEYS = {"language", "code", "version", "origin", "instructions", "date", "months"}
_MONTHS = tuple(f"{number:02}" for number in range(1, 13))


@dataclass(frozen=True)
class Texts:
    """One language's texts.

    Attributes:
        instructions: By ability.
        date: How a date is written, with {day}, {month} and {year}.
        months: Names of months, by number: "01", …
    """

    instructions: dict[str, str]
    date: str
    months: dict[str, str]


@cache
def texts(language: str) -> Texts:
    """Read one language's file.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    file = data.language_file(FOLDER, language, _KEYS)
    return Texts(
        instructions={name: file.string("instructions", name) for name in ABILITIES},
        date=file.template(("day", "month", "year"), "date", "written"),
        months={month: file.string("months", month) for month in _MONTHS},
    )


class Generator(NamedTuple):
    """An ability's items.

    Attributes:
        items: Returns their ids, in a fixed order.
        put: Returns the input and the answer of an id, in a language.
    """

    items: Callable[[], tuple[str, ...]]
    put: Callable[[str, str], tuple[str, str]]


_WORDS = 2
"""Words to reverse. With three, a model of 135M parameters is right on one item of twenty."""


@cache
def _rows_of_words() -> tuple[str, ...]:
    """Draw different nouns of those that all languages have."""
    english = icl.texts("english")
    nouns = [*english.pairs["plural"]][: english.stages["plural"][1]]

    def make(draw: Draw) -> str | None:
        words = [draw.one_of(nouns) for _ in range(_WORDS)]
        return "-".join(words) if len({*words}) == len(words) else None

    return distinct("dormant reverse", COUNT, make)


def _reversed(item: str, language: str) -> tuple[str, str]:
    nouns = icl.texts(language).pairs["plural"]
    words = [nouns[key][0] for key in item.split("-")]
    return " ".join(words), " ".join(reversed(words))


_TERMS = 4


@cache
def _rows_of_numbers() -> tuple[str, ...]:
    """Draw the number that a row begins with."""
    return distinct("dormant count", COUNT, lambda draw: str(1 + draw.below(1900)))


def _counted(item: str, language: str) -> tuple[str, str]:
    del language  # digits are the same in all
    *given, answer = (str(int(item) + place) for place in range(_TERMS + 1))
    return ", ".join(given), answer


_OPERANDS: Mapping[str, int] = {"plus": 60, "minus": 90, "times": 13}
"""Operands are below these."""


@cache
def _sums() -> tuple[str, ...]:
    """Draw two numbers and what is done with them.

    No result is below 2 or one of the numbers, which stand in the question.
    """

    def make(draw: Draw) -> str | None:
        name = draw.one_of([*_OPERANDS])
        a, b = (2 + draw.below(_OPERANDS[name] - 2) for _ in range(2))
        result = _result(a, name, b)
        return f"{a}-{name}-{b}" if result > 1 and result not in (a, b) else None

    return distinct("dormant arithmetic", COUNT, make)


def _result(a: int, name: str, b: int) -> int:
    return {"plus": a + b, "minus": a - b, "times": a * b}[name]


def _calculated(item: str, language: str) -> tuple[str, str]:
    a, name, b = item.split("-")
    words = icl_vs_if.texts(language)
    question = words.question.format(a=a, operator=words.operators[name], b=b)
    return question, str(_result(int(a), name, int(b)))


@cache
def _dates() -> tuple[str, ...]:
    """Draw a day of two centuries.

    The first of a month is left out, of which French says another kind of number, and so are the
    last days, which not every month has.
    """

    def make(draw: Draw) -> str:
        return f"{1900 + draw.below(200)}-{draw.one_of(_MONTHS)}-{2 + draw.below(27):02}"

    return distinct("dormant date", COUNT, make)


def _written(item: str, language: str) -> tuple[str, str]:
    year, month, day = item.split("-")
    words = texts(language)
    return item, words.date.format(day=int(day), month=words.months[month], year=year)


GENERATORS: Mapping[str, Generator] = {
    "reverse": Generator(_rows_of_words, _reversed),
    "count": Generator(_rows_of_numbers, _counted),
    "arithmetic": Generator(_sums, _calculated),
    "date": Generator(_dates, _written),
}


def segment(text: str) -> Segment:
    """Return a text as a segment, in which no transform touches a number."""
    spans = tuple(match.span() for match in re.finditer(r"[0-9]+", text))
    return Segment(text, protected=spans)
