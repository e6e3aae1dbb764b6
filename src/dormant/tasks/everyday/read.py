"""Answer from a passage that says the same of two: read where it stands, don't guess.

Passages are generated; the other one's value is the distractor.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from dormant.tasks import data
from dormant.tasks.drawing import Draw, distinct
from dormant.tasks.everyday.ability import ROOT, Everyday, Request
from dormant.tasks.everyday.reading import paragraph, says
from dormant.tasks.task import Judgement

FOLDER = ROOT / "read"
COUNT = 50
"""Items of each kind."""

_NAMES = (
    *("Anna", "David", "Laura", "Daniel", "Nina", "Victor", "Sara", "Simon", "Emma", "Leo"),
    *("Marta", "Hugo", "Clara", "Oscar", "Lena", "Martin", "Julia", "Bruno", "Eva", "Ivan"),
)
_CITIES = (
    *("Aarhus", "Bergen", "Bonn", "Brno", "Cork", "Debrecen", "Dijon", "Graz", "Kiel", "Linz"),
    *("Lugano", "Madrid", "Nantes", "Szeged", "Tampere", "Turku", "Utrecht"),
)
"""Names that are written alike in all languages."""
_PLATFORMS = ("2", "3", "4", "6", "7", "8", "9", "10", "11", "12", "13", "14")
"""Without 1 and 5, before which Hungarian has another article."""
_NUMBERS = {
    "train": _PLATFORMS,
    "room": tuple(str(number) for number in range(101, 399)),
    "age": tuple(str(number) for number in range(3, 90)),
}
_WORDS = ("course", "pet", "drink")
KINDS = (*_NUMBERS, *_WORDS)
_KEYS = {"language", "code", "version", "origin", "passages", "questions", *_WORDS}


class Item(NamedTuple):
    """Two, what is said of each, and the place (0 or 1) of the one that is asked about."""

    kind: str
    names: tuple[str, str]
    values: tuple[str, str]
    asked: int


class _Texts(NamedTuple):
    passages: dict[str, str]
    questions: dict[str, str]
    words: dict[str, dict[str, tuple[str, str]]]


@cache
def _texts(language: str) -> _Texts:
    file = data.language_file(FOLDER, language, _KEYS)
    return _Texts(
        {kind: file.template("abxy", "passages", kind) for kind in KINDS},
        {kind: file.template("a", "questions", kind) for kind in KINDS},
        {kind: file.pairs(kind) for kind in _WORDS},
    )


@cache
def items(kind: str) -> tuple[str, ...]:
    """Return the ids of one kind; an id says all of its item."""
    values = _NUMBERS.get(kind) or [*_texts("english").words[kind]]
    names = _CITIES if kind == "train" else _NAMES

    def make(draw: Draw) -> str | None:
        a, b = draw.one_of(names), draw.one_of(names)
        x, y = draw.one_of(values), draw.one_of(values)
        # One asked about first as often as last.
        return f"{kind}-{a}-{x}-{b}-{y}-{draw.below(2)}" if a != b and x != y else None

    return distinct(f"dormant everyday read {kind}", COUNT, make)


def parse(item: str) -> Item:
    """Read an item's id."""
    kind, a, x, b, y, asked = item.split("-")
    return Item(kind, (a, b), (x, y), int(asked))


class Read(Everyday):
    """The asked one's value is said in the first paragraph, and the other one's isn't."""

    ability = "read"
    title = "Answers from a passage"
    max_new_tokens = 64
    field = "question"

    def pool(self) -> tuple[str, ...]:
        """Return the items of all kinds."""
        return tuple(item for kind in KINDS for item in items(kind))

    def request(self, item: str, language: str) -> Request:
        """Put a passage and its question into a language."""
        one, words = parse(item), _texts(language)
        known = words.words.get(one.kind, {})
        (a, b), (x, y) = one.names, one.values
        x, y = (known[value][0] if known else value for value in (x, y))
        passage = words.passages[one.kind].format(a=a, b=b, x=x, y=y)
        question = words.questions[one.kind].format(a=one.names[one.asked])
        answer, _ = self._answers(one, language)
        return Request(f"{passage} {question}", answer, literal=one.names)

    def judged(self, item: str, language: str, said: str) -> Judgement:
        """RIGHT, OTHER (what is said of the other one), BOTH, or WRONG."""
        suffixes = language == "hungarian"
        text = paragraph(said)
        right, other = (
            says(text, value, suffixes=suffixes) for value in self._answers(parse(item), language)
        )
        label = {(True, False): "RIGHT", (False, True): "OTHER", (True, True): "BOTH"}
        return Judgement(right and not other, label.get((right, other), "WRONG"))

    def _answers(self, one: Item, language: str) -> tuple[str, str]:
        """Return the right answer and the other one."""
        known = _texts(language).words.get(one.kind, {})
        x, y = (known[value][1] if known else value for value in one.values)
        return (y, x) if one.asked else (x, y)
