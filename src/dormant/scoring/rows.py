"""Prompts and answers as tokens, and how prompts share a batch. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One prompt with all its answers.

    Attributes:
        index: Place of the prompt in the caller's list.
        context: Its tokens, at least one.
        answers: The tokens of each answer, at least one each.
    """

    index: int
    context: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]

    @property
    def paths(self) -> list[tuple[int, ...]]:
        """The sequences to be read: an answer's last token is predicted, never read.

        The context alone where no answer has a second token.
        """
        tails = dict.fromkeys(answer[:-1] for answer in self.answers if len(answer) > 1)
        return [self.context + tail for tail in tails] or [self.context]

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence that is read."""
        return max(len(path) for path in self.paths)


def numbered(rows: Sequence[Row]) -> list[Row]:
    """Number rows anew, by their places here."""
    return [Row(place, row.context, row.answers) for place, row in enumerate(rows)]


def batches(rows: Sequence[Row], budget: int) -> list[list[Row]]:
    """Group rows into batches that read at most `budget` distinct prefixes each.

    Rows that begin alike come together, as their common beginning is read once. A row beyond the
    budget goes alone. The result depends on the rows and the budget only.

    Args:
        rows: Any number, in any order.
        budget: Tokens a batch, a shared prefix counted once.
    """
    found: list[list[Row]] = []
    size = 0
    before: tuple[int, ...] = ()
    for row in sorted(rows, key=lambda row: (row.context, row.index)):
        # In sorted order no earlier row shares more with this one than the last does.
        shared = common_prefix(before, row.context)
        tails = sum(len(path) - len(row.context) for path in row.paths)
        new = len(row.context) - shared + tails
        if not found or size + new > budget:
            found.append([])
            size, new = 0, len(row.context) + tails
        found[-1].append(row)
        size += new
        before = row.context
    return found


def common_prefix(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many leading tokens the two have in common."""
    length = min(len(one), len(other))
    for place in range(length):
        if one[place] != other[place]:
            return place
    return length
