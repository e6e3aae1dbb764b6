"""Which prompts are completed side by side. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from dormant.scoring.rows import common_prefix

_WORTH = 32
"""Tokens by which a common beginning must be longer, and prompts that must have it, for a run of
their own: fewer texts side by side are written more slowly, each."""


@dataclass(frozen=True)
class Prompt:
    """A prompt to be completed.

    Attributes:
        tokens: Its tokens, at least one.
        more: Tokens to be written at most, at least one.
    """

    tokens: tuple[int, ...]
    more: int

    @property
    def longest(self) -> int:
        """Tokens that are read at most: what is written last is read no more."""
        return len(self.tokens) + self.more - 1


@dataclass(frozen=True)
class Run:
    """Prompts whose texts take turns in the same slots.

    Attributes:
        places: The prompts' places in the caller's list, those alike side by side.
        shared: Tokens that all begin with; each has more.
        capacity: Tokens that the longest may have beyond these.
        count: Texts at once.
    """

    places: tuple[int, ...]
    shared: int
    capacity: int
    count: int


def runs(prompts: Sequence[Prompt], budget: int, most: int) -> list[Run]:
    """Part prompts into runs.

    Prompts with a long common beginning come together where they are many, and long ones don't
    take room from short ones: within a run of more texts than there are slots, none is more than
    twice as long as another.

    Args:
        prompts: Any number.
        budget: Tokens that the slots of a run may hold; a longer text goes alone.
        most: Texts at once, whatever their length.
    """
    order = sorted(range(len(prompts)), key=lambda place: (prompts[place].tokens, place))
    made: list[Run] = []
    for places in _alike(prompts, order) if order else ():
        shared = _shared(prompts, places)
        lengths = {place: prompts[place].longest - shared for place in places}
        while places:
            capacity = max(1, *(lengths[place] for place in places))
            count = max(1, min(most, budget // capacity))
            taken = places
            if count < min(most, len(places)):
                taken = [place for place in places if 2 * lengths[place] > capacity]
            made.append(Run(tuple(taken), shared, capacity, min(count, len(taken))))
            left = set(taken)
            places = [place for place in places if place not in left]
    return made


def _shared(prompts: Sequence[Prompt], places: Sequence[int]) -> int:
    """Return how many tokens all of some sorted prompts begin with, each having more."""
    first, last = prompts[places[0]].tokens, prompts[places[-1]].tokens
    shortest = min(len(prompts[place].tokens) for place in places)
    return min(common_prefix(first, last), shortest - 1)


def _alike(prompts: Sequence[Prompt], places: list[int]) -> list[list[int]]:
    """Part sorted prompts by long common beginnings."""
    shared = _shared(prompts, places)
    found: list[list[int]] = []
    rest: list[int] = []
    for _, some in groupby(places, key=lambda place: prompts[place].tokens[shared]):
        part = list(some)
        if len(part) == len(places):
            return [places]
        if len(part) >= _WORTH and _shared(prompts, part) >= shared + _WORTH:
            found += _alike(prompts, part)
        else:
            rest += part
    return [*found, rest] if rest else found
