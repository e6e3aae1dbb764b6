"""The two abilities of natural-language inference.

A prompt is the premise, a question that holds the hypothesis and names the options (three, or two
where the data are of two classes), and an answer cue, each on a line. `nli/greedy` is right when
greedy decoding begins with the label word, as in the paper; `nli/likely` when the right label is
the likeliest per character after calibration by the content-free prompt (Zhao et al. 2021, arXiv
2102.09690).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dormant.errors import unknown
from dormant.prompts.case import Case
from dormant.prompts.segment import Role, Segment
from dormant.tasks.demonstrations import draw_demonstrations
from dormant.tasks.nli.items import Item, Source, Texts, shipped, texts
from dormant.tasks.task import Measure

CONTENT_FREE = "N/A"
"""Stands for premise and hypothesis in the prompt that calibrates (Zhao et al. 2021, §4)."""

_HYPOTHESIS = "{hypothesis}"
_TITLES = {
    "greedy": "Say whether a premise entails a hypothesis (greedy label)",
    "likely": "Say whether a premise entails a hypothesis (likeliest label, calibrated)",
}


@dataclass(frozen=True)
class Nli:
    """XNLI's question, answered greedily or by the likeliest label.

    Attributes:
        scoring: "greedy" or "likely".
        source: A user's own items; `None` for the shipped ones.
    """

    scoring: str
    source: Source | None = None
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
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / len(self._source.classes)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed of a user's items, and what is left out."""
        return self._source.notes

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
        words = texts(language).of(self._source.classes)
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
            others=tuple(
                Segment(words.labels[name]) for name in words.labels if name != asked.label
            ),
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
