"""The language of an answer: that of the request, or the one that is demanded."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from dormant.tasks import data
from dormant.tasks.everyday.ability import LABELS, ROOT, Everyday, Request
from dormant.tasks.everyday.reading import folded
from dormant.tasks.everyday.topics import topics
from dormant.tasks.task import Judgement
from dormant.translation.identify import identify

FOLDER = ROOT / "reply-language"
_KEYS = {"language", "code", "version", "origin", "requests", "demands", "references"}
_KINDS = ("own", "demanded")
LEAST = 12
"""Words in which a language is looked for. Of fewer, up to half are taken for another language
(`experiments/language/identify_error.py`), which is no error that two models share."""
_BESIDE = ("it", "pt")
"""Languages that an answer may be taken for besides the six, since they are near one of them."""
_WORD = re.compile(r"[^\W\d_]+")


class _Texts(NamedTuple):
    code: str
    requests: dict[str, str]
    demands: dict[str, str]
    reference: str


@cache
def _texts(language: str) -> _Texts:
    file = data.language_file(FOLDER, language, _KEYS)
    return _Texts(
        code=file.string("code"),
        requests={
            "own": file.template(("topic",), "requests", "own"),
            "demanded": file.template(("topic", "demand"), "requests", "demanded"),
        },
        demands=file.strings("demands"),
        reference=file.string("references", "answer"),
    )


@cache
def codes() -> tuple[str, ...]:
    """Return the codes of languages that an answer is looked for in."""
    return (*(_texts(language).code for language in data.languages(FOLDER)), *_BESIDE)


def words(text: str) -> list[str]:
    """Return a text's words; numbers are none."""
    return _WORD.findall(text)


@cache
def _places() -> dict[str, int]:
    return {topic: place for place, topic in enumerate(topics("english"))}


class ReplyLanguage(Everyday):
    """What py3langid takes the answer's first words for, among eight languages."""

    ability = "reply-language"
    title = "Answers in the language of the request, or in the one demanded"
    max_new_tokens = 96

    def pool(self) -> tuple[str, ...]:
        """Return every topic without and with a demand."""
        return tuple(f"{kind}-{topic}" for topic in topics("english") for kind in _KINDS)

    def wanted(self, item: str, language: str) -> str:
        """Return the language in which an item is to be answered; of demands, each has its turn."""
        kind, topic = item.split("-")
        if kind == "own":
            return language
        others = [other for other in data.languages(LABELS) if other != language]
        return others[_places()[topic] % len(others)]

    def request(self, item: str, language: str) -> Request:
        """Put a topic into a language, with a demand for another or without."""
        kind, topic = item.split("-")
        own, wanted = _texts(language), self.wanted(item, language)
        fields = {"topic": topics(language)[topic]}
        if kind == "demanded":
            fields["demand"] = own.demands[wanted]
        return Request(own.requests[kind].format(**fields), _texts(wanted).reference)

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """RIGHT; PROMPT (the request's language), ENGLISH, OTHER; TOO_SHORT, ECHO."""
        asked = folded(self.request(item, language).text)
        if asked in folded(said):
            return Judgement(False, "ECHO")
        if len(words(said)) < LEAST:
            return Judgement(False, "TOO_SHORT")
        code = identify(said, codes())
        if code == _texts(self.wanted(item, language)).code:
            return Judgement(True, "RIGHT", code)
        if code == _texts(language).code:
            return Judgement(False, "PROMPT", code)
        return Judgement(False, "ENGLISH" if code == "en" else "OTHER", code)
