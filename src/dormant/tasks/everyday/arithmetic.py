"""Sums in three levels, asked in one sentence; all are generated."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dormant.tasks import data
from dormant.tasks.drawing import Draw, distinct
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import paragraph
from dormant.tasks.task import Judgement

FOLDER = ROOT / "arithmetic"
LEVELS = ("easy", "medium", "hard")
COUNT = 100
"""Items of each level."""

_KEYS = {"language", "code", "version", "origin", "questions"}
_QUESTIONS = ("plus", "minus", "times", "sum_times", "difference_times")
_SIGN = re.compile(r"(?<=\d)[\s\u00a0\u202f](?=\d{3}\b)")
_NUMBER = re.compile(r"(?:(?<![\d).])(?<![\d).]\s)[-−](?=\d))?\d+(?:[.,]\d+)?")
"""With its sign, where that is no operator."""
_DECIMALS = re.compile(r"[.,]0+\Z")


class Sum(NamedTuple):
    """What is to be calculated: `a` and `b`, and for the hard ones then times `c`."""

    kind: str
    numbers: tuple[int, ...]

    @property
    def result(self) -> int:
        """The right answer."""
        a, b, *rest = self.numbers
        first = {"plus": a + b, "sum": a + b, "minus": a - b, "difference": a - b, "times": a * b}
        return first[self.kind.split("_")[0]] * (rest[0] if rest else 1)

    @property
    def fair(self) -> bool:
        """Whether the result has at most three digits and doesn't stand in the question."""
        return 1 < self.result < 1000 and self.result not in self.numbers


def parse(item: str) -> Sum:
    """Read an item's id, e.g. "hard-sum_times-4-7-3"."""
    _, kind, *numbers = item.split("-")
    return Sum(kind, tuple(map(int, numbers)))


@cache
def items(level: str) -> tuple[str, ...]:
    """Return the ids of one level."""

    def make(draw: Draw) -> str | None:
        if level == "easy":
            made = Sum(draw.one_of(("plus", "minus")), _pair(draw, 2, 13))
        elif level == "medium":
            kind = draw.one_of(("plus", "minus", "times"))
            made = Sum(kind, _pair(draw, 3, 13) if kind == "times" else _pair(draw, 13, 90))
        else:
            kind = draw.one_of(("sum_times", "difference_times"))
            made = Sum(kind, (*_pair(draw, 3, 41), 3 + draw.below(7)))
        return "-".join([level, made.kind, *map(str, made.numbers)]) if made.fair else None

    return distinct(f"dormant everyday arithmetic {level}", COUNT, make)


def _pair(draw: Draw, least: int, end: int) -> tuple[int, int]:
    return least + draw.below(end - least), least + draw.below(end - least)


def question(item: str, language: str) -> str:
    """Put a sum into words."""
    asked = parse(item)
    fields = dict(zip("abc", asked.numbers, strict=False))
    return _questions(language)[asked.kind].format(**fields)


@cache
def _questions(language: str) -> dict[str, str]:
    file = data.language_file(FOLDER, language, _KEYS)
    return {
        kind: file.template("abc" if kind.endswith("_times") else "ab", "questions", kind)
        for kind in _QUESTIONS
    }


def numbers_in(text: str) -> list[str]:
    """Return the numbers in a text, without spaces between thousands and without ".0"."""
    return [_DECIMALS.sub("", number) for number in _NUMBER.findall(_SIGN.sub("", text))]


class Arithmetic(Everyday):
    """The last number of the first paragraph that isn't one of the question's is the result."""

    ability = "arithmetic"
    title = "Calculates, in three levels"
    max_new_tokens = 64
    field = "question"

    def pool(self) -> tuple[str, ...]:
        """Return the sums of all levels, easy ones first."""
        return tuple(item for level in LEVELS for item in items(level))

    def request(self, item: str, language: str) -> Request:
        """Put a sum into a language."""
        return Request(question(item, language), str(parse(item).result))

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """RIGHT, WRONG, or NO_NUMBER where no new number is said in the first paragraph."""
        del language  # digits are the same in all
        asked = parse(item)
        given = {*map(str, asked.numbers)}
        new = [number for number in numbers_in(paragraph(said)) if number not in given]
        if not new:
            return Judgement(False, "NO_NUMBER")
        right = new[-1] == str(asked.result)
        return Judgement(right, "RIGHT" if right else "WRONG")
