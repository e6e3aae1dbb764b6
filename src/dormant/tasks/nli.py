"""Natural-language inference (paper §3.2): does a premise entail a hypothesis?

A prompt is the premise, a question that holds the hypothesis and names the three options, and an
answer cue, each on a line. Two abilities: `nli/greedy` is right when greedy decoding begins with
the label word, as in the paper; `nli/likely` when the right label is the likeliest per character
after calibration by the content-free prompt (Zhao et al. 2021, arXiv 2102.09690).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dormant.errors import DormantError, unknown
from dormant.prompts.case import Case
from dormant.prompts.segment import Role, Segment
from dormant.tasks import data
from dormant.tasks.task import Measure, draw_demonstrations

FOLDER = data.SHIPPED / "nli"
LABELS = ("entailment", "neutral", "contradiction")
"""In XNLI's order: the data set numbers them 0, 1, 2."""

CONTENT_FREE = "N/A"
"""Stands for premise and hypothesis in the prompt that calibrates (Zhao et al. 2021, §4)."""

_KEYS = {"language", "code", "version", "origin", "template", "labels", "items"}
_HYPOTHESIS = "{hypothesis}"
_TITLES = {
    "greedy": "Say whether a premise entails a hypothesis (greedy label)",
    "likely": "Say whether a premise entails a hypothesis (likeliest label, calibrated)",
}


@dataclass(frozen=True)
class Item:
    """A premise, a hypothesis, and which of `LABELS` is right."""

    premise: str
    hypothesis: str
    label: str


@dataclass(frozen=True)
class Texts:
    """One language's template.

    Attributes:
        code: ISO 639-1, e.g. "fr".
        question: Line with {hypothesis} and the three options.
        answer: The cue after which the label stands.
        labels: Label word of each of `LABELS`: the beginning of its option in the question.
        items: Items by id; none in languages that are shipped for a user's own items.
    """

    code: str
    question: str
    answer: str
    labels: Mapping[str, str]
    items: Mapping[str, Item]


@cache
def texts(language: str, folder: Path = FOLDER) -> Texts:
    """Read one language's file.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line): the question
            must offer every label, and no label may begin another.
    """
    file = data.language_file(folder, language, _KEYS)
    question = file.template(("hypothesis",), "template", "question")
    labels = {name: file.string("labels", name) for name in LABELS}
    for name, word in labels.items():
        if any(other.startswith(word) for key, other in labels.items() if key != name):
            raise file.error(f"{word!r} begins another label too", "labels", name)
        if word not in question:
            raise file.error(f"the question does not offer {word!r}", "labels", name)
    items = {name: _item(file, name) for name in file.table("items")} if _has_items(file) else {}
    return Texts(
        code=file.string("code"),
        question=question,
        answer=file.string("template", "answer"),
        labels=labels,
        items=items,
    )


def _has_items(file: data.DataFile) -> bool:
    return "items" in file.values


def _item(file: data.DataFile, name: str) -> Item:
    fields = file.table("items", name)
    if fields.keys() != {"premise", "hypothesis", "label"}:
        raise file.error(
            f"items.{name} must hold premise, hypothesis and label, not {', '.join(fields)}",
            "items",
            name,
        )
    found = Item(
        file.string("items", name, "premise"),
        file.string("items", name, "hypothesis"),
        file.string("items", name, "label"),
    )
    if found.label not in LABELS:
        raise file.error(str(unknown("label", found.label, LABELS)), "items", name)
    return found


@dataclass(frozen=True, eq=False)
class Source:
    """Items of NLI by language; every language holds the same ids with the same labels.

    Attributes:
        name: What the task's name says of it; empty for the shipped items.
        items: Items by language and id; the first language is the plain one.
        version: Version or fingerprint of the data.
    """

    name: str
    items: Mapping[str, Mapping[str, Item]]
    version: str

    def check(self) -> Source:
        """Return the source itself, if its languages can be paired.

        Raises:
            DormantError: A language holds other ids than the first, or another label for one.
        """
        first, *rest = self.items
        for language in rest:
            for one, other in ((first, language), (language, first)):
                missing = [name for name in self.items[one] if name not in self.items[other]]
                if missing:
                    raise DormantError(
                        f"nli {self.name}: item {missing[0]!r} is there in {one} but not in "
                        f"{other} ({len(missing)} such): the languages can't be paired"
                    )
            for name, item in self.items[first].items():
                if self.items[language][name].label != item.label:
                    raise DormantError(
                        f"nli {self.name}: item {name!r} is {item.label!r} in {first} but "
                        f"{self.items[language][name].label!r} in {language}: the languages can't "
                        "be paired"
                    )
        return self


