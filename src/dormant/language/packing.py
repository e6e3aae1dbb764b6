"""How prompts and answers become rows of tokens, and rows become batches. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One prompt with all its answers.

    The answers' tokens but each one's last follow the prompt in one row: the last is predicted,
    never read. Answers share the prompt's prefill and don't see each other.

    Attributes:
        index: Place of the prompt in the caller's list.
        context: Its tokens.
        answers: The tokens of each answer, at least one each.
    """

    index: int
    context: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    @property
    def tails(self) -> tuple[tuple[int, ...], ...]:
        """What is read of each answer."""
        return tuple(answer[:-1] for answer in self.answers)

    @property
    def length(self) -> int:
        """Tokens read."""
        return len(self.context) + sum(len(tail) for tail in self.tails)

    @property
    def branches(self) -> bool:
        """Whether two answers are read, so that they must be kept from seeing each other."""
        return sum(bool(tail) for tail in self.tails) > 1

    def starts(self) -> list[int]:
        """Where each answer's tail begins in the row."""
        starts: list[int] = []
        place = len(self.context)
        for tail in self.tails:
            starts.append(place)
            place += len(tail)
        return starts

    def predicted_at(self) -> list[list[int]]:
        """For each answer, the places in the row whose output predicts its tokens."""
        last = len(self.context) - 1
        return [
            [last, *range(start, start + len(tail))]
            for start, tail in zip(self.starts(), self.tails, strict=True)
        ]


def pack(rows: Sequence[Row], budget: int) -> list[list[Row]]:
    """Group rows of like length into batches of at most `budget` tokens, padding counted.

    Branching rows are kept apart, as they need a mask. A row longer than the budget goes alone.
    The result depends on the rows and the budget only.
    """
    batches: list[list[Row]] = []
    for branching in (False, True):
        current: list[Row] = []
        for row in sorted(
            (row for row in rows if row.branches is branching),
            key=lambda row: (-row.length, row.index),
        ):
            # Longest first: the first row of a batch says how wide it is.
            if current and current[0].length * (len(current) + 1) > budget:
                batches.append(current)
                current = []
            current.append(row)
        if current:
            batches.append(current)
    return batches
