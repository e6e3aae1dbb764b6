"""Numbers drawn from a hash, for generators of items: the same on every machine and for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_One = TypeVar("_One")


class Draw:
    """Numbers drawn one after the other from the hash of a name.

    Args:
        name: What is drawn for. A name holds 256 bits, enough for a dozen draws below a million.
    """

    def __init__(self, name: str) -> None:
        self._rest = int.from_bytes(hashlib.sha256(name.encode()).digest(), "big")

    def below(self, bound: int) -> int:
        """Draw a number from 0 up to `bound`, which is out."""
        self._rest, drawn = divmod(self._rest, bound)
        return drawn

    def one_of(self, choices: Sequence[_One]) -> _One:
        """Draw one of `choices`."""
        return choices[self.below(len(choices))]


def draws(name: str) -> Iterator[Draw]:
    """Yield draws without end: of `name 0`, `name 1`, and so on."""
    number = 0
    while True:
        yield Draw(f"{name} {number}")
        number += 1


def distinct(name: str, count: int, make: Callable[[Draw], str | None]) -> tuple[str, ...]:
    """Return the first `count` different items that a generator makes.

    Args:
        name: What the generator is called.
        count: How many; there must be as many.
        make: Makes an item's id of a draw, or `None` where the draw is none.
    """
    items: dict[str, None] = {}
    for draw in draws(name):
        if len(items) == count:
            break
        if (item := make(draw)) is not None:
            items.setdefault(item)
    return tuple(items)