@cache
def shipped() -> Source:
    """Return the items that come with Dormant."""
    found = {language: texts(language).items for language in data.languages(FOLDER)}
    return Source("", {name: items for name, items in found.items() if items}, "1").check()


@dataclass(frozen=True)
class Nli:
    """XNLI's question, answered greedily or by the likeliest label.

    Attributes:
        scoring: "greedy" or "likely".
        source: A user's own items; `None` for the shipped ones.
    """

    scoring: str
    source: Source | None = None
    chance: float = 1 / 3
    default_shots: int = 0

    @property
    def name(self) -> str:
        """The ability's name: "nli/greedy", or "nli:FILE/greedy" for a user's items."""
        where = self._source.name
        return f"nli{f':{where}' if where else ''}/{self.scoring}"

    @property
    def title(self) -> str:
        """What the ability is."""
        return _TITLES[self.scoring]

    @property
    def measure(self) -> Measure:
        """How success is decided."""
        return "greedy" if self.scoring == "greedy" else "most-likely"

    @property
    def version(self) -> str:
        """Version of the items."""
        return self._source.version

    @property
    def _source(self) -> Source:
        return self.source or shipped()

    def languages(self) -> tuple[str, ...]:
        """Return the languages that have items."""
        return tuple(self._source.items)

    def pool(self) -> tuple[str, ...]:
        """Return all ids."""
        return tuple(self._source.items[self.languages()[0]])

    def case(self, item: str, *, language: str, shots: int, seed: int) -> Case:
        """Return one prompt; see `Task.case`."""
        items = self._source.items[language]
        if item not in items:
            raise unknown(f"item of {self.name} in {language}", item, items)
        words = texts(language)
        others = [key for key in items if key != item]
        before: list[Segment] = []
        for key in draw_demonstrations("nli", item, others, shots, seed):
            before += [
                *_block(words, items[key], demonstration=True),
                Segment(_gap(words), "layout"),
                Segment(words.labels[items[key].label], "output"),
                Segment("\n\n", "layout"),
            ]
        asked = items[item]
        calibrated = self.measure == "most-likely"
        empty = Item(CONTENT_FREE, CONTENT_FREE, asked.label)
        return Case(
            item=item,
            segments=(*before, *_block(words, asked)),
            target=Segment(words.labels[asked.label]),
            others=tuple(Segment(words.labels[name]) for name in LABELS if name != asked.label),
            answer_prefix=_gap(words),
            content_free=(*before, *_block(words, empty)) if calibrated else (),
        )


TASKS = (Nli("greedy"), Nli("likely"))


def with_source(source: Source) -> tuple[Nli, ...]:
    """Return both abilities over a user's items."""
    return tuple(replace(task, source=source) for task in TASKS)


def _gap(words: Texts) -> str:
    """What stands between the answer cue and the label: nothing after a full-width colon."""
    return "" if words.answer.endswith("：") else " "


def _block(words: Texts, item: Item, *, demonstration: bool = False) -> Iterator[Segment]:
    role: Role = "input" if demonstration else "query"
    before, after = words.question.split(_HYPOTHESIS)
    yield _content(item.premise, role)
    yield Segment("\n", "layout")
    yield from _pieces(before, words, "label")
    yield _content(item.hypothesis, role)
    yield from _pieces(after, words, "instruction")
    yield Segment("\n", "layout")
    yield from _pieces(words.answer, words, "label")


def _content(text: str, role: Role) -> Segment:
    # The content-free filler is no word of any language: a transform leaves it alone.
    return Segment(text, "layout" if text == CONTENT_FREE else role)


def _pieces(text: str, words: Texts, role: Role) -> Iterator[Segment]:
    """Split a stretch of the template at its label words and outer delimiters.

    The label words become segments of their own, so that a transform renders them in the question
    as it renders them in the answer.
    """
    options = "|".join(map(re.escape, sorted(words.labels.values(), key=len, reverse=True)))
    for piece in re.split(rf"({options})", text):
        match = re.fullmatch(r"(\W*)(.*?)([\s:：]*)", piece, re.DOTALL)
        assert match is not None  # every part may be empty
        lead, middle, tail = match.groups()
        parts = (Segment(lead, "layout"), Segment(middle, role), Segment(tail, "layout"))
        yield from (part for part in parts if part.text)
