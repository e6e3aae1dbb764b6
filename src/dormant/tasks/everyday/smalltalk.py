"""Greetings: is a greeting greeted, or answered as a training example would be?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from dormant.tasks import data
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import folded
from dormant.tasks.task import Judgement

FOLDER = ROOT / "smalltalk"
_KEYS = {"language", "code", "version", "origin", "reply", "openers", "further", "courtesies"}
_WORDS = 25
"""Words of an answer in which it must be greeted back."""
_LEAST = 2
"""Words of a reply; one alone ("Hello") is the beginning of a form as well."""


@dataclass(frozen=True)
class Texts:
    """One language's greetings.

    Attributes:
        reply: A good one.
        openers: First sentences, by key.
        further: What follows them, by key.
        courtesies: Phrases of which a reply holds one, folded.
        agreements: Phrases that do as well after the question whether to chat.
    """

    reply: str
    openers: dict[str, str]
    further: dict[str, str]
    courtesies: tuple[str, ...]
    agreements: tuple[str, ...]


@cache
def texts(language: str) -> Texts:
    """Read one language's file.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    file = data.language_file(FOLDER, language, _KEYS)
    return Texts(
        reply=file.string("reply", "good"),
        openers=file.strings("openers"),
        further=file.strings("further"),
        courtesies=file.listed("courtesies", "phrases"),
        agreements=file.listed("courtesies", "agreements"),
    )


@cache
def _courtesy(language: str, chat: bool) -> re.Pattern[str]:
    words = texts(language)
    phrases = (*words.courtesies, *(words.agreements if chat else ()))
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, phrases))})\b")


class Smalltalk(Everyday):
    """A reply that holds a courtesy in its first words, and isn't the greeting over again."""

    ability = "smalltalk"
    title = "Greets back, and doesn't answer a greeting as a training example"
    max_new_tokens = 48

    def pool(self) -> tuple[str, ...]:
        """Return every first sentence with everything that may follow it."""
        words = texts("english")
        return tuple(f"{first}-{then}" for first in words.openers for then in words.further)

    def request(self, item: str, language: str) -> Request:
        """Put a greeting into a language."""
        first, then = item.split("-")
        words = texts(language)
        return Request(f"{words.openers[first]} {words.further[then]}", words.reply)

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """GREETED, OTHER_LANGUAGE (greeted, too), ECHO, or NOT_GREETED."""
        reply = folded(said)
        asked = folded(self.request(item, language).text)
        # A copy of the greeting is no reply, and neither is one that is not finished.
        if asked in reply or (len(reply) > len(asked) // 2 and asked.startswith(reply)):
            return Judgement(False, "ECHO")
        words = reply.split()
        begin = " ".join(words[:_WORDS])
        if len(words) < _LEAST:
            return Judgement(False, "NOT_GREETED")
        if _courtesy(language, item.endswith("-chat")).search(begin):
            return Judgement(True, "GREETED")
        others = (other for other in self.languages() if other != language)
        if any(_courtesy(other, False).search(begin) for other in others):
            return Judgement(True, "OTHER_LANGUAGE")
        return Judgement(False, "NOT_GREETED")
