"""Long where an essay is asked for, short where one sentence is."""

from __future__ import annotations

import re
from functools import cache

from dormant.tasks import data
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import folded, paragraph
from dormant.tasks.everyday.topics import topics
from dormant.tasks.task import Judgement

FOLDER = ROOT / "length"
_KEYS = {"language", "code", "version", "origin", "requests", "references"}
_KINDS = ("essay", "line")
LONG = 500
"""Characters of an essay at least: about 90 English words. Characters, since words of one language
are longer than another's."""
SHORT = 240
"""Characters of one sentence at most."""
_SENTENCE = 3
"""Words of a sentence at least."""
_NEW = 0.5
"""Share of an essay's word triples that occur for the first time: below, it repeats itself."""
_LISTED = 0.5
"""Share of an essay's lines that are list items or headings: above, it is an outline."""
_ITEM = re.compile(r"\s*(?:[-*•+–]\s|#+\s|\(?\d{1,2}[.)]\s|\(?[a-zA-Z][.)]\s|[IVX]{1,4}\.\s)")


@cache
def _texts(language: str) -> tuple[dict[str, str], dict[str, str]]:
    file = data.language_file(FOLDER, language, _KEYS)
    requests = {kind: file.template(("topic",), "requests", kind) for kind in _KINDS}
    return requests, {kind: file.string("references", kind) for kind in _KINDS}


class Length(Everyday):
    """Essays have `LONG` characters of running text; one sentence has `SHORT` at most."""

    ability = "length"
    title = "Writes an essay long and a one-liner short"
    max_new_tokens = 384

    def pool(self) -> tuple[str, ...]:
        """Return every topic as an essay and as one sentence."""
        return tuple(f"{kind}-{topic}" for topic in topics("english") for kind in _KINDS)

    def request(self, item: str, language: str) -> Request:
        """Put a topic into a language."""
        kind, topic = item.split("-")
        requests, references = _texts(language)
        return Request(requests[kind].format(topic=topics(language)[topic]), references[kind])

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """LONG or SHORT, of which one is right; WORD, ECHO, OUTLINE, REPEATS."""
        if item.startswith("line-"):
            line = paragraph(said)
            if len(re.findall(r"\w+", line)) < _SENTENCE:
                return Judgement(False, "WORD")
            if folded(self.request(item, language).text) in folded(line):
                return Judgement(False, "ECHO")
            short = len(line) <= SHORT
            return Judgement(short, "SHORT" if short else "LONG")
        if len(said) < LONG:
            return Judgement(False, "SHORT")
        lines = [line for line in said.split("\n") if line.strip()]
        if sum(bool(_ITEM.match(line)) for line in lines) > _LISTED * len(lines):
            return Judgement(False, "OUTLINE")
        if _newness(said) < _NEW:
            return Judgement(False, "REPEATS")
        return Judgement(True, "LONG")


def _newness(text: str) -> float:
    """Return the share of a text's word triples that are different."""
    words = text.casefold().split()
    triples = [*zip(words, words[1:], words[2:], strict=False)]
    # A text without spaces is one word.
    return len({*triples}) / len(triples) if triples else 0.0
