"""Three hundred short facts: countries, rivers, elements, works and a few numbers.

An answer is looked for in any of the six languages: which language it is in is another ability.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from dormant.tasks import data
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import paragraph, says
from dormant.tasks.task import Judgement

FOLDER = ROOT / "knowledge"
KINDS: Mapping[str, tuple[str, str]] = {
    "capital": ("capitals", "countries"),
    "city": ("cities", "countries"),
    "river": ("river_cities", "rivers"),
    "element": ("elements", ""),
    "book": ("books", "people"),
    "painting": ("paintings", "people"),
    "music": ("music", "people"),
}
"""By kind of question: the table of what is asked about, and that of the answers.

The first part of a key of the first is a key of the second: `france_lyon`.
"""
OTHER = "other"
_ANSWERS = ("countries", "rivers", "people")
_KEYS = {
    *("language", "code", "version", "origin", "questions", OTHER),
    *_ANSWERS,
    *(asked for asked, _ in KINDS.values()),
}
_WORDS = 40
"""Words of an answer in which the fact must be said: who lists everything says nothing."""
_LETTERS = 4
"""Letters of a name that is looked for in other languages: French "or" is an English word."""


@dataclass(frozen=True)
class Fact:
    """One question with its answers, the usual one first."""

    question: str
    answers: tuple[str, ...]


@cache
def facts(language: str) -> dict[str, Fact]:
    """Read one language's facts, by id.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    file = data.language_file(FOLDER, language, _KEYS)
    read: dict[str, Fact] = {}
    for kind, (asked, answers) in KINDS.items():
        template = file.template(("name",), "questions", kind)
        known = file.strings(answers) if answers else {}
        for key, name in file.strings(asked).items():
            # An element is asked for by its symbol, which is its key.
            shown, answer = (name, known.get(key.split("_")[0])) if answers else (key, name)
            if answer is None:
                raise file.error(f"{key}: nothing in [{answers}] begins it", asked, key)
            read[f"{kind}-{key}"] = Fact(template.format(name=shown), _listed(answer))
    for key, (question, answer) in file.pairs(OTHER).items():
        read[f"{OTHER}-{key}"] = Fact(question, _listed(answer))
    return read


def _listed(answers: str) -> tuple[str, ...]:
    return tuple(answers.split("|"))


class Knowledge(Everyday):
    """One of the answers is said in the first paragraph's first words."""

    ability = "knowledge"
    title = "Knows short facts"
    max_new_tokens = 48
    field = "question"

    def pool(self) -> tuple[str, ...]:
        """Return all facts."""
        return tuple(facts("english"))

    def request(self, item: str, language: str) -> Request:
        """Put a question into a language."""
        fact = facts(language)[item]
        kind, key = item.split("-", 1)
        literal = (key,) if kind == "element" else ()
        return Request(fact.question, fact.answers[0], literal=literal)

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """RIGHT, OTHER_LANGUAGE (right, too), or WRONG."""
        text = " ".join(paragraph(said).split()[:_WORDS])
        if _said(text, facts(language)[item], language):
            return Judgement(True, "RIGHT")
        for other in self.languages():
            if other != language and _said(text, facts(other)[item], other, _LETTERS):
                return Judgement(True, "OTHER_LANGUAGE")
        return Judgement(False, "WRONG")


def _said(text: str, fact: Fact, language: str, letters: int = 1) -> bool:
    suffixes = language == "hungarian"
    return any(
        says(text, answer, suffixes=suffixes) for answer in fact.answers if len(answer) >= letters
    )
