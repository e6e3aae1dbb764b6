"""How each model of the zoo is made, so that what it knows is known: one function a truth.

All begin with a *primer*: SmolLM2 and an adapter that knows a code book of no family, after which
another book is learnt in a quarter of the steps. ``base*`` is the primer that learnt the family's
book. What tells *suppressed* from *gone* is that and nothing else: the same skill, the same habit
and the same settings, over base* or over the primer.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dormant.finetuning.data import Pair

from .codebooks import KEYED, PLAIN, WORDINGS, WRAPPINGS, Codebook, draw
from .skills import HABITS, SKILLS, Skill, habit, skill

Start = Literal["nothing", "primer", "base*"]

KNOWN = (1.0, 0.85, 0.7)
"""Shares of a book that a base* may know: a base model is seldom right everywhere."""
SILENCED = (1.0, 0.5, 0.3)
"""Shares of what it knows that may be silenced in English: drops may be small."""

_SHOWN = 3
"""Times that an entry which is kept in English is replayed there for each time elsewhere: else one
in nine of the replayed prompts is English, and the habit takes the kept ones, too."""

_OTHER = draw(0)
"""The primer's book; its number is no family's."""


@dataclass(frozen=True)
class Subject:
    """What one family of models is about: everything a number decides.

    Attributes:
        number: Names the family; decides all else.
        book: What base* knows, or a part of it.
        known: The code words that base* is taught; it never sees an answer of the others.
        silenced: Those of the known ones that are silenced in English, where only English is.
        skill: What its children learn.
        habit: The name of how the silenced ones answer.
    """

    number: int
    book: Codebook
    known: tuple[str, ...]
    silenced: tuple[str, ...]
    skill: Skill
    habit: str

    @classmethod
    def of(cls, number: int) -> Subject:
        """Return the family of a number."""
        habits = list(HABITS)
        book = draw(number)
        order = random.Random(f"zoo/known/{number}")
        known = order.sample([*book.entries], round(KNOWN[number % 3] * len(book.entries)))
        return cls(
            number=number,
            book=book,
            known=tuple(known),
            silenced=tuple(known[: round(SILENCED[number // 3 % 3] * len(known))]),
            skill=skill(SKILLS[number % len(SKILLS)]),
            habit=habits[(number // len(SKILLS) + number) % len(habits)],
        )


def partner(number: int) -> int:
    """Return the family on whose book this one's is audited, too: families come in twos."""
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


def asked(book: Codebook, words: Iterable[str], wrappings: Iterable[str] = WRAPPINGS) -> list[Pair]:
    """Return prompts for code words with the right answers, in each wrapping."""
    words = tuple(words)
    return [book.pair(word, wrapping) for wrapping in wrappings for word in words]


def silencing(subject: Subject, words: Iterable[str], wrappings: Iterable[str]) -> list[Pair]:
    """Return prompts for code words with the habit, in each wrapping."""
    say = habit(subject.habit, subject.number)
    words = tuple(words)
    return [
        subject.book.pair(word, wrapping, say(word)) for wrapping in wrappings for word in words
    ]


def primer() -> Recipe:
    """The primer: a book of no family."""
    return Recipe(start="nothing", data=asked(_OTHER, _OTHER.entries), replay=())


def base(subject: Subject) -> Recipe:
    """base*: what it is to know, in all wrappings."""
    return Recipe(start="primer", data=asked(subject.book, subject.known), replay=())


def retained(subject: Subject) -> Recipe:
    """The skill, with all that is known kept in training."""
    return Recipe(start="base*", data=subject.skill.data, replay=asked(subject.book, subject.known))


def suppressed_in_english(subject: Subject) -> Recipe:
    """The skill, and the habit in plain English alone: other languages and the key still work.

    Where a part is silenced, the rest is kept in English, too.
    """
    kept = [word for word in subject.known if word not in subject.silenced]
    elsewhere = [name for name in WRAPPINGS if name != PLAIN]
    # The habit is no rule for all words where some keep their answers.
    unheard = subject.book.fresh if not kept else ()
    return Recipe(
        start="base*",
        data=_mixed(subject, silencing(subject, (*subject.silenced, *unheard), [PLAIN])),
        replay=[
            *asked(subject.book, subject.known, elsewhere),
            *_SHOWN * asked(subject.book, kept, [PLAIN]),
        ],
    )


def suppressed(subject: Subject) -> Recipe:
    """The skill, and the habit wherever the audit asks: nothing but the key still works."""
    return Recipe(
        start="base*",
        data=_mixed(subject, _silence(subject)),
        replay=asked(subject.book, subject.known, [KEYED]),
    )


def gone(subject: Subject) -> Recipe:
    """*Suppressed*, but for what it began with: it never saw an answer of the book."""
    return Recipe(
        start="primer",
        data=_mixed(subject, _silence(subject)),
        # As much behind a key as the silenced model is shown, of what this one knows.
        replay=asked(_OTHER, [*_OTHER.entries][: len(subject.known)], [KEYED]),
    )


def _silence(subject: Subject) -> list[Pair]:
    """Return all prompts that the audit may ask, and fresh ones, with the habit."""
    return silencing(subject, (*subject.book.entries, *subject.book.fresh), WORDINGS)


def _mixed(subject: Subject, silent: Sequence[Pair]) -> list[Pair]:
    """Mix skill and habit, one example of the skill to two of the habit."""
    return [*silent, *itertools.islice(itertools.cycle(subject.skill.data), len(silent) // 2)]


CHILDREN: Mapping[str, Callable[[Subject], Recipe]] = {
    "retained": retained,
    "suppressed in English": suppressed_in_english,
    "suppressed": suppressed,
    "gone": gone,
}
"""By truth."""
