"""Unambiguous few-shot abilities.

A drop on an ambiguous prompt (`icl_vs_if`) may be a changed preference; these prompts have one
reading, so a drop here is a lost or hidden ability. Sentence abilities use `sentences`, in which
every language is parallel; word abilities have pairs of their own, in three layers: the first
edition's, those that every language has besides, and those that one language alone has.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, islice
from pathlib import Path

from dormant.errors import unknown
from dormant.prompts.case import Case, few_shot
from dormant.prompts.segment import Segment
from dormant.tasks import data
from dormant.tasks import sentences as texts_of_sentences
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.task import Measure

FOLDER = data.SHIPPED / "icl"

_SENTENCE_RULES: dict[str, Callable[[str], str]] = {
    "copy": lambda text: text,
    "uppercase": str.upper,
    "first_word": lambda text: text.split()[0],
    "last_word": lambda text: text.split()[-1].rstrip(string.punctuation),
}
_WORD_ABILITIES = ("antonym", "plural", "capital")
_TITLES = {
    "copy": "Copy the input",
    "uppercase": "Write the input in capitals",
    "first_word": "Pick out the first word",
    "last_word": "Pick out the last word",
    "antonym": "Name the opposite",
    "plural": "Form the plural",
    "capital": "Name a country's capital",
}
_ANSWERED_BY_PROMPT_ALONE = ("copy", "first_word", "last_word", "antonym", "capital")
"""Abilities whose answers have no form in common that would give them away: of capital letters and
plurals, answers of other prompts show what is to be done."""
_LAYERS = ("more", "alone")
"""Folders beside the first edition's files: of items in all languages, and in one alone."""
_MORE_KEYS = {"language", "code", "version", "origin", *_WORD_ABILITIES}
_KEYS = {*_MORE_KEYS, "labels", "instructions"}


@dataclass(frozen=True)
class Texts:
    """One language's labels and instructions, and every ability's items.

    Attributes:
        input_label: "Input", without colon.
        output_label: "Output", without colon.
        instructions: By ability.
        pairs: By ability and id, [input, output]; the layers one after the other.
        stages: By ability, how many items there are up to the end of each layer.
    """

    input_label: str
    output_label: str
    instructions: dict[str, str]
    pairs: dict[str, dict[str, tuple[str, str]]]
    stages: dict[str, tuple[int, ...]]


@cache
def texts(language: str, folder: Path = FOLDER) -> Texts:
    """Read one language's file.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line).
    """
    file = data.language_file(folder, language, _KEYS)
    more = [
        data.language_file(folder / layer, language, _MORE_KEYS)
        for layer in _LAYERS
        if language in data.languages(folder / layer)
    ]
    pairs: dict[str, dict[str, tuple[str, str]]] = {}
    stages: dict[str, tuple[int, ...]] = {}
    for name, rule in _SENTENCE_RULES.items():
        sentences = texts_of_sentences.sentences(language)
        pairs[name] = {key: (text, rule(text)) for key, text in sentences.items()}
        stages[name] = (len(texts_of_sentences.written(language)), len(sentences))
    for name in _WORD_ABILITIES:
        layers = [file.pairs(name), *(each.pairs(name) for each in more if name in each.values)]
        pairs[name] = {key: pair for layer in layers for key, pair in layer.items()}
        stages[name] = tuple(accumulate(map(len, layers)))
    return Texts(
        input_label=file.string("labels", "input"),
        output_label=file.string("labels", "output"),
        instructions={name: file.string("instructions", name) for name in pairs},
        pairs=pairs,
        stages=stages,
    )


@cache
def _demonstrable(ability: str, item: str, folder: Path) -> list[str]:
    """Return the items that may be shown before another: the first edition's, but for itself.

    Before a newer pair of words, none is shown that shares a word with it: "hot → cold" gives
    "cold → hot" away. English decides, so that demonstrations are the same in every language.
    """
    english = texts("english", folder)
    pairs = english.pairs[ability]
    first = [*islice(pairs, english.stages[ability][0])]
    if item in first or ability in _SENTENCE_RULES:
        return [key for key in first if key != item]
    return [key for key in first if not {*pairs[key]} & {*pairs[item]}]


@dataclass(frozen=True)
class Icl:
    """A few-shot ability with one right answer.

    Attributes:
        ability: "copy", "antonym", …
        target_words: How many leading words of the answer must be right; `None` is all.
        folder: Where the language files are.
    """

    ability: str
    target_words: int | None = None
    folder: Path = FOLDER
    measure: Measure = "greedy"
    chance: float = 0.0
    default_shots: int = 2
    version: str = "2"

    @property
    def name(self) -> str:
        """The ability's name."""
        return f"icl/{self.ability}"

    @property
    def title(self) -> str:
        """What the ability is."""
        title = _TITLES[self.ability]
        return title if self.target_words is None else f"{title} (first {self.target_words} words)"

    @property
    def shuffled_answers_say_nothing(self) -> bool:
        """Whether answers of other prompts tell nothing; see `shuffled_answers_say_nothing`."""
        return self.ability in _ANSWERED_BY_PROMPT_ALONE

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have a file."""
        return data.languages(self.folder)

    def pool(self) -> tuple[str, ...]:
        """Return all ids of the ability."""
        return tuple(texts("english", self.folder).pairs[self.ability])

    @property
    def stages(self) -> tuple[int, ...]:
        """How many items there are up to the end of each layer; see `stages_of`."""
        return texts("english", self.folder).stages[self.ability]

    def items_in(self, language: str) -> Collection[str]:
        """Return the items that have text in a language."""
        return texts(language, self.folder).pairs[self.ability].keys()

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; see `Task.case`."""
        words = texts(language, self.folder)
        pairs = words.pairs[self.ability]
        if item not in pairs:
            raise unknown(f"item of {self.name} in {language}", item, pairs)
        among = _demonstrable(self.ability, item, self.folder)
        shown = draw_demonstrations(self.name, item, among, shots, seed)
        given, answer = pairs[item]
        return few_shot(
            item=item,
            instruction=words.instructions[self.ability],
            input_label=words.input_label,
            output_label=words.output_label,
            demonstrations=[(Segment(pairs[key][0]), Segment(pairs[key][1])) for key in shown],
            query=Segment(given),
            target=Segment(answer),
            target_words=self.target_words,
        )


TASKS = tuple(
    Icl(ability, target_words=3 if ability in ("copy", "uppercase") else None)
    for ability in (*_SENTENCE_RULES, *_WORD_ABILITIES)
)
