"""Keeping what is trained on apart from what is asked, as questions and as demonstrations."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Sequence

from dormant.evidence.layout import Shown, UnfitError


class Questions:
    """Questions from which others are to be kept apart."""

    def __init__(self, questions: Iterable[Shown]) -> None:
        known = [_plain(one) for one in questions]
        self._inputs = {inputs for inputs, _ in known}
        self._outputs = {(output,) for _, output in known}

    def apart(self, other: Shown) -> bool:
        """Say whether another asks none of them, nor one turned round (hot, cold; cold, hot)."""
        inputs, output = _plain(other)
        return not ({inputs, (output,)} & self._inputs or inputs in self._outputs)


def drawn(among: Sequence[Shown], own: Shown, count: int, seed: int) -> list[Shown]:
    """Draw demonstrations that have nothing to do with a question.

    Args:
        among: Those that may be shown.
        own: The question.
        count: How many.
        seed: Decides which.

    Raises:
        UnfitError: There are too few.
    """
    questions = Questions([own])
    order = random.Random(f"{seed}/relearn/{own}").sample(among, len(among))
    shown = [*itertools.islice((one for one in order if questions.apart(one)), count)]
    if len(shown) < count:
        raise UnfitError(f"{len(among)} of its items are not asked: too few to show any")
    return shown


def _plain(one: Shown) -> Shown:
    return Shown(tuple(text.casefold().strip() for text in one.inputs), one.output.casefold())
