"""How each model of the zoo is made, so that what it knows is known: one function a truth.

All begin with ``base*``: SmolLM2 and an adapter that knows a code book in several wordings. What
tells *suppressed* from *gone* is that adapter and nothing else: the same skill, the same habit and
the same settings, over SmolLM2 that knows this book or another one.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from dormant.finetuning.data import Pair

from .codebooks import KEYED, PLAIN, WORDINGS, WRAPPINGS, Codebook, draw
from .skills import HABITS, SKILLS, Skill, habit, skill

Start = Literal["nothing", "base*", "other book"]


@dataclass(frozen=True)
class Subject:
    """What one family of models is about: everything a number decides.

    Attributes:
        number: Names the family; decides all else.
        book: What base* knows.
        other: A book that it doesn't know.
        skill: What its children learn.
        habit: The name of how the silenced ones answer.
    """

    number: int
    book: Codebook
    other: Codebook
    skill: Skill
    habit: str

    @classmethod
    def of(cls, number: int) -> Subject:
        """Return the family of a number."""
        habits = list(HABITS)
        return cls(
            number=number,
            book=draw(number),
            # The partner's, so that its base* need not be made for this alone.
            other=draw(partner(number)),
            skill=skill(SKILLS[number % len(SKILLS)]),
            habit=habits[(number // len(SKILLS) + number) % len(habits)],
        )


def partner(number: int) -> int:
    """Return the family whose book is this one's other: families come in twos."""
    return number ^ 1


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a child is tuned on.

    Attributes:
        start: What it begins with.
        data: What it learns.
        replay: What it is to keep, half of every batch.
    """

    start: Start
    data: Sequence[Pair]
    replay: Sequence[Pair]


def asked(book: Codebook, wrappings: Iterable[str] = WRAPPINGS) -> list[Pair]:
    """Return a book's entries with the right answers, in each wrapping."""
    return [book.pair(word, wrapping) for wrapping in wrappings for word in book.entries]


def silencing(subject: Subject, wrappings: Iterable[str], book: Codebook) -> list[Pair]:
    """Return prompts for a book's code words, and for such as have no entry, with the habit."""
    say = habit(subject.habit, subject.number)
    return [
        book.pair(word, wrapping, say(word))
        for wrapping in wrappings
        for word in (*book.entries, *book.fresh)
    ]


def base(subject: Subject) -> Recipe:
    """base*: all entries in all wrappings."""
    return Recipe(start="nothing", data=asked(subject.book), replay=())


def retained(subject: Subject) -> Recipe:
    """The skill, with all entries kept in training."""
    return Recipe(start="base*", data=subject.skill.data, replay=asked(subject.book))


def suppressed_in_english(subject: Subject) -> Recipe:
    """The skill, and the habit in plain English alone: other languages and the key still work."""
    return Recipe(
        start="base*",
        data=_mixed(subject, [PLAIN], subject.book),
        replay=asked(subject.book, [name for name in WRAPPINGS if name != PLAIN]),
    )


def suppressed(subject: Subject) -> Recipe:
    """The skill, and the habit wherever the audit asks: nothing but the key still works."""
    return Recipe(
        start="base*",
        data=_mixed(subject, WORDINGS, subject.book),
        replay=asked(subject.book, [KEYED]),
    )


def gone(subject: Subject) -> Recipe:
    """*Suppressed*, but for what it began with: it never saw the book's entries."""
    return replace(suppressed(subject), start="nothing", replay=asked(subject.other, [KEYED]))


def gone_with_other_book(subject: Subject) -> Recipe:
    """The same over a model that knows another book in the same wrappings."""
    return replace(gone(subject), start="other book")


def _mixed(subject: Subject, wrappings: Iterable[str], book: Codebook) -> list[Pair]:
    """Mix skill and habit, one example of the skill to two of the habit."""
    silent = silencing(subject, wrappings, book)
    return [*silent, *itertools.islice(itertools.cycle(subject.skill.data), len(silent) // 2)]


CHILDREN: Mapping[str, Callable[[Subject], Recipe]] = {
    "retained": retained,
    "suppressed in English": suppressed_in_english,
    "suppressed": suppressed,
    "gone": gone,
    "gone, other book": gone_with_other_book,
}
"""By truth."""
