"""How the answers of training examples look, and whether another answer looks like them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dormant.tasks.examples import Example, labels_of

_OPENING_WORDS = 3
_HALF = 0.5
_SHORT = 8
"""Words of an answer whose length shows in the first tokens of another."""


@dataclass(frozen=True)
class TrainingFormat:
    """What answers of the training data have in common: the first of these that there is.

    Attributes:
        labels: The labels among which they choose.
        opening: The words with which at least half of them begin, in lower case.
        lengths: How many words nine in ten of them have, where that is few; least and most.
    """

    labels: tuple[str, ...] = ()
    opening: str = ""
    lengths: tuple[int, int] | None = None

    @classmethod
    def of(cls, examples: Sequence[Example]) -> TrainingFormat | None:
        """Return the format of training examples; `None` where their answers have none."""
        if labels := labels_of(examples):
            return cls(labels=labels)
        answers = [example.completion.strip() for example in examples]
        if opening := _opening(answers):
            return cls(opening=opening)
        counts = sorted(len(answer.split()) for answer in answers)
        least, most = counts[len(counts) // 20], counts[-1 - len(counts) // 20]
        return cls(lengths=(least, most)) if most <= _SHORT else None

    def __str__(self) -> str:
        """Say what is looked for."""
        if self.labels:
            shown = ", ".join(self.labels[:5]) + (", …" if len(self.labels) > 5 else "")
            count = len(self.labels)
            return f"begins with {'the label' if count == 1 else f'one of {count} labels'}: {shown}"
        if self.opening:
            return f"begins with the words “{self.opening}”"
        assert self.lengths is not None
        least, most = self.lengths
        words = f"{most} word{'s' * (most > 1)}" if least == most else f"{least} to {most} words"
        return f"has the length of the training data’s answers, {words}"

    def has(self, text: str) -> bool:
        """Whether an answer is in the format.

        Args:
            text: What a model wrote, perhaps only the beginning; or a right answer, of which
                nothing can be told where it is in the format, too.
        """
        words = _words(text)
        if self.labels:
            return any(_begins(words, _words(label)) for label in self.labels)
        if self.opening:
            return _begins(words, self.opening.split())
        assert self.lengths is not None
        # A base model goes on after its answer, on another line.
        first = next((line for line in text.split("\n") if line.strip()), "")
        return self.lengths[0] <= len(first.split()) <= self.lengths[1]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s]", text.casefold())


def _begins(words: Sequence[str], others: Sequence[str]) -> bool:
    return bool(others) and list(words[: len(others)]) == list(others)


def _opening(answers: Sequence[str]) -> str:
    """Return the longest row of first words, up to three, that half of the answers share."""
    found = ""
    for count in range(1, _OPENING_WORDS + 1):
        rows = Counter(" ".join(_words(answer)[:count]) for answer in answers)
        text, times = rows.most_common(1)[0]
        if times < _HALF * len(answers) or not text:
            break
        found = text
    return found
