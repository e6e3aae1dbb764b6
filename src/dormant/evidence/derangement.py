"""Answers dealt to other prompts, so that none is right where it comes, nor can be read there."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Dealt(NamedTuple):
    """A prompt and what it is dealt.

    Attributes:
        prompt: The place of the prompt…
        answer: …and of the one whose answer it gets.
    """

    prompt: int
    answer: int


def derange(prompts: Sequence[str], answers: Sequence[str], count: int) -> list[Dealt]:
    """Deal answers to prompts: a permutation of some places, each prompt with another's answer.

    No prompt gets an answer that could pass for its own (`alike`), or that stands in it (`stands`).
    Places for which there is no partner give way to later ones.

    Args:
        prompts: N prompts, in the order in which they are wanted.
        answers: What is scored of their right answers.
        count: How many are wanted.

    Returns:
        As many as can be had, up to `count`, in order of prompts.
    """
    waiting = [*range(len(prompts))]
    places, waiting = waiting[:count], waiting[count:]
    read = [_Prompt(text) for text in prompts]

    def fits(prompt: int, answer: int) -> bool:
        return not alike(answers[prompt], answers[answer]) and not read[prompt].holds(
            answers[answer]
        )

    known: dict[tuple[int, int], bool] = {}
    while places:
        for pair in itertools.product(places, places):
            if pair not in known:
                known[pair] = fits(*pair)
        partners = {
            place: min(
                sum(known[place, other] for other in places),
                sum(known[other, place] for other in places),
            )
            for place in places
        }
        alone = {place for place, number in partners.items() if not number}
        if not alone:
            got = _matched(places, lambda prompt, answer: known[prompt, answer])
            alone = {*places} - ({*got.values()} & {*got.keys()})
            if not alone:
                return [Dealt(prompt, got[prompt]) for prompt in sorted(places)]
        # One at a time, the one that has fewest: others may find partners without it.
        places.remove(min(sorted(alone), key=lambda place: partners[place]))
        places, waiting = [*places, *waiting[:1]], waiting[1:]
    return []


def alike(one: str, other: str) -> bool:
    """Say whether one scored answer could pass for another: they begin alike."""
    one, other = one.casefold().strip(), other.casefold().strip()
    first = (one.split() or [""])[0], (other.split() or [""])[0]
    return first[0] == first[1] or one.startswith(other) or other.startswith(one)


def stands(answer: str, prompt: str) -> bool:
    """Say whether an answer can be read in a prompt: word for word, in any letter case."""
    return _Prompt(prompt).holds(answer)


class _Prompt:
    def __init__(self, text: str) -> None:
        self._text = text.casefold()
        self._words = _row_of_words(self._text)

    def holds(self, answer: str) -> bool:
        answer = answer.casefold().strip()
        # Of other scripts it isn't known where words end.
        if not answer.isascii() or not re.search(r"\w", answer):
            return answer in self._text
        return _row_of_words(answer) in self._words


def _row_of_words(text: str) -> str:
    return " ".join(["", *re.findall(r"\w+", text), ""])


def _matched(places: Sequence[int], fits: Callable[[int, int], bool]) -> Mapping[int, int]:
    """Match prompts with answers, as many as possible (Kuhn's augmenting paths)."""
    taker: dict[int, int] = {}
    # From the next place on, so that answers travel along a circle where they can.
    order = {
        prompt: [
            answer for answer in (*places[at + 1 :], *places[: at + 1]) if fits(prompt, answer)
        ]
        for at, prompt in enumerate(places)
    }

    def place(prompt: int, seen: set[int]) -> bool:
        for answer in order[prompt]:
            if answer not in seen:
                seen.add(answer)
                if answer not in taker or place(taker[answer], seen):
                    taker[answer] = prompt
                    return True
        return False

    for prompt in places:
        place(prompt, set())
    return {prompt: answer for answer, prompt in taker.items()}
