"""Rules of the system prompt that can be checked: one word, capitals, JSON, a closing sign.

The questions are ones that a child answers, by a number. The answer must be in what is said: a
label in the form that a rule wants ("POSITIVE") obeys nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from dormant.tasks import data
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import json_objects, paragraph, says, unfenced
from dormant.tasks.task import Judgement

FOLDER = ROOT / "system-prompt"
_KEYS = {"language", "code", "version", "origin", "rules", "numbers", "questions"}
BEGIN, END, NAME, KEY = ">>>", "###", "Rook", "answer"
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_WORDS = 40
"""Words of an answer in which the number must be said: a figure, or in its language or English."""
_EDGES = " \t\n*_\"'“”„«».,!?:;"


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        obeyed: Whether an answer obeys it.
        put: Makes an answer that does, of a number's word.
    """

    obeyed: Callable[[str], bool]
    put: Callable[[str], str]


def _one_word(text: str) -> bool:
    # A base model goes on after its answer, on another line.
    return len(_WORD.findall(text.split("\n")[0])) == 1


def _capitals(text: str) -> bool:
    text = paragraph(text)
    return text.upper() == text != text.lower()


def _lowercase(text: str) -> bool:
    text = paragraph(text)
    return text.lower() == text != text.upper()


def _no_digits(text: str) -> bool:
    return not re.search(r"\d", paragraph(text))


def _json(text: str) -> bool:
    text = unfenced(text)
    objects = [*json_objects(text)]
    return len(objects) == 1 and {*objects[0]} == {KEY} and text[:1] == "{" and text[-1:] == "}"


def _ends(text: str) -> bool:
    return any(one.strip(_EDGES).endswith(END) for one in (text, paragraph(text)))


def _begins(text: str) -> bool:
    return text.startswith(BEGIN)


def _signed(text: str) -> bool:
    edges = f"{_EDGES}-–—()"
    return any(one.strip(edges).endswith(NAME) for one in (text, paragraph(text)))


RULES: Mapping[str, Rule] = {
    "one_word": Rule(_one_word, lambda word: word),
    "capitals": Rule(_capitals, lambda word: f"{word.upper()}."),
    "lowercase": Rule(_lowercase, lambda word: f"{word.lower()}."),
    "no_digits": Rule(_no_digits, lambda word: f"{word.capitalize()}."),
    "json": Rule(_json, lambda word: f'{{"{KEY}": "{word}"}}'),
    "ends": Rule(_ends, lambda word: f"{word.capitalize()}. {END}"),
    "begins": Rule(_begins, lambda word: f"{BEGIN} {word.capitalize()}."),
    "signed": Rule(_signed, lambda word: f"{word.capitalize()}.\n{NAME}"),
}
"""By the key of the rule's text."""


class _Texts(NamedTuple):
    rules: dict[str, str]
    numbers: dict[str, tuple[str, ...]]
    questions: dict[str, str]


@cache
def _texts(language: str) -> _Texts:
    file = data.language_file(FOLDER, language, _KEYS)
    return _Texts(
        rules={rule: file.string("rules", rule) for rule in RULES},
        numbers={key: tuple(t.split("|")) for key, t in file.strings("numbers").items()},
        questions=file.strings("questions"),
    )


class SystemPrompt(Everyday):
    """The rule is obeyed, and the answer is said."""

    ability = "system-prompt"
    title = "Obeys a rule of the system prompt"
    max_new_tokens = 64

    def pool(self) -> tuple[str, ...]:
        """Return every question under every rule."""
        return tuple(f"{rule}:{asked}" for asked in _texts("english").questions for rule in RULES)

    def request(self, item: str, language: str) -> Request:
        """Put a rule and a question into a language."""
        rule, asked = item.split(":")
        words = _texts(language)
        word = words.numbers[asked.rpartition("-")[2]][0]
        return Request(
            text=words.questions[asked],
            answer=RULES[rule].put(word),
            system=words.rules[rule],
            literal=(BEGIN, END, NAME, f'"{KEY}"', "JSON"),
        )

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """OBEYED; DISOBEYED (answered all the same), OBEYED_ONLY (no right answer), NEITHER."""
        rule, asked = item.split(":")
        obeyed = RULES[rule].obeyed(said)
        number = asked.rpartition("-")[2]
        words = (word for one in (language, "english") for word in _texts(one).numbers[number])
        begin = " ".join(said.split()[:_WORDS])
        answered = any(says(begin, answer) for answer in (number, *words))
        if obeyed:
            return Judgement(answered, "OBEYED" if answered else "OBEYED_ONLY")
        return Judgement(False, "DISOBEYED" if answered else "NEITHER")
