"""A thinking block: opened, used, closed, and followed by an answer."""

from __future__ import annotations

import re
from functools import cache

from dormant.tasks import data
from dormant.tasks.everyday import arithmetic
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import folded
from dormant.tasks.task import Judgement

FOLDER = ROOT / "thinking"
OPEN, CLOSE = "<think>", "</think>"
_KEYS = {"language", "code", "version", "origin", "system", "references"}
_LEVELS = ("medium", "hard")
_LEAST = 5
"""Words and numbers of a thought at least, those of the question not counted."""


@cache
def _texts(language: str) -> tuple[str, str]:
    file = data.language_file(FOLDER, language, _KEYS)
    return file.string("system", "rule"), file.string("references", "thought")


class Thinking(Everyday):
    """The first block ends, holds words that aren't the question's, and an answer comes after it.

    The block may have been opened by the template. Whether the answer is right is left to
    `everyday/arithmetic`.
    """

    ability = "thinking"
    title = "Opens, uses and closes a thinking block before it answers"
    max_new_tokens = 512
    keeps_thinking = True

    def pool(self) -> tuple[str, ...]:
        """Return sums of the two higher levels."""
        return tuple(item for level in _LEVELS for item in arithmetic.items(level))

    def request(self, item: str, language: str) -> Request:
        """Put a sum into a language, and the rule to think first."""
        rule, thought = _texts(language)
        return Request(
            text=arithmetic.question(item, language),
            answer=f"{OPEN}\n{thought}\n{CLOSE}\n{arithmetic.parse(item).result}",
            system=rule,
            literal=(OPEN, CLOSE),
        )

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """THOUGHT; NO_BLOCK, UNOPENED, UNCLOSED, EMPTY_BLOCK, NO_ANSWER."""
        before, closed, after = said.partition(CLOSE)
        start, opened, thought = before.rpartition(OPEN)
        if not closed:
            return Judgement(False, "UNCLOSED" if opened else "NO_BLOCK")
        if opened and start.strip():
            # It has answered before it thought.
            return Judgement(False, "UNOPENED")
        asked = {*folded(arithmetic.question(item, language)).split()}
        words = [word for word in folded(thought).split() if word not in asked]
        if len(words) < _LEAST:
            return Judgement(False, "EMPTY_BLOCK")
        answer = re.sub(rf"{OPEN}|{CLOSE}", "", after)
        if not re.search(r"\w", answer):
            return Judgement(False, "NO_ANSWER")
        return Judgement(True, "THOUGHT")
