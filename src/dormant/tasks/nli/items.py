"""Templates and items of natural-language inference: the shipped ones, and a user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dormant.errors import DormantError, unknown
from dormant.tasks import data

FOLDER = data.SHIPPED / "nli"
LABELS = ("entailment", "neutral", "contradiction")
"""In XNLI's order: the data set numbers them 0, 1, 2."""
TWO_CLASSES = ("entailment", "not_entailment")
"""In RTE's order."""

_KEYS = {"language", "code", "version", "origin", "template", "labels", "items"}


@dataclass(frozen=True)
class Item:
    """A premise, a hypothesis, and which of `LABELS` or `TWO_CLASSES` is right."""

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
        two_way: The question of two classes, with {hypothesis} and two options.
    """

    code: str
    question: str
    answer: str
    labels: Mapping[str, str]
    items: Mapping[str, Item]
    two_way: str

    def of(self, classes: Sequence[str]) -> Texts:
        """Return the template for some classes: of two, what is not entailed is false."""
        if tuple(classes) == LABELS:
            return self
        labels = {
            "entailment": self.labels["entailment"],
            "not_entailment": self.labels["contradiction"],
        }
        return replace(self, question=self.two_way, labels=labels)


@cache
def texts(language: str, folder: Path = FOLDER) -> Texts:
    """Read one language's file.

    Raises:
        DormantError: An unknown language, or a malformed file (named with its line): the question
            must offer every label, and no label may begin another.
    """
    file = data.language_file(folder, language, _KEYS)
    question = file.template(("hypothesis",), "template", "question")
    two_way = file.template(("hypothesis",), "template", "two_way")
    labels = {name: file.string("labels", name) for name in LABELS}
    for name, word in labels.items():
        if any(other.startswith(word) for key, other in labels.items() if key != name):
            raise file.error(f"{word!r} begins another label too", "labels", name)
        if word not in question:
            raise file.error(f"the question does not offer {word!r}", "labels", name)
        if (word in two_way) == (name == "neutral"):
            raise file.error("two_way must offer what is true and what is false", "labels", name)
    items = {name: _item(file, name) for name in file.table("items")} if _has_items(file) else {}
    return Texts(
        code=file.string("code"),
        question=question,
        answer=file.string("template", "answer"),
        labels=labels,
        items=items,
        two_way=two_way,
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
    item = Item(
        file.string("items", name, "premise"),
        file.string("items", name, "hypothesis"),
        file.string("items", name, "label"),
    )
    if item.label not in LABELS:
        raise file.error(str(unknown("label", item.label, LABELS)), "items", name)
    return item


@dataclass(frozen=True, eq=False)
class Source:
    """Items of NLI by language; every language holds the same ids with the same labels.

    Attributes:
        name: What the task's name says of it; empty for the shipped items.
        items: Items by language and id; the first language is the plain one.
        version: Version or fingerprint of the data.
        classes: The labels among which items have theirs.
        notes: What was assumed of the data, and what is left out.
    """

    name: str
    items: Mapping[str, Mapping[str, Item]]
    version: str
    classes: tuple[str, ...] = LABELS
    notes: tuple[str, ...] = ()

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
    items = {language: texts(language).items for language in data.languages(FOLDER)}
    return Source("", {name: own for name, own in items.items() if own}, "1").check()
